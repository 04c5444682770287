"""Scores of a batch against sampled items, as torch sees them, differentiable.

Imports torch and numba: import it late.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import get_num_threads
from torch import Tensor
from torch.autograd.function import once_differentiable

from robustbench_rec.kernels.compiled import (
    by_item,
    by_item_order,
    by_user,
    scales,
    score,
)

CHUNK_BYTES = 2**28
"""Bytes of vectors that the path of torch operations gathers at once, at most."""
MOST_PAIRS = 2**31 - 1
"""The compiled path counts pairs in 32 bits."""


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
    return trusted_scores(users, items, index, cosine)


def trusted_scores(users: Tensor, items: Tensor, index: Tensor, cosine: bool) -> Tensor:
    """Return the same for shapes, types and an index known to fit."""
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


def apart(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first column of (B, 1 + N), and the others: (B,) and (B, N), contiguous."""
    pos, neg = _Apart.apply(scores)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return pos, neg


class _Apart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
        return scores[:, 0].contiguous(), scores[:, 1:].contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.cat([gradients[0].unsqueeze(1), gradients[1]], dim=1)  # (B, 1 + N)


class _Compiled(torch.autograd.Function):
    """The compiled path. Directions are computed inside, so no scaled table is written."""

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
        scaled, n_parts = (users, items, user_scales, item_scales), get_num_threads()
        by_user(*scaled, places, weights, ctx.cosine, n_parts, user_gradient)
        ends, pairs = by_item_order(places, weights, len(items), n_parts)
        by_item(*scaled, ends, pairs, ctx.cosine, item_gradient)
        return torch.from_numpy(user_gradient), torch.from_numpy(item_gradient), None, None


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
    """Return runs of rows whose gathered vectors fit into CHUNK_BYTES; at least one row each."""
    row_bytes = max(index.shape[1] * users.shape[1] * users.element_size(), 1)
    n = max(CHUNK_BYTES // row_bytes, 1)
    return [slice(first, first + n) for first in range(0, len(users), n)]
