"""Which file is what: finds the parts of a data set, tells formats by looking, and reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.components.dataset import Raw, Table
from robustbench_rec.data.columns import Columns
from robustbench_rec.data.lightgcn_files import read_lightgcn
from robustbench_rec.data.source import Source
from robustbench_rec.data.tables import (
    first_line,
    header_of,
    read_delimited,
    read_movielens,
    read_parquet,
    read_recbole,
)
from robustbench_rec.errors import InputError

Format = Literal["auto", "delimited", "lightgcn", "movielens", "parquet", "recbole"]
Reader = Callable[[Source, str, Columns], Table]

READERS: Mapping[str, Reader] = {
    "delimited": read_delimited,
    "lightgcn": read_lightgcn,
    "movielens": read_movielens,
    "parquet": read_parquet,
    "recbole": read_recbole,
}

SUFFIXES = (".inter", ".parquet", ".tsv", ".csv", ".txt", ".dat", ".data")
LIGHTGCN = ("train.txt", "valid.txt", "test.txt")
LOGS = ("u.data", "ratings.dat", "ratings.csv")
LISTS = {"user": "user_list.tsv", "item": "item_list.tsv"}
LIST_COLUMNS = {
    "user": Columns(user="user_orgid", item="user_procid"),
    "item": Columns(user="item_orgid", item="item_procid"),
}


HELD = ("valid", "test")
"""Parts that a training part must stand beside."""


def parts(source: Source) -> dict[str, str]:
    """Return which member is what: `train`, `test` and perhaps `valid`, or `log` alone.

    A folder or zip that holds `train.EXT` or `NAME.train.inter` was split before; else it holds
    one log: a file of MovieLens, or the only table there is.

    Raises:
        InputError: a training part without a test part, or no table, or several.

    """
    names = list(source.members)
    if not source.is_zip and not source.path.is_dir():
        return {"log": names[0]}
    trains = [name for name in names if _is_train(name)]
    logs = [name for name in LOGS if name in names][:1]
    tables = trains or logs or [name for name in names if _is_table(name)]
    if len(tables) != 1 or _is_held_out(tables[0]):
        raise InputError(
            f"{source.path} holds {' and '.join(tables) or 'no table'}; expected train and test "
            f"files such as train.tsv and test.tsv, or one log such as {', '.join(LOGS)}"
        )
    return _split_before(source, trains[0]) if trains else {"log": tables[0]}


def _is_train(name: str) -> bool:
    return name in {f"train{suffix}" for suffix in SUFFIXES} or name.endswith(".train.inter")


def _is_held_out(name: str) -> bool:
    return any(name.endswith(f".{part}.inter") or name.startswith(f"{part}.") for part in HELD)


def _is_table(name: str) -> bool:
    return name.endswith(SUFFIXES) and name not in LISTS.values()


def _split_before(source: Source, train: str) -> dict[str, str]:
    before, _, after = train.rpartition("train")
    named = {part: f"{before}{part}{after}" for part in ("train", "valid", "test")}
    found = {part: name for part, name in named.items() if name in source.members}
    if "test" not in found:
        raise InputError(
            f"{source.path} holds {train} but no {named['test']}; data that come split need both"
        )
    return found


def read(source: Source, format: Format, columns: Columns) -> Raw:
    """Read a data set from its files; ids become the original ones where the files list them.

    Args:
        source: a folder, a zip, or one file.
        format: of each file, or "auto" to look.
        columns: names of columns, where they are not the usual ones.

    Raises:
        InputError: a file that is missing, damaged or unfit; one line with file and line.

    """
    found = parts(source)
    tables = {part: read_table(source, name, format, columns) for part, name in found.items()}
    if "log" in tables:
        return Raw(tables["log"])
    users, items = (_original(source, role) for role in ("user", "item"))
    tables = {part: _restored(table, users, items) for part, table in tables.items()}
    return Raw(tables["train"], tables.get("valid"), tables["test"])


def read_table(source: Source, name: str, format: Format, columns: Columns) -> Table:
    """Read one file; see `read`."""
    chosen = look(source, name, columns) if format == "auto" else format
    return READERS[chosen](source, name, columns)


def look(source: Source, name: str, columns: Columns) -> str:
    """Tell the format of a file by its first line, and by its name where that does not decide."""
    with source.open(name) as stream:
        line = stream.readline(65_536)
    if line.startswith(b"PAR1") or name.endswith(".parquet"):
        return "parquet"
    if b"::" in line:
        return "movielens"
    text = first_line(source, name)
    if columns.known_in(header_of(text, columns)[1]):
        return "delimited"
    if name.endswith(".inter"):
        return "recbole"
    if name in LIGHTGCN:
        return "lightgcn"
    if _numbers(text.split("\t")) in (3, 4):
        return "movielens"
    return "lightgcn" if _numbers(text.split()) or name.endswith(".txt") else "delimited"


def _numbers(fields: list[str]) -> int:
    """Return how many fields there are if all of them are numbers, else 0."""
    try:
        return len([float(field) for field in fields])
    except ValueError:
        return 0


def files_of(source: Source) -> list[str]:
    """Return the members that `read` reads, in a fixed order."""
    found = parts(source)
    lists = [] if "log" in found else [name for name in LISTS.values() if name in source.members]
    return [*found.values(), *lists]


def _original(source: Source, role: str) -> Table | None:
    """Read the list that maps ids in the files (`items` of the result) to original ones."""
    name = LISTS[role]
    if name not in source.members:
        return None
    return read_delimited(source, name, LIST_COLUMNS[role])


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
