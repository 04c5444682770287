"""Small files, and what the readers make of them."""

from dataclasses import replace
from pathlib import Path

from robustbench_rec import Raw, Table
from robustbench_rec.data.columns import Columns, Reading
from robustbench_rec.data.formats import read
from robustbench_rec.data.source import Source

PLAIN = Reading()
ALL_NEEDED = Reading(needed=frozenset({"rating", "timestamp"}))


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def pairs(table: Table) -> set:
    """Return the pairs of a table."""
    return set(zip(table.users.tolist(), table.items.tolist(), strict=True))


def read_all(path: Path, format="auto", how=PLAIN, **columns) -> Raw:
    """Read a folder or a file; columns are named by their roles."""
    return read(Source(path), format, replace(how, columns=Columns(**columns)))
