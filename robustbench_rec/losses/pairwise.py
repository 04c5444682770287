"""Pairwise losses: a positive should score above a sampled negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_rec import LOSSES, Batch, Loss, Rows

if TYPE_CHECKING:
    from torch import Tensor


@LOSSES.add("bpr")
@dataclass(frozen=True, kw_only=True)
class BPR(Loss):
    """Bayesian personalised ranking: log-odds that the positive wins.

    softplus(n_j - p), the mean over rows and negatives.
    """

    source: ClassVar[str] = "Rendle et al., BPR, UAI 2009, section 4.1"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        return softplus(batch.neg - batch.pos.unsqueeze(1)).mean()

    @property
    def rows(self) -> Rows:
        """The compiled form; see `Rows`."""
        from robustbench_rec.losses import _rows

        return Rows(_rows.bpr)
