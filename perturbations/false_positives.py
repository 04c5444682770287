"""Label noise: items that a user never met are among the positives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from robustbench_rec import PERTURBATIONS, ActsThrough, Interactions, Perturbation, Split, setting


@PERTURBATIONS.add("false_positives")
@dataclass(frozen=True, kw_only=True)
class FalsePositives(Perturbation):
    """Add ceil(level * |P_u|) items that user u never met to the training positives.

    Items are drawn without replacement, uniformly or in proportion to their popularity; none is a
    validation or test item, nor a known false negative. The achieved rate is the requested one,
    unless a user runs out of items.
    """

    weights: Literal["uniform", "popularity"] = setting(
        "uniform", "chance of an item: equal, or by its training count (plus one)"
    )

    unit: ClassVar[str] = "false positives per training positive"
    acts_through: ClassVar[ActsThrough] = "training pairs"
    source: ClassVar[str] = "Yang et al., SL@K, KDD 2025, section on noise in positives"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Add the first ceil(level * |P_u|) of a fixed order of noise; see `Perturbation.apply`."""
        counts = split.train.user_counts
        # Rounding first keeps 0.1 * 30 = 3.0000000000000004 from becoming 4.
        wanted = np.ceil(np.round(self.level * counts, 9)).astype(np.int64)
        users, items, ranks = _noise(split, self._weights(split.seen), rng)
        chosen = ranks < wanted[users]
        noise = Interactions.of(users[chosen], items[chosen], split.n_users, split.n_items)
        return replace(split, train=split.train + noise)

    def _weights(self, seen: Interactions) -> NDArray[np.float64]:
        """Return the unnormalised probabilities of items (n_items,)."""
        flat = self.weights == "uniform"
        return np.asarray(np.ones(seen.n_items) if flat else seen.item_counts + 1.0)

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return the pairs added per clean training pair."""
        return {"added": len(perturbed.train) / len(clean.train) - 1}


Noise = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

CELLS = 4_000_000
"""Users times items that are drawn at once; a bound on memory alone, no part of the draw."""


def _noise(split: Split, weights: NDArray[np.float64], rng: np.random.Generator) -> Noise:
    """Draw for each user a sequence of up to |P_u| distinct items never met.

    Each item has an arrival time Exp(1) divided by its weight; the order of arrival equals drawing
    without replacement in proportion to the weights. It does not depend on the level, so a level
    takes a prefix and levels nest.

    Args:
        split: the clean split.
        weights: (n_items,) above 0.
        rng: draws n_users * n_items times, user by user.

    Returns:
        users, items and the rank of each item in its user's sequence, all (m,).

    """
    met = split.met()
    wanted = np.minimum(split.train.user_counts, split.n_items - met.user_counts)
    at_once = max(CELLS // split.n_items, 1)
    found = []
    for first in range(0, split.n_users, at_once):
        counts = wanted[first : first + at_once]
        times = rng.standard_exponential((counts.size, split.n_items))
        times /= weights
        held = slice(met.starts[first], met.starts[first + counts.size])
        times[met.users[held] - first, met.items[held]] = np.inf
        order = _earliest(times, int(counts.max()))
        rows, ranks = np.nonzero(np.arange(order.shape[1]) < counts[:, None])
        found.append((rows + first, order[rows, ranks], ranks))
    users, items, ranks = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return users, items, ranks


def _earliest(times: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the columns (rows, count) of the least times of each row, ascending."""
    nearest = np.argpartition(times, max(count - 1, 0), axis=1)[:, :count]
    order = np.argsort(np.take_along_axis(times, nearest, axis=1), axis=1)
    return np.take_along_axis(nearest, order, axis=1)
