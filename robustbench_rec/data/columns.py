"""From the columns of a file to a Table: which column is which, and what a value may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.components.dataset import Table
from robustbench_rec.errors import InputError, nearest
from robustbench_rec.interactions import IntArray

if TYPE_CHECKING:
    from pandas import DataFrame, Series

USUAL = {
    "user": ("userid", "user", "uid", "userprocid", "reviewerid", "customerid", "visitorid"),
    "item": ("itemid", "item", "iid", "itemprocid", "movieid", "movie", "productid", "asin"),
    "rating": ("rating", "ratings", "stars", "score", "overall"),
    "timestamp": ("timestamp", "time", "unixtime", "unixreviewtime"),
}
"""Names of columns, without case and punctuation, the first of them taken first."""

NULLS = ["", "nan", "NaN", "null", "NULL", "<NA>"]
BREAK = re.compile(r"[\r\n\0]")
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Columns:
    """Names of columns; an empty one is found by its usual names."""

    user: str = ""
    item: str = ""
    rating: str = ""
    timestamp: str = ""

    def find(self, header: Sequence[str], where: str) -> dict[str, int]:
        """Return the position in `header` of each role that it has; user and item it must have.

        RecBole's types, as in `user_id:token`, do not count.

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
        return found

    def _found(self, header: Sequence[str], where: str) -> dict[str, int]:
        names = [name.strip().partition(":")[0] for name in header]
        found = {field.name: self._position(field.name, names, where) for field in fields(self)}
        for role in ("user", "item"):
            if found[role] is None:
                raise InputError(
                    f"{where}: no {role} column in the header {_shown(names)}; "
                    f"expected one called {role}_id or alike, or name it with {role}_column"
                )
        return {role: at for role, at in found.items() if at is not None}

    def _position(self, role: str, names: list[str], where: str) -> int | None:
        wanted = getattr(self, role)
        if wanted:
            if wanted not in names:
                raise InputError(
                    f"{where} has no column {wanted!r}{nearest(wanted, names)} "
                    f"(its header is {_shown(names)})"
                )
            return names.index(wanted)
        bare = [re.sub(r"[\W_]", "", name).lower() for name in names]
        return next((bare.index(usual) for usual in USUAL[role] if usual in bare), None)

    def known_in(self, header: Sequence[str]) -> bool:
        """Say whether `header` names users and items."""
        try:
            self._found(header, "")
        except InputError:
            return False
        return True


def _shown(names: list[str]) -> str:
    text = ", ".join(names)
    return repr(text if len(text) <= 100 else text[:97] + "...")


@dataclass(frozen=True)
class Rows:
    """How the rows of a file are called in messages: by line, or by row."""

    where: str
    word: str
    first: int

    def fault(self, row: int, says: str) -> InputError:
        """Make the error that says what is wrong with a row, counted from 0."""
        return InputError(f"{self.where}, {self.word} {self.first + row}: {says}")


def table_of(frame: DataFrame, rows: Rows) -> Table:
    """Check a frame whose columns are called user, item, rating, timestamp; make it a Table.

    Args:
        frame: its index counts the file's rows from 0; the last two columns may be missing.
        rows: how to name a row.

    Raises:
        InputError: no rows, a null, an id that is negative or holds a newline or NUL, a number
            that is none, a pair that stands twice; with the row.

    """
    if not len(frame):
        raise InputError(f"{rows.where} holds no pairs")
    positions = frame.index.to_numpy()
    users, user_codes = _ids(frame["user"], "user", positions, rows)
    items, item_codes = _ids(frame["item"], "item", positions, rows)
    numbers = {
        role: _numbers(frame[role], role, positions, rows)
        for role in ("rating", "timestamp")
        if role in frame
    }
    _refuse_repeats(user_codes, item_codes, users, items, positions, rows)
    return Table(users, items, numbers.get("rating"), numbers.get("timestamp"), rows.where)


def _ids(
    column: Series[Any], role: str, positions: IntArray, rows: Rows
) -> tuple[NDArray[Any], IntArray]:
    """Return the ids (n,), int64 where all are whole numbers that fit, else text; and codes."""
    codes, distinct = column.factorize()
    if (codes < 0).any():
        at = positions[np.argmax(codes < 0)]
        raise rows.fault(at, f"no {role}; expected a user and an item on each {rows.word}")
    texts = [_text(value) for value in distinct]
    broken = next((code for code, text in enumerate(texts) if BREAK.search(text)), None)
    if broken is not None:
        at = positions[np.argmax(codes == broken)]
        raise rows.fault(at, f"{role} id {texts[broken][:80]!r} holds a newline or NUL; see quotes")
    ids = _numeric_or_text([text.strip() for text in texts])
    if ids.dtype.kind == "i" and (ids < 0).any():
        bad = int(np.argmax(ids < 0))
        at = positions[np.argmax(codes == bad)]
        raise rows.fault(at, f"{role} id {ids[bad]} is negative; ids are text or numbers from 0")
    return ids[codes], codes.astype(np.int64)


def _numeric_or_text(texts: list[str]) -> NDArray[Any]:
    """Return ids as int64 if every one prints as a whole number that fits, else as text.

    Numbers with leading zeros are text, since 007 and 7 differ.
    """
    if all(WHOLE_NUMBER.fullmatch(text) for text in texts):
        numbers = [int(text) for text in texts]
        if INT64.min <= min(numbers) and max(numbers) <= INT64.max:
            return np.array(numbers, dtype=np.int64)
    return np.array(texts, dtype=object)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _numbers(column: Series[Any], role: str, positions: IntArray, rows: Rows) -> NDArray[Any]:
    import pandas as pd

    if column.dtype.kind == "M":
        column = (column - pd.Timestamp(0, tz=column.dt.tz)) / pd.Timedelta(1, "s")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = ~np.isfinite(numbers)
    if bad.any():
        at = int(np.argmax(bad))
        value = column.iloc[at]
        says = f"no {role}" if pd.isna(value) else f"{role} {value!r} is not a number"
        raise rows.fault(positions[at], f"{says}; expected a finite number")
    return numbers


def _refuse_repeats(
    user_codes: IntArray,
    item_codes: IntArray,
    users: NDArray[Any],
    items: NDArray[Any],
    positions: IntArray,
    rows: Rows,
) -> None:
    import pandas as pd

    keys = pd.Series(user_codes * (item_codes.max() + 1) + item_codes)
    repeats = keys.duplicated().to_numpy()
    if repeats.any():
        at = int(np.argmax(repeats))
        earlier = rows.first + positions[int(np.argmax(keys.to_numpy() == keys.iloc[at]))]
        raise rows.fault(
            positions[at],
            f"the pair (user {users[at]}, item {items[at]}) stands on {rows.word} {earlier} "
            "already; keep one event a pair",
        )
