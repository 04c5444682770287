"""The contract of a metric: a function of the ranks of each user's test items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustbench_rec.components.registry import Registry
from robustbench_rec.components.settings import Component
from robustbench_rec.interactions import BoolArray, IntArray

FloatArray = NDArray[np.float64]
N = TypeVar("N", bound=np.generic)


def _read_only(array: NDArray[N]) -> NDArray[N]:
    view = array.view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks of the test items of U users: flat, by user, then rank.

    Attributes:
        user: (n,) int64, the position of each test item's user, 0 to U - 1; ascending.
        ranks: (n,) float64, the place of the test item in the user's list, from 1; ascending within
            a user, inf if it is not in the list.
        weights: (n,) float64, weights of the test items: ones, or, if a perturbation weighs the
            test, numbers of mean 1 within each user.
        n_users: U. Its arrays, and what it computes, are read-only: all metrics share them.

    Raises:
        ValueError: arrays of several lengths, out of order or out of range.

    """

    user: IntArray
    ranks: FloatArray
    weights: FloatArray
    n_users: int

    def __post_init__(self) -> None:
        for name in ("user", "ranks", "weights"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))
        if not self.user.shape == self.ranks.shape == self.weights.shape == (self.user.size,):
            raise ValueError("Ranks.user, ranks and weights must have equal lengths")
        next_user = self.user[1:] > self.user[:-1]
        lower = (self.user[1:] == self.user[:-1]) & (self.ranks[1:] >= self.ranks[:-1])
        if not np.all(next_user | lower):
            raise ValueError("Ranks must be sorted by user, then by rank")
        if self.user.size and not 0 <= self.user[0] <= self.user[-1] < self.n_users:
            raise ValueError(f"Ranks.user must lie in [0, {self.n_users})")
        if not np.all(self.ranks >= 1):
            raise ValueError("Ranks.ranks must be at least 1; inf if the item is not in the list")
        if not np.all((self.weights >= 0) & (self.weights < np.inf)):
            raise ValueError("Ranks.weights must be finite and at least 0")

    @classmethod
    def of(cls, hits: BoolArray, counts: ArrayLike, weights: FloatArray | None = None) -> Ranks:
        """Read ranks from lists of hits.

        Args:
            hits: (U, K) bool, in rank order; a list shorter than K ends in misses.
            counts: (U,) int, the number of test items of each user, at least 1.
            weights: (n,) by user; for each user the items in the list first, by rank, then others.
                Ones if None.

        Raises:
            ValueError: shapes that do not fit, fewer test items than hits, or a user whose test
                items all have weight 0.

        """
        hits, counts = np.asarray(hits, dtype=np.bool_), np.asarray(counts, dtype=np.int64)
        if hits.ndim != 2 or counts.shape != hits.shape[:1]:
            raise ValueError(f"hits {hits.shape} and counts {counts.shape} are not (U, K), (U,)")
        n_hits = hits.sum(axis=1)
        if np.any(counts < 1) or np.any(n_hits > counts):
            raise ValueError("counts must be at least 1 and at least the hits of each user")
        user, place = np.divmod(np.flatnonzero(hits), max(hits.shape[1], 1))
        before = np.cumsum(counts) - counts - (np.cumsum(n_hits) - n_hits)
        ranks = np.full(counts.sum(), np.inf)
        ranks[np.arange(user.size) + before[user]] = place + 1
        each = np.ones(ranks.size) if weights is None else weights
        made = cls(np.repeat(np.arange(counts.size), counts), ranks, each, counts.size)
        if weights is not None and np.any(made.total == 0):
            raise ValueError(f"all weights of user {int(np.argmin(made.total))} are 0")
        return made

    def sum(self, values: ArrayLike) -> FloatArray:
        """Sum a number of each test item, (n,), over the items of each user: (U,)."""
        of_items = np.asarray(values, dtype=np.float64)
        return np.bincount(self.user, of_items, self.n_users).astype(np.float64, copy=False)

    @cached_property
    def counts(self) -> IntArray:
        """(U,) the number of test items of each user."""
        counts = np.bincount(self.user, minlength=self.n_users).astype(np.int64, copy=False)
        return _read_only(counts)

    @cached_property
    def total(self) -> FloatArray:
        """(U,) the sum of the weights of each user's test items."""
        return _read_only(self.sum(self.weights))

    @cached_property
    def order(self) -> IntArray:
        """(n,) from 1, the position of each test item among those of its user."""
        before = np.cumsum(self.counts) - self.counts
        return _read_only(np.arange(1, self.user.size + 1) - before[self.user])

    @cached_property
    def first(self) -> FloatArray:
        """(U,) the best rank of each user; inf if no test item is in the list."""
        first = np.full(self.n_users, np.inf)
        first[self.user[::-1]] = self.ranks[::-1]
        return _read_only(first)

    @cached_property
    def best(self) -> Ranks:
        """The same test items in the best possible list: ranks 1, 2, ..., by weight."""
        heaviest = np.lexsort((-self.weights, self.user))
        return Ranks(self.user, self.order.astype(np.float64), self.weights[heaviest], self.n_users)

    def top(self, k: int) -> Ranks:
        """Restrict the ranks to the first k places; computed once for each k."""
        if k not in self._tops:
            which = self.ranks <= k
            self._tops[k] = Ranks(
                self.user[which], self.ranks[which], self.weights[which], self.n_users
            )
        return self._tops[k]

    @cached_property
    def _tops(self) -> dict[int, Ranks]:
        return {}

    def finding(self, which: BoolArray) -> Ranks:
        """Return the ranks as if the list held only the test items `which`, (n,) bool.

        The others remain test items outside the list, so counts and totals do not change.
        """
        ranks = np.where(which, self.ranks, np.inf)
        order = np.lexsort((ranks, self.user))
        return Ranks(self.user, ranks[order], self.weights[order], self.n_users)


@dataclass(frozen=True, kw_only=True)
class Metric(Component):
    """A metric with a value for each user.

    A subclass is a frozen dataclass, registered under a name, that overrides `__call__`. Suites
    use name@k; settings, if any, must have defaults.
    """

    symbol: ClassVar[str] = ""
    """Its name in figures, as NDCG in NDCG@20; the registered name if empty."""
    per_user: ClassVar[bool] = True
    """Whether each user has a value, so that the metric is a mean."""
    additive: ClassVar[bool] = False
    """Whether it is a sum over the test items that are found, each in proportion to its weight.

    The term of an item may depend on its own rank, on the number of the user's test items and on
    their total weight, and on k, but not on the ranks of other items. Hence the value is the sum of
    the values of `Ranks.finding` over the parts of any partition of the test items.

Only such metrics are defined if a perturbation weighs the test pairs by w_i: with v_u the mean
weight of user u's test items and x_u the value under the weights
    w_i / v_u, whose mean is 1, the metric is SUM_u v_u x_u / SUM_u v_u.
    """

    def __call__(self, found: Ranks, k: int) -> FloatArray:
        """Return the metric of each user's first k places: (U,) float64, finite.

        Args:
            found: the ranks of the test items, in lists of any length.
            k: the number of places that count, at least 1.

        """
        raise NotImplementedError(f"{type(self).__name__} must override __call__")


@dataclass(frozen=True, kw_only=True)
class ListMetric(Component):
    """A metric of the lists of all users together, independent of test items."""

    symbol: ClassVar[str] = ""
    """As `Metric.symbol`."""
    per_user: ClassVar[bool] = False
    additive: ClassVar[bool] = False

    def __call__(self, recommended: IntArray, item_counts: IntArray, k: int) -> float:
        """Return the metric, a finite number.

        Args:
            recommended: (U, K) item ids in rank order; a negative id is an empty place, and a list
                shorter than k ends there. Places after k do not count.
            item_counts: (I,) training pairs of each item.
            k: how many places count, at least 1.

        Raises:
            ValueError: ids outside the catalogue, or nothing recommended.

        """
        raise NotImplementedError(f"{type(self).__name__} must override __call__")


METRICS: Registry[Metric | ListMetric] = Registry("metric", "robustbench_rec.metrics")
