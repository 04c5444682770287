"""Readers of tables: delimited text, with a header or in MovieLens's format, and Parquet."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np

from robustbench_rec.components.dataset import Table
from robustbench_rec.data.columns import (
    NULLS,
    NUMBERS,
    OFF,
    Columns,
    Reading,
    Rows,
    refuse_numbers,
    table_of,
)
from robustbench_rec.data.source import Source
from robustbench_rec.errors import InputError

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}
CHUNK = 4 << 20
LARGEST_RATING = 1e8
"""Seconds since 1970 are above this number in all files of interactions."""
BOM = codecs.BOM_UTF8


@dataclass(frozen=True)
class Layout:
    """The layout of a text table.

    Attributes:
        sep: one character between fields.
        fields: the number of fields of the first line; no line may have more.
        header: whether the first line names the columns.
        encoding: the encoding of the text.
        width: characters of the separator, 2 for `::`.

    """

    sep: str
    fields: int
    header: bool = True
    encoding: str = "utf-8-sig"
    width: int = 1

    @property
    def most(self) -> int:
        """The number of fields of a full line when split at `sep`."""
        return (self.fields - 1) * self.width + 1

    @property
    def quoting(self) -> Any:
        """The meaning of quotes; see `quoting_of`."""
        return quoting_of(self.sep)


def quoting_of(sep: str) -> Any:
    """Return csv's constant: with tabs or colons a quote is text, otherwise it wraps a field.

    Otherwise a quote at the start of a title would include rows up to the next quote.
    """
    return csv.QUOTE_NONE if sep in ("\t", ":") else csv.QUOTE_MINIMAL


def first_line(source: Source, name: str) -> str:
    """Return the first line of a text file; InputError if it is empty or not text."""
    with source.open(name) as stream:
        head = stream.readline(65_536)
    if not head:
        raise InputError(f"{source.where(name)} is empty")
    try:
        return head.decode("utf-8-sig").rstrip("\r\n").partition("\r")[0]
    except UnicodeDecodeError:
        raise InputError(f"{source.where(name)}, line 1: not UTF-8 text") from None


def header_of(line: str, columns: Columns) -> tuple[str, list[str]]:
    """Return the separator and the names of a header line.

    The separator is the one that gives a user and an item column, else the most frequent one.
    """
    split = {
        mark: next(csv.reader([line], delimiter=mark, quoting=quoting_of(mark)), [])
        for mark in SEPARATORS
    }
    best = max(SEPARATORS, key=line.count)
    mark = next((mark for mark in SEPARATORS if columns.known_in(split[mark])), best)
    return mark, split[mark]


def read_delimited(source: Source, name: str, how: Reading) -> Table:
    """Read text with columns; the separator is detected.

    The first line names the columns; without a header they are named by position, and the first two
    are users and items, unless `how` says otherwise.
    """
    where = source.where(name)
    if not how.header:
        columns = replace(how.columns, user=how.columns.user or "1", item=how.columns.item or "2")
        return _read_headless(source, name, how, columns, _mark(first_line(source, name)))
    mark, header = header_of(first_line(source, name), how.columns)
    refuse_numbers(header, where)
    picked = how.columns.find(header, where)
    rows = Rows(where, "line", 2)
    return table_of(_parsed(source, name, rows, picked, Layout(mark, len(header))), rows, how)


def read_recbole(source: Source, name: str, how: Reading) -> Table:
    """Read a RecBole atomic file: tabs, and a header such as `user_id:token item_id:token`."""
    line = first_line(source, name)
    if "\t" not in line or ":" not in line:
        raise InputError(
            f"{source.where(name)}, line 1: {line[:80]!r} is not a RecBole header; expected names "
            "with types, separated by tabs, such as user_id:token and item_id:token"
        )
    return read_delimited(source, name, replace(how, header=True))


def read_movielens(source: Source, name: str, how: Reading) -> Table:
    """Read `u.data` (tabs or spaces) or `ratings.dat` (`::`): user, item, rating, timestamp.

    There is no header, so of the names of columns only "none" is used.
    """
    line = _latin_1(source, name)
    mark = next((mark for mark in ("::", "\t", " ") if mark in line), "")
    if not mark:
        raise Rows(source.where(name), "line", 1).fault(
            0,
            f"{line[:80]!r}; expected user, item, rating and timestamp "
            "separated by tabs or by '::'",
        )
    fields = line.count(mark) + 1
    given = {role: str(at) for at, role in enumerate(("user", "item", *NUMBERS), 1) if at <= fields}
    off = {role: OFF for role in NUMBERS if getattr(how.columns, role) == OFF}
    table = _read_headless(source, name, how, Columns(**(given | off)), mark)
    if table.ratings is not None and table.ratings.min() > LARGEST_RATING:
        raise InputError(
            f"{table.where}: all ratings, in the third column, are above {LARGEST_RATING:g}, "
            'like times; set format = "delimited", header = false and user_column = "1", '
            'item_column = "2", timestamp_column = "3", rating_column = "4"'
        )
    return table


def _mark(line: str) -> str:
    """Return the separator of a line of data: the most frequent one."""
    return "::" if "::" in line else max(SEPARATORS, key=line.count)


def _latin_1(source: Source, name: str) -> str:
    """Return the first line of a file in latin-1, where every byte is a character."""
    with source.open(name) as stream:
        line = stream.readline(65_536)
    if not line:
        raise InputError(f"{source.where(name)} is empty")
    return line.decode("latin-1").rstrip("\r\n").partition("\r")[0]


def _read_headless(source: Source, name: str, how: Reading, columns: Columns, mark: str) -> Table:
    """Read text without a header; columns are named by their positions from 1."""
    line = _latin_1(source, name)
    rows = Rows(source.where(name), "line", 1)
    fields = line.count(mark) + 1
    if quoting_of(mark[0]) != csv.QUOTE_NONE:
        fields = len(next(csv.reader([line], delimiter=mark), []))
    found = columns.find([str(at) for at in range(1, fields + 1)], rows.where)
    # pandas splits by one character fast, so that '::' is two separators around an empty field.
    picked = {role: at * len(mark) for role, at in found.items()}
    marked = line.startswith(BOM.decode("latin-1"))
    encoding = "latin-1" if mark == "::" and not marked else "utf-8-sig"
    layout = Layout(mark[0], fields, header=False, encoding=encoding, width=len(mark))
    return table_of(_parsed(source, name, rows, picked, layout), rows, how)


def _parsed(source: Source, name: str, rows: Rows, picked: dict[str, int], layout: Layout) -> Any:
    """Return a frame of text columns named by role; the index counts rows, blank ones dropped."""
    import pandas as pd

    with _clear(source, name, rows), source.open(name) as stream:
        frame = pd.read_csv(
            stream,
            sep=layout.sep,
            quoting=layout.quoting,
            header=0 if layout.header else None,
            usecols=list(picked.values()),
            dtype=str,
            encoding=layout.encoding,
            keep_default_na=False,
            na_values=NULLS,
            skip_blank_lines=False,
            index_col=False,
        )
    with _clear(source, name, rows):
        _refuse_long_lines(source, name, rows.where, layout, len(frame) + layout.header)
    frame.columns = pd.Index(sorted(picked, key=picked.__getitem__))
    return frame.dropna(how="all")


def _refuse_long_lines(source: Source, name: str, where: str, layout: Layout, records: int) -> None:
    """Refuse lines with more fields than the first, which pandas would cut, and a NUL.

    The text is parsed again only if counting separators does not decide.
    """
    with source.open(name) as stream:
        if not _may_have_long_lines(stream, where, layout, records):
            return
    with source.open(name) as stream:
        text = io.TextIOWrapper(stream, layout.encoding, newline="")
        reader = csv.reader(text, delimiter=layout.sep, quoting=layout.quoting)
        line = 1
        for row in reader:
            if len(row) > layout.most:
                found = -(-len(row) // layout.width)
                says = f"{found} fields; expected at most {layout.fields}, as on line 1"
                raise InputError(f"{where}, line {line}: {says}")
            line = reader.line_num + 1


def _may_have_long_lines(stream: IO[bytes], where: str, layout: Layout, records: int) -> bool:
    """Say whether a line has too many separators, or not every line is a record.

    A NUL is refused: some versions of pandas end a field there.
    """
    lines, long = 0, False
    while chunk := stream.read(CHUNK) + stream.readline():
        if (nul := chunk.find(b"\0")) >= 0:
            line = lines + chunk.count(b"\n", 0, nul) + 1
            raise InputError(f"{where}, line {line}: holds a NUL character; delete it")
        text = np.frombuffer(chunk, dtype=np.uint8)
        ends = np.append(np.flatnonzero(text == ord("\n")), text.size)
        before = np.searchsorted(np.flatnonzero(text == ord(layout.sep)), ends)
        long = long or np.diff(before, prepend=0).max() >= layout.most
        lines += ends.size - chunk.endswith(b"\n")
    return long or lines != records


@contextmanager
def _clear(source: Source, name: str, rows: Rows) -> Iterator[None]:
    from pandas.errors import EmptyDataError, ParserError

    try:
        yield
    except UnicodeDecodeError:
        raise _not_utf8(source, name, rows) from None
    except (EmptyDataError, ParserError, csv.Error) as error:
        says = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{rows.where}: the table does not parse ({says})") from None


def _not_utf8(source: Source, name: str, rows: Rows) -> InputError:
    with source.open(name) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                says = f"byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8"
                return InputError(f"{rows.where}, line {number}: {says}")
    return InputError(f"{rows.where}: not UTF-8 text; save the file as UTF-8")


def read_parquet(source: Source, name: str, how: Reading) -> Table:
    """Read a Parquet file with named columns; needs pyarrow."""
    try:
        from pyarrow import ArrowException, types
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise InputError(
            f"{source.where(name)} is Parquet, which needs pyarrow: "
            "pip install 'robustbench_rec[parquet]'"
        ) from None
    where = source.where(name)
    with source.open(name) as stream:
        try:
            file = ParquetFile(stream if stream.seekable() else io.BytesIO(stream.read()))
            header = file.schema_arrow.names
            picked = how.columns.find(header, where)
            table = file.read([header[at] for at in picked.values()])
            table.validate(full=True)
            for role, at in picked.items():
                if types.is_nested(table.schema.field(header[at]).type):
                    raise InputError(
                        f"{where}: the {role} column {header[at]!r} holds lists or structures; "
                        "expected one text or number in each row"
                    )
            # What pandas keeps of its own in a file is no part of the data, and may be damaged.
            frame = table.replace_schema_metadata(None).to_pandas()
        except (ArrowException, UnicodeDecodeError) as error:
            says = " ".join(str(error).split())
            raise InputError(f"{where}: not a whole Parquet file ({says})") from None
    roles = {header[at]: role for role, at in picked.items()}
    return table_of(frame.rename(columns=roles), Rows(where, "row", 1), how)
