"""The compiled loops of a training step, on arrays: scores, gradients, and losses row by row.

No (B, N, dim) array is ever made. The compiled code is stored on disk, see `compiling`, and shared
by all processes. Results do not depend on the number of threads. Imports numba: import it late.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, prange, types  # type: ignore[attr-defined]  # numba has carray
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from robustbench_rec.compiling import njit
from robustbench_rec.rows import SUMS, Doubles, Floats, Row

TILE = 64
"""Dimensions of a vector that are summed at a time."""
SMALLEST_NORM = 1e-12
"""A shorter vector has no direction; the default of torch's `normalize`."""

Index = NDArray[np.uint32]
"""Unsigned: compiled code need not check for negative indices."""


def scales(vectors: Floats, cosine: bool) -> Floats:
    """Return the factor of each vector: (n,)."""
    factors = np.ones(len(vectors), dtype=np.float32)
    if cosine:
        _inverse_norms(vectors, factors)
    return factors


@njit(cache=True, parallel=True, fastmath=SUMS)
def _inverse_norms(vectors: Floats, factors: Floats) -> None:
    for i in prange(len(vectors)):
        total = np.float32(0)
        for k in range(vectors.shape[1]):
            total += vectors[i, k] * vectors[i, k]
        factors[i] = 1 / max(np.sqrt(total), np.float32(SMALLEST_NORM))


@njit(cache=True, parallel=True, fastmath=SUMS)
def score(
    users: Floats,
    items: Floats,
    user_scales: Floats,
    item_scales: Floats,
    index: Index,
    scores: Floats,
) -> None:
    """Fill scores (B, N); the scales are those of `scales` for each table."""
    for b in prange(len(users)):
        _score_row(users[b], items, user_scales[b], item_scales, index[b], scores[b])


@njit(cache=True, fastmath=SUMS, inline="always")
def _score_row(
    user: Floats, items: Floats, scale: float, item_scales: Floats, index: Index, scores: Floats
) -> None:
    """Fill scores (N,), four at a time, so that their loads overlap."""
    n_slots, dim = index.size, user.size
    whole = n_slots - n_slots % 4
    for n in range(0, whole, 4):
        i0, i1, i2, i3 = index[n], index[n + 1], index[n + 2], index[n + 3]
        s0 = s1 = s2 = s3 = np.float32(0)
        for k in range(dim):
            x = user[k]
            s0 += x * items[i0, k]
            s1 += x * items[i1, k]
            s2 += x * items[i2, k]
            s3 += x * items[i3, k]
        scores[n] = s0 * (scale * item_scales[i0])
        scores[n + 1] = s1 * (scale * item_scales[i1])
        scores[n + 2] = s2 * (scale * item_scales[i2])
        scores[n + 3] = s3 * (scale * item_scales[i3])
    for n in range(whole, n_slots):
        i0 = index[n]
        s0 = np.float32(0)
        for k in range(dim):
            s0 += user[k] * items[i0, k]
        scores[n] = s0 * (scale * item_scales[i0])


@intrinsic
def _place(typing_context: Any) -> Any:
    """Return a pointer to TILE float32 on the stack of the function that inlines it."""

    def allocate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = cgutils.alloca_once(builder, ir.ArrayType(ir.FloatType(), TILE))  # type: ignore[no-untyped-call]
        return builder.bitcast(place, ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(), allocate  # type: ignore[no-untyped-call]


@njit(inline="always")
def tile_of_sums() -> Any:
    """Return TILE float32 on the caller's stack, not yet set.

    The compiler knows that they do not alias other memory. For memory passed in, each pass over a
    few vectors would begin by comparing all addresses.
    """
    return carray(_place(), TILE)  # type: ignore[call-arg]  # numba hands over the context


@njit(cache=True, parallel=True, fastmath=SUMS)
def by_user(
    users: Floats,
    items: Floats,
    user_scales: Floats,
    item_scales: Floats,
    index: Index,
    weights: Floats,
    cosine: bool,
    n_parts: int,
    gradient: Floats,
) -> None:
    """Sum each user's items, weighted: gradient (B, dim); `n_parts` runs of rows at once."""
    for part in prange(n_parts):
        chosen, factors = _room(index.shape[1])
        for b in range(part * len(users) // n_parts, (part + 1) * len(users) // n_parts):
            _user_row(
                users[b],
                items,
                user_scales[b],
                item_scales,
                index[b],
                weights[b],
                cosine,
                chosen,
                factors,
                gradient[b],
            )


@njit(cache=True, inline="always")
def _room(n_slots: int) -> tuple[Index, Floats]:
    """Return a buffer for the pairs of a row in `_user_row`."""
    return np.empty(n_slots, dtype=np.uint32), np.empty(n_slots, dtype=np.float32)


@njit(cache=True, fastmath=SUMS, inline="always")
def _user_row(
    user: Floats,
    items: Floats,
    scale: float,
    item_scales: Floats,
    index: Index,
    weights: Floats,
    cosine: bool,
    chosen: Index,
    factors: Floats,
    gradient: Floats,
) -> None:
    """Fill gradient (dim,): eight pairs of non-zero weight at a time, summed in their order."""
    n_slots, dim = index.size, user.size
    n_chosen = 0
    for n in range(n_slots):
        n_chosen += weights[n] != 0
    if n_chosen == n_slots:
        for n in range(n_slots):
            chosen[n] = index[n]
            factors[n] = weights[n] * item_scales[index[n]]
    else:
        n_chosen = 0
        for n in range(n_slots):  # without a branch: the zeros come at random
            i0 = index[n]
            chosen[n_chosen] = i0
            factors[n_chosen] = weights[n] * item_scales[i0]
            n_chosen += weights[n] != 0
    eights = n_chosen - n_chosen % 8
    for tile in range((dim + TILE - 1) // TILE):
        first, width = np.uint64(tile * TILE), min(dim - tile * TILE, TILE)
        total = tile_of_sums()
        for k in range(width):
            total[k] = 0
        for n in range(0, eights, 8):
            i0, i1, i2, i3 = chosen[n], chosen[n + 1], chosen[n + 2], chosen[n + 3]
            i4, i5, i6, i7 = chosen[n + 4], chosen[n + 5], chosen[n + 6], chosen[n + 7]
            x0, x1, x2, x3 = factors[n], factors[n + 1], factors[n + 2], factors[n + 3]
            x4, x5, x6, x7 = factors[n + 4], factors[n + 5], factors[n + 6], factors[n + 7]
            for k in range(width):
                c = first + np.uint64(k)
                four = ((total[k] + x0 * items[i0, c]) + x1 * items[i1, c]) + x2 * items[i2, c]
                five = ((four + x3 * items[i3, c]) + x4 * items[i4, c]) + x5 * items[i5, c]
                total[k] = (five + x6 * items[i6, c]) + x7 * items[i7, c]
        for n in range(eights, n_chosen):
            i0, x0 = chosen[n], factors[n]
            for k in range(width):
                total[k] += x0 * items[i0, first + np.uint64(k)]
        for k in range(width):
            gradient[first + np.uint64(k)] = total[k]
    _through_scale(gradient, user, scale, cosine, gradient)


@njit(cache=True)
def by_table(who: NDArray[np.int64], rows: Floats, gradient: Floats) -> None:
    """Sum rows (B, dim) by their users: gradient (n_users, dim), every row of it written."""
    gradient[:] = 0
    for b in range(len(who)):
        for k in range(rows.shape[1]):
            gradient[who[b], k] += rows[b, k]


@njit(cache=True, parallel=True)
def by_item_order(
    index: Index, weights: Floats, n_items: int, n_parts: int
) -> tuple[Index, NDArray[np.uint64]]:
    """Sort the pairs of non-zero weight by item, those of one item by row.

    A counting sort over `n_parts` runs of rows at once, whose result does not depend on how many.

    Returns:
        `ends` (n_items,), where the pairs of each item end, and the pairs, each the row in the
        high 32 bits and the bits of its weight in the low.

    """
    n_rows, n_slots = index.shape
    places = np.zeros((n_parts, n_items), dtype=np.uint32)
    for part in prange(n_parts):
        for b in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            for n in range(n_slots):
                places[part, index[b, n]] += weights[b, n] != 0
    total = 0
    for i in range(n_items):
        for part in range(n_parts):
            count = places[part, i]
            places[part, i] = total
            total += count
    pairs = np.empty(total, dtype=np.uint64)
    bits = weights.view(np.uint32)
    for part in prange(n_parts):
        for b in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            row = np.uint64(b) << np.uint64(32)
            for n in range(n_slots):
                if weights[b, n] != 0:
                    place = places[part, index[b, n]]
                    pairs[place] = row | np.uint64(bits[b, n])
                    places[part, index[b, n]] = place + 1
    return places[n_parts - 1], pairs


@njit(cache=True, parallel=True, fastmath=SUMS)
def by_item(
    users: Floats,
    items: Floats,
    user_scales: Floats,
    item_scales: Floats,
    ends: Index,
    pairs: NDArray[np.uint64],
    cosine: bool,
    gradient: Floats,
) -> None:
    """Sum each item's users, weighted: gradient (n_items, dim), every row of it written."""
    dim = users.shape[1]
    weights, rows = pairs.view(np.float32), pairs.view(np.uint32)  # low word first
    for i in prange(len(items)):
        start, end = np.int64(ends[i - 1] if i else 0), np.int64(ends[i])
        fours = end - (end - start) % 4
        for tile in range((dim + TILE - 1) // TILE):
            first, width = np.uint64(tile * TILE), min(dim - tile * TILE, TILE)
            total = tile_of_sums()
            for k in range(width):
                total[k] = 0
            for p in range(start, fours, 4):
                b0, b1, b2, b3 = rows[2 * p + 1], rows[2 * p + 3], rows[2 * p + 5], rows[2 * p + 7]
                x0 = weights[2 * p] * user_scales[b0]
                x1 = weights[2 * p + 2] * user_scales[b1]
                x2 = weights[2 * p + 4] * user_scales[b2]
                x3 = weights[2 * p + 6] * user_scales[b3]
                for k in range(width):
                    c = first + np.uint64(k)
                    two = (total[k] + x0 * users[b0, c]) + x1 * users[b1, c]
                    total[k] = (two + x2 * users[b2, c]) + x3 * users[b3, c]
            for p in range(fours, end):
                b0 = rows[2 * p + 1]
                x0 = weights[2 * p] * user_scales[b0]
                for k in range(width):
                    total[k] += x0 * users[b0, first + np.uint64(k)]
            for k in range(width):
                gradient[i, first + np.uint64(k)] = total[k]
        _through_scale(gradient[i], items[i], item_scales[i], cosine, gradient[i])


@njit(cache=True, fastmath=SUMS, inline="always")
def _through_scale(
    total: Floats, vector: Floats, scale: float, cosine: bool, gradient: Floats
) -> None:
    """Turn the gradient of a direction, `total`, into the gradient of its vector: all (dim,)."""
    along = np.float32(0)
    if cosine and scale < np.float32(1 / SMALLEST_NORM):  # else it was scaled by a constant
        for k in range(total.size):
            along += total[k] * vector[k]
        along *= scale * scale
    for k in range(total.size):
        gradient[k] = scale * (total[k] - along * vector[k])


@njit(cache=True, parallel=True, fastmath=SUMS)
def row_losses(
    function: Row,
    settings: Doubles,
    own: Floats,
    scores: Floats,
    slopes: Floats,
    values: Floats,
    own_slopes: Floats,
) -> None:
    """Fill the loss of each row, values (B,), and the slopes of their mean.

    Slopes by scores are (B, N), slopes by own (B,).
    """
    share = np.float32(1 / len(scores))
    for b in prange(len(scores)):
        value, slope = function(scores[b], slopes[b], settings, own[b])
        values[b], own_slopes[b] = value, slope * share
        for n in range(slopes.shape[1]):
            slopes[b, n] *= share


@njit(cache=True, parallel=True, fastmath=SUMS)
def row_steps(
    function: Row,
    settings: Doubles,
    own: Floats,
    users: Floats,
    items: Floats,
    user_scales: Floats,
    item_scales: Floats,
    index: Index,
    cosine: bool,
    n_parts: int,
    slopes: Floats,
    values: Floats,
    totals: Floats,
    own_slopes: Floats,
    gradient: Floats,
) -> None:
    """Score a row, compute its loss, and sum its items, before the next row, to stay in cache."""
    n_rows, share = len(users), np.float32(1 / len(users))
    for part in prange(n_parts):
        scores = np.empty(index.shape[1], dtype=np.float32)
        chosen, factors = _room(index.shape[1])
        for b in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
            _score_row(users[b], items, user_scales[b], item_scales, index[b], scores)
            value, slope = function(scores, slopes[b], settings, own[b])
            values[b], own_slopes[b] = value, slope * share
            total = np.float32(0)
            for n in range(scores.size):
                total += scores[n]
                slopes[b, n] *= share
            totals[b] = total
            _user_row(
                users[b],
                items,
                user_scales[b],
                item_scales,
                index[b],
                slopes[b],
                cosine,
                chosen,
                factors,
                gradient[b],
            )
