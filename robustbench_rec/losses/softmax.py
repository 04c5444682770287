"""Softmax losses: a positive against all its sampled negatives at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from robustbench_rec import LOSSES, Batch, Loss, Rows, setting

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-6
"""Least surrogate in a logarithm; with tau = .1 its weight is 1e-60 of the largest."""


@LOSSES.add("softmax")
@dataclass(frozen=True, kw_only=True)
class Softmax(Loss):
    """Softmax loss (SL): the KL-robust form of the pairwise loss.

    -p/tau + log SUM_j exp(n_j/tau), the mean over rows. The positive is not in the denominator
    unless `positive` says "inside", which is another loss: exp(p/tau) then joins the sum. Codes
    that average over j instead differ by the constant log N and have the same gradient.
    """

    tau: float = setting(0.2, "temperature, on the cosine scale", above=0)
    positive: Literal["outside", "inside"] = setting(
        "outside", "whether the positive is in the denominator"
    )
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Wu et al., On the Effectiveness of Sampled Softmax Loss, TOIS 2024"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        from torch.nn.functional import softplus

        apart = (batch.neg / self.tau).logsumexp(dim=1) - batch.pos / self.tau  # (B,)
        return (apart if self.positive == "outside" else softplus(apart)).mean()

    @property
    def rows(self) -> Rows:
        """The compiled form; see `Rows`."""
        from robustbench_rec.losses import _rows

        if self.positive == "inside":
            return Rows(_rows.softmax_inside, (self.tau,))
        return Rows(_rows.softmax, (self.tau, 1.0, self.tau))


@LOSSES.add("bsl")
@dataclass(frozen=True, kw_only=True)
class BSL(Loss):
    """Bilateral softmax loss: the softmax of negatives, and one of positives, at two temperatures.

    Two forms are in use under this name:
    - "benchmark": -p/tau1 + (tau2/tau1) log SUM_j exp(n_j/tau2), the mean over rows. It equals
      (tau2/tau1) softmax(tau2), which Adam cannot tell from softmax(tau2). The settings that PSL
      published belong to it.
    - "authors": -log MEAN_i exp(p_i/tau1) + tau2 log MEAN_j exp(n_j/tau1), where i runs over the
      rows of the batch with the row's user, the mean over rows. Here tau2 is a weight. It
      differs from other losses only if users have several rows.
    """

    tau1: float = setting(0.2, "temperature of positives, on the cosine scale", above=0)
    tau2: float = setting(
        0.2, "temperature of negatives; with variant=authors the weight of their part", above=0
    )
    variant: Literal["benchmark", "authors"] = setting("benchmark", "which of the two forms")
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Wu et al., BSL, ICDE 2024; the benchmark form is that of PSL's authors"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        pos = batch.pos / self.tau1  # (B,)
        if self.variant == "benchmark":
            negatives = (batch.neg / self.tau2).logsumexp(dim=1)  # (B,)
            return (self.tau2 / self.tau1 * negatives - pos).mean()
        shares = (batch.neg / self.tau1).logsumexp(dim=1) - math.log(batch.neg.shape[1])
        return (self.tau2 * shares - _log_mean_exp_by_user(pos, batch.users)).mean()

    @property
    def rows(self) -> Rows | None:
        """The compiled benchmark form; the authors' joins several rows. See `Rows`."""
        from robustbench_rec.losses import _rows

        if self.variant == "authors":
            return None
        return Rows(_rows.softmax, (self.tau2, self.tau2 / self.tau1, self.tau1))


def _log_mean_exp_by_user(values: Tensor, users: Tensor) -> Tensor:
    """Return, for each row, the log of the mean exp over the rows of its user: (B,)."""
    import torch

    _, owner, counts = torch.unique(users, return_inverse=True, return_counts=True)
    top = values.new_zeros(len(counts))
    top = top.scatter_reduce(0, owner, values.detach(), "amax", include_self=False)[owner]
    sums = values.new_zeros(len(counts)).index_add(0, owner, (values - top).exp())
    rows: Tensor = (sums / counts).log()[owner] + top
    return rows


@LOSSES.add("psl")
@dataclass(frozen=True, kw_only=True)
class PSL(Loss):
    """Pairwise softmax loss: softmax with a slower surrogate than exp for the pairwise error.

    log SUM_j s(d_j)^(1/tau) with d_j = (n_j - p) / 2, the mean over rows; s is tanh(d) + 1,
    atan(d) + 1, relu(d + 1), softplus log(1 + exp(d)), or exp(d). The last is the softmax loss at
    temperature 2 tau. A constant factor of s changes no gradient.
    """

    tau: float = setting(0.1, "tau*, on the half-cosine scale of d: not doubled", above=0)
    activation: Literal["tanh", "atan", "relu", "softplus", "exp"] = setting(
        "relu", "the surrogate s"
    )
    n_negatives: int = setting(1000, "sampled negatives N for each positive", at_least=1)
    score: Literal["cosine", "dot"] = setting("cosine", "similarity of user and item embedding")

    source: ClassVar[str] = "Yang et al., PSL, NeurIPS 2024"

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of a batch; see `Objective`."""
        apart = (batch.neg - batch.pos.unsqueeze(1)) / 2  # (B, N)
        return (_log_surrogate(apart, self.activation) / self.tau).logsumexp(dim=1).mean()

    @property
    def rows(self) -> Rows | None:
        """The compiled form of relu, tanh and exp; see `Rows`."""
        from robustbench_rec.losses import _rows

        if self.activation == "exp":
            return Rows(_rows.softmax, (2 * self.tau, 1.0, 2 * self.tau))
        compiled = {"relu": _rows.psl_relu, "tanh": _rows.psl_tanh}
        if self.activation not in compiled:
            return None
        return Rows(compiled[self.activation], (self.tau, TINY))


def _log_surrogate(apart: Tensor, activation: str) -> Tensor:
    """Return log s(d) for d (B, N), no less than log TINY; d itself for exp."""
    from torch.nn.functional import softplus

    if activation == "exp":
        return apart
    if activation == "softplus":
        value = softplus(apart)
    elif activation == "relu":
        value = (apart + 1).relu()
    else:
        value = (apart.tanh() if activation == "tanh" else apart.atan()) + 1
    return value.clamp_min(TINY).log()
