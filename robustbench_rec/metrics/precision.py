"""Precision."""

from dataclasses import dataclass
from typing import ClassVar

from robustbench_rec import METRICS, FloatArray, Metric, Ranks


@METRICS.add("precision")
@dataclass(frozen=True, kw_only=True)
class Precision(Metric):
    """Share of the top k that are test items, by weight."""

    symbol: ClassVar[str] = "Precision"
    additive: ClassVar[bool] = True
    source: ClassVar[str] = "as trec_eval: over k also where the list is shorter"

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return the weight of the test items of rank <= k, / k however short the list is."""
        return found.top(k).total / k
