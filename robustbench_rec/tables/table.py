"""A table: rows of entries in blocks, its context, and the notes below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

Key = tuple[str, ...]
Mark = Literal["", "best", "second"]
Ends = tuple[float, float]
ABSENT = "–"
"""The entry without a value."""


@dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Attributes:
        text: the printed text, without markup.
        value: the number in full, which CSV prints in place of the text; None if there is none.
        mark: whether it is the best or the second in its comparison.
        ends: the ends of the value's interval in full, for CSV; None if there is no interval.
        interval: the interval printed beside the text, without a mark.

    """

    text: str
    value: float | None = None
    mark: Mark = ""
    ends: Ends | None = None
    interval: str = ""


NOTHING = Entry(ABSENT)


def number(value: float | None, digits: int = 4, ends: Ends | None = None) -> Entry:
    """Return a number with so many digits after the point; `NOTHING` if it is not known.

    Args:
        value: the number.
        digits: digits after the point, also of the ends.
        ends: the ends of its interval; NaN if there is none.

    """
    if value is None or value != value:
        return NOTHING
    if ends is None or not all(map(isfinite, ends)):
        return Entry(f"{value:.{digits}f}", value)
    low, high = (f"{end:.{digits}f}" for end in ends)
    return Entry(f"{value:.{digits}f}", value, ends=ends, interval=f"[{low}, {high}]")


def whole(value: float) -> Entry:
    """Return a whole number with thousands separators."""
    return Entry(f"{value:,.0f}", value)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: the title, without a full stop.
        head: the headings of the parts of a row's key. All parts but the last name the row's block.
        columns: keys of the columns, of one or two parts each, in order.
        rows: key of a row -> key of a column -> its entry; other cells are empty.
        notes: sentences below the table, each with its full stop.
        of: properties common to all entries, name -> value; CSV has a column for each.
        names: part of a key -> its printed name; CSV keeps the part itself.

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
        """Return a key with its printed names."""
        return tuple(self.names.get(part, part) for part in key)

    def entry(self, row: Key, column: Key) -> Entry:
        """Return the entry of a row and a column."""
        return self.rows[row].get(column, NOTHING)
