"""Formats of files: finds the parts of a data set, recognises formats, and reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.components.dataset import Raw, Table
from robustbench_rec.data.columns import Columns, Reading
from robustbench_rec.data.compression import bare
from robustbench_rec.data.lightgcn_files import read_lightgcn, refuse_mixed
from robustbench_rec.data.source import Source
from robustbench_rec.data.tables import (
    LARGEST_RATING,
    first_line,
    header_of,
    read_delimited,
    read_movielens,
    read_parquet,
    read_recbole,
)
from robustbench_rec.errors import InputError

Format = Literal["auto", "delimited", "lightgcn", "movielens", "parquet", "recbole"]
Reader = Callable[[Source, str, Reading], Table]

READERS: Mapping[str, Reader] = {
    "delimited": read_delimited,
    "lightgcn": read_lightgcn,
    "movielens": read_movielens,
    "parquet": read_parquet,
    "recbole": read_recbole,
}

SUFFIXES = (".inter", ".parquet", ".tsv", ".csv", ".txt", ".dat", ".data")
LOGS = ("u.data", "ratings.dat", "ratings.csv")
LISTS = {"user": "user_list.tsv", "item": "item_list.tsv"}
LIST_COLUMNS = {
    "user": Reading(Columns(user="user_orgid", item="user_procid")),
    "item": Reading(Columns(user="item_orgid", item="item_procid")),
}


HELD = {
    *("valid", "validation", "validate", "vali", "val", "dev", "test"),
    *("eval", "evaluation", "tune", "tuning", "holdout", "heldout"),
}
"""Words in the names of held-out parts; only `valid` and `test` are read."""
WIDTH_OF_MOVIELENS = 4
"""Numbers per line: user, item, rating and timestamp."""
LOOKED_AT = 1000
"""Lines to read to decide between ratings with times, and items."""
MOST_NAMED = 6
"""Largest number of names in a message."""


def parts(source: Source) -> dict[str, str]:
    """Return part -> member: `train`, `test` and perhaps `valid`, or `log` alone.

    A folder or zip with `train.EXT` or `NAME.train.inter` has given parts; otherwise it has one
    log: a MovieLens file, or its only table. All parts come from one folder, the one nearest to the
    top of a zip.

    Raises:
        InputError: a training part without a test part; no table, or several; two folders equally
            near to the top.

    """
    if source.is_alone:
        return {"log": source.members[0]}
    tables = [name for name in source.members if _is_table(bare(name))]
    trains = [name for name in tables if _is_train(bare(name))]
    logs = [name for name in tables if bare(name) in LOGS]
    given = [*trains, *logs, *(name for name in tables if _is_held_out(bare(name)))]
    nearest = _nearest(source, trains + logs, given) if trains or logs else []
    if its := [name for name in nearest if name in trains]:
        return _split_before(source, its)
    chosen = nearest or tables
    if chosen and len({bare(name) for name in chosen}) == 1:
        chosen = _nearest(source, chosen, chosen)
    if len(chosen) == 1 and not _is_held_out(bare(chosen[0])):
        _refuse_beside(source, chosen[0], tables)
        return {"log": chosen[0]}
    raise InputError(
        f"{source.path} holds {_and(chosen) or 'no table'}; expected train and test "
        f"files such as train.tsv and test.tsv, or one log such as {', '.join(LOGS)}"
    )


def _is_train(name: str) -> bool:
    return name in {f"train{suffix}" for suffix in SUFFIXES} or name.endswith(".train.inter")


def _refuse_beside(source: Source, log: str, tables: Sequence[str]) -> None:
    """Raise InputError if a test or validation part is beside one log."""
    for name in tables:
        if _folder(name) == _folder(log) and _is_held_out(bare(name)):
            raise InputError(
                f"{source.path} holds {bare(name)} beside {bare(log)}: rename the other file to "
                "train.* if it is the training part, otherwise remove the part"
            )


def _is_held_out(name: str) -> bool:
    """Say whether a file's name has a word for a held-out part."""
    stem = name.lower().rpartition(".")[0]
    return any(word.rstrip("0123456789") in HELD for word in re.split(r"[\W_]+", stem))


def _is_table(name: str) -> bool:
    return name.endswith(SUFFIXES) and name not in LISTS.values()


def _nearest(source: Source, names: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the `names` in the folder nearest to the top.

    Raises:
        InputError: another folder is equally near, and holds some of `given`.

    """
    depth = min(name.count("/") for name in names)
    folder = next(_folder(name) for name in names if name.count("/") == depth)
    rivals = {_folder(name) for name in given if name.count("/") == depth} - {folder}
    if rivals:
        raise InputError(
            f"{source.path} holds data in {folder} and in {min(rivals)}, equally near to its top; "
            "keep one data set in it, or give the path of an unpacked folder"
        )
    return [name for name in names if _folder(name) == folder]


def _folder(name: str) -> str:
    """Return the folder of a member, with a slash at its end; "" at the top."""
    return name[: name.rfind("/") + 1]


def _split_before(source: Source, trains: Sequence[str]) -> dict[str, str]:
    if len(trains) > 1:
        raise InputError(f"{source.path} holds {_and(trains)}; keep one training part")
    train = trains[0]
    before, _, after = bare(train).rpartition("train")
    beside = [name for name in source.members if _folder(name) == _folder(train)]
    found: dict[str, str] = {}
    for part in ("train", "valid", "test"):
        named = [name for name in beside if bare(name) == f"{before}{part}{after}"]
        if len(named) > 1:
            raise InputError(f"{source.path} holds {_and(named)}; keep one {part} part")
        if named:
            found[part] = named[0]
    if "test" not in found:
        raise InputError(
            f"{source.path} holds {train} but no {_folder(train)}{before}test{after}; data with "
            "given parts need both"
        )
    held = [name for name in beside if _is_table(bare(name)) and _is_held_out(bare(name))]
    others = [name for name in held if name not in found.values()]
    if others:
        raise InputError(
            f"{source.path} holds {_and(others)} beside {train}, with another name or ending; "
            "name the parts alike, or remove it"
        )
    return found


def _and(names: Sequence[str]) -> str:
    """List names for a message, up to a few."""
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return " and ".join([*names[:MOST_NAMED], *more])


def read(source: Source, format: Format, how: Reading) -> Raw:
    """Read a data set from its files, with original ids if the files list them.

    Args:
        source: a folder, a zip, or one file.
        format: the format of each file, or "auto" to recognise the first; others have the same.
        how: options of reading, such as names of columns.

    Raises:
        InputError: a file is missing, damaged or invalid; one line with file and line.

    """
    found = parts(source)
    first = next(iter(found.values()))
    reader = READERS[look(source, first, how) if format == "auto" else format]
    tables = {part: reader(source, name, how) for part, name in found.items()}
    if reader is read_lightgcn:
        refuse_mixed(source, list(found.values()))
    if "log" in tables:
        return Raw(tables["log"])
    users, items = (_original(source, found["train"], role) for role in ("user", "item"))
    tables = {part: _restored(table, users, items) for part, table in tables.items()}
    return Raw(tables["train"], tables.get("valid"), tables["test"])


def look(source: Source, name: str, how: Reading) -> str:
    """Recognise the format of a file by its bytes, and by its ending if these do not decide."""
    with source.open(name) as stream:
        line = stream.readline(65_536)
    if line.startswith(b"PAR1") or bare(name).endswith(".parquet"):
        return "parquet"
    if not how.header:
        return "delimited"
    if b"::" in line:
        return "movielens"
    text = first_line(source, name)
    if how.columns.known_in(header_of(text, how.columns)[1]):
        return "delimited"
    if bare(name).endswith(".inter"):
        return "recbole"
    numbers = _numbers(text.split())
    if len(numbers) == WIDTH_OF_MOVIELENS and _are_rated(source, name):
        return "movielens"
    return "lightgcn" if numbers or bare(name).endswith(".txt") else "delimited"


def _are_rated(source: Source, name: str) -> bool:
    """Say whether lines of four numbers end in a rating and a time, not in two items.

    In one of the two columns all numbers are as large as times, in the other none is.
    """
    with source.open(name) as stream:
        lines = (part for line in stream for part in line.splitlines())
        rows = [_numbers(line.split()) for line in islice(lines, LOOKED_AT)]
    full = [row for row in rows if len(row) == WIDTH_OF_MOVIELENS]
    third, fourth = ({row[at] > LARGEST_RATING for row in full} for at in (2, 3))
    return len(third) == len(fourth) == 1 and third != fourth


def _numbers(fields: Sequence[str | bytes]) -> list[float]:
    """Return fields as numbers; None if any is not a number."""
    try:
        return [float(field) for field in fields]
    except ValueError:
        return []


def files_of(source: Source) -> list[str]:
    """Return the members that `read` reads, in a fixed order."""
    found = parts(source)
    lists = [] if "log" in found else [_list(source, found["train"], role) for role in LISTS]
    return [*found.values(), *filter(None, lists)]


def _list(source: Source, train: str, role: str) -> str:
    """Return the list of original ids beside a training part; "" if there is none."""
    beside = (name for name in source.members if _folder(name) == _folder(train))
    return next((name for name in beside if bare(name) == LISTS[role]), "")


def _original(source: Source, train: str, role: str) -> Table | None:
    """Read a list that maps ids in the files (`items` of the result) to original ids."""
    name = _list(source, train, role)
    return read_delimited(source, name, LIST_COLUMNS[role]) if name else None


def _restored(table: Table, users: Table | None, items: Table | None) -> Table:
    return replace(
        table,
        users=_renamed(table.users, users, "user", table.where),
        items=_renamed(table.items, items, "item", table.where),
    )


def _renamed(ids: NDArray[Any], listed: Table | None, role: str, where: str) -> NDArray[Any]:
    import pandas as pd

    if listed is None:
        return ids
    original = pd.Series(listed.users, index=pd.Index(listed.items))
    if not (original.is_unique and original.index.is_unique):
        raise InputError(f"{listed.where} lists a {role} id more than once")
    at = original.index.get_indexer(pd.Index(ids))
    if (at < 0).any():
        raise InputError(
            f"{where} holds {role} {ids[np.argmax(at < 0)]}, which {listed.where} does not list"
        )
    return listed.users[at]
