"""SimpleX's module: users and the means of their histories. Imports torch: import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from robustbench_rec import Interactions
from robustbench_rec.backbones._graph import halves
from robustbench_rec.backbones._tables import Tables


class HistoryMean(nn.Module):
    """The row-normalised matrix of training pairs, and its transpose for the derivative."""

    def __init__(self, train: Interactions) -> None:
        super().__init__()
        weights = (1 / train.user_counts[train.users]).astype(np.float32)
        self.to_users, self.to_items = halves(train, weights)

    def forward(self, items: Tensor) -> Tensor:
        """Return the mean of each user's rows of (n_items, dim): (n_users, dim).

        Users without training pairs have zeros.
        """
        mean: Tensor = _HistoryMean.apply(self, items)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
        return mean


class _HistoryMean(Function):
    @staticmethod
    def forward(ctx: Any, history: HistoryMean, items: Tensor) -> Tensor:
        ctx.history = history
        mean: Tensor = history.to_users(items, None, 1.0)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.history.to_items(gradient, None, 1.0)


class Aggregation(nn.Module):
    """Users as a mix of their own embedding and a learned map of their history's mean.

    Args:
        tables: the embeddings.
        history: the mean over each user's training items.
        initial: (dim, dim), the map at the start.
        gate: share of the user's own embedding.

    """

    def __init__(self, tables: Tables, history: HistoryMean, initial: Tensor, gate: float) -> None:
        super().__init__()
        self.tables, self.history, self.gate = tables, history, gate
        self.map = nn.Parameter(initial)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the mixed users, and the unchanged items."""
        users, items = self.tables()
        mapped = self.history(items) @ self.map.T  # (n_users, dim)
        return self.gate * users + (1 - self.gate) * mapped, items
