"""The best items of each user, kept while tiles of scores pass. Imports numba: import it late.

Each row of (values, ids) is a heap; its root is the worst kept score. Most scores are compared only
with the root, many in one instruction. For equal scores the lower item ranks first, so the result
depends neither on tiles nor on threads. The compiled code is cached on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from robustbench_rec.compiling import njit
from robustbench_rec.interactions import IntArray

RUN = 64
"""Scores compared at once; shorter runs are unrolled before they could be vectorised."""

Floats = NDArray[Any]


@njit(cache=True, parallel=True)
def keep_best(
    scores: Floats,
    first: int,
    users: IntArray,
    starts: IntArray,
    seen: IntArray,
    values: Floats,
    ids: IntArray,
) -> None:
    """Mask the seen items of each user, and push the tile's scores into the heaps.

    Tiles must come in ascending order of items.

    Args:
        scores: (R, C) scores of R users for items first to first + C, without NaN; overwritten.
        first: the first item of the tile.
        users: (R,) the users of the rows.
        starts: (n_users + 1,) start of each user's items in `seen`.
        seen: (n,) the seen items of each user, ascending.
        values: (R, k) the scores in the heaps, k >= 1; -inf in an empty place.
        ids: (R, k) the items in the heaps; -1 in an empty place.

    """
    for r in prange(users.size):
        row, user = scores[r], users[r]
        _mask(row, first, seen[starts[user] : starts[user + 1]])
        for at in range(0, row.size, RUN):
            run = row[at : at + RUN]
            if run.size < RUN or _any_above(run, values[r, 0]):
                _take(run, first + at, values[r], ids[r])


@njit(cache=True, parallel=True)
def sort_best(values: Floats, ids: IntArray) -> None:
    """Sort each heap in place, the best first; values, ids: (R, k)."""
    for r in prange(values.shape[0]):
        for last in range(values.shape[1] - 1, 0, -1):
            value, item = values[r, last], ids[r, last]
            values[r, last], ids[r, last] = values[r, 0], ids[r, 0]
            _replace_root(values[r, :last], ids[r, :last], value, item)


@njit(cache=True)
def _mask(row: Floats, first: int, seen: IntArray) -> None:
    """Set scores of the items in `seen` to -inf; `row` begins with item `first`."""
    for at in range(np.searchsorted(seen, first), seen.size):
        if seen[at] >= first + row.size:
            break
        row[seen[at] - first] = -np.inf


@njit(cache=True)
def _any_above(run: Floats, bound: float) -> bool:
    """Say whether any of RUN scores exceeds the bound; a 32-bit count allows vectorisation."""
    above = np.int32(0)
    for at in range(RUN):
        above += np.int32(run[at] > bound)
    return bool(above > 0)


@njit(cache=True)
def _take(run: Floats, first: int, values: Floats, ids: IntArray) -> None:
    """Push the scores of a run, which begins with item `first`, into a heap (k,).

    A score equal to the worst kept score has the higher item, so it is not kept.
    """
    for at in range(run.size):
        if run[at] > values[0]:
            _replace_root(values, ids, run[at], first + at)


@njit(cache=True)
def _replace_root(values: Floats, ids: IntArray, value: float, item: int) -> None:
    """Replace the worst entry of a heap (n,), n >= 1, with (value, item)."""
    at, child = 0, 1
    while child < values.size:
        if child + 1 < values.size and _worse(
            values[child + 1], ids[child + 1], values[child], ids[child]
        ):
            child += 1
        if not _worse(values[child], ids[child], value, item):
            break
        values[at], ids[at] = values[child], ids[child]
        at, child = child, 2 * child + 1
    values[at], ids[at] = value, item


@njit(cache=True)
def _worse(value: float, item: int, than_value: float, than_item: int) -> bool:
    """Say whether the first of two ranks below the second."""
    return value < than_value or (value == than_value and item > than_item)
