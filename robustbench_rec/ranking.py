"""Full ranking: every item scored for every user who has something held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.interactions import IntArray, Interactions
from robustbench_rec.metrics import list_metrics, ranking_metrics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ranking:
    """Metrics of one model on one held-out set.

    Attributes:
        users: (U,) the users with a held-out item, who are evaluated.
        per_user: metric@k -> (U,) float64.
        lists: metric@k of all lists together: coverage, gini, popularity.

    """

    users: IntArray
    per_user: dict[str, NDArray[np.float64]]
    lists: dict[str, float]


def evaluate(
    users: Tensor, items: Tensor, held_out: Interactions, seen: Interactions, ks: Sequence[int]
) -> Ranking:
    """Rank the whole catalogue for every user with a held-out item, `seen` items masked.

    Args:
        users: (n_users, dim) embeddings.
        items: (n_items, dim) embeddings; a higher dot product ranks higher.
        held_out: the positives to find.
        seen: the clean training positives.
        ks: lengths of the list.

    """
    evaluated = np.flatnonzero(held_out.user_counts)
    recommended = top_items(users, items, evaluated, seen, max(ks))
    hits = held_out.holds(evaluated[:, None], recommended) & (recommended >= 0)
    per_user = ranking_metrics(hits, held_out.user_counts[evaluated], ks)
    return Ranking(evaluated, per_user, list_metrics(recommended, seen.item_counts, ks))


def top_items(
    users: Tensor, items: Tensor, which: IntArray, seen: Interactions, k: int, block: int = 1024
) -> IntArray:
    """Return (U, min(k, n_items)) the best unseen items of the users `which` (U,), best first.

    `which` is ascending. `block` rows of scores are held at a time. The list of a user with fewer
    than k unseen items ends in -1.
    """
    import torch

    k = min(k, seen.n_items)
    best = np.empty((which.size, k), dtype=np.int64)
    for first in range(0, which.size, block):
        rows = which[first : first + block]
        scores = users[torch.from_numpy(rows)] @ items.T  # (block, n_items)
        met = seen[np.isin(seen.users, rows)]
        scores[torch.tensor(np.searchsorted(rows, met.users)), torch.tensor(met.items)] = -torch.inf
        values, indices = scores.topk(k, dim=1)
        best[first : first + rows.size] = indices.where(values > -torch.inf, -1).numpy()
    return best
