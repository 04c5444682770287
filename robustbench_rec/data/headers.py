"""Header lines among data: above rows without a header, or within files that were joined."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.interactions import BoolArray

if TYPE_CHECKING:
    from pandas import DataFrame

USUAL = {
    "user": ("userid", "user", "uid", "userprocid", "reviewerid", "customerid", "visitorid"),
    "item": ("itemid", "item", "iid", "itemprocid", "movieid", "movie", "productid", "asin"),
    "rating": ("rating", "ratings", "stars", "score", "overall"),
    "timestamp": ("timestamp", "time", "unixtime", "unixreviewtime"),
}
"""Names of columns, without case and punctuation, the first of them taken first."""
KNOWN = {name for names in USUAL.values() for name in names}


def plain(name: str) -> str:
    """Return the name of a column without case, punctuation and RecBole's type."""
    return re.sub(r"[\W_]", "", name.partition(":")[0]).lower()


def header_at(
    frame: DataFrame, users: NDArray[Any], items: NDArray[Any], named: tuple[str, str]
) -> int | None:
    """Return the first row, from 0, that names columns instead of holding a pair; None without.

    Its user and item are usual names, or those that the header has. Or they look like names while
    all other users, or all other items, are numbers; for the first row, other ratings or times
    will do.

    Args:
        frame: the columns as they were read.
        users: (n,) ids; whole numbers have no header among them.
        items: as `users`.
        named: what the header calls users and items; "" where there is none, or as usual.

    """
    if users.dtype.kind == "i" or items.dtype.kind == "i":
        return None
    user, item = named
    usual = _where(users, lambda id: id == user or plain(id) in KNOWN)
    usual &= _where(items, lambda id: id == item or plain(id) in KNOWN)
    odd = [row for row in (_unlike_others(frame, users, items),) if row is not None]
    return min([*np.flatnonzero(usual)[:1].tolist(), *odd], default=None)


def _unlike_others(frame: DataFrame, users: NDArray[Any], items: NDArray[Any]) -> int | None:
    """Return a row of names, which may stand several times, where all else is numbers."""
    names = np.flatnonzero(_where(users, _is_name) & _where(items, _is_name))
    if not names.size:
        return None
    row = int(names[0])
    others = (users != users[row]) | (items != items[row])
    values = [frame[role].to_numpy() for role in ("rating", "timestamp") if role in frame]
    if not others.any() or any(_is_number(column[row]) for column in values):
        return None
    compared = (users, items, *values) if row == 0 else (users, items)
    return row if any(_where(column, _is_number)[others].all() for column in compared) else None


def _is_name(text: str) -> bool:
    return text[0].isalpha() or text[0] == "_"


def _is_number(value: Any) -> bool:
    try:
        return not np.isnan(float(value))
    except (TypeError, ValueError):
        return False


def _where(values: NDArray[Any], holds: Callable[[Any], bool]) -> BoolArray:
    """Return where a condition holds, (n,); it is asked once of each value that is there."""
    import pandas as pd

    codes, distinct = pd.factorize(values)
    return np.array([*map(holds, distinct), False], dtype=np.bool_)[codes]
