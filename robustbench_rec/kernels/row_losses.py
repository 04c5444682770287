"""Losses by row functions, as torch sees them, differentiable.

Both ways to compute a loss give the same numbers up to rounding: from given scores, for a loss that
needs them twice, or from embeddings, with scores, slopes and the users' gradient of a row computed
before the next row. Imports torch and numba: import it late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import get_num_threads
from torch import Tensor
from torch.autograd.function import once_differentiable

from robustbench_rec.kernels import compiled
from robustbench_rec.kernels.compiled import Index
from robustbench_rec.rows import Doubles, Floats, RowFunction

MARGIN = 256
"""Numbers left free on both sides of slopes; the largest distance that was seen to matter is 31."""


def isolated(*shape: int) -> Floats:
    """Return an array, not yet set, with `MARGIN` free numbers before and behind it.

    Compiled loops are vectorised only where what they write is far enough behind what they read,
    and the two forms of a loop sum in different orders. A neighbour in memory, which differs from
    one training to the next, would then change the last bits.
    """
    size = math.prod(shape)
    return np.empty(size + 2 * MARGIN, dtype=np.float32)[MARGIN : MARGIN + size].reshape(shape)


@dataclass(frozen=True, eq=False)
class RowLoss:
    """A row function with its settings: the mean over rows of its values.

    Attributes:
        function: made by `rows.row_function`.
        settings: (S,) float64.

    """

    function: RowFunction
    settings: Doubles

    def __post_init__(self) -> None:
        self.function.compile()

    def of_scores(self, scores: Tensor, own: Tensor) -> Tensor:
        """Return the loss of scores (B, 1 + N) float32 and own (B,) float32: (), differentiable."""
        value: Tensor = _OfScores.apply(self, scores, own)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
        return value

    def of_embeddings(
        self, users: Tensor, items: Tensor, own: Tensor, who: Tensor, index: Tensor, cosine: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, and the sum of its scores.

        Args:
            users: (n_users, dim) float32, on the CPU, like all arguments.
            items: (n_items, dim) float32.
            own: (B,) float32, a number of each row.
            who: (B,) int64, the user of each row.
            index: (B, 1 + N) int32, its items; neither is checked against the tables.
            cosine: whether embeddings are first scaled to length 1.

        Returns:
            The loss (), differentiable by both tables and own; the sum ().

        """
        found: tuple[Tensor, Tensor]
        found = _OfEmbeddings.apply(self, users, items, own, who, index, cosine)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
        return found


class _OfScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: RowLoss, scores: Tensor, own: Tensor) -> Tensor:
        slopes = isolated(*scores.shape)
        values, own_slopes = np.empty((2, len(scores)), dtype=np.float32)
        arrays = own.detach().numpy(), scores.detach().numpy(), slopes, values, own_slopes
        compiled.row_losses(loss.function, loss.settings, *arrays)
        ctx.slopes = slopes, own_slopes
        return _scalar(values.mean())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_scaled(ctx.slopes, gradients[0])


class _OfEmbeddings(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        loss: RowLoss,
        users: Tensor,
        items: Tensor,
        own: Tensor,
        who: Tensor,
        index: Tensor,
        cosine: bool,
    ) -> tuple[Tensor, Tensor]:
        rows = _Rows(users, items, who, index, cosine)
        values, totals, own_slopes = np.empty((3, len(who)), dtype=np.float32)
        ctx.by_user = np.empty_like(rows.users)
        compiled.row_steps(
            loss.function,
            loss.settings,
            own.detach().numpy(),
            rows.users,
            rows.items,
            rows.user_scales,
            rows.item_scales,
            rows.places,
            cosine,
            get_num_threads(),
            rows.slopes,
            values,
            totals,
            own_slopes,
            ctx.by_user,
        )
        ctx.save_for_backward(users, items)  # so that torch refuses a backward after a change
        ctx.rows, ctx.who, ctx.own_slopes = rows, who, own_slopes
        total = _scalar(totals.sum())
        ctx.mark_non_differentiable(total)
        return _scalar(values.mean()), total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        users, _ = ctx.saved_tensors
        by_table = np.empty(users.shape, dtype=np.float32)
        compiled.by_table(ctx.who.numpy(), ctx.by_user, by_table)
        found = by_table, ctx.rows.by_item(), ctx.own_slopes
        return None, *_scaled(found, gradients[0]), None, None, None


class _Rows:
    """The arrays of a batch: its users, all items, their scales, indices and slopes."""

    def __init__(
        self, users: Tensor, items: Tensor, who: Tensor, index: Tensor, cosine: bool
    ) -> None:
        self.users: Floats = users.detach().numpy()[who.numpy()]
        self.items: Floats = items.detach().contiguous().numpy()
        self.user_scales = compiled.scales(self.users, cosine)
        self.item_scales = compiled.scales(self.items, cosine)
        self.places: Index = index.numpy().view(np.uint32)
        self.slopes = isolated(*self.places.shape)
        self.cosine = cosine

    def by_item(self) -> Floats:
        """Return the gradient by items of the loss with these slopes."""
        gradient = np.empty_like(self.items)
        order = compiled.by_item_order(self.places, self.slopes, len(self.items), get_num_threads())
        scaled = self.users, self.items, self.user_scales, self.item_scales
        compiled.by_item(*scaled, *order, self.cosine, gradient)
        return gradient


def _scalar(value: np.float32) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float32)


def _scaled(slopes: tuple[Floats, ...], factor: Tensor) -> tuple[Tensor, ...]:
    """Return slopes times the gradient of the loss itself, mostly 1."""
    tensors = tuple(torch.from_numpy(part) for part in slopes)
    return tensors if factor == 1 else tuple(part * factor for part in tensors)
