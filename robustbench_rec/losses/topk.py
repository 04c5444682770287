"""Losses for the top of the list: a metric at K, or the corner of the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from robustbench_rec import LOSSES, Batch, Bound, Estimate, Loss, Move, Rows, View, setting

if TYPE_CHECKING:
    from torch import Tensor


@LOSSES.add("sl_at_k")
@dataclass(frozen=True, kw_only=True)
class SLAtK(Loss):
    """Softmax loss at K: rows are weighted by whether the positive is in the user's top K.

    sigmoid((p - beta_u)/tau_w) log SUM_j exp((n_j - p)/tau_d), the mean over rows. beta_u is the
    K-th largest score among the user's training positives and one draw of N negatives, estimated
    again every `every` epochs, first before any training. The weight is part of the gradient. The
    authors' code leaves beta at 0 until epoch T, and then estimates it batch by batch.
    """

    k: int = setting(20, "K: length of the list", at_least=1)
    tau_d: float = setting(0.2, "temperature of the softmax, on the cosine scale", above=0)
    tau_w: float = setting(2.25, "temperature of the weight", above=0)
    every: int = setting(20, "T: epochs from one estimate of beta to the next", at_least=1)
    n_negatives: int = setting(1000, "sampled negatives N for each positive; at least K")
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Yang et al., SL@K, KDD 2025"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_negatives < self.k:
            raise ValueError(
                f"SLAtK.n_negatives is {self.n_negatives}; it must be >= k, which is {self.k}, "
                "so that a K-th largest score is among them"
            )

    def bind(self, n_users: int, n_items: int) -> QuantileSL:
        """Return the loss with one quantile for each of `n_users`."""
        return QuantileSL(self, n_users)


class QuantileSL:
    """SL@K bound to a data set.

    Attributes:
        quantiles: (n_users,) float32, beta_u.
        estimates: how they are estimated.
        rows: the compiled form.

    """

    def __init__(self, loss: SLAtK, n_users: int) -> None:
        import torch

        from robustbench_rec.losses import _rows

        self.loss = loss
        self.quantiles = torch.zeros(n_users)
        self.rows = Rows(_rows.sl_at_k, (loss.tau_d, loss.tau_w), self.quantiles)
        self.estimates: Sequence[Estimate] = (
            Estimate(self.estimate, loss.every, [self.quantiles]),
        )

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        quantiles = self.quantiles[batch.users].to(batch.pos.dtype)  # (B,)
        weights = ((batch.pos - quantiles) / self.loss.tau_w).sigmoid()
        apart = (batch.neg - batch.pos.unsqueeze(1)) / self.loss.tau_d
        return (weights * apart.logsumexp(dim=1)).mean()

    def estimate(self, view: View) -> None:
        """Set each user's quantile from positives and the negatives of the user's first row."""
        import torch

        train, k = view.train, self.loss.k
        scores, owners = [view.scores(train.users, train.items)], [train.users]
        for batch in view.batches(train.starts[:-1][train.user_counts > 0]):
            scores.append(batch.neg.topk(k, dim=1).values.flatten())
            owners.append(np.repeat(batch.users.cpu().numpy(), k))
        values = torch.cat(scores).cpu().numpy()
        users = np.concatenate(owners)
        order = np.lexsort((-values, users))  # by user, largest first
        held, first = np.unique(users[order], return_index=True)
        self.quantiles[torch.from_numpy(held)] = torch.from_numpy(values[order[first + k - 1]]).to(
            self.quantiles.device
        )


@LOSSES.add("llpauc")
@dataclass(frozen=True, kw_only=True)
class LLPAUC(Loss):
    """Lower-left partial AUC: rates of true positives up to alpha, of false ones up to beta.

    With s = sigmoid(score) and softplus_5(x) = log(1 + exp(5 x)) / 5:
    -s+ - MEAN softplus_5(-(s_p - a)^2 + 2 (1 + g) s_p - s+) / alpha
    + s- + MEAN softplus_5((s_n - b)^2 + 2 (1 + g) s_n - s-) / beta
    - g^2 - t_b (b - 1 - g) + t_a (a + g), the means over positives and over negatives. The seven
    scalars move with the model, by Adam, s+, s- and g at twice the rate of the others. By "ascent"
    g and s+ climb while the rest descends, as the saddle point asks, a and b within [0, 1], g
    within [-1, 1], t_a and t_b from 0. By "descent", of the benchmark of PSL's authors, g and s+
    descend too, t_a and t_b have no bound, g has -a and b - 1 below it; and the scalars come to
    rest, mostly at a = 1, b = 0, g = 1, s+ = -1. Published codes score by cosine or product.
    """

    alpha: float = setting(0.7, "largest rate of true positives", above=0, at_most=1)
    beta: float = setting(0.01, "largest rate of false positives", above=0, at_most=1)
    saddle: Literal["ascent", "descent"] = setting("ascent", "how g and s+ move")
    pace: float = setting(1.0, "rate of the scalars, as a multiple of the model's", above=0)
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Shi et al., LLPAUC, WWW 2024"

    def bind(self, n_users: int, n_items: int) -> SaddleLLPAUC:
        """Return the loss with its saddle point's coordinates."""
        return SaddleLLPAUC(self)


class SaddleLLPAUC:
    """LLPAUC bound to a data set.

    Attributes:
        a, b, g, s_pos, s_neg, t_a, t_b: () float32, the learned scalars.
        moves: how they move.

    """

    def __init__(self, loss: LLPAUC) -> None:
        import torch

        self.loss = loss
        start = (1.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5)
        learned = [torch.tensor(value, requires_grad=True) for value in start]
        self.a, self.b, self.g, self.s_pos, self.s_neg, self.t_a, self.t_b = learned
        up = loss.saddle == "ascent"
        self.moves: Sequence[Move] = (
            _along([self.a, self.b], loss.pace, low=0.0, high=1.0),
            _along([self.t_a, self.t_b], loss.pace, low=0.0 if up else -math.inf),
            _along([self.s_neg], 2 * loss.pace, low=0.0, high=5.0),
            _along([self.s_pos], 2 * loss.pace, low=-1.0, high=4.0, ascend=up),
            _along([self.g], 2 * loss.pace, low=-1.0 if up else self._low, high=1.0, ascend=up),
        )

    def _low(self) -> Tensor:
        """Return the smallest g that satisfies both constraints."""
        import torch

        return torch.maximum(-self.a, self.b - 1)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        loss, slope = self.loss, 2 * (1 + self.g)
        pos, neg = batch.pos.sigmoid(), batch.neg.sigmoid()
        over = softplus(-((pos - self.a) ** 2) + slope * pos - self.s_pos, beta=5)  # (B,)
        under = softplus((neg - self.b) ** 2 + slope * neg - self.s_neg, beta=5)  # (B, N)
        bounds = self.t_a * (self.a + self.g) - self.t_b * (self.b - 1 - self.g) - self.g**2
        positives = self.s_pos + over.mean() / loss.alpha
        negatives = self.s_neg + under.mean() / loss.beta
        return negatives - positives + bounds


def _along(
    parameters: list[Tensor],
    pace: float,
    low: Bound = -math.inf,
    high: float = math.inf,
    ascend: bool = False,
) -> Move:
    """Move with the model by Adam, at a multiple of its rate, within bounds."""
    return Move(
        parameters,
        pace,
        when="with",
        optimizer="adam",
        of_model=True,
        ascend=ascend,
        low=low,
        high=high,
    )
