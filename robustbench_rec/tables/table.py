"""A table: rows of entries in blocks, what it is of, and what is to be said below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Key = tuple[str, ...]
Mark = Literal["", "best", "second"]
ABSENT = "–"
"""What stands where there is no value."""


@dataclass(frozen=True)
class Entry:
    """One cell of a table.

    Attributes:
        text: as it is printed, without any markup.
        value: the number in full, which CSV has in the place of the text; None where there is none.
        mark: whether it is the best or the second of what it is held against.

    """

    text: str
    value: float | None = None
    mark: Mark = ""


NOTHING = Entry(ABSENT)


def number(value: float | None, digits: int = 4) -> Entry:
    """Return a number with so many digits behind the point; `NOTHING` where it is not known."""
    if value is None or value != value:
        return NOTHING
    return Entry(f"{value:.{digits}f}", value)


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

    """

    title: str
    head: Key
    columns: Sequence[Key]
    rows: Mapping[Key, Mapping[Key, Entry]]
    notes: Sequence[str] = ()
    of: Mapping[str, str] = field(default_factory=dict)

    @property
    def caption(self) -> str:
        """The title and the notes, as one paragraph."""
        return " ".join([f"{self.title}.", *self.notes])

    def entry(self, row: Key, column: Key) -> Entry:
        """Return what stands in a row and a column."""
        return self.rows[row].get(column, NOTHING)
