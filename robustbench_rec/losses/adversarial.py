"""Losses that learn the weights of negatives by ascent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_rec import LOSSES, Batch, Loss, Move, setting

if TYPE_CHECKING:
    from torch import Tensor


@LOSSES.add("advinfonce")
@dataclass(frozen=True, kw_only=True)
class AdvInfoNCE(Loss):
    """Adversarial InfoNCE: softmax over negatives that an adversary weighs.

    -log[ e^(p/tau) / (e^(p/tau) + K N SUM_j delta_j e^(n_j/tau)) ], the mean over rows, with
    delta = softmax_j of the adversary's score of user and negative: the product, or the cosine, of
    embeddings of its own. After every fifth epoch, for `passes` times, a pass over the training
    pairs moves the adversary alone, by Adam, up the loss. Published codes take K = 64 or 1, an
    adversary's rate of 5e-5 or 1e-3, and either score; some never stop the adversary (large
    `passes`). That of PSL's authors starts the adversary from N(0, 1), takes the cosine, and lets
    every fifth epoch move the adversary in place of the model.
    """

    tau: float = setting(0.2, "temperature, on the cosine scale", above=0)
    weight: float = setting(64.0, "K: weight of the negatives", above=0)
    adversary: Literal["dot", "cosine"] = setting("dot", "similarity of the adversary's embeddings")
    adversary_dim: int = setting(64, "size of the adversary's embeddings", at_least=1)
    adversary_lr: float = setting(5e-5, "Adam's rate for the adversary", at_least=0)
    every: int = setting(5, "epochs from one pass of the adversary to the next", at_least=1)
    passes: int = setting(7, "how many passes the adversary has at most", at_least=0)
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=2)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Zhang et al., AdvInfoNCE, NeurIPS 2023"

    def bind(self, n_users: int, n_items: int) -> WeighedInfoNCE:
        """Return the loss with an adversary's embedding of each user and item."""
        return WeighedInfoNCE(self, n_users, n_items)


class WeighedInfoNCE:
    """AdvInfoNCE bound to a data set.

    Attributes:
        users: (n_users, adversary_dim), items: (n_items, adversary_dim), Xavier normal.
        moves: how they move.

    """

    def __init__(self, loss: AdvInfoNCE, n_users: int, n_items: int) -> None:

        self.loss = loss
        self.users, self.items = (_xavier_normal(n, loss.adversary_dim) for n in (n_users, n_items))
        self.moves: Sequence[Move] = (
            Move(
                [self.users, self.items],
                loss.adversary_lr,
                when="apart",
                optimizer="adam",
                ascend=True,
                every=loss.every,
                passes=loss.passes,
            ),
        )

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import normalize, softplus

        users, items = self.users, self.items
        if self.loss.adversary == "cosine":
            users, items = normalize(users, dim=1), normalize(items, dim=1)
        hardness = batch.negative_scores(users, items).to(batch.neg.dtype)  # (B, N)
        factor = math.log(self.loss.weight * batch.neg.shape[1])
        weighed = batch.neg / self.loss.tau + hardness.log_softmax(dim=1)
        return softplus(weighed.logsumexp(dim=1) + factor - batch.pos / self.loss.tau).mean()


def _xavier_normal(n: int, dim: int) -> Tensor:
    """Return an (n, dim) leaf on the default device, of the same values on every device."""
    import torch

    values = torch.randn(n, dim, device="cpu") * math.sqrt(2 / (n + dim))
    return values.to(torch.get_default_device()).requires_grad_()
