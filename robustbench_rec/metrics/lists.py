"""Metrics of the lists of all users together: which items are recommended, and how often."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustbench_rec import METRICS, IntArray, ListMetric


@METRICS.add("coverage")
@dataclass(frozen=True, kw_only=True)
class Coverage(ListMetric):
    """Share of the catalogue recommended to any user; in (0, 1]."""

    symbol: ClassVar[str] = "Coverage"
    source: ClassVar[str] = "Ge et al., RecSys 2010: catalogue coverage"

    def __call__(self, recommended: IntArray, item_counts: IntArray, k: int) -> float:
        """Return items in some top k / I."""
        return float(np.mean(_exposure(recommended, item_counts, k) > 0))


@METRICS.add("gini")
@dataclass(frozen=True, kw_only=True)
class Gini(ListMetric):
    """Inequality of the numbers of recommendations of items; 0 is even.

    It is (I - 1) / I if one of I items is in every place.
    """

    symbol: ClassVar[str] = "Gini"
    source: ClassVar[str] = "Fleder and Hosanagar, Management Science 2009"

    def __call__(self, recommended: IntArray, item_counts: IntArray, k: int) -> float:
        """Return sum_i (2 i - I - 1) c_i / (I sum_i c_i), c ascending, over the whole catalogue.

        c_i is the number of times that item i is in a top k.
        """
        exposure = _exposure(recommended, item_counts, k)
        n = exposure.size
        weights = 2 * np.arange(1, n + 1) - n - 1
        return float(weights @ np.sort(exposure) / (n * exposure.sum()))


@METRICS.add("popularity")
@dataclass(frozen=True, kw_only=True)
class Popularity(ListMetric):
    """Mean training count of the recommended items."""

    symbol: ClassVar[str] = "Popularity"
    source: ClassVar[str] = "average recommendation popularity, Yin et al., VLDB 2012"

    def __call__(self, recommended: IntArray, item_counts: IntArray, k: int) -> float:
        """Return the mean of the item's training pairs over all places of all top k."""
        exposure = _exposure(recommended, item_counts, k)
        return float(exposure @ np.asarray(item_counts, dtype=np.float64) / exposure.sum())


def _exposure(recommended: IntArray, item_counts: IntArray, k: int) -> IntArray:
    """Return (I,) the number of times that each item is in a top k."""
    places, n_items = np.asarray(recommended)[:, :k], len(item_counts)
    items = places[places >= 0]
    if items.size == 0 or items.max() >= n_items:
        raise ValueError(f"recommended must hold ids, and each below {n_items}")
    return np.bincount(items, minlength=n_items).astype(np.int64)
