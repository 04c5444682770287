"""The hot path: scores of a batch against sampled items, without a (B, N, dim) tensor.

Imports torch and numba: import it late. The compiled code is cached on disk, beside this file
where that can be written, and shared by every process that finds it there. No result depends on
the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

SUMS = {"reassoc", "contract", "nsz"}
"""What lets a sum be vectorised; infinite and undefined values keep their meaning."""
SMALLEST_NORM = 1e-12
"""A shorter vector has no direction; what torch's `normalize` takes."""
CHUNK_BYTES = 2**28
"""Bound on the vectors that the path of torch operations gathers at once."""
MOST_PAIRS = 2**31 - 1
"""The compiled path counts pairs in 32 bits."""

Floats = NDArray[np.float32]
Index = NDArray[np.uint32]
"""Unsigned: compiled code need not ask whether an index counts from the end."""


def gathered_scores(users: Tensor, items: Tensor, index: Tensor, cosine: bool = False) -> Tensor:
    """Return the score of each user with each of its sampled items.

    scores[b, n] = <users[b], items[index[b, n]]>, or the cosine of the two. Compiled for float32
    on a CPU, in chunks of torch operations elsewhere; neither holds a (B, N, dim) tensor, and the
    backward skips the pairs whose gradient is zero.

    Args:
        users: (B, dim).
        items: (n_items, dim).
        index: (B, N) integers below n_items.
        cosine: whether both vectors are first scaled to length 1.

    Returns:
        (B, N), differentiable by users and by items.

    Raises:
        ValueError: shapes or types that do not fit, or B N of 2^31 or more.
        IndexError: an index out of range; on an accelerator, what torch raises there.

    """
    _check(users, items, index)
    if users.device.type == "cpu" and users.dtype == items.dtype == torch.float32:
        scores: Tensor = _Compiled.apply(users, items, index, cosine)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
        return scores
    if cosine:
        users = torch.nn.functional.normalize(users, dim=1)
        items = torch.nn.functional.normalize(items, dim=1)
    scores = _Chunked.apply(users, items, index)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return scores


def _check(users: Tensor, items: Tensor, index: Tensor) -> None:
    shapes = [tuple(tensor.shape) for tensor in (users, items, index)]
    fits = all(len(shape) == 2 for shape in shapes)
    if not fits or shapes[0][0] != shapes[2][0] or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"users {shapes[0]}, items {shapes[1]} and index {shapes[2]} do not fit: "
            "they must be (B, dim), (n_items, dim) and (B, N)"
        )
    if users.dtype != items.dtype or index.is_floating_point():
        raise ValueError(
            f"users are {users.dtype}, items {items.dtype}, index {index.dtype}: "
            "the first two must be of one type, the index of integers"
        )
    if index.numel() > MOST_PAIRS:
        raise ValueError(f"{index.numel()} pairs in one batch; at most {MOST_PAIRS}")
    if index.device.type == "cpu" and index.numel():
        least, most = (int(bound) for bound in index.aminmax())
        if least < 0 or most >= len(items):
            raise IndexError(f"index holds {least} to {most}; items are 0 to {len(items) - 1}")


class _Compiled(torch.autograd.Function):
    """The compiled path. Directions are taken inside, so that no scaled table is ever written."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, index: Tensor, cosine: bool) -> Tensor:
        tables = [tensor.detach().contiguous().numpy() for tensor in (users, items)]
        places = index.detach().to(torch.int32).contiguous().numpy().view(np.uint32)
        factors = [scales(table, cosine) for table in tables]
        scores = np.empty(places.shape, dtype=np.float32)
        score(tables[0], tables[1], factors[0], factors[1], places, scores)
        ctx.save_for_backward(users, items)  # so that torch refuses a backward after a change
        ctx.held = (*factors, places)
        ctx.cosine = cosine
        return torch.from_numpy(scores)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        users, items = (tensor.detach().contiguous().numpy() for tensor in ctx.saved_tensors)
        user_scales, item_scales, places = ctx.held
        weights = gradients[0].contiguous().numpy()
        user_gradient, item_gradient = np.empty_like(users), np.empty_like(items)
        by_user(users, items, user_scales, item_scales, places, weights, ctx.cosine, user_gradient)
        ends, pairs = by_item_order(places, weights, len(items), get_num_threads())
        by_item(users, items, user_scales, item_scales, ends, pairs, ctx.cosine, item_gradient)
        return torch.from_numpy(user_gradient), torch.from_numpy(item_gradient), None, None


def scales(vectors: Floats, cosine: bool) -> Floats:
    """Return what each vector is multiplied by: (n,)."""
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


# Four pairs at a time: their loads overlap, and a sum is loaded and stored once for four.


@njit(cache=True, parallel=True, fastmath=SUMS)
def score(
    users: Floats,
    items: Floats,
    user_scales: Floats,
    item_scales: Floats,
    index: Index,
    scores: Floats,
) -> None:
    """Fill scores (B, N); the scales are what `scales` returns of either table."""
    n_slots, dim = index.shape[1], users.shape[1]
    for b in prange(len(users)):
        whole = n_slots - n_slots % 4
        for n in range(0, whole, 4):
            i0, i1, i2, i3 = index[b, n], index[b, n + 1], index[b, n + 2], index[b, n + 3]
            s0 = s1 = s2 = s3 = np.float32(0)
            for k in range(dim):
                x = users[b, k]
                s0 += x * items[i0, k]
                s1 += x * items[i1, k]
                s2 += x * items[i2, k]
                s3 += x * items[i3, k]
            scores[b, n] = s0 * (user_scales[b] * item_scales[i0])
            scores[b, n + 1] = s1 * (user_scales[b] * item_scales[i1])
            scores[b, n + 2] = s2 * (user_scales[b] * item_scales[i2])
            scores[b, n + 3] = s3 * (user_scales[b] * item_scales[i3])
        for n in range(whole, n_slots):
            i0 = index[b, n]
            s0 = np.float32(0)
            for k in range(dim):
                s0 += users[b, k] * items[i0, k]
            scores[b, n] = s0 * (user_scales[b] * item_scales[i0])


@njit(cache=True, parallel=True, fastmath=SUMS)
def by_user(
    users: Floats,
    items: Floats,
    user_scales: Floats,
    item_scales: Floats,
    index: Index,
    weights: Floats,
    cosine: bool,
    gradient: Floats,
) -> None:
    """Sum each user's items, weighted: gradient (B, dim)."""
    n_slots, dim = index.shape[1], users.shape[1]
    for b in prange(len(users)):
        chosen = np.zeros(n_slots + 4, dtype=np.uint32)
        factors = np.zeros(n_slots + 4, dtype=np.float32)
        n_chosen = 0
        for n in range(n_slots):  # without a branch: the zeros come at random
            i0 = index[b, n]
            chosen[n_chosen] = i0
            factors[n_chosen] = weights[b, n] * item_scales[i0]
            n_chosen += weights[b, n] != 0
        for n in range(n_chosen, n_chosen + 4):
            chosen[n], factors[n] = chosen[0], 0
        total = np.zeros(dim, dtype=np.float32)
        for n in range(0, n_chosen, 4):
            i0, i1, i2, i3 = chosen[n], chosen[n + 1], chosen[n + 2], chosen[n + 3]
            x0, x1, x2, x3 = factors[n], factors[n + 1], factors[n + 2], factors[n + 3]
            for k in range(dim):
                total[k] += (x0 * items[i0, k] + x1 * items[i1, k]) + (
                    x2 * items[i2, k] + x3 * items[i3, k]
                )
        _through_scale(total, users[b], user_scales[b], cosine, gradient[b])


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
        total = np.zeros(dim, dtype=np.float32)
        first, last = np.int64(ends[i - 1] if i else 0), np.int64(ends[i])
        whole = last - (last - first) % 4
        for p in range(first, whole, 4):
            b0, b1, b2, b3 = rows[2 * p + 1], rows[2 * p + 3], rows[2 * p + 5], rows[2 * p + 7]
            x0 = weights[2 * p] * user_scales[b0]
            x1 = weights[2 * p + 2] * user_scales[b1]
            x2 = weights[2 * p + 4] * user_scales[b2]
            x3 = weights[2 * p + 6] * user_scales[b3]
            for k in range(dim):
                total[k] += (x0 * users[b0, k] + x1 * users[b1, k]) + (
                    x2 * users[b2, k] + x3 * users[b3, k]
                )
        for p in range(whole, last):
            b0 = rows[2 * p + 1]
            x0 = weights[2 * p] * user_scales[b0]
            for k in range(dim):
                total[k] += x0 * users[b0, k]
        _through_scale(total, items[i], item_scales[i], cosine, gradient[i])


@njit(cache=True, fastmath=SUMS, inline="always")
def _through_scale(
    total: Floats, vector: Floats, scale: float, cosine: bool, gradient: Floats
) -> None:
    """Turn the gradient by a direction, `total`, into that by the vector it is of: all (dim,)."""
    along = np.float32(0)
    if cosine and scale < np.float32(1 / SMALLEST_NORM):  # else it was scaled by a constant
        for k in range(total.size):
            along += total[k] * vector[k]
        along *= scale * scale
    for k in range(total.size):
        gradient[k] = scale * (total[k] - along * vector[k])


class _Chunked(torch.autograd.Function):
    """Torch operations over some rows at a time: for an accelerator, and for other dtypes."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(users, items, index)
        scores = users.new_empty(index.shape)
        for rows in _chunks(users, index):
            gathered = items[index[rows]]  # (rows, N, dim)
            scores[rows] = torch.bmm(gathered, users[rows].unsqueeze(2)).squeeze(2)  # (rows, N)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        users, items, index = ctx.saved_tensors
        user_gradient, item_gradient = torch.empty_like(users), torch.zeros_like(items)
        for rows in _chunks(users, index):
            weights = gradients[0][rows].unsqueeze(1)  # (rows, 1, N)
            user_gradient[rows] = torch.bmm(weights, items[index[rows]]).squeeze(1)  # (rows, dim)
            spread = weights.transpose(1, 2) * users[rows].unsqueeze(1)  # (rows, N, dim)
            item_gradient.index_add_(
                0, index[rows].flatten(), spread.flatten(0, 1)
            )  # (rows N, dim)
        return user_gradient, item_gradient, None


def _chunks(users: Tensor, index: Tensor) -> list[slice]:
    """Return runs of rows whose gathered vectors stay within CHUNK_BYTES, a row at least."""
    row_bytes = max(index.shape[1] * users.shape[1] * users.element_size(), 1)
    n = max(CHUNK_BYTES // row_bytes, 1)
    return [slice(first, first + n) for first in range(0, len(users), n)]
