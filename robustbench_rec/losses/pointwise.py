"""Pointwise losses: each score against its own label, 1 for positives and 0 for negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import LOSSES, Loss

if TYPE_CHECKING:
    from torch import Tensor


def _mean(pos: Tensor, neg: Tensor) -> Tensor:
    """Average the terms of the (B,) positives and (B, N) negatives, one by one."""
    return (pos.sum() + neg.sum()) / (pos.numel() + neg.numel())


@LOSSES.add("bce")
@dataclass(frozen=True, kw_only=True)
class BCE(Loss):
    """Binary cross-entropy with logits.

    -log sigmoid(p) and -log(1 - sigmoid(n_j)), the mean over all B + B N scores.
    """

    source: ClassVar[str] = "He et al., Neural Collaborative Filtering, WWW 2017, equation 7"

    def __call__(self, pos: Tensor, neg: Tensor, users: Tensor) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        return _mean(softplus(-pos), softplus(neg))


@LOSSES.add("mse")
@dataclass(frozen=True, kw_only=True)
class MSE(Loss):
    """Squared error of the predicted probability.

    (sigmoid(s) - label)^2, the mean over all B + B N scores.
    """

    source: ClassVar[str] = "pointwise least squares on sigmoid scores; He et al., WWW 2017, eq. 5"

    def __call__(self, pos: Tensor, neg: Tensor, users: Tensor) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        return _mean((1 - pos.sigmoid()) ** 2, neg.sigmoid() ** 2)
