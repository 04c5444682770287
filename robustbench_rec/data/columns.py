"""From the columns of a file to a Table: the roles of columns, and valid values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.components.dataset import Table
from robustbench_rec.data.headers import USUAL, header_at, plain
from robustbench_rec.errors import InputError, nearest
from robustbench_rec.interactions import IntArray

if TYPE_CHECKING:
    from pandas import DataFrame, Series

NUMBERS = ("rating", "timestamp")
"""Optional columns."""

NULLS = ["", "nan", "NaN", "null", "NULL", "<NA>"]
BREAK = re.compile(r"[\r\n\0]")
UNSEEN = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u2060]")
"""Control characters, and characters without width."""
BYTE_ORDER = re.compile("\ufeff|\u00ef\u00bb\u00bf")
"""The byte-order mark of UTF-8, read as such or as latin-1."""
MARKED = "holds a byte-order mark, probably from joining files; delete the mark"
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
INT64 = np.iinfo(np.int64)
WEEK_DATE = re.compile(r"\d{4}-?W\d\d")
"""Start of an ISO week date, which pandas does not read."""
PLACEHOLDERS = {
    *("none", "\\n", "na", "n/a", "#n/a", "nat", "nil"),
    *("undefined", "-", "--", "?", "<null>", "(null)"),
}
"""Placeholders, in lower case, for missing ids among numeric ids."""
LONGEST = 1000
"""Largest length of an id."""

SEQUENCE = "_seq"
"""Ending of RecBole's list types, as in `item_id:token_seq`."""

OFF = "none"
"""The column name that means: do not read."""

Duplicates = Literal["refuse", "first", "last", "max"]


@dataclass(frozen=True)
class Columns:
    """Names of columns; an empty name is found by usual names; ratings and times may be off."""

    user: str = ""
    item: str = ""
    rating: str = ""
    timestamp: str = ""

    def find(self, header: Sequence[str], where: str) -> dict[str, int]:
        """Return the position in `header` of each role; user and item are required.

        RecBole's types, as in `user_id:token`, are ignored.

        Raises:
            InputError: a role without its column, or two roles with one column.

        """
        found = self._found(header, where)
        for one, two in combinations(found, 2):
            if found[one] == found[two]:
                raise InputError(
                    f"{where}: {one} and {two} are both the column {header[found[one]]!r}; "
                    f"name another with {one}_column or {two}_column"
                )
        for role, at in found.items():
            name = header[at].strip()
            if name.endswith(SEQUENCE):
                raise InputError(
                    f"{where}: {role} is the column {name!r}, whose values are lists; write one "
                    "pair per line"
                )
        return found

    def _found(self, header: Sequence[str], where: str) -> dict[str, int]:
        names = [name.strip().partition(":")[0] for name in header]
        found = {field.name: self._position(field.name, names, where) for field in fields(self)}
        for role in ("user", "item"):
            if found[role] is None:
                like_data = any(map(_is_number, names))
                is_data = "it looks like data, so" if like_data else "if it is data,"
                raise InputError(
                    f"{where}: no {role} column in the header {_shown(names)}; "
                    f"expected a column such as {role}_id, or name it with {role}_column; "
                    f'{is_data} set header = false, and user_column = "1", item_column = "2" '
                    "by position"
                )
        return {role: at for role, at in found.items() if at is not None}

    def _position(self, role: str, names: list[str], where: str) -> int | None:
        wanted = getattr(self, role)
        if wanted == OFF and role in NUMBERS:
            return None
        if wanted:
            if names.count(wanted) > 1:
                raise InputError(f"{where} has {names.count(wanted)} columns called {wanted!r}")
            if wanted not in names:
                raise InputError(
                    f"{where} has no column {wanted!r}{nearest(wanted, names)} "
                    f"(its header is {_shown(names)})"
                )
            return names.index(wanted)
        bare = list(map(plain, names))
        usual = next((usual for usual in USUAL[role] if usual in bare), None)
        if usual is None:
            return None
        if bare.count(usual) > 1:
            both = " and ".join(repr(names[at]) for at in range(len(names)) if bare[at] == usual)
            raise InputError(
                f"{where}: {both} may be the {role} column; name it with {role}_column"
            )
        return bare.index(usual)

    def known_in(self, header: Sequence[str]) -> bool:
        """Say whether `header` has a user and an item column."""
        try:
            self._found(header, "")
        except InputError:
            return False
        return True


@dataclass(frozen=True)
class Reading:
    """Options for reading a table.

    Attributes:
        columns: names of columns; without a header, their positions from 1.
        header: whether the first line names the columns.
        duplicates: how to handle a pair on several rows: refuse it, or keep the first or last row
            of the file, or the row with the highest rating.
        needed: the columns, of rating and timestamp, that a setting needs. Other unreadable columns
            are ignored.

    """

    columns: Columns = field(default_factory=Columns)
    header: bool = True
    duplicates: Duplicates = "refuse"
    needed: frozenset[str] = frozenset()

    def needs(self, role: str) -> bool:
        """Say whether a column is required, by a setting or by its name."""
        for_duplicates = role == "rating" and self.duplicates == "max"
        return for_duplicates or role in self.needed or bool(getattr(self.columns, role))


def refuse_numbers(header: Sequence[str], where: str) -> None:
    """Raise InputError if a header line has numbers only."""
    if len(header) > 1 and all(map(_is_number, header)):
        raise InputError(
            f"{where}: its first line {_shown(list(header))} looks like data, not like a "
            'header; set header = false, and user_column = "1", item_column = "2" by position'
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(names: list[str]) -> str:
    text = ", ".join(names)
    return repr(text if len(text) <= 100 else text[:97] + "...")


@dataclass(frozen=True)
class Rows:
    """Names of a file's rows in messages: by line, or by row."""

    where: str
    word: str
    first: int

    @property
    def below_header(self) -> bool:
        """Whether the first line is a header; otherwise columns are named by position."""
        return self.first > 1

    def fault(self, row: int, says: str) -> InputError:
        """Return the error for a row, counted from 0."""
        return InputError(f"{self.where}, {self.word} {self.first + row}: {says}")


def table_of(frame: DataFrame, rows: Rows, how: Reading) -> Table:
    """Check a frame with columns user, item, rating, timestamp; return it as a Table.

    Args:
        frame: its index counts the file's rows from 0; the last two columns may be missing.
        rows: names of rows in messages.
        how: options of reading.

    Raises:
        InputError: no rows, a null, an id that is negative, too long, or holds a newline or NUL, a
            header among data, an invalid number, or a repeated pair; the message names the row.

    """
    if not len(frame):
        raise InputError(f"{rows.where} holds no pairs")
    positions = frame.index.to_numpy()
    users, user_codes = _ids(frame["user"], "user", positions, rows)
    items, item_codes = _ids(frame["item"], "item", positions, rows)
    _refuse_header(frame, users, items, positions, rows, how)
    numbers = {role: _numbers_if_any(frame, role, positions, rows, how) for role in NUMBERS}
    pairs = user_codes * (item_codes.max() + 1) + item_codes
    table = Table(users, items, numbers["rating"], numbers["timestamp"], rows.where)
    if how.duplicates == "refuse":
        _refuse_repeats(pairs, table, positions, rows)
        return table
    return _one_a_pair(table, pairs, how.duplicates)


def _refuse_header(
    frame: DataFrame,
    users: NDArray[Any],
    items: NDArray[Any],
    positions: IntArray,
    rows: Rows,
    how: Reading,
) -> None:
    """Refuse a header among data."""
    named = (how.columns.user, how.columns.item) if rows.below_header else ("", "")
    at = header_at(frame, users, items, named)
    if at is None:
        return
    headless = "delete header = false, or " if positions[at] == 0 and not how.header else ""
    raise rows.fault(
        positions[at],
        f"{users[at][:40]!r} and {items[at][:40]!r} look like a header, not like a user and an "
        f"item; {headless}delete the {rows.word}",
    )


def _ids(
    column: Series[Any], role: str, positions: IntArray, rows: Rows
) -> tuple[NDArray[Any], IntArray]:
    """Return the ids (n,), int64 if all are whole numbers in range, else text; and codes."""
    import pandas as pd

    codes, distinct = column.factorize()
    if (codes < 0).any():
        at = positions[np.argmax(codes < 0)]
        raise rows.fault(at, f"no {role}; expected a user and an item on each {rows.word}")
    texts = [_text(value).strip() for value in distinct]
    for code, text in enumerate(texts):
        if fault := _fault_of(text):
            at = positions[np.argmax(codes == code)]
            raise rows.fault(at, f"{role} id {text[:80]!r} {fault}")
    ids = _numeric_or_text(texts)
    _refuse_placeholders(texts, codes, role, positions, rows)
    if ids.dtype.kind == "i" and (ids < 0).any():
        bad = int(np.argmax(ids < 0))
        at = positions[np.argmax(codes == bad)]
        raise rows.fault(at, f"{role} id {ids[bad]} is negative; ids are text or numbers from 0")
    return ids[codes], pd.factorize(ids)[0][codes].astype(np.int64)


def _refuse_placeholders(
    texts: list[str], codes: IntArray, role: str, positions: IntArray, rows: Rows
) -> None:
    """Raise InputError for placeholders such as None among numeric ids."""
    words = [code for code, text in enumerate(texts) if text.lower() in PLACEHOLDERS]
    others = (text for text in texts if text.lower() not in PLACEHOLDERS)
    if words and len(words) < len(texts) and all(map(WHOLE_NUMBER.fullmatch, others)):
        raise rows.fault(
            positions[np.argmax(codes == words[0])],
            f"{role} id {texts[words[0]]!r} among numbers is a placeholder; delete the {rows.word}",
        )


def _fault_of(text: str) -> str:
    if not text:
        return "is blank"
    if BREAK.search(text):
        return "holds a newline or NUL; see quotes"
    if "\t" in text:
        return "holds a tab; use the same separator in all lines"
    if BYTE_ORDER.search(text):
        return MARKED
    if unseen := UNSEEN.search(text):
        return f"holds an invisible character, U+{ord(unseen[0]):04X}; delete it"
    if len(text) > LONGEST:
        return f"has {len(text)} characters; at most {LONGEST} are allowed"
    return ""


def _numeric_or_text(texts: list[str]) -> NDArray[Any]:
    """Return ids as int64 if all are whole numbers in range, else as text.

    Numbers with leading zeros are text, because 007 and 7 differ.
    """
    if all(WHOLE_NUMBER.fullmatch(text) for text in texts):
        numbers = [int(text) for text in texts]
        if INT64.min <= min(numbers) and max(numbers) <= INT64.max:
            return np.array(numbers, dtype=np.int64)
    return np.array(texts, dtype=object)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")  # different bytes stay so
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _numbers_if_any(
    frame: DataFrame, role: str, positions: IntArray, rows: Rows, how: Reading
) -> NDArray[Any] | None:
    """Return a column of numbers (n,); None if missing, or invalid and not needed."""
    if role not in frame:
        return None
    try:
        return _numbers(frame[role], role, positions, rows)
    except InputError:
        if how.needs(role):
            raise
        return None


def _numbers(column: Series[Any], role: str, positions: IntArray, rows: Rows) -> NDArray[Any]:
    numbers = _seconds(column) if column.dtype.kind == "M" else _plain_numbers(column)
    what = "a number"
    if role == "timestamp" and not np.isfinite(numbers).any():
        numbers, what = _seconds(column), "a number or a date as in ISO 8601"
    bad = ~np.isfinite(numbers)
    if bad.any():
        import pandas as pd

        at = int(np.argmax(bad))
        value = column.iloc[at]
        says = f"no {role}" if pd.isna(value) else f"{role} {str(value)[:80]!r} is not {what}"
        off = f'; {role}_column = "{OFF}" ignores the column'
        raise rows.fault(positions[at], f"{says}; expected a finite number{off}")
    return numbers


def _plain_numbers(column: Series[Any]) -> NDArray[Any]:
    """Return numbers (n,), NaN if invalid."""
    import pandas as pd

    numbers = pd.to_numeric(_plain(column), errors="coerce")
    return np.asarray(numbers.to_numpy(np.float64, na_value=np.nan))


def _plain(column: Series[Any]) -> Series[Any]:
    """Return a column of numbers or texts; other values as text."""
    import pandas as pd

    if column.dtype.kind in "biufM" or isinstance(column.dtype, pd.StringDtype):
        return column
    return column.map(_text, na_action="ignore")


def _seconds(column: Series[Any]) -> NDArray[Any]:
    """Return the seconds since 1970 of ISO 8601 dates, (n,), NaN if invalid."""
    import pandas as pd

    told = _plain(column)
    times = _dates(told)
    if times.isna().any():
        times = times.fillna(_dates(told[times.isna()].map(_day_of_week_date)))
    try:
        since = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(1, "s")
    except pd.errors.OutOfBoundsDatetime:  # a year such as 9999
        return np.full(len(times), np.nan)
    return np.asarray(since.to_numpy(np.float64, na_value=np.nan))


def _dates(told: Series[Any]) -> Series[Any]:
    import pandas as pd

    return pd.to_datetime(told, format="ISO8601", utc=True, errors="coerce")


def _day_of_week_date(time: Any) -> Any:
    """Return 2024-W05-3 as 2024-01-31, with the rest of the text; other texts unchanged."""
    if isinstance(time, str) and WEEK_DATE.match(time):
        with suppress(ValueError):  # there is no such week
            return datetime.fromisoformat(time).isoformat()
    return time


def _refuse_repeats(pairs: IntArray, table: Table, positions: IntArray, rows: Rows) -> None:
    import pandas as pd

    repeats = pd.Series(pairs).duplicated().to_numpy()
    if repeats.any():
        at = int(np.argmax(repeats))
        earlier = rows.first + positions[int(np.argmax(pairs == pairs[at]))]
        raise rows.fault(
            positions[at],
            f"the pair (user {table.users[at]}, item {table.items[at]}) is on {rows.word} "
            f"{earlier} already; keep one event per pair, or set duplicates to "
            '"first", "last" or "max"',
        )


def _one_a_pair(table: Table, pairs: IntArray, duplicates: Duplicates) -> Table:
    """Keep one row of each pair, in the order of the file."""
    import pandas as pd

    order = np.arange(pairs.size)
    if duplicates == "max":
        if table.ratings is None:
            raise InputError(
                f'{table.where} has no ratings, so duplicates = "max" cannot apply; '
                'set "first" or "last", or name the column with rating_column'
            )
        order = np.argsort(-table.ratings, kind="stable")
    keep: Literal["first", "last"] = "last" if duplicates == "last" else "first"
    kept = np.sort(order[~pd.Series(pairs[order]).duplicated(keep).to_numpy()])
    numbers = (table.ratings, table.timestamps)
    ratings, times = (None if values is None else values[kept] for values in numbers)
    return Table(table.users[kept], table.items[kept], ratings, times, table.where)
