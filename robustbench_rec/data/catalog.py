"""Data sets by name: known data sets, their location, and how to get missing ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import platformdirs

from robustbench_rec.components.dataset import DATASETS, Dataset, Raw
from robustbench_rec.components.registry import NAME, make
from robustbench_rec.components.settings import setting
from robustbench_rec.data.columns import Columns, Duplicates, Reading
from robustbench_rec.data.compression import COMPRESSED, bare
from robustbench_rec.data.doubts import refuse_strangers
from robustbench_rec.data.formats import SUFFIXES, Format, files_of, parts, read
from robustbench_rec.data.source import Source
from robustbench_rec.errors import InputError, nearest

ENDINGS = ("", ".zip", *SUFFIXES, *(f"{one}{packed}" for one in SUFFIXES for packed in COMPRESSED))
"""Endings after a data set's name in the data folder, in the order of search."""

KNOWN_SIZES: Mapping[str, tuple[int, int, int]] = {
    "amazon2014-beauty": (1_237, 719, 25_736),
    "amazon2014-electronic": (13_455, 8_360, 234_521),
    "amazon2014-electronic-popularity": (13_455, 8_360, 234_521),
    "amazon2014-health": (1_974, 1_200, 48_189),
    "movielens-100k": (939, 1_016, 80_393),
    "movielens-1m": (6_033, 3_123, 834_449),
    "synthetic": (600, 400, 14_519),
}
"""Data set -> users, items and pairs under its defaults, from its splits or as generated."""


def default_data_dir() -> Path:
    """Return the folder in ROBUSTBENCH_REC_DATA, or the user's own data folder."""
    named = os.environ.get("ROBUSTBENCH_REC_DATA")
    return Path(named) if named else platformdirs.user_data_path("robustbench-rec")


def data_here(data_dir: str) -> Path:
    """Return a data folder of another machine, or this machine's own where it is missing."""
    given = Path(data_dir)
    return given if given.is_dir() else default_data_dir()


def find(data_dir: Path, *names: str) -> Path | None:
    """Return the folder or file in `data_dir` with one of the names, ignoring the ending.

    An ending in upper case is used if there is none in lower case.
    """
    wanted = [f"{name}{ending}" for name in names for ending in ENDINGS]
    found = next((data_dir / one for one in wanted if (data_dir / one).exists()), None)
    if found is None:
        there = {_with_low_ending(path.name, names): path for path in _within(data_dir)}
        found = next((there[one] for one in wanted if one in there), None)
    return found


def _within(folder: Path) -> list[Path]:
    """Return the content of a folder, sorted; empty if it is missing or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _with_low_ending(file: str, names: Iterable[str]) -> str:
    """Return the name of a file, with the part after a data set's name in lower case."""
    name = next((name for name in names if file.startswith(name)), file)
    return name + file.removeprefix(name).lower()


@dataclass(frozen=True, kw_only=True)
class FileDataset(Dataset):
    """A data set in files: a folder, a zip, or one table.

    The way files are read is part of the fingerprint, not of the name.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    """Other names of its files."""

    path: str = setting("", "where it lies; empty looks for its name", identity=False)
    format: Format = setting(  # noqa: RUF009  # it is a dataclass field, as its kin
        "auto", "format of its files; auto looks", identity=False
    )
    user_column: str = setting("", "name of the users' column; empty looks", identity=False)
    item_column: str = setting("", "name of the items' column; empty looks", identity=False)
    rating_column: str = setting(
        "", "name of the ratings' column; empty looks, none is none", identity=False
    )
    timestamp_column: str = setting(
        "", "name of the times' column; empty looks, none is none", identity=False
    )
    header: bool = setting(
        True,
        "whether the first line names the columns; else they are called 1, 2, ...",
        identity=False,
    )
    duplicates: Duplicates = setting(  # noqa: RUF009  # it is a dataclass field, as its kin
        "refuse", "which row of a pair is kept, of the file or by rating", identity=False
    )

    @classmethod
    def find(cls, data_dir: Path) -> Path | None:
        """Return the location of a registered data set in `data_dir`, or None."""
        return find(data_dir, cls.name, *cls.aliases)

    def read(self, data_dir: Path) -> Raw:
        """Read the pairs; InputError, with file and line, if they are invalid."""
        source = Source(self.locate(data_dir))
        raw = read(source, self.format, self._reading(source))
        if not self.resplit:
            refuse_strangers(raw)
        return raw

    def fingerprint(self, data_dir: Path) -> str:
        """Return 16 hex digits of the files' bytes and of the way they are read."""
        source = Source(self.locate(data_dir))
        digest = source.digest(files_of(source))
        how = f"{digest} {','.join(parts(source))} {self.format} {self._columns()}"
        how += "" if self.header else " header=False"
        how += "" if self.duplicates == "refuse" else f" duplicates={self.duplicates}"
        return hashlib.sha256(how.encode()).hexdigest()[:16]

    def locate(self, data_dir: Path) -> Path:
        """Return the location of the files; InputError with instructions if they are missing."""
        if self.path:
            return Path(self.path)
        found = find(data_dir, self.name, *self.aliases)
        if found is None:
            looked = _looked_for(self.name, *self.aliases)
            how = f"; {self.how_to_get}" if self.how_to_get else ""
            raise InputError(f"no data for {self.name!r} in {data_dir} ({looked}){how}")
        return found

    def _reading(self, source: Source) -> Reading:
        needed = {"rating": self.min_rating > 0, "timestamp": self.split_by == "time"}
        is_log = self.resplit or "log" in parts(source)
        roles = frozenset(role for role, is_needed in needed.items() if is_needed and is_log)
        return Reading(self._columns(), self.header, self.duplicates, roles)

    def _columns(self) -> Columns:
        return Columns(
            self.user_column, self.item_column, self.rating_column, self.timestamp_column
        )


@dataclass(frozen=True, kw_only=True)
class OwnData(FileDataset):
    """A data set of the user, under an unregistered name."""

    label: str = setting(about="the name it goes by", identity=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "name", self.label)


def _looked_for(*names: str) -> str:
    usual, packed = ", ".join((".zip", *SUFFIXES)), ", ".join(COMPRESSED)
    return f"looked for {' and '.join(names)}, as a folder or with {usual}, or these with {packed}"


def resolve(table: Mapping[str, Any], data_dir: Path, base: Path) -> Dataset:
    """Make the data set of a suite's `[[dataset]]` table.

    Args:
        table: its name and settings. An unregistered name is a data set of the user: it has a
            `path`, or is in `data_dir` under that name. `plain(dataset)` is such a table too, and
            gives the same data set.
        data_dir: the folder of the data sets.
        base: the folder of relative paths: that of the suite file.

    Raises:
        InputError: an unknown name (the message has the nearest name and the searched folder), an
            unknown setting or a bad value.

    """
    table = dict(table)
    if isinstance(table.get("path"), str) and table["path"]:
        table["path"] = _resolved(table["path"], base)
    name = table.get("name")
    if not isinstance(name, str) or name in DATASETS:
        return DATASETS.build(table)
    if not NAME.fullmatch(name):
        raise InputError(f"data set name {name!r} must match {NAME.pattern}")
    if not table.get("path") and find(data_dir, name) is None:
        raise InputError(
            f"no data set named {name!r}{nearest(name, DATASETS)} (known: {', '.join(DATASETS)}), "
            f"and no data of yours in {data_dir} ({_looked_for(name)}); put them there, or give "
            "their `path`"
        )
    del table["name"]
    if table.setdefault("label", name) != name:
        raise InputError(f"{name} has the label {table['label']!r}; delete it")
    own: Dataset = make(OwnData, table, name)
    return own


def _resolved(path: str, base: Path) -> str:
    try:
        found = (base / Path(path).expanduser()).resolve()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            found.stat()  # from 3.13 on, Python resolves links that lead to themselves
        return str(found)
    except (OSError, RuntimeError, ValueError) as error:
        says = " ".join(str(error).split()) or "no such path"
        raise InputError(f"data path {path[:200]!r} leads nowhere: {says}", ("path",)) from None


@dataclass(frozen=True)
class Listing:
    """A row of `robustbench-rec data list`.

    Attributes:
        name, about: its name, and one line of description.
        ready: whether a suite can run on it now.
        present: the location of its files; None if they are missing, or if it needs none.
        licence, how_to_get: empty if unknown.
        users, items, pairs: as in `KNOWN_SIZES`; None if not known without reading the files.

    """

    name: str
    about: str
    ready: bool
    present: Path | None
    licence: str
    how_to_get: str
    users: int | None = None
    items: int | None = None
    pairs: int | None = None


def inventory(data_dir: Path) -> list[Listing]:
    """List the registered data sets, then other likely data sets in `data_dir`."""
    known = [_listing(DATASETS[name], data_dir) for name in DATASETS]
    taken = {row.present for row in known}
    return known + [row for row in _own_data(data_dir) if row.present not in taken]


def _listing(cls: type[Dataset], data_dir: Path) -> Listing:
    lies_in_files = issubclass(cls, FileDataset)
    present = cls.find(data_dir) if issubclass(cls, FileDataset) else None
    about = (cls.__doc__ or "").partition("\n")[0]
    ready = not lies_in_files or present is not None
    sizes = KNOWN_SIZES.get(cls.name, ())
    return Listing(cls.name, about, ready, present, cls.licence, cls.how_to_get, *sizes)


def _own_data(data_dir: Path) -> Iterator[Listing]:
    """Find the user's data sets, without reading: files with a known ending that look whole."""
    for path in _within(data_dir):
        usual = path.is_dir() or path.name.lower().endswith(ENDINGS[1:])
        if usual and NAME.fullmatch(_stem(path)) and (found := _parts_if_whole(path)):
            names = ", ".join(f"{part} {name}" for part, name in found.items())
            about = f"a data set of your own: {names}"
            yield Listing(_stem(path), about, True, path, "", "")


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else Path(bare(path.name)).stem


def _parts_if_whole(path: Path) -> dict[str, str]:
    try:
        return parts(Source(path))
    except InputError:
        return {}
