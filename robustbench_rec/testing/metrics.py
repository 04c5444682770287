"""The contracts of metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from robustbench_rec.components.metric import FloatArray, ListMetric, Metric, Ranks
from robustbench_rec.evaluation.metrics import list_values, user_values
from robustbench_rec.interactions import IntArray
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing.clauses import (
    ClauseError,
    DoesNotApply,
    first_where,
    require,
    require_words,
)


class MetricContract:
    """The contract of a metric of users; subclass it and set yours.

    Attributes:
        metric: the class under test.

    """

    metric: ClassVar[type[Metric | ListMetric]]

    def value(self, found: Ranks, k: int) -> FloatArray:
        """Return the metric at k, (U,), with the checks of an evaluation."""
        return user_values(found, [k], [self.metric.name])[f"{self.metric.name}@{k}"]

    def ranks(self, depth: int = 30, weighted: bool = False, order: slice = slice(None)) -> Ranks:
        """Return ranks in random lists of 40 users; the first user has no hits.

        Args:
            depth: the length of the lists, at most 30.
            weighted: whether test items have different weights, of mean 1 for each user.
            order: the order of the users.

        """
        rng = rng_for(0, "ranks")
        hits = rng.random((40, 30)) < rng.uniform(0, 0.8, (40, 1))
        hits[0] = False
        counts = hits.sum(axis=1) + rng.integers(1, 9, 40)
        found = Ranks.of(hits[order, :depth], counts[order])
        return self.weighing(found, rng) if weighted else found

    def weighing(self, found: Ranks, rng: np.random.Generator) -> Ranks:
        """Return the same ranks with random weights of mean 1 for each user."""
        drawn = rng.uniform(0.1, 1, found.user.size)
        weights = drawn / (found.sum(drawn) / found.counts)[found.user]
        return replace(found, weights=weights)

    def weightings(self) -> tuple[bool, ...]:
        """Return the cases to test: weighted ranks (True) only if it says that it is additive."""
        return (False, True) if self.metric.additive else (False,)

    def test_says_what_it_is(self) -> None:
        """It has a registered name, is a Metric, and has a docstring."""
        require(self.metric.name, "it has no name: register it by @METRICS.add(name)")
        require(issubclass(self.metric, Metric), "one of all lists has its ListMetricContract")
        require_words(self.metric)

    def test_is_a_finite_number_for_each_user(self) -> None:
        """It is one finite number for each user, for any k, also without users."""
        for k in (1, 10, 50):
            for depth in (1, 30):
                for weighted in self.weightings():
                    found = self.value(self.ranks(depth, weighted), k)
                    require(found.shape == (40,), f"of 40 users it has the shape {found.shape}")
            none = self.value(self.ranks(order=slice(0)), k)
            require(none.shape == (0,), f"of no users it has the shape {none.shape}")

    def test_places_after_k_do_not_count(self) -> None:
        """Items after place k change nothing."""
        for k in (1, 10):
            whole, cut = self.value(self.ranks(), k), self.value(self.ranks(depth=k), k)
            _require_equal(whole, cut, f"at {k}, lists of 30 and their first {k} places")

    def test_the_order_of_users_does_not_matter(self) -> None:
        """Each user's value is independent of other users."""
        turned = self.value(self.ranks(order=slice(None, None, -1)), 10)
        _require_equal(self.value(self.ranks(), 10), turned[::-1], "users in the other order")

    def test_a_perfect_list_is_at_least_as_good_as_any_other(self) -> None:
        """No list is better than the best possible list, and some are worse."""
        for weighted in self.weightings():
            found = self.ranks(weighted=weighted)
            for k in (1, 10):
                best, value = self.value(found.best, k), self.value(found, k)
                if at := first_where(best >= value - 1e-12):
                    raise ClauseError(
                        f"at {k} user {at[0]} has {value[at]:.4g}, and of a perfect list only "
                        f"{best[at]:.4g}"
                    )
                require(np.any(best > value), f"at {k} a perfect list is no better than any other")

    def test_a_sum_over_test_items_is_the_sum_of_its_parts(self) -> None:
        """If `additive`, the values of three groups of test items sum to that of all."""
        if not self.metric.additive:
            raise DoesNotApply("it says that it is no sum over test items")
        for weighted in (False, True):
            found = self.ranks(weighted=weighted)
            part = rng_for(0, "parts").integers(3, size=found.user.size)
            parts = [self.value(found.finding(part == one), 10) for one in range(3)]
            whole = self.value(found, 10)
            _require_equal(np.sum(parts, axis=0), whole, "the parts and the whole", 1e-9, 1e-12)

    def test_a_test_item_adds_in_proportion_to_its_weight(self) -> None:
        """If `additive`, an item of twice the weight adds twice as much."""
        if not self.metric.additive:
            raise DoesNotApply("it is not computed where the test is weighted")
        plain = self.ranks()
        one = self.weighing(plain, rng_for(0, "one weighting"))
        two = self.weighing(plain, rng_for(0, "another"))
        for place in (1, 2, 3):
            alone = plain.order == place
            added = [self.value(weighed.finding(alone), 10) for weighed in (one, two)]
            weights = [weighed.sum(weighed.weights * alone) for weighed in (one, two)]
            where = f"item {place} of each user, by its weight in one weighting and in another"
            _require_equal(added[0] * weights[1], added[1] * weights[0], where, 1e-9)


def _require_equal(
    one: FloatArray, other: FloatArray, of: str, share: float = 0.0, least: float = 0.0
) -> None:
    """Raise ClauseError with the first user whose two values differ.

    Args:
        one: (U,).
        other: (U,).
        of: a description of both.
        share: relative tolerance, as sums in another order differ.
        least: absolute tolerance.

    """
    if at := first_where(np.isclose(one, other, rtol=share, atol=least)):
        raise ClauseError(f"user {at[0]} has {one[at]:.6g} and {other[at]:.6g}: {of}")


class ListMetricContract:
    """The contract of a metric of all lists together; subclass it and set yours.

    Attributes:
        metric: the class under test.

    """

    metric: ClassVar[type[Metric | ListMetric]]

    def lists(self) -> IntArray:
        """Return lists (40, 12) of 30 items; some are shorter."""
        rng = rng_for(0, "lists")
        lists = np.argsort(rng.random((40, 30)), axis=1)[:, :12]
        return np.where(np.arange(12) < rng.integers(3, 13, (40, 1)), lists, -1)

    def value(self, recommended: IntArray, k: int) -> float:
        """Return the metric at k, with the checks of an evaluation."""
        name, popularity = self.metric.name, np.arange(30)
        return list_values(recommended, popularity, [k], [name])[f"{name}@{k}"]

    def test_says_what_it_is(self) -> None:
        """It has a registered name, is a ListMetric, and has a docstring."""
        require(self.metric.name, "it has no name: register it by @METRICS.add(name)")
        require(issubclass(self.metric, ListMetric), "one of users has its MetricContract")
        require_words(self.metric)

    def test_is_a_finite_number(self) -> None:
        """It is one finite number, for any k."""
        for k in (1, 10, 50):
            found = self.value(self.lists(), k)
            require(np.isfinite(found), f"at {k} it is {found}")

    def test_places_after_k_do_not_count(self) -> None:
        """Items after place k change nothing."""
        whole, cut = self.value(self.lists(), 5), self.value(self.lists()[:, :5], 5)
        require(whole == cut, f"at 5 it is {whole:.6g}, and {cut:.6g} of the first 5 places alone")

    def test_the_order_of_users_does_not_matter(self) -> None:
        """Users in reverse order give the same number."""
        one, turned = self.value(self.lists(), 5), self.value(self.lists()[::-1], 5)
        require(one == turned, f"it is {one:.6g}, and {turned:.6g} with users in the other order")
