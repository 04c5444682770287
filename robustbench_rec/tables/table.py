"""A table: rows of entries in blocks, what it is of, and what is to be said below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

Key = tuple[str, ...]
Mark = Literal["", "best", "second"]
Ends = tuple[float, float]
ABSENT = "–"
"""What stands where there is no value."""


@dataclass(frozen=True)
class Entry:
    """One cell of a table.

    Attributes:
        text: as it is printed, without any markup.
        value: the number in full, which CSV has in the place of the text; None where there is none.
        mark: whether it is the best or the second of what it is held against.
        ends: the ends of the value's interval in full, for CSV; None where there is no interval.
        interval: the interval as it is printed beside the text, without a mark.

    """

    text: str
    value: float | None = None
    mark: Mark = ""
    ends: Ends | None = None
    interval: str = ""


NOTHING = Entry(ABSENT)


def number(value: float | None, digits: int = 4, ends: Ends | None = None) -> Entry:
    """Return a number with so many digits behind the point; `NOTHING` where it is not known.

    Args:
        value: the number.
        digits: behind the point, of the ends too.
        ends: of its interval; NaN where it has none.

    """
    if value is None or value != value:
        return NOTHING
    if ends is None or not all(map(isfinite, ends)):
        return Entry(f"{value:.{digits}f}", value)
    low, high = (f"{end:.{digits}f}" for end in ends)
    return Entry(f"{value:.{digits}f}", value, ends=ends, interval=f"[{low}, {high}]")


def whole(value: float) -> Entry:
    """Return a whole number, its thousands apart."""
    return Entry(f"{value:,.0f}", value)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: what it shows, without a full stop.
        head: what the parts of a row's key are called. A row's first parts, all but the last, tell
            the block that it stands in.
        columns: keys of the columns, of one or two parts each, in order.
        rows: key of a row -> key of a column -> what stands there; elsewhere there is nothing.
        notes: sentences that belong to it, each with its full stop.
        of: what is the same in all of it, name -> value; CSV says it in columns.
        names: part of a key -> what is printed in its place; CSV keeps the part itself.

    """

    title: str
    head: Key
    columns: Sequence[Key]
    rows: Mapping[Key, Mapping[Key, Entry]]
    notes: Sequence[str] = ()
    of: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def caption(self) -> str:
        """The title and the notes, as one paragraph."""
        return " ".join([f"{self.title}.", *self.notes])

    def called(self, key: Key) -> Key:
        """Return a key as it is printed."""
        return tuple(self.names.get(part, part) for part in key)

    def entry(self, row: Key, column: Key) -> Entry:
        """Return what stands in a row and a column."""
        return self.rows[row].get(column, NOTHING)
