"""Agreement of two models' lists, user by user; pure numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robustbench_rec.components.metric import FloatArray
from robustbench_rec.interactions import IntArray

PERSISTENCE = 0.9
"""p of rank-biased overlap, the probability that a reader continues to the next place of a list."""


def jaccard(one: IntArray, other: IntArray) -> FloatArray:
    """Return intersection over union of the items in two lists, (U,) in [0, 1].

    Args:
        one: (U, K) items, each once in a list; a negative item marks the end of a list.
        other: (U, K), of the same users.

    """
    shared = _both_by(one, other)[:, -1]
    return np.asarray(shared / ((one >= 0).sum(axis=1) + (other >= 0).sum(axis=1) - shared))


def rank_biased_overlap(one: IntArray, other: IntArray, p: float = PERSISTENCE) -> FloatArray:
    """Return the rank-biased overlap of finite lists, (U,) in [0, 1]; 1 for equal lists.

    (1 - p) / (1 - p^D) SUM_(d = 1..D) p^(d - 1) A_d, where A_d is the share of the first d places
    that both lists have in common, and D the length of the longer one: the sum of W. Webber, A.
    Moffat and J. Zobel, A Similarity Measure for Indefinite Rankings, TOIS 2010, cut off at D and
    divided by the weights that are left.

    Args:
        one: as for `jaccard`.
        other: as for `jaccard`.
        p: in (0, 1); a lower p gives the first places more weight.

    """
    depth = np.arange(1, one.shape[1] + 1)
    lengths = np.maximum((one >= 0).sum(axis=1), (other >= 0).sum(axis=1))
    weights = np.where(depth <= lengths[:, None], p ** (depth - 1.0), 0.0)  # (U, K)
    agreement = _both_by(one, other) / depth
    return np.asarray((weights * agreement).sum(axis=1) / weights.sum(axis=1))


def _both_by(one: IntArray, other: IntArray) -> IntArray:
    """Return the number of common items in the first d places, for each d: (U, K)."""
    n, k = one.shape
    same = (one[:, :, None] == other[:, None, :]) & (one >= 0)[:, :, None]  # (U, K, K)
    user, place, where = np.nonzero(same)
    from_depth = np.maximum(place, where)
    counts = np.bincount(user * k + from_depth, minlength=n * k).reshape(n, k)
    return np.asarray(counts.cumsum(axis=1))


class Overlap(NamedTuple):
    """A measure of the agreement of two lists: name in figures, and function to (U,)."""

    symbol: str
    of: Callable[[IntArray, IntArray], FloatArray]


OVERLAPS = {
    "jaccard": Overlap("Jaccard", jaccard),
    "rbo": Overlap("RBO", rank_biased_overlap),
}
"""Measures of agreement of lists, under their names in results."""
