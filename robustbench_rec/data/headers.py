"""Header lines among data: above rows without a header, or inside joined files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.interactions import BoolArray, IntArray

if TYPE_CHECKING:
    from pandas import DataFrame

USUAL = {
    "user": ("userid", "user", "uid", "userprocid", "reviewerid", "customerid", "visitorid"),
    "item": ("itemid", "item", "iid", "itemprocid", "movieid", "movie", "productid", "asin"),
    "rating": ("rating", "ratings", "stars", "score", "overall"),
    "timestamp": ("timestamp", "time", "unixtime", "unixreviewtime"),
}
"""Names of columns, without case and punctuation, in order of preference."""
KNOWN = {name for names in USUAL.values() for name in names}


def plain(name: str) -> str:
    """Return the name of a column without case, punctuation and RecBole's type."""
    return re.sub(r"[\W_]", "", name.partition(":")[0]).lower()


def header_at(
    frame: DataFrame, users: NDArray[Any], items: NDArray[Any], named: tuple[str, str]
) -> int | None:
    """Return the first row, from 0, that is a header and not a pair; None if there is none.

    Its user and item are usual names, or names of the header. Or they look like names while all
    other users, or all other items, are numbers; for the first row, ratings or times count too.

    Args:
        frame: the columns as read.
        users: (n,) ids; whole numbers contain no header.
        items: as `users`.
        named: the header's names of users and items; "" if none, or usual names.

    """
    if users.dtype.kind == "i" or items.dtype.kind == "i":
        return None
    columns = _Column.of(users), _Column.of(items)
    user, item = (
        column.where(partial(_is_usual, name)) for column, name in zip(columns, named, strict=True)
    )
    found = np.flatnonzero(user & item)[:1].tolist()
    odd = _unlike_others(frame, *columns)
    return min(found if odd is None else [*found, odd], default=None)


@dataclass(frozen=True, eq=False)
class _Column:
    """Values, each tested once: positions (n,) in the distinct values (d,)."""

    codes: IntArray
    distinct: NDArray[Any]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        import pandas as pd

        return cls(*pd.factorize(values, use_na_sentinel=False))

    def where(self, holds: Callable[[Any], bool]) -> BoolArray:
        """Return the rows for which a condition holds, (n,)."""
        return np.array(list(map(holds, self.distinct)), dtype=np.bool_)[self.codes]

    def are_numbers_but(self, row: int) -> bool:
        """Say whether all values except a row's are numbers; False if there are no others."""
        but = self.codes[row]
        return self.distinct.size > 1 and all(
            _is_number(one) for code, one in enumerate(self.distinct) if code != but
        )


def _unlike_others(frame: DataFrame, users: _Column, items: _Column) -> int | None:
    """Return a row of names, perhaps repeated, if all other values are numbers."""
    names = np.flatnonzero(users.where(_is_name) & items.where(_is_name))
    if not names.size:
        return None
    row = int(names[0])
    values = [frame[role].to_numpy() for role in ("rating", "timestamp") if role in frame]
    if any(_is_number(column[row]) for column in values):
        return None
    compared = [users, items, *map(_Column.of, values if row == 0 else [])]
    return row if any(column.are_numbers_but(row) for column in compared) else None


def _is_usual(name: str, text: str) -> bool:
    return text == name or plain(text) in KNOWN


def _is_name(text: str) -> bool:
    return text[0].isalpha() or text[0] == "_"


def _is_number(value: Any) -> bool:
    try:
        return not np.isnan(float(value))
    except (TypeError, ValueError):
        return False
