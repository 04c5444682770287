"""Verdicts: whether differences exist, are negligible, or are undecided, in families of tests.

All verdicts of one command are one family: their p values are adjusted by Holm, so that the
probability of any false "higher", "lower" or "equivalent" is at most `ALPHA`.
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
"""Default region: differences below this share of the reference's clean value count as none."""
MOST_REPLICATES, EVER = 200, 10**6
"""Largest number of replicates to suggest; and a number after which only users matter."""
SOME_USERS = "more users; more replicates would not decide"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a difference.

    Attributes:
        word: "higher", "lower", "equivalent" or "undecided".
        p: the p value of no difference, adjusted by Holm within the family.
        p_equivalent: the p value of a difference beyond the region, adjusted too.
        equal_within: the smallest region, as a share of the scale, within which the two would be
            called equivalent, without adjustment.
        decides: what would decide an undecided difference; otherwise "".

    """

    word: str
    p: float
    p_equivalent: float
    equal_within: float
    decides: str


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Return p values adjusted by Holm (1979); NaN counts as 1."""
    raw = np.nan_to_num(np.asarray(p, dtype=np.float64), nan=1.0)
    order = np.argsort(raw, kind="stable")
    steps = np.maximum.accumulate(raw[order] * (raw.size - np.arange(raw.size)))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def judged(
    differences: Sequence[Estimate], scales: Sequence[float], region: float = REGION
) -> list[Verdict]:
    """Return the verdict on each difference of a family.

    A difference is tested twice: by a t test against 0, and by two one-sided t tests against both
    ends of the region (Schuirmann, 1987). If both are significant, the verdict is "equivalent": the
    difference exists, but is too small to matter.

    Args:
        differences: loss minus reference.
        scales: for each difference, the reference's clean value.
        region: the region of equivalence, as a share of the scale.

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
    """Return the two-sided p value of no difference; NaN if no spread is known."""
    return _different(difference.value, difference.variance)


def _different(value: float, spread: Variance) -> float:
    return 1.0 if value == 0 else 2 * spread.tail(abs(value))


def p_equivalent(difference: Estimate, margin: float) -> float:
    """Return the greater p value of two one-sided tests of a difference beyond +-margin.

    It is NaN if the margin is 0, as for a reference of 0.
    """
    if not margin > 0:
        return float("nan")
    if difference.value == 0 and difference.variance.total == 0:
        return 0.0
    return difference.variance.tail(margin - abs(difference.value))


def p_beyond(difference: Estimate, margin: float) -> float:
    """Return the p value of a difference of at most a margin, on the side of the difference."""
    return difference.variance.tail(abs(difference.value) - margin)


def smallest_region(difference: Estimate) -> float:
    """Return the margin at which `p_equivalent` would be 5%, without adjustment."""
    return abs(difference.value) + difference.variance.reach(ALPHA)


def what_decides(difference: Estimate, margin: float, family: int) -> str:
    """Say how many replicates would decide, if the difference and its spread stay the same.

    With A, B, E the parts of `two_way.Variance` and R replicates, R' of them have the parts
    max(A - E, 0) + E R / R', B R / R' and E R / R'. The number of users does not change, and the
    p value is adjusted as if it were the smallest of the family.
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
