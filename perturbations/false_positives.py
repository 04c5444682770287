"""Label noise: items that a user never met stand among the positives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from robustbench_rec import PERTURBATIONS, Interactions, Perturbation, Split, Stage, setting


@PERTURBATIONS.add("false_positives")
@dataclass(frozen=True, kw_only=True)
class FalsePositives(Perturbation):
    """Add ceil(level * |P_u|) items that user u never met to the training positives.

    Items are drawn without replacement, uniformly or in proportion to their popularity; none is a
    validation or test item, nor a known false negative. A collision is drawn again, so the
    achieved rate is the asked one unless a user runs out of items.
    """

    weights: Literal["uniform", "popularity"] = setting(
        "uniform", "chance of an item: equal, or by its training count (plus one)"
    )

    unit: ClassVar[str] = "false positives per training positive"
    stage: ClassVar[Stage] = "train"
    source: ClassVar[str] = "Yang et al., SL@K, KDD 2025, section on noise in positives"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Add the first ceil(level * |P_u|) of a fixed order of noise; see `Perturbation.apply`."""
        counts = split.train.user_counts
        # Rounding first keeps 0.1 * 30 = 3.0000000000000004 from becoming 4.
        wanted = np.ceil(np.round(self.level * counts, 9)).astype(np.int64)
        users, items, ranks = _noise(split, self._chances(split.seen), rng)
        chosen = ranks < wanted[users]
        noise = Interactions.of(users[chosen], items[chosen], split.n_users, split.n_items)
        return replace(split, train=split.train + noise)

    def _chances(self, seen: Interactions) -> NDArray[np.float64]:
        """Return the (n_items,) cumulative chances of an item."""
        flat = self.weights == "uniform"
        weights = np.ones(seen.n_items) if flat else seen.item_counts + 1.0
        return np.asarray(np.cumsum(weights) / weights.sum())

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return the pairs added per clean training pair."""
        return {"added": len(perturbed.train) / len(clean.train) - 1}


Noise = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _noise(split: Split, chances: NDArray[np.float64], rng: np.random.Generator) -> Noise:
    """Draw for each user a sequence of up to |P_u| distinct items never met.

    It does not depend on the level, so a level takes a prefix and levels nest. Drawing with
    replacement and dropping repeats is drawing without replacement, one item after the other.

    Returns:
        users, items and the rank of each item in its user's sequence, all (m,).

    """
    met = split.met()
    room = split.n_items - met.user_counts
    missing = np.minimum(split.train.user_counts, room)
    keys = np.empty(0, dtype=np.int64)  # drawn so far, in order of drawing
    while missing.sum():
        users = np.repeat(np.arange(split.n_users), missing)
        items = np.searchsorted(chances, rng.random(users.size), side="right")
        items = items.clip(max=split.n_items - 1)
        drawn = (users * np.int64(split.n_items) + items)[~met.holds(users, items)]
        keys = np.concatenate([keys, drawn])
        keys = keys[np.sort(np.unique(keys, return_index=True)[1])]
        have = np.bincount(keys // split.n_items, minlength=split.n_users)
        missing = np.minimum(split.train.user_counts, room) - have
    users, items = np.divmod(keys, np.int64(split.n_items))
    return users, items, _ranks(users)


def _ranks(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each entry how many earlier entries are of the same user."""
    order = np.argsort(users, kind="stable")
    ordered = users[order]
    ranks = np.empty_like(users)
    ranks[order] = np.arange(users.size) - np.searchsorted(ordered, ordered)
    return ranks
