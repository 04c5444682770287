"""Hit rate."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustbench_rec import METRICS, FloatArray, Metric, Ranks


@METRICS.add("hit_rate")
@dataclass(frozen=True, kw_only=True)
class HitRate(Metric):
    """1 if a test item is in the top k, else 0; weights do not count."""

    symbol: ClassVar[str] = "Hit rate"
    source: ClassVar[str] = "success@k of trec_eval"

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return 1 if the first rank is <= k, else 0."""
        return (found.first <= k).astype(np.float64)
