"""Recall."""

from dataclasses import dataclass
from typing import ClassVar

from robustbench_rec import METRICS, FloatArray, Metric, Ranks


@METRICS.add("recall")
@dataclass(frozen=True, kw_only=True)
class Recall(Metric):
    """Share of the test items, by weight, in the top k."""

    symbol: ClassVar[str] = "Recall"
    additive: ClassVar[bool] = True
    source: ClassVar[str] = "as trec_eval: over all test items, not over min(k, n)"

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return the weight of the test items of rank <= k, / that of all test items."""
        return found.top(k).total / found.total
