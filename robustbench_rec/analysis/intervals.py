"""Intervals in words: their coverage, and the users and replicates they are over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from robustbench_rec.analysis.two_way import LEAST

REPLICATES = {
    "split": "splits of this data set",
    "validation": "validation draws beside one test",
    "training": "seeds of one split",
}
"""Description of replicates, by what differs between them."""
UNKNOWN = "replicates"


def replicates_on(datasets: pd.Series[str], frame: pd.DataFrame) -> pd.Series[str]:
    """Return the description of the replicates in a frame of results, by data set."""
    if "replicates_vary" not in frame:
        return pd.Series(UNKNOWN, index=datasets.index)
    return datasets.map(frame.groupby("dataset")["replicates_vary"].first()).map(REPLICATES)


def interval_text(
    n: int, most: int | None = None, called: str = UNKNOWN, users: bool = True
) -> str:
    """Describe the interval over n replicates, or over n to `most` of them.

    Args:
        n: the number of replicates.
        most: the largest number, if it varies.
        called: the description of replicates; see `REPLICATES`.
        users: whether values of users are known.

    """
    over = f"{n} {called}" if most in (None, n) else f"{n} to {most} {called}"
    if n == 0:
        return "no replicate"
    if n == 1:
        return "95% over users only, one replicate" if users else "one replicate, no interval"
    if not users:
        return f"95% over {over}" if n >= LEAST else f"{over}, no interval"
    covers = "95%" if n >= LEAST else "about 92%"
    return f"{covers} over users and {over}, settings fixed"


def intervals_text(counts: Iterable[int], called: str = UNKNOWN, users: bool = True) -> str:
    """Describe the intervals over various numbers of replicates, the most common first."""
    found = Counter(counts)
    kinds: dict[int, list[int]] = {}
    for n in sorted(found):
        kinds.setdefault(min(n, LEAST), []).append(n)
    common = sorted(kinds.values(), key=lambda kind: -sum(found[n] for n in kind))
    return "; ".join(interval_text(kind[0], kind[-1], called, users) for kind in common)
