"""Ranking metrics on hit arrays, and metrics of whole recommendation lists; pure numpy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.errors import InputError, nearest
from robustbench_rec.interactions import BoolArray, IntArray

FloatArray = NDArray[np.float64]
Averaging = Literal["test-users", "all-users"]


@dataclass(frozen=True)
class Metric:
    """What a metric is called and means.

    Attributes:
        symbol: how a figure prints it, as in NDCG@20.
        about: one line for help.
        per_user: whether each user has a value, which is then averaged; else the lists of all
            users have one value together, and no level 0 that could be "retained".

    """

    symbol: str
    about: str
    per_user: bool = True


METRICS = {
    "ndcg": Metric("NDCG", "gain discounted by log2(1 + rank), over the best min(k, relevant)"),
    "recall": Metric("Recall", "share of the relevant items that stand in the top k"),
    "precision": Metric("Precision", "share of the top k that is relevant"),
    "hit_rate": Metric("Hit rate", "1 where a relevant item stands in the top k, else 0"),
    "mrr": Metric("MRR", "1 / rank of the first relevant item in the top k, else 0"),
    "map": Metric("MAP", "precision at each relevant item in the top k, over all relevant items"),
    "coverage": Metric("Coverage", "share of the catalogue recommended to somebody", False),
    "gini": Metric("Gini", "inequality of how often items are recommended; 0 is even", False),
    "popularity": Metric("Popularity", "mean training count of the recommended items", False),
}


def parse(metric: str) -> tuple[str, int]:
    """Read "ndcg@20" as ("ndcg", 20).

    Raises:
        InputError: not of the form name@k with k a whole number from 1, or an unknown name.

    """
    match = re.fullmatch(r"([^@]*)@([1-9][0-9]{0,8})", metric, flags=re.ASCII)
    if match is None:
        raise InputError(f"metric {metric!r} must have the form name@k, such as ndcg@20")
    name = match[1]
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise InputError(
            f"no metric named {name!r}{nearest(name, METRICS)} (known, as name@k: {known})"
        )
    return name, int(match[2])


def is_per_user(metric: str) -> bool:
    """Say whether each user has a value of `name@k`, as coverage has not."""
    return METRICS[parse(metric)[0]].per_user


def label(metric: str) -> str:
    """Print a metric as figures do: "ndcg@20" as "NDCG@20"."""
    name, k = parse(metric)
    return f"{METRICS[name].symbol}@{k}"


def ranking_metrics(
    hits: BoolArray, n_relevant: IntArray, ks: Sequence[int]
) -> dict[str, FloatArray]:
    """Score each user's list at several cut-offs in one pass.

    With h_r = 1 where rank r is a hit, n relevant items, and sums over r = 1..k:

        recall@k = sum h_r / n                    precision@k = sum h_r / k
        hit_rate@k = max h_r                      mrr@k = 1 / (first r with h_r = 1), else 0
        ndcg@k = sum h_r / log2(1 + r) / sum_{r <= min(k, n)} 1 / log2(1 + r)
        map@k = sum h_r (h_1 + ... + h_r) / r / n

    Args:
        hits: (U, K) bool, in rank order. A list that is shorter than k ends there: the places
            after it are misses.
        n_relevant: (U,) int >= 1, test items of the user.
        ks: cut-offs, each >= 1.

    Returns:
        "name@k" -> (U,) float64 in [0, 1], for six names and every k.

    Raises:
        ValueError: shapes that do not fit, more hits than relevant items, a cut-off below 1.

    Deviations: AP divides by n, not by min(k, n), and precision by k however short the list, both
    as trec_eval does.

    """
    hits, relevant = _checked(hits, n_relevant, ks)
    ranks = np.arange(1, hits.shape[1] + 1)
    found = np.cumsum(hits, axis=1)
    gain = np.cumsum(hits / np.log2(1 + ranks), axis=1)
    precisions = np.cumsum(hits * found / ranks, axis=1)
    ideal = np.cumsum(1 / np.log2(1 + ranks))
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    values: dict[str, FloatArray] = {}
    for k in ks:
        values[f"recall@{k}"] = found[:, k - 1] / relevant
        values[f"ndcg@{k}"] = gain[:, k - 1] / ideal[np.minimum(k, relevant) - 1]
        values[f"precision@{k}"] = found[:, k - 1] / k
        values[f"hit_rate@{k}"] = (first <= k).astype(np.float64)
        values[f"mrr@{k}"] = np.where(first <= k, 1 / first, 0.0)
        values[f"map@{k}"] = precisions[:, k - 1] / relevant
    return values


def _checked(
    hits: BoolArray, n_relevant: IntArray, ks: Sequence[int]
) -> tuple[BoolArray, IntArray]:
    """Return hits as (U, max(ks)), padded with misses or cut, and n_relevant, both checked."""
    _check_cutoffs(ks)
    hits = np.asarray(hits, dtype=np.bool_)
    relevant = np.asarray(n_relevant, dtype=np.int64)
    if hits.ndim != 2 or relevant.shape != hits.shape[:1]:
        raise ValueError(f"hits {hits.shape} and n_relevant {relevant.shape} are not (U, K), (U,)")
    if np.any(relevant < 1) or np.any(hits.sum(axis=1) > relevant):
        raise ValueError("n_relevant must be at least 1 and at least the hits of each user")
    return _fit(hits, max(ks), False), relevant


def _check_cutoffs(ks: Sequence[int]) -> None:
    if not ks or min(ks) < 1:
        raise ValueError(f"cut-offs are {list(ks)}; there must be one, and each at least 1")


def _fit(lists: NDArray[Any], width: int, empty: int) -> NDArray[Any]:
    """Cut lists (U, K) to (U, width), or fill them up with `empty`."""
    missing = max(width - lists.shape[1], 0)
    return np.pad(lists[:, :width], ((0, 0), (0, missing)), constant_values=empty)


def list_metrics(
    recommended: IntArray, item_counts: IntArray, ks: Sequence[int]
) -> dict[str, float]:
    """Describe what is recommended to all users together.

        coverage@k = items in some top k / I
        gini@k = sum_i (2 i - I - 1) c_i / (I sum_i c_i), with c ascending: how often each item
            of the whole catalogue stands in a top k. 0 where all do equally often,
            (I - 1) / I where one item takes every place
        popularity@k = mean training count over all places of all top k

    Args:
        recommended: (U, K) int item ids in rank order; a negative id is an empty place, and a list
            shorter than k ends there.
        item_counts: (I,) training pairs of each item.
        ks: cut-offs, each >= 1.

    Returns:
        "name@k" -> value, for three names and every k.

    Raises:
        ValueError: ids outside the catalogue, nothing recommended, a cut-off below 1.

    """
    _check_cutoffs(ks)
    popularity = np.asarray(item_counts, dtype=np.float64)
    values: dict[str, float] = {}
    for k in ks:
        counts = _counts(np.asarray(recommended)[:, :k], popularity.size)
        values[f"coverage@{k}"] = float(np.mean(counts > 0))
        values[f"gini@{k}"] = _gini(counts)
        values[f"popularity@{k}"] = float(counts @ popularity / counts.sum())
    return values


def _counts(lists: IntArray, n_items: int) -> IntArray:
    """Return (n_items,) how often each item stands in the lists (U, k)."""
    items = lists[lists >= 0]
    if items.size == 0 or items.max() >= n_items:
        raise ValueError(f"recommended must hold ids, and each below {n_items}")
    return np.bincount(items, minlength=n_items).astype(np.int64)


def _gini(counts: IntArray) -> float:
    n = counts.size
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ np.sort(counts) / (n * counts.sum()))
