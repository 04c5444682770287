"""Estimates: numbers made of means, with what each user in each replicate adds to them.

Sums, differences, products and quotients of estimates are estimates: to first order in the means
(the delta method), so that a retention, an excess over a baseline, or an area has a variance as a
mean has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.analysis.two_way import Interval, Variance, variance

Replicates = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number, and its influence values.

    Attributes:
        value: NaN where it is not defined.
        influence: (R, U), what each user in each replicate adds to the deviation from the number
            that all users and all replicates would give; the sum over both is 0. NaN where a
            replicate does not test a user. U is 1 where values of users are not known.

    """

    value: float
    influence: NDArray[np.float64]

    def __add__(self, other: Estimate | float) -> Estimate:
        return self._joined(other, 1.0, 1.0, self.value + _value(other))

    def __sub__(self, other: Estimate | float) -> Estimate:
        return self._joined(other, 1.0, -1.0, self.value - _value(other))

    def __mul__(self, other: Estimate | float) -> Estimate:
        return self._joined(other, _value(other), self.value, self.value * _value(other))

    def __truediv__(self, other: Estimate | float) -> Estimate:
        """Divide; a quotient of 0 is NaN."""
        below = _value(other) or float("nan")
        return self._joined(other, 1 / below, -self.value / below**2, self.value / below)

    def _joined(self, other: Estimate | float, mine: float, its: float, value: float) -> Estimate:
        """Return a value whose slope is `mine` in this estimate and `its` in the other."""
        influence = mine * self.influence
        if isinstance(other, Estimate):
            influence = _added(influence, its * other.influence)
        return Estimate(value, influence)

    @property
    def n_replicates(self) -> int:
        """R."""
        return int(self.influence.shape[0])

    @property
    def n_users(self) -> int:
        """U; 1 where single users are not known."""
        return int(self.influence.shape[1])

    @cached_property
    def variance(self) -> Variance:
        """Over users and replicates."""
        return variance(self.influence)

    @cached_property
    def interval(self) -> Interval:
        """The 95% interval."""
        return self.variance.interval(self.value)


def _value(number: Estimate | float) -> float:
    return number.value if isinstance(number, Estimate) else float(number)


def _added(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add influence values; a user whom one of both did not test adds nothing to it."""
    absent = np.isnan(one), np.isnan(other)
    total = np.where(absent[0], 0.0, one) + np.where(absent[1], 0.0, other)
    return np.where(absent[0] & absent[1], np.nan, total)


def total(estimates: Iterable[Estimate]) -> Estimate:
    """Return the sum of one or more estimates."""
    first, *others = estimates
    for one in others:
        first = first + one
    return first


@dataclass(frozen=True, eq=False)
class Values:
    """What a loss reached at one point in each replicate.

    Attributes:
        replicates: their numbers, ascending.
        means: (R,), what was recorded.
        weights: (R, U), what each user counts for, of sum 1 in a replicate; NaN where a replicate
            does not test a user.
        deviations: (R, U), how far each user is from the mean of the replicate. One user of weight
            1 and deviation 0 where values of users are not known.

    """

    replicates: Replicates
    means: NDArray[np.float64]
    weights: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def estimate(self, replicates: Replicates) -> Estimate:
        """Return the mean over some of the replicates, all of which are held."""
        rows = [self.replicates.index(one) for one in replicates]
        if not rows:
            return Estimate(float("nan"), np.full((1, 1), np.nan))
        means = self.means[rows]
        mean = float(means.mean())
        moved = self.deviations[rows] + (means - mean)[:, None]
        return Estimate(mean, self.weights[rows] * moved / len(rows))


def in_common(values: Sequence[Values]) -> Replicates:
    """Return the replicates that all values have."""
    shared = set(values[0].replicates).intersection(*(one.replicates for one in values[1:]))
    return tuple(sorted(shared))


def estimates(*values: Values) -> list[Estimate]:
    """Return the mean of each over the replicates that all have."""
    replicates = in_common(values)
    return [one.estimate(replicates) for one in values]
