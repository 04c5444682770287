"""Verdicts: whether a difference is there, is negligible, or is not decided, many at a time.

All verdicts that one command prints are one family: their p values are adjusted by Holm, so that
the chance of any false "higher", "lower" or "equivalent" among them is at most `ALPHA`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.analysis.estimate import Estimate
from robustbench_rec.analysis.two_way import LEAST, Variance

ALPHA = 0.05
REGION = 0.02
"""A difference below this share of the reference's clean value counts as none."""
MOST_REPLICATES, EVER = 200, 10**6
"""Beyond so many replicates nobody goes, and more than the other number leave users alone."""
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
    return _different(difference.value, difference.variance)


def _different(value: float, spread: Variance) -> float:
    return 1.0 if value == 0 else 2 * spread.tail(abs(value))


def p_equivalent(difference: Estimate, margin: float) -> float:
    """Return the greater p value of two one-sided tests of a difference beyond +-margin.

    It is NaN where there is no margin, as beside a reference of 0.
    """
    if not margin > 0:
        return float("nan")
    if difference.value == 0 and difference.variance.total == 0:
        return 0.0
    return difference.variance.tail(margin - abs(difference.value))


def p_beyond(difference: Estimate, margin: float) -> float:
    """Return the p value of a difference that is at most a margin, on the side where it lies."""
    return difference.variance.tail(abs(difference.value) - margin)


def smallest_region(difference: Estimate) -> float:
    """Return the margin at which `p_equivalent` would be 5%, one at a time."""
    return abs(difference.value) + difference.variance.reach(ALPHA)


def what_decides(difference: Estimate, margin: float, family: int) -> str:
    """Say how many replicates would decide, if the difference and its spread stay as they are.

    With A, B, E the parts of `two_way.Variance` and R replicates, R' of them have the parts
    max(A - E, 0) + E R / R', B R / R' and E R / R'. Users stay as many as they are, and the
    difference counts as if its p value were the least of the family.
    """
    parts = difference.variance
    if np.isnan(difference.value):
        return "not defined: a clean value may be 0"
    if parts.total == 0:
        return "no spread to judge by"
    if np.isnan(parts.total) or np.isnan(parts.of_replicates):
        return f"{LEAST} replicates at least, to see their spread"

    def decided(n: int) -> bool:
        spread = parts.with_replicates(n)
        p = min(_different(difference.value, spread), spread.tail(margin - abs(difference.value)))
        return p * family <= ALPHA

    if not decided(MOST_REPLICATES):
        return SOME_USERS if not decided(EVER) else f"more than {MOST_REPLICATES} replicates"
    numbers = range(parts.n_replicates + 1, MOST_REPLICATES + 1)
    needed = numbers[bisect_left(numbers, True, key=decided)]
    return f"about {needed} replicates"
