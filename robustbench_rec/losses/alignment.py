"""Losses of embeddings themselves, without sampled negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_rec import LOSSES, Batch, Loss, setting

if TYPE_CHECKING:
    from torch import Tensor


@LOSSES.add("directau")
@dataclass(frozen=True, kw_only=True)
class DirectAU(Loss):
    """Alignment and uniformity: positives near their users, all embeddings spread on the sphere.

    MEAN |u - i|^2 + gamma (U(users) + U(items)) / 2 with U(x) = log MEAN exp(-2 |x - y|^2) over the
    pairs of rows of the batch; u and i are directions. It draws no negatives, so false negatives
    affect it only as users and items that it pushes apart.
    """

    gamma: float = setting(1.0, "weight of uniformity", at_least=0)
    n_negatives: int = setting(0, "none is drawn", at_least=0, at_most=0)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Wang et al., DirectAU, KDD 2022"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import normalize

        users = normalize(batch.user_vectors, dim=1)
        items = normalize(batch.item_vectors, dim=1)
        alignment = ((users - items) ** 2).sum(dim=1).mean()
        return alignment + self.gamma * (_uniformity(users) + _uniformity(items)) / 2


def _uniformity(directions: Tensor) -> Tensor:
    """Return log MEAN exp(-2 |x - y|^2) over the pairs of different rows of (B, dim); 0 of one."""
    n = len(directions)
    if n < 2:
        return directions.new_zeros(())
    squares = 2 - 2 * directions @ directions.T  # (B, B)
    total = (-2 * squares).exp().sum() - n  # less each row with itself
    return (total / (n * (n - 1))).log()
