"""Softmax losses: a positive against all its sampled negatives at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_rec import LOSSES, Loss, setting

if TYPE_CHECKING:
    from torch import Tensor


@LOSSES.add("softmax")
@dataclass(frozen=True, kw_only=True)
class Softmax(Loss):
    """Softmax loss (SL): the KL-robust form of the pairwise loss.

    -p/tau + log SUM_j exp(n_j/tau), the mean over rows. The positive is not in the denominator.
    Codes that average over j instead differ by the constant log N and have the same gradient.
    """

    tau: float = setting(0.2, "temperature, on the cosine scale", above=0)
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Wu et al., On the Effectiveness of Sampled Softmax Loss, TOIS 2024"

    def __call__(self, pos: Tensor, neg: Tensor, users: Tensor) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        return ((neg / self.tau).logsumexp(dim=1) - pos / self.tau).mean()
