"""Variance of an estimate over users and replicates at once.

Every replicate tests the same users, so values are crossed: an easy user is easy in all replicates,
and a lucky split is lucky for all users. Neither the spread over replicates nor that over users
alone is the uncertainty of an estimate for other users and other splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Confidence of every interval."""
LEAST = 3
"""Least replicates of an interval without users: with two it is 13 standard errors wide on each
side."""
LOGS = (-36.0, -3.0, -0.1, 0.0)
"""Logarithms of probabilities that bound the pieces of the mean; t's tail is exact to 4e-7."""
HALVINGS = 40
"""Relative tolerance of a distance."""
SMALL = 1e-4
"""If users have a smaller share of the variance, its uncertainty does not matter."""
SWEEPS = 50
"""Largest number of alternations between users' and replicates' means until both are 0."""
SETTLED = 1e-9
"""Tolerance of their largest change, relative to the spread."""


class Interval(NamedTuple):
    """Both ends of a confidence interval, NaN if there is none."""

    low: float
    high: float


@dataclass(frozen=True)
class Variance:
    """The variance of an estimate, and its parts.

    Attributes:
        of_users, of_replicates, of_both: U/(U-1) sum_u (sum_r psi)^2, R/(R-1) sum_r (sum_u psi)^2,
            and the residual part in both. NaN if unknown, such as `of_users` of one user.
        n_users, n_replicates: U, R.

    """

    of_users: float
    of_replicates: float
    of_both: float
    n_users: int
    n_replicates: int

    @property
    def total(self) -> float:
        """V = max(of_users + of_replicates - of_both, of_users, of_replicates).

        If one part is not known it is the other; NaN if only replicates are known and are fewer
        than `LEAST`.
        """
        users, replicates = self.of_users, self.of_replicates
        if np.isnan(users):
            return replicates if self.n_replicates >= LEAST else float("nan")
        if np.isnan(replicates):
            return users
        return max(users, replicates, users + replicates - self.of_both)

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom of `total`; infinite if it is 0."""
        n_users, n_replicates = self.n_users - 1, self.n_replicates - 1
        spent = 0.0
        for part, df in (
            (self.of_users, n_users),
            (self.of_replicates, n_replicates),
            (self.of_both, n_users * n_replicates),
        ):
            if df and not np.isnan(part):
                spent += part**2 / df
        if np.isnan(self.total):
            return float("nan")
        return self.total**2 / spent if spent else float("inf")

    @property
    def standard_error(self) -> float:
        """The square root of `total`."""
        return float(np.sqrt(self.total))

    def with_replicates(self, n: int) -> Variance:
        """Return this variance for n replicates with the same spread."""
        share = self.n_replicates / n
        of_both = self.of_both * share
        of_users = float(np.maximum(self.of_users - self.of_both, 0.0)) + of_both  # NaN stays
        return Variance(of_users, self.of_replicates * share, of_both, self.n_users, n)

    def tail(self, distance: float) -> float:
        """Return the probability that chance moves an estimate up by more than a distance.

        The variance over few replicates is uncertain, so this is the mean over its distribution, as
        in the Behrens-Fisher test: of_replicates (R - 1) / x, x chi-squared with R - 1 degrees of
        freedom. If all spread is over replicates it is Student's t with R - 1 degrees of freedom,
        if all is over users with U - 1. Satterthwaite's degrees of freedom are too optimistic far
        in the tail, where the p values of large families are. NaN if no spread is known.
        """
        from scipy.special import ndtr, stdtr

        if not self.total > 0:
            return float("nan")
        if distance < 0:
            return 1 - self.tail(-distance)
        if np.isnan(self.of_replicates):
            return float(stdtr(self.n_users - 1, -distance / self.standard_error))
        factors, shares = _factors(self.n_replicates - 1)
        of_replicates = self.of_replicates * factors
        if np.isnan(self.of_users):
            return float(shares @ ndtr(-distance / np.sqrt(of_replicates)))
        more = max(self.of_users - self.of_both, 0.0) + of_replicates
        spread = np.maximum(self.of_users, more)
        share = np.maximum(self.of_users / spread, SMALL)
        errors, users_df = np.sqrt(spread), (self.n_users - 1) / share**2
        return float(shares @ stdtr(users_df, -distance / errors))

    def reach(self, chance: float) -> float:
        """Return the distance, at least 0, whose `tail` is a probability of at most one half."""
        if not self.total > 0:
            return self.total  # 0, or NaN
        low, high = 0.0, self.standard_error
        while self.tail(high) > chance:
            low, high = high, 2 * high
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.tail(middle) > chance else (low, middle)
        return high

    def interval(self, value: float, level: float = LEVEL) -> Interval:
        """Return the interval of an estimate with this variance: Student's t with `df`."""
        from scipy.special import stdtrit

        if self.total == 0:
            return Interval(value, value)
        half = float(stdtrit(self.df, (1 + level) / 2)) * self.standard_error
        return Interval(value - half, value + half)


@cache
def _factors(df: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return possible factors of a variance known with df, and the probability of each.

    The factors are df / x at quantiles of x, chi-squared, most of them near 0: Gauss-Legendre nodes
    in the logarithm of the probability, in pieces between `LOGS`.
    """
    from scipy.special import gammaincinv

    nodes, weights = np.polynomial.legendre.leggauss(64)
    logs, shares = [], []
    for low, high in pairwise(LOGS):
        logs.append(low + (high - low) * (nodes + 1) / 2)
        shares.append((high - low) * weights / 2)
    chances = np.exp(np.concatenate(logs))
    factors = df / 2 / gammaincinv(df / 2, chances)
    return np.asarray(factors, np.float64), np.asarray(chances * np.concatenate(shares), np.float64)


def variance(psi: NDArray[np.float64]) -> Variance:
    """Return the variance of an estimate over users and replicates.

    If all users have values in all replicates, with z = U R psi, it is the two-way analysis of
    variance, V = (MS_U + MS_R - MS_E) / (U R), but at least the variance of users or replicates
    alone. If users are missing in some replicates, the sums over users and over replicates are
    those of the two-way clustered variance (Cameron, Gelbach and Miller, 2011), and the residual is
    psi without both effects; for complete data both forms are equal.

    Args:
        psi: (R, U), the contribution of each user in each replicate to the estimate's deviation
            from its mean, of sum 0; NaN if a replicate does not test a user.

    """
    held = ~np.isnan(psi)
    if is_whole := bool(held.all()):
        filled = psi
    else:
        some = np.ix_(held.any(axis=1), held.any(axis=0))
        held = held[some]
        filled = np.where(held, psi[some], 0.0)
    n_replicates, n_users = filled.shape
    if not filled.size:
        return Variance(float("nan"), float("nan"), 0.0, n_users, n_replicates)
    return Variance(
        of_users=_clustered(filled.sum(axis=0)),
        of_replicates=_clustered(filled.sum(axis=1)),
        of_both=_rest_of_whole(filled) if is_whole else _rest(filled, held),
        n_users=n_users,
        n_replicates=n_replicates,
    )


def _clustered(sums: NDArray[np.float64]) -> float:
    """Return n/(n-1) times the sum of squares of clusters; NaN for a single cluster."""
    n = sums.size
    return float(n / (n - 1) * (sums @ sums)) if n > 1 else float("nan")


def _rest_of_whole(psi: NDArray[np.float64]) -> float:
    """Return as `_rest`, where no value is missing: both effects are then known at once."""
    n_replicates, n_users = psi.shape
    df = (n_replicates - 1) * (n_users - 1)
    if df < 1:
        return 0.0
    rest = psi - psi.sum(axis=0) / n_replicates
    rest -= (rest.sum(axis=1) / n_users)[:, None]
    return float(psi.size * np.vdot(rest, rest) / df)


def _rest(psi: NDArray[np.float64], held: NDArray[np.bool_]) -> float:
    """Return n times the mean square of psi without the effects of users and of replicates."""
    n_replicates, n_users = psi.shape
    n = int(held.sum())
    df = n - n_users - n_replicates + 1
    if df < 1:
        return 0.0
    rest: NDArray[np.float64] = psi.copy()
    counts = [held.sum(axis=axis, keepdims=True) for axis in (0, 1)]
    tiny = SETTLED * float(np.abs(psi).max())
    for _ in range(SWEEPS):
        moved = 0.0
        for axis, count in enumerate(counts):
            means = rest.sum(axis=axis, keepdims=True) / count
            rest = np.where(held, rest - means, 0.0)
            moved = max(moved, float(np.abs(means).max()))
        if moved <= tiny:
            break
    return float(n * np.square(rest).sum() / df)
