"""Cross-entropies that distrust positives with a large loss: they may be noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_rec import LOSSES, Batch, Loss, setting

if TYPE_CHECKING:
    from torch import Tensor


@LOSSES.add("t_ce")
@dataclass(frozen=True, kw_only=True)
class TruncatedCE(Loss):
    """Truncated cross-entropy: positives with the largest loss are dropped.

    Binary cross-entropy over the remaining scores. The dropped share grows linearly from 0 to
    `drop` over `warm_up` steps. In the paper it is a share of the positives; in the authors' code
    of all scores of the batch, including negatives, so that with one negative each the same number
    drops twice as many positives: `share_of` selects one. The number of positives is rounded down,
    by the authors up.
    """

    drop: float = setting(0.1, "largest share left out", at_least=0, below=1)
    warm_up: int = setting(30_000, "steps until the share is largest", at_least=1)
    share_of: Literal["positives", "batch"] = setting("positives", "what the share is counted of")

    source: ClassVar[str] = "Wang et al., Denoising Implicit Feedback for Recommendation, WSDM 2021"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        pos, neg = softplus(-batch.pos), softplus(batch.neg)
        share = self.drop * min(batch.step / self.warm_up, 1.0)
        counted = pos.numel() + (neg.numel() if self.share_of == "batch" else 0)
        n_kept = max(pos.numel() - int(share * counted), 0)
        kept = pos[pos.detach().argsort()[:n_kept]]
        return (kept.sum() + neg.sum()) / (n_kept + neg.numel())


@LOSSES.add("r_ce")
@dataclass(frozen=True, kw_only=True)
class ReweightedCE(Loss):
    """Reweighted cross-entropy: scores with a larger loss have less weight.

    -sigmoid(p)^power log sigmoid(p) and -(1 - sigmoid(n_j))^power log(1 - sigmoid(n_j)), the mean
    over all B + B N scores; the weights are not differentiated.
    """

    power: float = setting(0.2, "beta: how steeply the weight falls with the loss", at_least=0)

    source: ClassVar[str] = "Wang et al., Denoising Implicit Feedback for Recommendation, WSDM 2021"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        terms = softplus(-batch.pos), softplus(batch.neg)
        weighed = [(-self.power * term.detach()).exp() * term for term in terms]
        return (weighed[0].sum() + weighed[1].sum()) / (batch.pos.numel() + batch.neg.numel())
