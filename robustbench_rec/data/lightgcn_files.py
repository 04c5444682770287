"""Reader of LightGCN's text files: each line has a user and then the user's items."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from robustbench_rec.components.dataset import Table
from robustbench_rec.data.columns import MARKED, Reading, Rows, table_of
from robustbench_rec.data.source import Source
from robustbench_rec.data.tables import LARGEST_RATING
from robustbench_rec.errors import InputError
from robustbench_rec.interactions import IntArray

WHOLE_NUMBER = re.compile(rb"-?[0-9]+")
INT64 = np.iinfo(np.int64)
BOM = codecs.BOM_UTF8
LEAST = 20
"""Least number of lines for conclusions from what they have in common."""
MOST_STARS = 10
"""The highest number that counts as a rating in lines of numbers only."""

AS_COLUMNS = (
    'set format = "movielens" for user, item, rating and perhaps time, or format = "delimited" and '
    'header = false, with user_column = "1", item_column = "2" and, for times in the third place, '
    'timestamp_column = "3"'
)


def read_lightgcn(source: Source, name: str, how: Reading) -> Table:
    """Read lines `user item item ...`, whole numbers separated by spaces or tabs.

    A user without items gives no pair. There are no columns, so of `how` only `duplicates` is used.

    Raises:
        InputError: a user is on several lines with more than one item, so they are interactions
            with ratings or times; a field is not a whole number, or too large for 64 bits.

    """
    import pandas as pd

    where = source.where(name)
    with source.open(name) as stream:
        lines = stream.read().removeprefix(BOM).splitlines()
    if not lines:
        raise InputError(f"{where} is empty")
    rows = Rows(where, "line", 1)
    _refuse_interactions(lines, rows)
    ids = [_numbers(line, row, rows) for row, line in enumerate(lines)]
    _refuse_rated(ids, rows)
    lengths = np.array([max(line.size - 1, 0) for line in ids])
    users = np.repeat([line[0] if line.size else 0 for line in ids], lengths)
    items = np.concatenate([line[1:] for line in ids])
    frame = pd.DataFrame({"user": users, "item": items})
    frame.index = pd.Index(np.repeat(np.arange(len(lines)), lengths))
    return table_of(frame, rows, how)


def repeated_user(lines: Iterable[bytes]) -> tuple[int, int] | None:
    """Return the rows, from 0, of the first user on a second line, if any."""
    seen: dict[bytes, int] = {}
    for row, line in enumerate(lines):
        for user in line.split(None, 1)[:1]:
            if user in seen:
                return seen[user], row
            seen[user] = row
    return None


def refuse_mixed(source: Source, names: Sequence[str]) -> None:
    """Refuse lists beside a training part with one pair per line.

    Args:
        source: the files.
        names: names of the parts, the training part first.

    Raises:
        InputError: a line of another part has more than a user and an item.

    """
    train, *others = names
    with source.open(train) as stream:
        if repeated_user(_lines(stream)) is None:
            return
    for name in others:
        with source.open(name) as stream:
            found = enumerate(_lines(stream))
            long = next((row for row, line in found if len(line.split()) > 2), None)
        if long is not None:
            raise Rows(source.where(name), "line", 1).fault(
                long,
                f"more than a user and an item, while {source.where(train)} has one pair per "
                f"line; {AS_COLUMNS}",
            )


def _lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream, for any line ending."""
    return (line for part in stream for line in part.splitlines())


def _refuse_interactions(lines: Sequence[bytes], rows: Rows) -> None:
    """Refuse one interaction per line: users on several lines, and not only pairs."""
    repeat = repeated_user(lines)
    if repeat is None or all(len(line.split(None, 3)) <= 2 for line in lines):
        return
    earlier, later = repeat
    user = lines[later].split()[0].decode(errors="replace")
    raise rows.fault(
        later,
        f"user {user[:40]} is on line {rows.first + earlier} already, so this looks like one "
        f"interaction per line, not like a user and its items; {AS_COLUMNS}; "
        "for lists, put all items of a user on one line",
    )


def _refuse_rated(ids: Sequence[IntArray], rows: Rows) -> None:
    """Refuse lines that all end in a rating or a time, even if each user has one line."""
    lines = [line for line in ids if line.size]
    if len(lines) < LEAST or {line.size for line in lines} not in ({3}, {4}):
        return
    items, third = np.array(lines)[:, 1:3].T
    as_rating = third.min() >= 0 and third.max() <= MOST_STARS < np.unique(items).size
    as_time = items.max() < LARGEST_RATING < third.min()
    if as_rating or as_time:
        raise rows.fault(
            0,
            f"{third[0]} and the same field on every other line look like "
            f"{'ratings' if as_rating else 'times'}, not like items; {AS_COLUMNS}",
        )


def _numbers(line: bytes, row: int, rows: Rows) -> IntArray:
    fields = line.split()
    for field in fields:
        if not WHOLE_NUMBER.fullmatch(field):
            raise rows.fault(row, _fault_of(field))
        if len(field) > 18 and not _fits(field):
            raise rows.fault(
                row, f"id {field.decode()[:40]} is too large; ids go up to {INT64.max}"
            )
    return np.array(fields, dtype=np.int64)


def _fault_of(field: bytes) -> str:
    shown = repr(field.decode(errors="replace")[:40])
    if BOM in field:
        return f"{shown} {MARKED}"
    return (
        f"{shown} is not a whole number; expected a user and then its items, separated by spaces; "
        "for "
        'columns set format = "delimited", with user_column and item_column where their names are '
        'not the usual ones, or header = false, user_column = "1" and item_column = "2"'
    )


def _fits(field: bytes) -> bool:
    """Say whether a whole number fits 64 bits."""
    digits = field.lstrip(b"-").lstrip(b"0")
    return len(digits) <= 19 and int(digits or b"0") <= INT64.max
