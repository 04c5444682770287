"""Mean average precision."""

from dataclasses import dataclass
from typing import ClassVar

from robustbench_rec import METRICS, FloatArray, Metric, Ranks


@METRICS.add("map")
@dataclass(frozen=True, kw_only=True)
class AveragePrecision(Metric):
    """Precision at each test item in the top k, over all test items; weights do not count.

    It is not a sum over test items: each term counts the items above.
    """

    symbol: ClassVar[str] = "MAP"
    source: ClassVar[str] = "as trec_eval: over all n test items, not over min(k, n)"

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return sum_r (test items at rank <= r) / r / n, over the ranks r <= k of test items."""
        top = found.top(k)
        return top.sum(top.order / top.ranks) / found.counts
