"""Diagnostics: weights that a loss gives to negatives, on a probe batch; defined for any loss.

The weight of negative j in a row is |d loss / d n_j|. Its share p_j of the row's weights is the
distribution over negatives that the loss trains on; for a loss of distributionally robust
optimisation, this is the worst case that it guards against.

Weights push negatives down; |d loss / d p| pulls a row's positive up. If positives are drawn as
negatives, the net effect on such an item is the difference.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_rec.components.loss import Batch, Objective
from robustbench_rec.interactions import BoolArray, IntArray, Split

PROBE = (512, 500)
"""Rows and negatives of the probe batch: the same for every loss, whatever N it trains with.

A change must increase PROTOCOL, so that no run mixes two."""
MOST_CUTS = 16
"""Largest number of rows to cut a row of the probe batch into, for a loss with few negatives."""
NEGLIGIBLE = 0.01
"""A negative counts as used if its weight exceeds this share of an even weight."""

DIAGNOSTICS = {
    "false_negative_rate": "share of the negatives that are known false negatives",
    "false_negative_share": "share of the weight on negatives that falls on known false negatives",
    "push_on_false_negatives": (
        "weight of a known false negative that has any, times their number in a row as the loss "
        "trains on, over the pull on a positive; above 1 a positive drawn as one cannot rise"
    ),
    "push_over_pull": "weight on known false negatives over the pull on positives, sum over sum",
    "utilisation": "share of the negatives with a weight above 1% of an even one",
    "effective_sample_size": "effective share of the negatives, (sum w)^2 / (N sum w^2)",
    "kl": "KL divergence of the weights from even ones, in nats",
    "renyi_2": "Renyi divergence of order 2 of the weights from even ones, in nats",
    "active_rows": "share of the rows in which any negative has a weight",
}
"""Name -> description."""


class Slopes(NamedTuple):
    """The slopes of a loss in the scores of a batch.

    Attributes:
        weights: (B, N) |d loss / d n_j|, the push on each negative.
        pulls: (B,) |d loss / d p|, the pull on each positive; 0 if the loss does not use it.

    """

    weights: NDArray[np.floating]
    pulls: NDArray[np.floating]


def weight_diagnostics(weights: NDArray[np.floating], known: BoolArray) -> dict[str, float]:
    """Summarise the weights of a probe batch.

    The share on false negatives refers to all weight in the batch; utilisation counts a row without
    weight as 0; effective sample size and divergences are means over the rows with weight,
    with p_j = w_j / sum w: KL is sum p_j log(N p_j), Renyi of order 2 is log(N sum p_j^2).

    Args:
        weights: (B, N) at least 0.
        known: (B, N) whether a negative is a known false negative.

    Returns:
        The defined entries of DIAGNOSTICS, without the push: no entries of weights if all are 0,
        and none of false negatives if the negatives include none.

    """
    weights = weights.astype(np.float64)
    n = weights.shape[1]
    totals = weights.sum(axis=1)
    active = totals > 0
    found: dict[str, float] = {"active_rows": float(active.mean())}
    if known.any():
        found["false_negative_rate"] = float(known.mean())
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


def push(slopes: Slopes | None, known: BoolArray) -> dict[str, float]:
    """Return the push on false negatives, r w / q; above 1, a positive drawn as one cannot rise.

    A row has r known false negatives; w is the mean weight of those with any weight, q the mean
    pull on the positives with a pull. If a user's positives are drawn as negatives, each is pulled
    by q in its own row and pushed by r w in all, as long as the loss pushes it. A loss that
    truncates stops pushing: above 1 its positives stay at the truncation, half of them without
    push, so that the plain ratio of the sums of weights and pulls stays below 1.

    If few of the known false negatives have weight, the push is of these few alone, and may be
    large although they hardly matter: `push_over_pull` shows that.

    False negatives that are not positives in training count too, although nothing pulls them: the
    effect of contamination is the increase of the push from level 0.

    A loss of differences n_j - p that weighs all negatives, such as softmax or BPR, pulls a
    positive as much as it pushes the row's negatives: its push equals its share on false negatives.

    Args:
        slopes: slopes, at least 0, of a batch with rows as in training; None has no push.
        known: (B, N) whether a negative is a known false negative.

    Returns:
        Two entries of DIAGNOSTICS, the push and the plain ratio of the sums, which includes those
        that a loss has stopped pushing; empty if no false negative is known, or no positive is
        pulled.

    """
    if slopes is None or not known.any() or not slopes.pulls.any():
        return {}
    weights, pulls = slopes.weights[known], slopes.pulls
    w, q = (
        some[some > 0].mean(dtype=np.float64) if some.any() else 0.0 for some in (weights, pulls)
    )
    return {
        "push_on_false_negatives": float(weights.size / pulls.size * w / q),
        "push_over_pull": float(weights.sum(dtype=np.float64) / pulls.sum(dtype=np.float64)),
    }


def cut(batch: Batch, known: BoolArray, n: int) -> tuple[Batch, BoolArray]:
    """Return a batch in rows of n negatives, and whether these are known: both (C B, n).

    A loss that sums over negatives has N times the push, and the same pull, with N negatives as
    with one. Each row is repeated C times with other negatives; a batch of n or fewer does not
    change.
    """
    width = batch.neg.shape[1]
    if n >= width:
        return batch, known
    n_cuts = min(width // n, MOST_CUTS)
    rows = ("pos", "users", "items", "user_vectors", "item_vectors")
    parts = {part: getattr(batch, part).repeat_interleave(n_cuts, dim=0) for part in rows}
    for part in ("neg", "negatives"):
        parts[part] = getattr(batch, part)[:, : n_cuts * n].reshape(-1, n)  # (C B, n)
    return replace(batch, **parts), known[:, : n_cuts * n].reshape(-1, n)


def slopes_of(objective: Objective, batch: Batch) -> Slopes | None:
    """Return the slopes of a loss in a batch's scores; None if it uses no sampled negatives.

    Args:
        objective: any bound loss.
        batch: the batch; scores and embeddings are constants.

    """
    batch = batch.detached()
    for scores in (batch.pos, batch.neg):
        scores.requires_grad_()
    value = objective(batch)
    if not value.requires_grad:
        return None
    by_pos, by_neg = torch.autograd.grad(value, [batch.pos, batch.neg], allow_unused=True)
    if by_neg is None:
        return None
    by_pos = torch.zeros_like(batch.pos) if by_pos is None else by_pos
    return Slopes(by_neg.abs().cpu().numpy(), by_pos.abs().cpu().numpy())


def probed_rows(clean: Split, split: Split, rng: np.random.Generator) -> IntArray:
    """Return the rows of `split.train` in the probe: pairs drawn from the clean training set.

    They are the same at every level, except pairs that a perturbation removed from training. Pairs
    that it added are not probed.
    """
    train, keys = split.train, split.train.keys
    drawn = clean.train.keys[rng.permutation(len(clean.train))]
    at = np.searchsorted(keys, drawn).clip(max=len(train) - 1)
    rows: IntArray = at[keys[at] == drawn][: PROBE[0]]
    return rows if rows.size else np.arange(len(train))[: PROBE[0]]


def known_false_negatives(
    clean: Split, split: Split, users: Tensor, negatives: Tensor
) -> BoolArray:
    """Say which of the negatives (B, N) of `users` (B,) are known to be positives.

    Known positives are the pairs of the clean training set (some of which a perturbation hides or
    draws as negatives), the false negatives of both splits, and the validation positives: one
    definition for all levels.
    """
    owners, items = users.cpu().numpy()[:, None], negatives.cpu().numpy()
    known = (clean.seen, clean.false_negatives, clean.valid, split.false_negatives)
    met: BoolArray = np.logical_or.reduce([part.holds(owners, items) for part in known])
    return met
