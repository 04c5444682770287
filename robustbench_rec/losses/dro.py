"""Losses that truncate the negatives: CCL, and DrRL, which generalises CCL and SL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_rec import LOSSES, Batch, Loss, Move, Rows, setting

if TYPE_CHECKING:
    from torch import Tensor


@LOSSES.add("ccl")
@dataclass(frozen=True, kw_only=True)
class CCL(Loss):
    """Cosine contrastive loss: negatives under a margin cost nothing.

    relu(1 - p) + w MEAN_j relu(n_j - m), the mean over rows. Codes that sum over the negatives run
    N times the weight that they print.
    """

    margin: float = setting(0.4, "m: negatives scoring under it get no gradient")
    weight: float = setting(1.0, "w: weight of the negatives", above=0)
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Mao et al., SimpleX, CIKM 2021, equation 1"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        negatives = (batch.neg - self.margin).relu().mean(dim=1)  # (B,)
        return ((1 - batch.pos).relu() + self.weight * negatives).mean()

    @property
    def rows(self) -> Rows:
        """The compiled form; see `Rows`."""
        from robustbench_rec.losses import _rows

        return Rows(_rows.ccl, (self.margin, self.weight))


@LOSSES.add("drrl")
@dataclass(frozen=True, kw_only=True)
class DrRL(Loss):
    """Distributionally robust recommendation loss over a Renyi ball, one learned margin a user.

    relu(1 - p) + N^(-1/a*) || eps + c relu(n_j - m_u) ||_{a*} + m_u with a* = a / (a - 1), the
    mean over rows; a is the Renyi order. Before each step of the model the margins take one plain
    gradient step of their own on the sum over rows, with the scores held fixed; the model's step
    then holds the margins fixed.

    At eps = 0 and its best margin this is relu(1 - p) and the worst case of the negatives' mean
    score over the ball of Renyi divergence at most rho from the uniform distribution, where
    c = exp(rho (a - 1) / a). So c = 1, as in the published code, is a ball of radius 0, for which
    margins have no minimum and only fall; the truncation then depends on their start and rate.
    """

    order: float = setting(150.0, "a: Renyi order of the ball", above=1)
    eps: float = setting(
        0.1, "added under the norm: evens the weights of negatives above m_u", above=0
    )
    scale: float = setting(1.0, "c: scale of a negative's excess over the margin", above=0)
    margin: float = setting(0.7, "initial margin m_u of every user")
    margin_lr: float = setting(1e-3, "step of the margins", at_least=0)
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "DrRL, arXiv 2506.15120"

    def bind(self, n_users: int, n_items: int) -> MarginDrRL:
        """Return the loss with one margin for each of `n_users`."""
        return MarginDrRL(self, n_users)


class MarginDrRL:
    """DrRL bound to a data set.

    Attributes:
        margins: (n_users,) float32, the learned m_u.
        moves: how they move.
        rows: the compiled form.

    """

    def __init__(self, loss: DrRL, n_users: int) -> None:
        import torch

        from robustbench_rec.losses import _rows

        self.loss, self.dual = loss, loss.order / (loss.order - 1)
        self.margins = torch.full((n_users,), loss.margin, requires_grad=True)
        self.moves: Sequence[Move] = (Move([self.margins], loss.margin_lr, rows="sum"),)
        self.rows = Rows(_rows.drrl, (self.dual, loss.eps, loss.scale), self.margins)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        margins = self.margins[batch.users].to(batch.pos.dtype)  # (B,)
        excess = self.loss.eps + self.loss.scale * (batch.neg - margins.unsqueeze(1)).relu()
        # The power mean by logarithms: orders near 1 have huge duals.
        powers = (self.dual * excess.log()).logsumexp(dim=1) - math.log(excess.shape[1])
        norm = (powers / self.dual).exp()  # (B,)
        return ((1 - batch.pos).relu() + norm + margins).mean()
