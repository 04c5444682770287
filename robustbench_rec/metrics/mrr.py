"""Mean reciprocal rank."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustbench_rec import METRICS, FloatArray, Metric, Ranks


@METRICS.add("mrr")
@dataclass(frozen=True, kw_only=True)
class ReciprocalRank(Metric):
    """1 / rank of the first test item in the top k, else 0; weights do not count."""

    symbol: ClassVar[str] = "MRR"
    source: ClassVar[str] = "Voorhees, TREC-8 1999"

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return 1 / the first rank if it is <= k, else 0."""
        return np.where(found.first <= k, 1 / found.first, 0.0)
