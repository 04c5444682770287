"""Estimates: numbers computed from means, with the influence of each user in each replicate.

Sums, differences, products and quotients of estimates are estimates, to first order in the means
(the delta method). So a retention, an excess over a baseline, or an area has a variance, as a mean
has.
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
        value: the number; NaN if not defined.
        influence: (R, U), the contribution of each user in each replicate to the deviation from
            the population value; the sum is 0. NaN if a replicate does not test a user. U is 1 if
            values of users are not known.

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
        """Return a result with slope `mine` in this estimate and `its` in the other."""
        influence = mine * self.influence
        if isinstance(other, Estimate):
            influence = _added(influence, its * other.influence)
        return Estimate(value, influence)

    @property
    def n_replicates(self) -> int:
        """The number of replicates, R."""
        return int(self.influence.shape[0])

    @property
    def n_users(self) -> int:
        """The number of users, U; 1 if single users are not known."""
        return int(self.influence.shape[1])

    @cached_property
    def variance(self) -> Variance:
        """The variance over users and replicates."""
        return variance(self.influence)

    @cached_property
    def interval(self) -> Interval:
        """The 95% interval."""
        return self.variance.interval(self.value)


def _value(number: Estimate | float) -> float:
    return number.value if isinstance(number, Estimate) else float(number)


def _added(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add influence values; users tested by only one of both contribute with that one."""
    plain = one + other
    if not np.isnan(plain).any():
        return plain
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
    """The values of a loss at one point in each replicate.

    Attributes:
        replicates: the numbers of the replicates, ascending.
        means: (R,), the recorded values.
        weights: (R, U), the weight of each user, of sum 1 in a replicate; NaN if a replicate does
            not test a user.
        deviations: (R, U), each user's difference from the mean of the replicate. If values of
            users are not known, there is one user of weight 1 and deviation 0.

    """

    replicates: Replicates
    means: NDArray[np.float64]
    weights: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def estimate(self, replicates: Replicates) -> Estimate:
        """Return the mean over some replicates, which must all exist."""
        rows = [self.replicates.index(one) for one in replicates]
        if not rows:
            return Estimate(float("nan"), np.full((1, 1), np.nan))
        means = self.means[rows]
        mean = float(means.mean())
        moved = self.deviations[rows] + (means - mean)[:, None]
        return Estimate(mean, self.weights[rows] * moved / len(rows))


def in_common(values: Sequence[Values]) -> Replicates:
    """Return the replicates that all values have."""
    first = values[0].replicates
    if all(one.replicates == first for one in values):
        return first
    return tuple(sorted(set(first).intersection(*(one.replicates for one in values[1:]))))


def estimates(*values: Values) -> list[Estimate]:
    """Return the mean of each, over their common replicates."""
    replicates = in_common(values)
    return [one.estimate(replicates) for one in values]
