"""Normalised discounted cumulative gain."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustbench_rec import METRICS, FloatArray, IntArray, Metric, Ranks


@METRICS.add("ndcg")
@dataclass(frozen=True, kw_only=True)
class NDCG(Metric):
    """Gain discounted by log2(1 + rank), divided by the gain of the best list.

    The best list begins with the n test items, each of weight 1: its gain is the sum of
    1 / log2(1 + r) over r = 1..min(k, n), for any weights. So a user's value may exceed 1 if the
    test is weighted, because the weight of an item may.
    """

    symbol: ClassVar[str] = "NDCG"
    additive: ClassVar[bool] = True
    source: ClassVar[str] = "Järvelin and Kekäläinen, TOIS 2002; the discount of Burges et al. 2005"

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return sum w / log2(1 + rank) over the ranks <= k, over the gain of the best list."""
        top = found.top(k)
        return top.sum(top.weights / np.log2(1 + top.ranks)) / _best_dcg(found.counts, k)


def _best_dcg(counts: IntArray, k: int) -> FloatArray:
    """Return (U,) the gain of the best list of each user, who has `counts` (U,) test items."""
    depth = min(k, counts.max(initial=1))
    gains = np.cumsum(1 / np.log2(1 + np.arange(1, depth + 1)))
    best: FloatArray = gains[np.minimum(counts, depth) - 1]
    return best
