"""Normalised discounted cumulative gain."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustbench_rec import METRICS, FloatArray, Metric, Ranks


@METRICS.add("ndcg")
@dataclass(frozen=True, kw_only=True)
class NDCG(Metric):
    """Gain discounted by log2(1 + rank), over that of the best list.

    The best list begins with the test items, the heaviest first. Where all weigh 1 its gain is the
    sum of 1 / log2(1 + r) over r = 1..min(k, n).
    """

    symbol: ClassVar[str] = "NDCG"
    additive: ClassVar[bool] = True
    source: ClassVar[str] = "Järvelin and Kekäläinen, TOIS 2002; the discount of Burges et al. 2005"

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return sum w / log2(1 + rank) over the ranks <= k, over that sum of the best list."""
        return _dcg(found, k) / _best_dcg(found, k)


def _dcg(found: Ranks, k: int) -> FloatArray:
    top = found.top(k)
    return top.sum(top.weights / np.log2(1 + top.ranks))


def _best_dcg(found: Ranks, k: int) -> FloatArray:
    weights = found.weights
    if np.any(weights[1:] != weights[:-1]):
        return _dcg(found.best, k)
    # Of equal weights it is known by the number of test items alone, which is far faster.
    depth = min(k, found.counts.max(initial=1))
    gains = np.cumsum(weights[:1].sum() / np.log2(1 + np.arange(1, depth + 1)))
    best: FloatArray = gains[np.minimum(found.counts, depth) - 1]
    return best
