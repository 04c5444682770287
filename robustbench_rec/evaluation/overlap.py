"""How far two models' lists agree, user by user; pure numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robustbench_rec.components.metric import FloatArray
from robustbench_rec.interactions import IntArray

PERSISTENCE = 0.9
"""p of rank-biased overlap: a reader goes on from one place of a list to the next."""


def jaccard(one: IntArray, other: IntArray) -> FloatArray:
    """Return the items in both lists over those in either, (U,) in [0, 1].

    Args:
        one: (U, K) items, each once in a list; a negative place is empty, and a list ends there.
        other: (U, K), of the same users.

    """
    shared = _both_by(one, other)[:, -1]
    return np.asarray(shared / ((one >= 0).sum(axis=1) + (other >= 0).sum(axis=1) - shared))


def rank_biased_overlap(one: IntArray, other: IntArray, p: float = PERSISTENCE) -> FloatArray:
    """Return the rank-biased overlap of finite lists, (U,) in [0, 1]; that of equal ones is 1.

    (1 - p) / (1 - p^D) SUM_(d = 1..D) p^(d - 1) A_d, where A_d is the share of the first d places
    that both lists have in common, and D the length of the longer one: the sum of W. Webber, A.
    Moffat and J. Zobel, A Similarity Measure for Indefinite Rankings, TOIS 2010, cut off at D and
    divided by the weights that are left.

    Args:
        one: as `jaccard` takes it.
        other: likewise.
        p: in (0, 1); the first place weighs most the lower it is.

    """
    depth = np.arange(1, one.shape[1] + 1)
    lengths = np.maximum((one >= 0).sum(axis=1), (other >= 0).sum(axis=1))
    weights = np.where(depth <= lengths[:, None], p ** (depth - 1.0), 0.0)  # (U, K)
    agreement = _both_by(one, other) / depth
    return np.asarray((weights * agreement).sum(axis=1) / weights.sum(axis=1))


def _both_by(one: IntArray, other: IntArray) -> IntArray:
    """Return how many items both lists hold in their first d places, for each d: (U, K)."""
    n, k = one.shape
    same = (one[:, :, None] == other[:, None, :]) & (one >= 0)[:, :, None]  # (U, K, K)
    user, place, where = np.nonzero(same)
    from_depth = np.maximum(place, where)
    counts = np.bincount(user * k + from_depth, minlength=n * k).reshape(n, k)
    return np.asarray(counts.cumsum(axis=1))


class Overlap(NamedTuple):
    """A measure of how far two lists agree: how figures print it, and what gives it, (U,)."""

    symbol: str
    of: Callable[[IntArray, IntArray], FloatArray]


OVERLAPS = {
    "jaccard": Overlap("Jaccard", jaccard),
    "rbo": Overlap("RBO", rank_biased_overlap),
}
"""What a run's end compares lists by, under the names that results have."""
