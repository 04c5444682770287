"""Doubts about ids: parts without common ids, and ids that look alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np

from robustbench_rec.components.dataset import Raw, Table
from robustbench_rec.errors import InputError

ROLES = ("user", "item")
THOUSANDS = re.compile(r"\d{1,3}([, ]\d{3})+")
"""A number with groups of digits; any blank may separate them."""
HANDFUL, ROWS = 5, 50
"""Largest number of items and least number of users for the suspicion of row numbers."""
ALIKE = 0.1
"""Least share of similar ids that causes a warning."""


def refuse_strangers(raw: Raw) -> None:
    """Refuse parts whose users or items are all absent from the training part.

    Raises:
        InputError: with an example of each; ids are probably written in two ways.

    """
    for one in _strangers(raw):
        if len(one.strangers) == one.n:
            raise InputError(f"{one.where}: none of its {one.n} {one.role}s is in {one.says}")


def doubts(raw: Raw) -> Iterator[str]:
    """Yield a line for each reason to doubt that ids are written in only one way."""
    for one in _strangers(raw):
        if 2 * len(one.strangers) > one.n:
            most = f"{len(one.strangers)} of its {one.n} {one.role}s are not"
            yield f"{one.where}: {most} in {one.says}"
    for role in ROLES:
        yield from _alike(_ids(_tables(raw), role), role)
        yield from _like_times(raw.train, role)
    yield from _like_row_numbers(raw.train)


@dataclass(frozen=True)
class _Strangers:
    """Ids of a part that the training part lacks.

    Attributes:
        role: user or item.
        where: the part.
        n: the number of ids of that role in the part.
        strangers: the ids that training lacks.
        known: the ids of training.
        training: the training part.

    """

    role: str
    where: str
    n: int
    strangers: list[str]
    known: set[str]
    training: str

    @property
    def says(self) -> str:
        """The training part, and an id of each part as written."""
        stranger = self.strangers[0]
        alike = (id for id in self.known if _spelling(id) == _spelling(stranger))
        other = min(alike, default=min(self.known, default=""))
        return (
            f"{self.training}, such as {stranger[:80]!r}, while that has {other[:80]!r}; "
            "write ids in the same way in all parts"
        )


def _strangers(raw: Raw) -> Iterator[_Strangers]:
    parts = [part for part in (raw.valid, raw.test) if part is not None]
    for role in ROLES if parts else ():
        known = _ids([raw.train], role)
        for part in parts:
            ids = _ids([part], role)
            strangers = sorted(ids - known)
            if strangers:
                names = part.where or "a part", raw.train.where or "the training part"
                yield _Strangers(role, names[0], len(ids), strangers, known, names[1])


def _tables(raw: Raw) -> list[Table]:
    return [part for part in (raw.train, raw.valid, raw.test) if part is not None]


def _ids(tables: Iterable[Table], role: str) -> set[str]:
    import pandas as pd

    columns = (np.asarray(getattr(table, f"{role}s")) for table in tables)
    return {str(id) for column in columns for id in pd.unique(column)}


def _like_times(table: Table, role: str) -> Iterator[str]:
    """Yield a line if all ids are in the range of seconds or milliseconds since 1970."""
    ids = np.asarray(getattr(table, f"{role}s"))
    if ids.dtype.kind != "i" or not ids.size:
        return
    least, most = int(ids.min()), int(ids.max())
    if any(5e8 * unit <= least and most <= 2.2e9 * unit for unit in (1, 1000)):
        yield (
            f"{table.where or 'the data'}: its {role}s look like times, such as {least}; if that "
            f"column is the time, name the {role} column"
        )


def _like_row_numbers(table: Table) -> Iterator[str]:
    """Yield a line if users are consecutive numbers with equally few items each."""
    users = np.asarray(table.users)
    if users.dtype.kind != "i":
        return
    found, counts = np.unique(users, return_counts=True)
    counted_up = found[0] in (0, 1) and found[-1] - found[0] + 1 == found.size
    if (
        found.size >= ROWS
        and counted_up
        and counts.min() == counts.max()
        and 2 <= counts[0] <= HANDFUL
    ):
        yield (
            f"{table.where or 'the data'}: its {found.size} users, {found[0]} to {found[-1]}, have "
            f"{counts[0]} items each; if the first column is a row number, it is not the user"
        )


def _alike(ids: set[str], role: str) -> Iterator[str]:
    """Yield a line if many ids differ from another id only in spelling."""
    first: dict[str | int | Decimal, str] = {}
    pairs = [
        (first[key], id) for id in sorted(ids) if first.setdefault(key := _spelling(id), id) != id
    ]
    if len(pairs) > ALIKE * len(ids):
        one, other = pairs[0]
        yield (
            f"{len(pairs)} of {len(ids)} {role}s differ from others only in case, accents or the "
            f"format of a number, such as {one[:80]!r} and {other[:80]!r}; are they the same?"
        )


def _spelling(id: str) -> str | int | Decimal:
    """Return an id without case and accents, or the number it is; exact, in any format.

    Numbers are 12, 012, +12, 12.0, 1.2e1, 1_2, 1,012, and numbers in other scripts; quotes around
    an id are ignored.
    """
    plain = unicodedata.normalize("NFKC", id).casefold().strip("'\"` ")
    if THOUSANDS.fullmatch(plain):
        plain = re.sub("[, ]", "", plain)
    if plain.isdecimal():
        return int(plain)
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return plain
    return number if number.is_finite() else plain
