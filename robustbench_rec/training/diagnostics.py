"""How a loss weighs its negatives: the mechanism behind its robustness, measured for any loss.

The weight of negative j in a row is |d loss / d n_j|, and its share p_j of the row's weights is the
distribution over negatives under which the loss trains: for a loss that is an expectation under
distributionally robust optimisation, the worst case that it guards against.

Weights push negatives down; |d loss / d p| pulls a row's positive up. Where positives are drawn as
negatives, what their users' items get is the difference of the two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_rec.components.loss import Batch, Objective
from robustbench_rec.interactions import BoolArray, IntArray, Split

PROBE = (512, 500)
"""Rows and negatives of the probe batch: the same for every loss, whatever N it trains with.

Whoever changes it raises PROTOCOL, so that no run mixes two."""
NEGLIGIBLE = 0.01
"""A negative is used if its weight is more than this share of an even one."""

DIAGNOSTICS = {
    "false_negative_rate": "share of the negatives that are known false negatives",
    "false_negative_share": "share of the weight on negatives that falls on known false negatives",
    "push_on_false_negatives": (
        "weight on known false negatives over the pull on the positives: sums over the batch"
    ),
    "utilisation": "share of the negatives with a weight above 1% of an even one",
    "effective_sample_size": "effective share of the negatives, (sum w)^2 / (N sum w^2)",
    "kl": "KL divergence of the weights from even ones, in nats",
    "renyi_2": "Renyi divergence of order 2 of the weights from even ones, in nats",
    "active_rows": "share of the rows in which any negative has a weight",
}
"""Name -> what it is."""


class Slopes(NamedTuple):
    """How strongly a loss moves the scores of a batch.

    Attributes:
        weights: (B, N) |d loss / d n_j|, what pushes each negative down.
        pulls: (B,) |d loss / d p|, what pulls each positive up; 0 where it is not looked at.

    """

    weights: NDArray[np.floating]
    pulls: NDArray[np.floating]


def mechanism(slopes: Slopes, known: BoolArray) -> dict[str, float]:
    """Summarise how a loss moves the scores of a probe batch.

    The share on false negatives is of all weight in the batch; utilisation counts a row without
    weight as 0; effective sample size and divergences are means over the rows that have weight,
    with p_j = w_j / sum w: KL is sum p_j log(N p_j), Renyi of order 2 is log(N sum p_j^2).

    The push on false negatives is the sum of their weights over that of the pulls. A loss of the
    differences n_j - p alone pulls a positive by what it pushes the row's negatives, so that the
    push is the share on false negatives, and never above 1.

    Args:
        slopes: at least 0.
        known: (B, N) whether a negative is a known false negative.

    Returns:
        The entries of DIAGNOSTICS that are defined: none of the weights where all are 0, none of
        false negatives where none is among the negatives, no push where no positive is pulled.

    """
    weights, pull = slopes.weights.astype(np.float64), slopes.pulls.sum(dtype=np.float64)
    n = weights.shape[1]
    totals = weights.sum(axis=1)
    active = totals > 0
    found: dict[str, float] = {"active_rows": float(active.mean())}
    if known.any():
        found["false_negative_rate"] = float(known.mean())
        if pull > 0:
            found["push_on_false_negatives"] = float(weights[known].sum() / pull)
    if not active.any():
        return found
    if known.any():
        found["false_negative_share"] = float(weights[known].sum() / totals.sum())
    ratios = n * weights[active] / totals[active, None]  # p_j against an even share
    squares = (ratios**2).mean(axis=1)
    logs = np.log(ratios, out=np.zeros_like(ratios), where=ratios > 0)
    found["utilisation"] = float((ratios > NEGLIGIBLE).sum() / weights.size)
    found["effective_sample_size"] = float((1 / squares).mean())
    found["kl"] = float((ratios * logs).mean())
    found["renyi_2"] = float(np.log(squares).mean())
    return found


def slopes_of(objective: Objective, batch: Batch) -> Slopes | None:
    """Return how a loss moves the scores of a batch; None if it looks at no sampled negative.

    Args:
        objective: any loss, bound.
        batch: whose `pos` and `neg` require a gradient.

    """
    value = objective(batch)
    if not value.requires_grad:
        return None
    by_pos, by_neg = torch.autograd.grad(value, [batch.pos, batch.neg], allow_unused=True)
    if by_neg is None:
        return None
    by_pos = torch.zeros_like(batch.pos) if by_pos is None else by_pos
    return Slopes(by_neg.abs().cpu().numpy(), by_pos.abs().cpu().numpy())


def probed_rows(clean: Split, split: Split, rng: np.random.Generator) -> IntArray:
    """Return the rows of `split.train` that are probed: pairs drawn from the clean training set.

    They are the same at every level, but for those that a perturbation took out of training, and
    where it left none. Pairs that it put in are not probed.
    """
    train, keys = split.train, split.train.keys
    drawn = clean.train.keys[rng.permutation(len(clean.train))]
    at = np.searchsorted(keys, drawn).clip(max=len(train) - 1)
    rows: IntArray = at[keys[at] == drawn][: PROBE[0]]
    return rows if rows.size else np.arange(len(train))[: PROBE[0]]


def known_false_negatives(
    clean: Split, split: Split, users: Tensor, negatives: Tensor
) -> BoolArray:
    """Say which of the negatives (B, N) of `users` (B,) are in truth positives, as far as is known.

    These are the pairs of the clean training set, some of which a perturbation hides, holds out or
    draws as negatives, the false negatives of either split, and the validation positives: one
    definition for all levels.
    """
    owners, items = users.cpu().numpy()[:, None], negatives.cpu().numpy()
    known = (clean.seen, clean.false_negatives, clean.valid, split.false_negatives)
    met: BoolArray = np.logical_or.reduce([part.holds(owners, items) for part in known])
    return met
