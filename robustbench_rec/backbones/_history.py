"""The mean over each user's training items. Imports torch and numba: import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from robustbench_rec import Interactions
from robustbench_rec.backbones._graph import halves


class HistoryMean(nn.Module):
    """The row-normalised matrix of training pairs, and its transpose for the derivative."""

    def __init__(self, train: Interactions) -> None:
        super().__init__()
        weights = (1 / train.user_counts[train.users]).astype(np.float32)
        self.to_users, self.to_items = halves(train, weights)

    def forward(self, items: Tensor) -> Tensor:
        """Return the mean of each user's rows of (n_items, dim): (n_users, dim).

        Who has no training pair gets a row of zeros.
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
