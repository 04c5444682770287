"""Losses side by side: the best and the second of each column, the improvement, and its test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from robustbench_rec.analysis.estimate import Estimate, Values, estimates
from robustbench_rec.analysis.verdicts import holm, p_different
from robustbench_rec.errors import counted
from robustbench_rec.tables.table import Ends, Entry, Key, Mark, number

FEWER = "†"
FEWER_NOTE = f"{FEWER}: over fewer replicates than another loss of its block, and not ranked."
MARKS_NOTE = "Best of a block in bold, second underlined; baselines are not ranked."
NO_MARKS_NOTE = "Nothing is marked: no block has two losses that can be ranked."
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
MARKS: tuple[Mark, Mark] = ("best", "second")
Place = tuple[str, Key]
"""Block and key of a column."""


@dataclass(frozen=True)
class Height:
    """The result of a loss: mean, number of replicates, and the ends of an interval to show."""

    value: float
    replicates: int
    ends: Ends | None = None


def ranked(heights: Mapping[str, Height]) -> list[str]:
    """Return the losses of a block that can be ranked, the best first.

    A loss with fewer replicates than another one saw other data, so it cannot be ranked.
    """
    known = {loss: one for loss, one in heights.items() if one.value == one.value}
    most = max((one.replicates for one in known.values()), default=0)
    whole = [loss for loss, one in known.items() if one.replicates == most]
    return sorted(whole, key=lambda loss: -known[loss].value)


def marked(
    heights: Mapping[str, Height], has_best: bool = True, digits: int = 4
) -> dict[str, Entry]:
    """Return the entries of a block in one column, with the best and the second marked.

    Args:
        heights: loss -> its result.
        has_best: whether more is better; otherwise nothing is marked.
        digits: digits after the point.

    """
    order = ranked(heights)
    best = dict.fromkeys(_rounded(heights[loss]) for loss in order)  # equal ones share a mark
    marks = dict(zip(best, MARKS, strict=False)) if has_best and len(order) > 1 else {}
    found = {}
    for loss, one in heights.items():
        entry = number(one.value, digits, one.ends)
        if loss in order:
            found[loss] = replace(entry, mark=marks.get(_rounded(one), ""))
        else:
            fewer = FEWER if one.value == one.value else ""
            found[loss] = replace(entry, text=f"{entry.text}{fewer}")
    return found


def _rounded(height: Height) -> float:
    """Return a value without its last bits, which may differ between equal results."""
    return round(height.value, 12)


@dataclass(frozen=True)
class Column:
    """The results of the losses of one block, in one column of a table.

    Attributes:
        values: the values of each trained loss that has any.
        has_best: whether more is better.

    """

    values: Mapping[str, Values]
    has_best: bool = True

    @property
    def heights(self) -> dict[str, Height]:
        """The mean of each loss."""
        return {
            loss: Height(float(one.means.mean()), len(one.replicates))
            for loss, one in self.values.items()
        }

    @cached_property
    def order(self) -> list[str]:
        """The losses that are ranked, the best first; empty if no loss can be the best."""
        return ranked(self.heights) if self.has_best else []

    @property
    def most(self) -> int:
        """The largest number of replicates of any loss."""
        return max((len(one.replicates) for one in self.values.values()), default=0)

    @property
    def lead(self) -> Estimate | None:
        """The difference between the best and the second loss; None if it cannot be tested."""
        if len(self.order) < 2:
            return None
        best, second = estimates(*(self.values[loss] for loss in self.order[:2]))
        return best - second if best.n_replicates > 1 else None

    def improvement(self, ours: str | None) -> float | None:
        """Return the relative improvement of a loss over the best other loss; None if not known.

        Args:
            ours: the loss; None for the best.

        """
        chosen = ours if ours is not None or not self.order else self.order[0]
        rivals = [loss for loss in self.order if loss != chosen]
        if chosen not in self.order or not rivals:
            return None
        rival = self.heights[rivals[0]].value
        return self.heights[chosen].value / rival - 1 if rival else None


class Compared:
    """All columns of all blocks of a table.

    Args:
        columns: (block, column) -> its results.
        ours: label of the loss whose improvement is shown; None for the best of each column.

    """

    def __init__(self, columns: Mapping[Place, Column], ours: str | None = None) -> None:
        self.columns = columns
        self.ours = ours

    @cached_property
    def _adjusted(self) -> dict[Place, float]:
        """The p value of each tested lead, adjusted by Holm over all of them."""
        leads = {place: lead for place, one in self.columns.items() if (lead := one.lead)}
        raw = {place: p_different(lead) for place, lead in leads.items()}
        known = {place: p for place, p in raw.items() if p == p}
        return dict(zip(known, holm(list(known.values())).tolist(), strict=True))

    @cached_property
    def entries(self) -> dict[Place, dict[str, Entry]]:
        """The entry of each loss in each place, with marks and stars."""
        found = {place: marked(one.heights, one.has_best) for place, one in self.columns.items()}
        for place, p in self._adjusted.items():
            best = self.columns[place].order[0]
            stars = next((stars for bound, stars in STARS if p <= bound), "")
            entry = found[place][best]
            found[place][best] = replace(entry, text=f"{entry.text}{stars}")
        return found

    def improvements(self, block: str) -> dict[Key, Entry]:
        """Return the improvement in each column of a block that has one."""
        found = {}
        for (name, key), column in self.columns.items():
            if name == block and (share := column.improvement(self.ours)) is not None:
                found[key] = Entry(f"{share:+.1%}", share)
        return found

    def notes(self, ours: str = "") -> Iterator[str]:
        """Yield notes on marks, improvements and stars.

        Args:
            ours: the name in the table of the loss whose improvement is shown.

        """
        columns = self.columns.values()
        if any(len(one.order) > 1 for one in columns):
            yield MARKS_NOTE
            yield self._improved(ours)
            yield self._tested()
        else:
            yield NO_MARKS_NOTE
        if any(not one.has_best for one in columns):
            yield "Metrics such as coverage have no marks: more is not better."
        if any(len(ranked(one.heights)) < len(one.heights) for one in columns):
            yield FEWER_NOTE

    def _improved(self, ours: str) -> str:
        if any(one.improvement(self.ours) is not None for one in self.columns.values()):
            return f"Improvement: of {ours or 'the best'} over the best other loss."
        return f"No improvement of {ours or 'the best'}: no other loss to compare with."

    def _tested(self) -> str:
        if self._adjusted:
            return (
                "*, **, ***: p ≤ .05, .01, .001 of no difference between the best and the second, "
                "by a paired two-sided t test within users and replicates (replicates alone where "
                "single users are not known), adjusted by Holm over "
                f"{counted(len(self._adjusted), 'test')}."
            )
        if max(one.most for one in self.columns.values()) == 1:
            return "No stars: a test needs more than one replicate."
        return "No stars: too few replicates to test."
