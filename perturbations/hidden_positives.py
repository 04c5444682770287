"""False negatives by hiding: observed positives become ordinary unlabelled items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from robustbench_rec import PERTURBATIONS, ActsThrough, Perturbation, Split


@PERTURBATIONS.add("hidden_positives")
@dataclass(frozen=True, kw_only=True)
class HiddenPositives(Perturbation):
    """Hide each training pair with probability `level`; every user keeps one.

    The hidden pairs join the known false negatives. They stay in `seen`, so that evaluation does
    not count them as wrong recommendations.
    """

    unit: ClassVar[str] = "share of training positives hidden"
    acts_through: ClassVar[ActsThrough] = "training pairs"
    source: ClassVar[str] = "positives missing at random, each user keeping at least one"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Hide the pairs whose fixed draw is below the level; see `Perturbation.apply`."""
        draws = rng.random(len(split.train))
        hidden = (draws < self.level) & ~_largest_of_user(draws, split.train.starts)
        known = split.train[hidden].without(split.false_negatives)
        return replace(
            split, train=split.train[~hidden], false_negatives=split.false_negatives + known
        )

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return the share of training pairs that were hidden."""
        return {"hidden": 1 - len(perturbed.train) / len(clean.train)}


def _largest_of_user(draws: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Mark each user's pair with the largest draw: the last that any level would hide."""
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))  # (n,)
    order = np.lexsort((draws, owner))
    marks = np.zeros(draws.size, dtype=np.bool_)
    marks[order[starts[1:][np.diff(starts) > 0] - 1]] = True
    return marks
