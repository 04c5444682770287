"""Full ranking: every item is scored for every user with a held-out item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustbench_rec.components.metric import METRICS, FloatArray, Ranks
from robustbench_rec.evaluation.metrics import (
    defined_under_weights,
    list_values,
    user_values,
)
from robustbench_rec.evaluation.topk import keep_best, sort_best
from robustbench_rec.interactions import IntArray, Interactions

TILE = (4096, 2048)
"""Users and items scored at once on a CPU: 32 MiB of float32.

One thread is as fast with less. Several need long steps, since torch and numba have threads of
their own, and for a while after each step those of the one wait busily where the other computes.
"""
SCORES_AT_ONCE = 2**24
"""Scores held on an accelerator, of whole rows: 64 MiB of float32, 40 bytes each while they are
ranked. One row is held however long it is."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Metrics of one model on one held-out set.

    Attributes:
        users: (U,) the users with a held-out item, who are evaluated.
        per_user: metric@k -> (U,) float64, of each `Metric`.
        lists: metric@k of all lists together, of each `ListMetric`: coverage, gini, popularity.
        recommended: (U, max(ks)) items of each list, best first; -1 after its end.
        user_weights: (U,) float64 of mean 1, the weight of each user: the mean weight of its
            held-out pairs; ones if pairs have no weights.

    """

    users: IntArray
    per_user: dict[str, FloatArray]
    lists: dict[str, float]
    recommended: IntArray
    user_weights: FloatArray

    @property
    def means(self) -> dict[str, float]:
        """metric@k -> the weighted mean over users, or the value for all lists together."""
        by_weight = {
            name: float((self.user_weights * values).mean())
            for name, values in self.per_user.items()
        }
        return by_weight | self.lists


def evaluate(
    users: Tensor,
    items: Tensor,
    held_out: Interactions,
    seen: Interactions,
    ks: Sequence[int],
    metrics: Iterable[str] | None = None,
    weights: FloatArray | None = None,
) -> Ranking:
    """Rank the whole catalogue for every user with a held-out item, `seen` items masked.

    One pass over the scores computes all metrics at all `ks`. Memory: as `top_items`, plus a part
    linear in U max(ks) and in the held-out pairs.

    Args:
        users: (n_users, dim) embeddings.
        items: (n_items, dim) embeddings; a higher dot product ranks higher.
        held_out: the positives to find.
        seen: the clean training positives.
        ks: lengths of the list.
        metrics: names of the metrics; all of ours if None.
        weights: (n,) above 0, the weight of each held-out pair; ones if None. Metrics of users that
            are not additive are not defined under weights, and left out: see `Metric.additive`.

    Raises:
        FloatingPointError: as `top_items`.
        ValueError: as `metrics.user_values` and `metrics.list_values`; weights that are not one a
            pair, or all 0 for a user.

    """
    names = METRICS.ours if metrics is None else tuple(metrics)
    evaluated = np.flatnonzero(held_out.user_counts)
    user_weights = np.ones(evaluated.size)
    if weights is not None:
        names = tuple(filter(defined_under_weights, names))
        weights, user_weights = _normalised(weights, held_out, evaluated)
    recommended = top_items(users, items, evaluated, seen, max(ks))
    found = _ranks(held_out, evaluated, recommended, weights)
    per_user = user_values(found, ks, names, evaluated)
    lists = list_values(recommended, seen.item_counts, ks, names)
    return Ranking(evaluated, per_user, lists, recommended, user_weights)


def _normalised(
    weights: FloatArray, held_out: Interactions, evaluated: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return weights (n,) of mean 1 within each user, and those means (U,), over their mean."""
    counts = np.maximum(held_out.user_counts, 1)
    means = np.bincount(held_out.users, weights, held_out.n_users) / counts  # (n_users,)
    of_users = means[evaluated]
    if not np.all(of_users > 0):
        raise ValueError(f"all weights of user {evaluated[int(np.argmin(of_users))]} are 0")
    return weights / means[held_out.users], of_users / of_users.mean()


def _ranks(
    held_out: Interactions, evaluated: IntArray, recommended: IntArray, weights: FloatArray | None
) -> Ranks:
    """Return the ranks of held-out items in the lists (U, K) of the users (U,) with any."""
    hits = held_out.holds(evaluated[:, None], recommended) & (recommended >= 0)
    if weights is not None:
        listed = evaluated[:, None] * np.int64(held_out.n_items) + recommended
        at = np.searchsorted(held_out.keys, listed[hits])
        missed = np.setdiff1d(np.arange(len(held_out)), at)
        pairs = np.concatenate([at, missed])
        weights = weights[pairs[np.argsort(held_out.users[pairs], kind="stable")]]
    return Ranks.of(hits, held_out.user_counts[evaluated], weights)


def top_items(
    users: Tensor, items: Tensor, which: IntArray, seen: Interactions, k: int
) -> IntArray:
    """Return (U, min(k, n_items)) the best unseen items of the users `which` (U,), best first.

    For equal scores the lower item comes first. The list of a user with fewer than k unseen items
    ends in -1. Memory beyond the result, for any number of users and items: on a CPU a tile of
    32 MiB and, for 4096 users at a time, their embeddings and listed scores; on an accelerator the
    larger of 0.6 GiB and 40 bytes per item.

    Args:
        users: (n_users, dim) embeddings.
        items: (n_items, dim) embeddings, on the same device and of the same type.
        which: (U,) users, in any order.
        seen: the pairs to mask.
        k: length of the list.

    Raises:
        ValueError: k < 1, or the numbers of embeddings differ from those of `seen`.
        FloatingPointError: embeddings that are not finite, or so large that a score may overflow.

    """
    users, items, which = users.detach(), items.detach(), np.array(which, dtype=np.int64)
    if k < 1:
        raise ValueError(f"k is {k}; a list has at least 1 place")
    if (len(users), len(items)) != (seen.n_users, seen.n_items):
        raise ValueError(
            f"embeddings of {len(users)} users and {len(items)} items do not fit "
            f"{seen.n_users} x {seen.n_items} interactions"
        )
    _check_range(users, items)
    k = min(k, seen.n_items)
    if users.device.type == "cpu":
        return _best_in_tiles(users, items, which, seen, k, TILE)
    return _best_in_rows(users, items, which, seen, k, SCORES_AT_ONCE)


def _check_range(users: Tensor, items: Tensor) -> None:
    """Refuse embeddings whose scores may not be finite: |<u, v>| <= |u| |v|."""
    most = float(users.norm(dim=1).max()) * float(items.norm(dim=1).max())
    if not most < torch.finfo(users.dtype).max:
        raise FloatingPointError(
            "scores are not finite: an embedding is infinite, not a number, or so long that dot "
            f"products overflow {users.dtype}"
        )


def _best_in_tiles(
    users: Tensor,
    items: Tensor,
    which: IntArray,
    seen: Interactions,
    k: int,
    tile: tuple[int, int],
) -> IntArray:
    """Return `top_items` on a CPU, scoring `tile` users and items at a time.

    With fewer users than `tile`, tiles have correspondingly more items.
    """
    best = np.full((which.size, k), -1, dtype=np.int64)
    height = max(min(tile[0], which.size), 1)
    width = min(tile[0] * tile[1] // height, len(items))
    buffer = torch.empty(height * width, dtype=users.dtype)
    for top in range(0, which.size, height):
        rows, ids = which[top : top + height], best[top : top + height]
        values = np.full(ids.shape, -np.inf, dtype=buffer.numpy().dtype)
        chosen = users[torch.from_numpy(rows)]  # (R, dim)
        for first in range(0, len(items), width):
            part = items[first : first + width]  # (C, dim)
            scores = buffer[: rows.size * len(part)].view(rows.size, len(part))  # (R, C)
            torch.mm(chosen, part.T, out=scores)
            keep_best(scores.numpy(), first, rows, seen.starts, seen.items, values, ids)
        sort_best(values, ids)
    return best


def _best_in_rows(
    users: Tensor, items: Tensor, which: IntArray, seen: Interactions, k: int, at_once: int
) -> IntArray:
    """Return `top_items` on any device with torch; scores are compared in single precision.

    `at_once` bounds the number of scores in memory, except that one row always fits.
    """
    best = np.empty((which.size, k), dtype=np.int64)
    n_rows = max(at_once // len(items), 1)
    for top in range(0, which.size, n_rows):
        rows = which[top : top + n_rows]
        scores = users[torch.from_numpy(rows).to(users.device)] @ items.T  # (R, n_items)
        at, met = (torch.from_numpy(ids).to(users.device) for ids in _seen_by(rows, seen))
        scores[at, met] = -torch.inf
        positions = _order(scores.float()).topk(k, dim=1).indices  # (R, k)
        unseen = scores.gather(1, positions) > -torch.inf
        best[top : top + rows.size] = positions.where(unseen, -1).cpu().numpy()
    return best


def _seen_by(rows: IntArray, seen: Interactions) -> tuple[IntArray, IntArray]:
    """Return the pairs (position in `rows`, item) of `seen`, (n,) each."""
    counts = seen.starts[rows + 1] - seen.starts[rows]
    ends = np.cumsum(counts)
    pairs = np.repeat(seen.starts[rows] - (ends - counts), counts) + np.arange(counts.sum())
    return np.repeat(np.arange(rows.size), counts), seen.items[pairs]


def _order(scores: Tensor) -> Tensor:
    """Return (R, n) int64 with the order of float32 scores; ties go to the lower item.

    The bits of a float, as an integer, ascend with it if positive and descend if negative; `topk`
    alone would leave the order of equal scores open.
    """
    bits = (scores + 0.0).view(torch.int32)  # (R, n); the sum turns -0.0 into 0.0
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    items = torch.arange(scores.shape[1], device=scores.device)
    return (ascending.long() << 32) - items
