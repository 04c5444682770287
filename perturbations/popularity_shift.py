"""Popularity shift: the items people meet at test time are not the ones they met in training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robustbench_rec import (
    PERTURBATIONS,
    ActsThrough,
    InputError,
    Interactions,
    Perturbation,
    Split,
)


@PERTURBATIONS.add("popularity_shift")
@dataclass(frozen=True, kw_only=True)
class PopularityShift(Perturbation):
    """Draw the test pairs from the pool with chances popularity^(-level).

    Level 0 is the data set's own i.i.d. sample, 1 weighs items evenly, above 1 inverts their
    popularity; every level has as many pairs. Popularity is the count in the clean training set
    (plus one). The training set is untouched, so one training serves the whole curve.
    """

    unit: ClassVar[str] = "popularity shift: exponent of inverse popularity at test time"
    acts_through: ClassVar[ActsThrough] = "test"
    max_level: ClassVar[float] = 2.0
    source: ClassVar[str] = "ours; the popularity split of PSL and DR-GNN has one strength only"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Draw without replacement, by exponential races; see `Perturbation.apply`.

        Raises:
            InputError: the pool is no larger than the test set, so that nothing can be drawn.

        """
        if len(split.test_pool) == len(split.test):
            raise InputError(
                "popularity_shift needs a test pool larger than the test set; "
                "set test_sample = 0.25 on the data set"
            )
        popularity = split.seen.item_counts[split.test_pool.items] + 1.0  # (n,)
        arrivals = rng.exponential(size=popularity.size) * popularity**self.level
        first = np.argpartition(arrivals, len(split.test) - 1)[: len(split.test)]
        return replace(split, test=split.test_pool[np.sort(first)])

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return divergences of the test items' distribution from the training items', and Gini.

        `kl` and `renyi_2` are in nats, of the test against the (add-one smoothed) training
        distribution; `gini` is of the test counts over the catalogue, 0 being even;
        `rarity` is minus the mean log popularity of the test pairs.
        """
        trained = _shares(clean.seen, smoothing=1.0)
        tested = _shares(perturbed.test)
        held = tested > 0
        ratio = tested[held] / trained[held]
        log_popularity = np.log(clean.seen.item_counts[perturbed.test.items] + 1.0)
        return {
            "exponent": self.level,
            "rarity": -float(log_popularity.mean()),
            "kl": float(tested[held] @ np.log(ratio)),
            "renyi_2": float(np.log(tested[held] @ ratio)),
            "gini": _gini(perturbed.test.item_counts),
        }


def _shares(pairs: Interactions, smoothing: float = 0.0) -> NDArray[np.float64]:
    counts = pairs.item_counts + smoothing
    return np.asarray(counts / counts.sum())


def _gini(counts: NDArray[np.int64]) -> float:
    """Return the Gini coefficient of non-negative counts."""
    ordered = np.sort(counts)
    n = ordered.size
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ ordered / (n * ordered.sum()))
