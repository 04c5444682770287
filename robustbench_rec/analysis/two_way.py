"""Variance of an estimate over users and replicates at once.

Every replicate ranks for the same users, so values are crossed: a user who is easy is easy in all
replicates, and a lucky split is lucky for all users. Neither the spread of replicates nor that of
users says alone how far an estimate would move with other users and other splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Of every interval."""
LEAST = 3
"""Replicates that an interval needs which knows of no users: the one of two is 13 standard errors
wide on each side."""
SWEEPS = 50
"""Most alternations between users' and replicates' means until both are 0."""
SETTLED = 1e-9
"""What their greatest move may still be, relative to the spread."""


class Interval(NamedTuple):
    """Both ends of a confidence interval, NaN where there is none."""

    low: float
    high: float


@dataclass(frozen=True)
class Variance:
    """The variance of an estimate, and what it is made of.

    Attributes:
        of_users, of_replicates, of_both: U/(U-1) sum_u (sum_r psi)^2, R/(R-1) sum_r (sum_u psi)^2,
            and what both count of the rest. NaN where they cannot be known, as `of_users` of one.
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

        Where one part is not known it is the other; NaN where replicates alone are known, and are
        fewer than `LEAST`.
        """
        users, replicates = self.of_users, self.of_replicates
        if np.isnan(users):
            return replicates if self.n_replicates >= LEAST else float("nan")
        if np.isnan(replicates):
            return users
        return max(users, replicates, users + replicates - self.of_both)

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom of `total`; infinite where it is 0."""
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
        """The root of `total`."""
        return float(np.sqrt(self.total))

    def interval(self, value: float, level: float = LEVEL) -> Interval:
        """Return the interval of an estimate that has this variance: Student's t with `df`."""
        from scipy.special import stdtrit

        if self.total == 0:
            return Interval(value, value)
        half = float(stdtrit(self.df, (1 + level) / 2)) * self.standard_error
        return Interval(value - half, value + half)


def variance(psi: NDArray[np.float64]) -> Variance:
    """Return the variance of an estimate over users and replicates.

    With z = U R psi of values that all users have in all replicates it is the two-way analysis of
    variance, V = (MS_U + MS_R - MS_E) / (U R), and never below what users or replicates alone give.
    Where users are missing in some replicates, the sums of users and of replicates are the
    two-way clustered variance (Cameron, Gelbach and Miller, 2011), and the rest is what is left of
    psi without both effects, so that the two forms are one.

    Args:
        psi: (R, U), what each user in each replicate adds to the estimate's deviation from its
            mean, so that the sum of all is 0; NaN where a replicate does not test a user.

    """
    held = ~np.isnan(psi)
    some = np.ix_(held.any(axis=1), held.any(axis=0))
    held, psi = held[some], psi[some]
    n_replicates, n_users = psi.shape
    if not psi.size:
        return Variance(float("nan"), float("nan"), 0.0, n_users, n_replicates)
    filled = np.where(held, psi, 0.0)
    return Variance(
        of_users=_clustered(filled.sum(axis=0)),
        of_replicates=_clustered(filled.sum(axis=1)),
        of_both=_rest(filled, held),
        n_users=n_users,
        n_replicates=n_replicates,
    )


def _clustered(sums: NDArray[np.float64]) -> float:
    """Return n/(n-1) times the sum of squares of clusters; NaN of one, of which none is known."""
    n = sums.size
    return float(n / (n - 1) * (sums @ sums)) if n > 1 else float("nan")


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
