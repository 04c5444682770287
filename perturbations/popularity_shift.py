"""Popularity shift: test items are less popular than training items."""

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

FEWEST = 50
"""Effective test users below which a level is refused: their mean would say too little."""
FloatArray = NDArray[np.float64]


@PERTURBATIONS.add("popularity_shift")
@dataclass(frozen=True, kw_only=True)
class PopularityShift(Perturbation):
    """Weigh each test pair by w = popularity^(-level).

    Popularity is the item's count in the clean training set, plus one. With v_u the mean of w over
    user u's test items, and x_u the user's metric under weights w / v_u, a metric is
    SUM_u v_u x_u / SUM_u v_u: its mean if test items occur with probabilities proportional to w
    times the current ones. The test keeps all its pairs, so that a level only removes the part of
    a metric that is due to popularity. The training set is untouched: one training serves the whole
    curve.
    """

    unit: ClassVar[str] = "popularity shift: exponent of inverse popularity at test time"
    acts_through: ClassVar[ActsThrough] = "test"
    max_level: ClassVar[float] = 2.0
    weighs_test: ClassVar[bool] = True
    source: ClassVar[str] = "ours; the popularity split of PSL and DR-GNN has one strength only"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Set the weights; nothing is drawn. See `Perturbation.apply`.

        Raises:
            InputError: so few users have most of the weight that their mean would be mostly noise.

        """
        popularity = split.seen.item_counts[split.test.items] + 1
        weights = popularity.astype(np.float64) ** -self.level  # (n,)
        reached = _effective_users(split.test, weights)
        if reached < FEWEST:
            raise InputError(
                f"popularity_shift at level {self.level:g} rests on {reached:.1f} effective test "
                f"users, and at least {FEWEST} are needed; ask for a lower level, or take data "
                "with more test users"
            )
        return replace(split, test_weights=weights)

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return statistics of the weighted test items, without sampling noise.

        The law of level 0 is that of the mean over users: a user uniformly, then one of its test
        items uniformly. `kl` is the divergence of the shifted law from it, in nats;
        `effective_users` is (SUM v)^2 / SUM v^2 over the weights v of users; `popular_fifth` is
        the shifted law's share on the most popular fifth of the catalogue, see `_popular_fifth`.
        """
        test, weights = perturbed.test, perturbed.test_weights
        if weights is None:
            weights = np.ones(len(test))
        even = _even_law(test)
        shifted = even * weights / (even @ weights)
        of_items = np.bincount(test.items, shifted, clean.n_items).astype(np.float64)
        return {
            "exponent": self.level,
            "kl": max(0.0, float(shifted @ np.log(weights) - np.log(even @ weights))),
            "effective_users": _effective_users(test, weights),
            "popular_fifth": _popular_fifth(of_items, clean.seen.item_counts),
        }


def _even_law(test: Interactions) -> FloatArray:
    """Return the probability (n,) of each pair: a uniform user, then a uniform pair of the user."""
    chances = 1 / test.user_counts[test.users]
    return np.asarray(chances / chances.sum())


def _effective_users(test: Interactions, weights: FloatArray) -> float:
    """Return the effective number of users: (SUM v)^2 / SUM v^2."""
    if not len(test):
        return 0.0
    of_users = np.bincount(test.users, _even_law(test) * weights)
    return float(of_users.sum() ** 2 / (of_users @ of_users))


def _popular_fifth(law: FloatArray, popularity: NDArray[np.int64]) -> float:
    """Return the share of a law (n_items,) on the fifth of the items with the highest popularity.

    If the fifth ends among items of equal popularity, each of these counts with the share of them
    within the fifth, so their order does not matter.
    """
    fifth = popularity.size / 5
    last = np.sort(popularity)[-int(np.ceil(fifth))]
    above, tied = popularity > last, popularity == last
    share = (fifth - above.sum()) / tied.sum()
    return float(law[above].sum() + share * law[tied].sum())
