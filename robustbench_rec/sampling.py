"""Negatives for a batch, honouring the split's contamination."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.interactions import BoolArray, IntArray, Interactions, Split


class NegativeSampler:
    """Draws negatives uniformly, with replacement, over the items a user has not met in training.

    With probability `split.contamination` a slot is drawn from the user's `false_negatives`
    instead; a user who has none draws an ordinary negative. What a user has met stands in one bit
    an item: n_users * n_items / 8 bytes.

    Args:
        split: the perturbed split; its `train` says what a user has met.
        rng: every draw comes from it, in order; those of contamination from a child of it, so
            that the ordinary draws are the same at every level.

    Raises:
        ValueError: a user has met every item, so that nothing can be drawn.

    """

    def __init__(self, split: Split, rng: np.random.Generator) -> None:
        full = split.train.user_counts == split.n_items
        if full.any():
            raise ValueError(f"user {int(np.argmax(full))} has met every item: no negative is left")
        self._split = split
        self._rng = rng
        self._contamination_rng = rng.spawn(1)[0]
        self._met = _bits(split.train)

    def draw(self, users: IntArray, n: int) -> IntArray:
        """Return (B, n) item ids, the negatives of each of `users` (B,)."""
        items = self._rng.integers(self._split.n_items, size=(users.size, n))
        rows, slots = np.nonzero(self._is_met(users[:, None], items))
        while rows.size:
            drawn = self._rng.integers(self._split.n_items, size=rows.size)
            items[rows, slots] = drawn
            again = self._is_met(users[rows], drawn)
            rows, slots = rows[again], slots[again]
        if self._split.contamination:
            self._contaminate(users, items)
        return items

    def _is_met(self, users: IntArray, items: IntArray) -> BoolArray:
        return np.asarray((self._met[users, items >> 3] >> (items & 7)) & 1, dtype=np.bool_)

    def _contaminate(self, users: IntArray, items: IntArray) -> None:
        """Overwrite each slot, by a draw of its own, with one of the user's false negatives."""
        pool = self._split.false_negatives
        counts = pool.user_counts[users]
        chosen = self._contamination_rng.random(items.shape) < self._split.contamination
        rows, slots = np.nonzero(chosen & (counts > 0)[:, None])
        luck = self._contamination_rng.random(items.shape)[rows, slots]
        offsets = (luck * counts[rows]).astype(np.int64)
        items[rows, slots] = pool.items[pool.starts[users[rows]] + offsets]


def _bits(pairs: Interactions, block: int = 4096) -> NDArray[np.uint8]:
    """Return (n_users, ceil(n_items / 8)) bits, little end first, set where the pair is held."""
    bits = np.empty((pairs.n_users, -(-pairs.n_items // 8)), dtype=np.uint8)
    for first in range(0, pairs.n_users, block):
        last = min(first + block, pairs.n_users)
        held = slice(pairs.starts[first], pairs.starts[last])
        dense = np.zeros((last - first, pairs.n_items), dtype=np.bool_)
        dense[pairs.users[held] - first, pairs.items[held]] = True
        bits[first:last] = np.packbits(dense, axis=1, bitorder="little")
    return bits
