"""False negatives in the sampler: some drawn negatives are true positives."""

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
    N = 1 is never contaminated; here every slot is a separate draw, and every loss has the same
    rate. A user with an empty pool draws ordinary negatives.

    A user's own pool includes the positive of the row, which may be drawn as its own negative: at
    full contamination 1 / n_u of the slots of a user with n_u training pairs, and USERS / PAIRS of
    all slots: 1.6% on MovieLens-100K and 8.1% on Amazon-Electronic, where a tenth is held out 1.8%
    and 9.0%. `own_positive = "left_out"` draws from the others alone.
    """

    pool: Literal["own", "held_out"] = setting(
        "own",
        "own: the user's training positives (DrRL); held_out: the known false negatives, which "
        "the data set's `hold_out` took out of training (PSL) or a synthetic world never showed",
    )
    own_positive: Literal["drawn", "left_out"] = setting(
        "drawn", "whether the pool of a row holds its own positive, a negative of itself then"
    )

    unit: ClassVar[str] = "probability that a drawn negative is a positive"
    acts_through: ClassVar[ActsThrough] = "negatives"
    source: ClassVar[str] = "own: DrRL, arXiv 2506.15120; held_out: Yang et al., PSL, NeurIPS 2024"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Set the pool and the rate; see `Perturbation.apply`. The sampler does the drawing.

        Raises:
            InputError: the pool is "held_out" and the data set holds nothing out.

        """
        pool = split.train if self.pool == "own" else split.false_negatives
        if not len(pool):
            raise InputError(
                'negative_contamination(pool="held_out") needs held-out positives; '
                "set hold_out = 0.1 on the data set"
            )
        spares = self.own_positive == "left_out"
        return replace(
            split, false_negatives=pool, contamination=self.level, spares_positive=spares
        )

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return the expected share of contaminated slots, and the users without a pool.

        If a row's own positive is left out, it does not count as part of the pool.
        """
        if not perturbed.contamination:
            return {"contaminated": 0.0, "users_without_pool": 0.0}
        train, pool = perturbed.train, perturbed.false_negatives
        left = pool.user_counts[train.users]
        if perturbed.spares_positive:
            left = left - pool.holds(train.users, train.items)
        active, reached = (np.unique(train.users[rows]).size for rows in (left >= 0, left > 0))
        return {
            "contaminated": float(perturbed.contamination * (left > 0).mean()),
            "users_without_pool": float(active - reached),
        }
