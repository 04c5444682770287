"""Negatives for a batch, with the split's contamination. Imports numba: import it late.

Each draw is a hash of the seed, the epoch, the training row and the slot. So it does not depend on
threads, on the size of a batch, or on the order of rows, and levels of contamination share all
draws that they do not replace.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from robustbench_rec.compiling import njit
from robustbench_rec.interactions import IntArray, Split
from robustbench_rec.seeds import seed_for

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""The constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
LOW = np.uint64(0xFFFFFFFF)
FIVES, THREES, FIFTEENS, ONES, HIGHEST = (
    np.uint64(byte * 0x0101010101010101) for byte in (0x55, 0x33, 0x0F, 0x01, 0x80)
)
PLACES = np.zeros((256, 8), dtype=np.uint8)
"""The place of the set bit of each rank in each byte."""
for _byte in range(256):
    for _rank, _place in enumerate(place for place in range(8) if _byte >> place & 1):
        PLACES[_byte, _rank] = _place
MOST_ITEMS = 2**31 - 1

FEW = 4
"""Up to so many negatives are searched among the met items; more are looked up in marks."""
OFTEN = 16
"""A user who has met more than one in so many items redraws many slots."""
WORTH = 8
"""Words of marks that can be counted in the time of one search among the met items."""
KEPT_BYTES = 2**20
"""Largest memory for marks of all users, which then need not be computed for each row."""

Index = NDArray[np.int32]
Marks = NDArray[np.uint64]
"""A bit an item."""


class NegativeSampler:
    """Draws negatives uniformly, with replacement, over the items a user has not met in training.

    With probability `split.contamination` a slot is drawn from the user's `false_negatives`,
    without the row's own positive if `split.spares_positive`; if there are none, the slot has an
    ordinary negative. Memory beyond the split: one bit per item for each user if that is at most
    `KEPT_BYTES`, otherwise for each thread.

    Args:
        split: the perturbed split; its `train` has the items that a user has met.
        seed: the seed of all draws.

    Raises:
        ValueError: a user has met every item, so no negative can be drawn; or there are more items
            than 32 bits can number.

    """

    def __init__(self, split: Split, seed: int) -> None:
        full = split.train.user_counts == split.n_items
        if full.any():
            raise ValueError(f"user {int(np.argmax(full))} has met every item: no negative is left")
        if split.n_items > MOST_ITEMS:
            raise ValueError(f"{split.n_items} items; at most {MOST_ITEMS}")
        self._split, self._seed = split, seed
        n_words = (split.n_items + 63) >> 6
        n_kept = split.n_users if 8 * n_words * split.n_users <= KEPT_BYTES else 0
        self._kept = np.zeros((n_kept, n_words), dtype=np.uint64)
        if n_kept:
            _mark_all(split.train.starts, split.train.items, self._kept)

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
        _draw(key, rows, users, *part, self._kept, get_num_threads(), index)
        if self._split.contamination:
            key = np.uint64(seed_for(self._seed, epoch, "contamination"))
            bound = np.uint64(math.ceil(self._split.contamination * 2**53))
            spares = self._split.spares_positive
            _contaminate(key, rows, users, pool.starts, pool.items, bound, spares, index)
        return index


def with_negatives(split: Split) -> Split:
    """Return the split without the training pairs of users who have met every item.

    No negative can be drawn for these users. Without such users the split is returned unchanged.

    Raises:
        ValueError: nothing is left.

    """
    train = split.train
    has_negatives = train.user_counts[train.users] < split.n_items
    if has_negatives.all():
        return split
    if not has_negatives.any():
        raise ValueError("every user has met every item: no negative is left")
    return replace(split, train=train[has_negatives])


@njit(cache=True, inline="always")
def _mix(z: np.uint64) -> np.uint64:
    """Return the finaliser of SplitMix64, a bijection of 64 bits that scatters them."""
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))


@njit(cache=True, inline="always")
def _state(key: np.uint64, row: int) -> np.uint64:
    """Return the start of the stream of a training row."""
    return _mix(key ^ _mix(np.uint64(row) + STEP))


@njit(cache=True, inline="always")
def _bits(state: np.uint64, slot: int) -> np.uint64:
    """Return the 64 random bits of a slot, from 1."""
    return _mix(state + np.uint64(slot) * STEP)


@njit(cache=True, inline="always")
def _uneven(n: int) -> np.uint64:
    """Return how many of the 2^32 products of `_below` must be rejected for n equal shares."""
    return np.uint64(1 << 32) % np.uint64(n)


@njit(cache=True, inline="always")
def _below(bits: np.uint64, n: int, uneven: np.uint64) -> int:
    """Return an integer uniform on [0, n), without bias, from 64 random bits.

    The high half of a product of 32 bits with n (Lemire, TOMACS 2019); where the low half shows
    that it is one too many for its value, from other bits. `uneven` is `_uneven(n)`.
    """
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
    kept: Marks,
    n_parts: int,
    index: Index,
) -> None:
    """Fill `index` (B, 1 + N) but for its first column, `n_parts` runs of rows at once.

    The first draw is over all items; if it is a met item, or rejected, the second draw is by rank
    among the other items. So all other items are equally likely: exact, with at most two draws,
    also for a user who has met nearly all items. `kept` has the marks of every user, or of none.
    """
    uneven, is_kept = _uneven(n_items), len(kept) > 0
    for part in prange(n_parts):
        marks = np.zeros(kept.shape[1], dtype=np.uint64)
        counts = np.empty(kept.shape[1], dtype=np.int64)
        again = np.empty(index.shape[1], dtype=np.int32)
        for b in range(part * rows.size // n_parts, (part + 1) * rows.size // n_parts):
            items = met[starts[users[b]] : starts[users[b] + 1]]
            state = _state(key, rows[b])
            _draw_once(state, n_items, uneven, index[b])
            if not is_kept and index.shape[1] - 1 <= FEW:
                n_again = _list_by_search(index[b], items, again)
                _draw_again(state, n_items, items, again[:n_again], index[b])
                continue
            is_met = kept[users[b]] if is_kept else marks
            if not is_kept:
                _mark(items, marks)
            if items.size * OFTEN > n_items:
                n_again = _list_often(index[b], is_met, again)
            else:
                n_again = _list_seldom(index[b], is_met, again)
            if n_again * WORTH > is_met.size:
                left = n_items - items.size
                _draw_by_marks(state, left, is_met, counts, again[:n_again], index[b])
            else:
                _draw_again(state, n_items, items, again[:n_again], index[b])
            if not is_kept:
                for item in items:
                    marks[item >> 6] = 0


@njit(cache=True)
def _mark_all(starts: IntArray, items: IntArray, kept: Marks) -> None:
    for user in range(len(kept)):
        _mark(items[starts[user] : starts[user + 1]], kept[user])


@njit(cache=True)
def _mark(items: IntArray, marks: Marks) -> None:
    for item in items:
        marks[item >> 6] |= np.uint64(1) << np.uint64(item & 63)


@njit(cache=True)
def _draw_once(state: np.uint64, n_items: int, uneven: np.uint64, slots: Index) -> None:
    """Draw all slots from 1 over all items; -1 if the draw is rejected."""
    for n in range(1, slots.size):  # by itself, so that it is vectorised
        product = (_bits(state, n) >> np.uint64(32)) * np.uint64(n_items)
        item = np.int32(product >> np.uint64(32))
        slots[n] = np.int32(-1) if (product & LOW) < uneven else item


@njit(cache=True)
def _list_by_search(slots: Index, met: IntArray, again: Index) -> int:
    """List the slots to draw again, those with met items, and return their number."""
    n_again = 0
    for n in range(1, slots.size):
        if slots[n] < 0 or _is_in(slots[n], met):
            again[n_again] = n
            n_again += 1
    return n_again


@njit(cache=True)
def _list_seldom(slots: Index, is_met: Marks, again: Index) -> int:
    """List the same slots by marks, if few slots are to be drawn again."""
    n_again = 0
    for n in range(1, slots.size):
        item = slots[n]
        if item < 0 or (is_met[item >> 6] >> np.uint64(item & 63)) & np.uint64(1):
            again[n_again] = n
            n_again += 1
    return n_again


@njit(cache=True)
def _list_often(slots: Index, is_met: Marks, again: Index) -> int:
    """List the same slots if many are to be drawn again: without a branch."""
    n_again = 0
    for n in range(1, slots.size):
        item = slots[n]
        again[n_again] = n
        marked = (is_met[item >> 6] >> np.uint64(item & 63)) & np.uint64(1)
        n_again += int(marked) | (item < 0)
    return n_again


@njit(cache=True)
def _draw_by_marks(
    state: np.uint64, n_left: int, is_met: Marks, counts: IntArray, again: Index, slots: Index
) -> None:
    """Draw the listed slots by rank among the `n_left` items without a mark."""
    total = 0
    for word in range(is_met.size):  # counts: of the items without a mark, up to this word's last
        total += int(_ones_by_byte(~is_met[word]) >> np.uint64(56))
        counts[word] = total
    uneven = _uneven(n_left)
    for n in again:
        rank = _below(_mix(_bits(state, n) + STEP), n_left, uneven)
        word = 0
        for other in range(is_met.size):
            word += int(counts[other] <= rank)
        before = counts[word - 1] if word else 0
        slots[n] = (word << 6) + _place_of(rank - before, ~is_met[word])


@njit(cache=True, inline="always")
def _ones_by_byte(bits: np.uint64) -> np.uint64:
    """Return the number of set bits up to each byte of 64 bits; the highest byte has the total."""
    pairs = bits - ((bits >> np.uint64(1)) & FIVES)
    fours = (pairs & THREES) + ((pairs >> np.uint64(2)) & THREES)
    return ((fours + (fours >> np.uint64(4))) & FIFTEENS) * ONES


@njit(cache=True, inline="always")
def _place_of(rank: int, bits: np.uint64) -> int:
    """Return the place of the set bit with a rank, from 0, among 64 (Vigna, WEA 2008)."""
    ones = _ones_by_byte(bits)
    r = np.uint64(rank)
    full = ((r * ONES | HIGHEST) - ones) & HIGHEST  # bytes up to which there are too few
    byte = ((full >> np.uint64(7)) * ONES >> np.uint64(56)) << np.uint64(3)  # its first place
    before = (ones << np.uint64(8)) >> byte & np.uint64(255)
    return int(byte) + int(PLACES[(bits >> byte) & np.uint64(255), r - before])


@njit(cache=True)
def _draw_again(state: np.uint64, n_items: int, met: IntArray, again: Index, slots: Index) -> None:
    """Draw the same slots by rank among the items not met, without a list of these."""
    n_left = n_items - met.size
    uneven = _uneven(n_left)
    for n in again:
        rank = _below(_mix(_bits(state, n) + STEP), n_left, uneven)
        slots[n] = _ranked(rank, met)


@njit(cache=True)
def _is_in(item: int, met: IntArray) -> bool:
    place = _n_below(item, met)
    return place < met.size and met[place] == item


@njit(cache=True, inline="always")
def _n_below(item: int, items: IntArray) -> int:
    """Return how many of the ascending `items` are below `item`."""
    low, high = 0, items.size
    while low < high:
        middle = (low + high) >> 1
        if items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _ranked(rank: int, met: IntArray) -> int:
    """Return the item with a rank, from 0, among those not in the ascending `met`."""
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
    bound: np.uint64,
    spares: bool,
    index: Index,
) -> None:
    """Overwrite each slot, by a separate draw, with one of the user's false negatives.

    If `spares`, the row's positive, index[:, 0], is excluded: the draw is by rank among the others.

    `bound` is the rate times 2^53, rounded up: 53 bits of a draw are below it exactly if their
    number in [0, 1) is below the rate.
    """
    for b in prange(rows.size):
        own = pool[starts[users[b]] : starts[users[b] + 1]]
        n_own = spared = own.size  # the place of what is spared; past the end, nothing
        if spares:
            place = _n_below(index[b, 0], own)
            if place < own.size and own[place] == index[b, 0]:
                n_own, spared = n_own - 1, place
        if not n_own:
            continue
        state = _state(key, rows[b])
        replaced = np.empty(index.shape[1], dtype=np.int32)
        n_replaced = 0
        for n in range(1, index.shape[1]):
            replaced[n_replaced] = n
            n_replaced += int((_bits(state, n) >> np.uint64(11)) < bound)
        uneven = _uneven(n_own)
        for n in replaced[:n_replaced]:
            rank = _below(_mix(_bits(state, n) + STEP), n_own, uneven)
            index[b, n] = own[rank + int(rank >= spared)]
