"""Pointwise losses: each score against its own label, 1 for positives and 0 for negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import LOSSES, Batch, Loss, Rows, setting

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

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        return _mean(softplus(-batch.pos), softplus(batch.neg))

    @property
    def rows(self) -> Rows:
        """The compiled form; see `Rows`."""
        from robustbench_rec.losses import _rows

        return Rows(_rows.bce, (1.0,))


@LOSSES.add("mse")
@dataclass(frozen=True, kw_only=True)
class MSE(Loss):
    """Squared error of the predicted probability.

    (sigmoid(s) - label)^2, the mean over all B + B N scores.
    """

    source: ClassVar[str] = "pointwise least squares on sigmoid scores; He et al., WWW 2017, eq. 5"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        return _mean((1 - batch.pos.sigmoid()) ** 2, batch.neg.sigmoid() ** 2)

    @property
    def rows(self) -> Rows:
        """The compiled form; see `Rows`."""
        from robustbench_rec.losses import _rows

        return Rows(_rows.mse)


@LOSSES.add("gbce")
@dataclass(frozen=True, kw_only=True)
class GBCE(Loss):
    """Generalised binary cross-entropy: the positive's probability to the power beta.

    -log sigmoid(p)^beta - SUM_j log(1 - sigmoid(n_j)), over 1 + N, the mean over rows, with
    beta = a (t (1 - 1/a) + 1/a) and the sampling rate a = N / (n_items - 1). At t = 0 it is BCE;
    at t = 1 (beta = a) it undoes the overconfidence that sampling negatives gives the model.
    """

    calibration: float = setting(0.75, "t: from BCE, 0, to calibrated, 1", at_least=0, at_most=1)
    n_negatives: int = setting(256, "sampled negatives N for each positive", at_least=1)

    source: ClassVar[str] = "Petrov and Macdonald, gSASRec, RecSys 2023"

    def bind(self, n_users: int, n_items: int) -> CalibratedBCE:
        """Return the loss with the beta of a catalogue of `n_items`."""
        rate = min(self.n_negatives / max(n_items - 1, 1), 1.0)
        return CalibratedBCE(rate * (self.calibration * (1 - 1 / rate) + 1 / rate))


class CalibratedBCE:
    """gBCE bound to a data set.

    Attributes:
        beta: the power of the positive's probability.
        rows: the compiled form.

    """

    def __init__(self, beta: float) -> None:
        from robustbench_rec.losses import _rows

        self.beta, self.rows = beta, Rows(_rows.bce, (beta,))

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        return _mean(self.beta * softplus(-batch.pos), softplus(batch.neg))
