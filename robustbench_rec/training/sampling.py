"""Negatives for a batch, honouring the split's contamination. Imports numba: import it late.

What is drawn for a slot depends on the seed, the epoch, the training row and the slot alone: each
draw is a hash of the four. So nothing depends on threads, on the size of a batch, or on the order
of the rows, and levels of contamination share all draws that they do not replace.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from robustbench_rec.interactions import IntArray, Split
from robustbench_rec.seeds import seed_for

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""The constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
LOW = np.uint64(0xFFFFFFFF)
MOST_ITEMS = 2**31 - 1

Index = NDArray[np.int32]


class NegativeSampler:
    """Draws negatives uniformly, with replacement, over the items a user has not met in training.

    With probability `split.contamination` a slot is drawn from the user's `false_negatives`
    instead; a user who has none draws an ordinary negative. Memory beyond the split: a bit an item
    for each thread.

    Args:
        split: the perturbed split; its `train` says what a user has met.
        seed: of every draw.

    Raises:
        ValueError: a user has met every item, so that nothing can be drawn; or there are more
            items than 32 bits number.

    """

    def __init__(self, split: Split, seed: int) -> None:
        full = split.train.user_counts == split.n_items
        if full.any():
            raise ValueError(f"user {int(np.argmax(full))} has met every item: no negative is left")
        if split.n_items > MOST_ITEMS:
            raise ValueError(f"{split.n_items} items; at most {MOST_ITEMS}")
        self._split, self._seed = split, seed

    def draw(self, epoch: int, rows: IntArray, n: int) -> Index:
        """Return (B, 1 + n) items: the positive of each of `rows` (B,) of `train`, its negatives.

        Raises:
            ValueError: n is less than 0.

        """
        if n < 0:
            raise ValueError(f"{n} negatives for each positive; at least 0")
        train, pool = self._split.train, self._split.false_negatives
        index = np.empty((rows.size, 1 + n), dtype=np.int32)
        index[:, 0] = train.items[rows]
        users = train.users[rows]
        key = np.uint64(seed_for(self._seed, epoch, "negatives"))
        part = (train.starts, train.items, train.n_items)
        _draw(key, rows, users, *part, get_num_threads(), index)
        if self._split.contamination:
            key = np.uint64(seed_for(self._seed, epoch, "contamination"))
            rate = self._split.contamination
            _contaminate(key, rows, users, pool.starts, pool.items, rate, index)
        return index


@njit(cache=True, inline="always")
def _mix(z: np.uint64) -> np.uint64:
    """Return the finaliser of SplitMix64: a bijection of 64 bits that scatters them."""
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))


@njit(cache=True, inline="always")
def _state(key: np.uint64, row: int) -> np.uint64:
    """Return where the stream of a training row starts."""
    return _mix(key ^ _mix(np.uint64(row) + STEP))


@njit(cache=True, inline="always")
def _bits(state: np.uint64, slot: int) -> np.uint64:
    """Return the 64 random bits of a slot, from 1."""
    return _mix(state + np.uint64(slot) * STEP)


@njit(cache=True, inline="always")
def _uneven(n: int) -> np.uint64:
    """Return how many of the 2^32 products of `_below` are too many for n equal shares."""
    return np.uint64(1 << 32) % np.uint64(n)


@njit(cache=True, inline="always")
def _below(bits: np.uint64, n: int) -> int:
    """Return an integer uniform on [0, n), without bias, from 64 random bits.

    The high half of a product of 32 bits with n (Lemire, TOMACS 2019); where the low half shows
    that it is one too many for its value, from other bits.
    """
    uneven = _uneven(n)
    product = (bits >> np.uint64(32)) * np.uint64(n)
    while (product & LOW) < uneven:
        bits = _mix(bits + STEP)
        product = (bits >> np.uint64(32)) * np.uint64(n)
    return int(product >> np.uint64(32))


@njit(cache=True, parallel=True)
def _draw(
    key: np.uint64,
    rows: IntArray,
    users: IntArray,
    starts: IntArray,
    met: IntArray,
    n_items: int,
    n_parts: int,
    index: Index,
) -> None:
    """Fill `index` (B, 1 + N) but for its first column, `n_parts` runs of rows at once.

    A first draw over all items; where it falls on one that was met, or is one of the uneven, a
    second one by rank among the others. Either way each of the others is as likely: exact, with no
    more than two draws, also for a user who has met nearly everything.
    """
    uneven = _uneven(n_items)
    for part in prange(n_parts):
        is_met = np.zeros((n_items + 63) >> 6, dtype=np.uint64)
        for b in range(part * rows.size // n_parts, (part + 1) * rows.size // n_parts):
            items = met[starts[users[b]] : starts[users[b] + 1]]
            for item in items:
                is_met[item >> 6] |= np.uint64(1) << np.uint64(item & 63)
            state = _state(key, rows[b])
            for n in range(1, index.shape[1]):  # by itself, so that it is vectorised
                product = (_bits(state, n) >> np.uint64(32)) * np.uint64(n_items)
                item = np.int32(product >> np.uint64(32))
                index[b, n] = np.int32(-1) if (product & LOW) < uneven else item
            for n in range(1, index.shape[1]):
                item = index[b, n]
                if item < 0 or (is_met[item >> 6] >> np.uint64(item & 63)) & np.uint64(1):
                    rank = _below(_mix(_bits(state, n) + STEP), n_items - items.size)
                    index[b, n] = _ranked(rank, items)
            for item in items:
                is_met[item >> 6] = 0


@njit(cache=True)
def _ranked(rank: int, met: IntArray) -> int:
    """Return the item of that rank, from 0, among those not in `met`, which ascends."""
    low, high = 0, met.size
    while low < high:
        middle = (low + high) >> 1
        if met[middle] - middle <= rank:
            low = middle + 1
        else:
            high = middle
    return rank + low


@njit(cache=True, parallel=True)
def _contaminate(
    key: np.uint64,
    rows: IntArray,
    users: IntArray,
    starts: IntArray,
    pool: IntArray,
    rate: float,
    index: Index,
) -> None:
    """Overwrite each slot, by a draw of its own, with one of the user's false negatives."""
    for b in prange(rows.size):
        first, last = starts[users[b]], starts[users[b] + 1]
        if first == last:
            continue
        state = _state(key, rows[b])
        for n in range(1, index.shape[1]):
            bits = _bits(state, n)
            if np.float64(bits >> np.uint64(11)) * 2.0**-53 < rate:
                index[b, n] = pool[first + _below(_mix(bits + STEP), last - first)]
