"""False negatives in the sampler: some drawn negatives are in truth positives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from robustbench_rec import PERTURBATIONS, ActsThrough, InputError, Perturbation, Split, setting


@PERTURBATIONS.add("negative_contamination")
@dataclass(frozen=True, kw_only=True)
class NegativeContamination(Perturbation):
    """Draw each negative, with probability `level`, from the user's positives.

    Published code replaces int(N * level) of a row's N slots, so that 0.05 of 64 becomes 4.7% and
    N = 1 is never touched; here every slot is a draw of its own, and every loss meets one rate.
    A user with an empty pool draws ordinary negatives.
    """

    pool: Literal["own", "held_out"] = setting(
        "own",
        "own: the user's training positives (DrRL); held_out: the known false negatives, which "
        "the data set's `hold_out` took out of training (PSL) or a synthetic world never showed",
    )

    unit: ClassVar[str] = "probability that a drawn negative is a positive"
    acts_through: ClassVar[ActsThrough] = "negatives"
    source: ClassVar[str] = "own: DrRL, arXiv 2506.15120; held_out: Yang et al., PSL, NeurIPS 2024"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Set the pool and the rate; see `Perturbation.apply`. The sampler does the drawing.

        Raises:
            InputError: pool "held_out" where the data set holds nothing out.

        """
        pool = split.train if self.pool == "own" else split.false_negatives
        if not len(pool):
            raise InputError(
                'negative_contamination(pool="held_out") needs held-out positives; '
                "set hold_out = 0.1 on the data set"
            )
        return replace(split, false_negatives=pool, contamination=self.level)

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return the expected share of contaminated slots, and the users without a pool."""
        if not perturbed.contamination:
            return {"contaminated": 0.0, "users_without_pool": 0.0}
        has_pool = perturbed.false_negatives.user_counts > 0
        reached = has_pool[perturbed.train.users].mean()
        active = clean.train.user_counts > 0
        return {
            "contaminated": float(perturbed.contamination * reached),
            "users_without_pool": float((active & ~has_pool).sum()),
        }
