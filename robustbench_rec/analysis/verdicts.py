"""Verdicts: whether a difference is there, is negligible, or is not decided, many at a time.

All verdicts that one command prints are one family: their p values are adjusted by Holm, so that
the chance of any false "higher", "lower" or "equivalent" among them is at most `ALPHA`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.analysis.estimate import Estimate
from robustbench_rec.analysis.two_way import LEAST

ALPHA = 0.05
REGION = 0.02
"""A difference below this share of the reference's clean value counts as none."""
MOST_REPLICATES = 200
"""Beyond so many replicates nobody goes."""
SOME_USERS = "no number of replicates: users decide; more data"


@dataclass(frozen=True)
class Verdict:
    """What is said of a difference.

    Attributes:
        word: "higher", "lower", "equivalent" or "undecided".
        p: of no difference, adjusted by Holm within the family.
        p_equivalent: of a difference beyond the region, likewise.
        equal_within: the smallest region, as a share of the scale, within which the two would be
            called equivalent, one at a time.
        decides: what would decide an undecided one; else "".

    """

    word: str
    p: float
    p_equivalent: float
    equal_within: float
    decides: str


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Return p values adjusted by Holm (1979); one that is NaN counts as 1."""
    raw = np.nan_to_num(np.asarray(p, dtype=np.float64), nan=1.0)
    order = np.argsort(raw, kind="stable")
    steps = np.maximum.accumulate(raw[order] * (raw.size - np.arange(raw.size)))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def judged(
    differences: Sequence[Estimate], scales: Sequence[float], region: float = REGION
) -> list[Verdict]:
    """Say of each difference of a family what it comes to.

    A difference is judged twice, by a t test against none, and by two one-sided t tests against
    both ends of the region (Schuirmann, 1987). Equivalence wins where both are significant: the
    difference is then there, and too small to matter.

    Args:
        differences: of a loss less its reference.
        scales: the reference's clean value, of which `region` is a share; of each difference.
        region: a share.

    """
    raw = [p_different(one) for one in differences]
    margins = [region * abs(scale) for scale in scales]
    pairs = zip(differences, margins, strict=True)
    raw += [p_equivalent(one, margin) for one, margin in pairs]
    adjusted = holm(raw)
    n = len(differences)
    return [
        Verdict(
            word := _word(one, adjusted[at], adjusted[n + at]),
            float(adjusted[at]),
            float(adjusted[n + at]),
            smallest_region(one) / abs(scales[at]) if scales[at] else float("nan"),
            what_decides(one, margins[at], 2 * n) if word == "undecided" else "",
        )
        for at, one in enumerate(differences)
    ]


def _word(difference: Estimate, p: float, p_equivalent: float) -> str:
    if p_equivalent <= ALPHA:
        return "equivalent"
    if p <= ALPHA:
        return "higher" if difference.value > 0 else "lower"
    return "undecided"


def p_different(difference: Estimate) -> float:
    """Return the two-sided p value of no difference; NaN where no spread is known."""
    if difference.value == 0:
        return 1.0
    return 2 * _tail(abs(difference.value), difference)


def p_equivalent(difference: Estimate, margin: float) -> float:
    """Return the greater p value of two one-sided tests of a difference beyond +-margin."""
    if difference.value == 0 and difference.variance.total == 0:
        return 0.0
    return _tail(margin - abs(difference.value), difference)


def _tail(distance: float, difference: Estimate) -> float:
    """Return the chance of more than a distance, in Student's t with the difference's df."""
    from scipy.special import stdtr

    error = difference.variance.standard_error
    if not error > 0:
        return float("nan")  # no spread to judge by
    return float(stdtr(difference.variance.df, -distance / error))


def smallest_region(difference: Estimate) -> float:
    """Return the margin at which two one-sided tests of 5% each would hold."""
    interval = difference.variance.interval(difference.value, 1 - 2 * ALPHA)
    return max(abs(interval.low), abs(interval.high))


def what_decides(difference: Estimate, margin: float, family: int) -> str:
    """Say how many replicates would decide, if the difference and its spread stay as they are.

    With A, B, E the parts of `two_way.Variance` and R replicates, R' of them have the variance
    max(A - E, 0) + (max(B - E, 0) + E) R / R'. Users stay as many as they are.
    """
    from scipy.special import ndtri

    parts = difference.variance
    if np.isnan(parts.total) or np.isnan(parts.of_replicates):
        return f"{LEAST} replicates at least, to see their spread"
    n = parts.n_replicates
    of_users = 0.0 if np.isnan(parts.of_users) else max(parts.of_users - parts.of_both, 0.0)
    of_replicates = max(parts.of_replicates - parts.of_both, 0.0) + parts.of_both
    size = abs(difference.value)
    two_sided, one_sided = (-float(ndtri(ALPHA / family / sides)) for sides in (2, 1))
    reach = max(size / two_sided, (margin - size) / one_sided)
    if reach**2 <= of_users:
        return SOME_USERS
    needed = int(np.ceil(n * of_replicates / (reach**2 - of_users)))
    if needed > MOST_REPLICATES:
        return f"more than {MOST_REPLICATES} replicates"
    return f"about {max(needed, n + 1)} replicates"
