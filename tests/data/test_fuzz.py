"""Any bytes under any name are read, or refused in one line."""

import bz2
import gzip
import io
import lzma
import os
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustbench_rec import InputError, Raw
from robustbench_rec.data.catalog import OwnData

pytestmark = pytest.mark.fuzz
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))

FIELDS = st.one_of(
    st.integers(-2, 30).map(str),
    st.sampled_from(["user", "item", "rating", "timestamp", "user_id:token", "item_id:token"]),
    st.sampled_from(["", " ", "nan", "-1", "007", "1.0", "1e5", "inf", "2021-03-01", "today", '"']),
    st.sampled_from(["9" * 19, "9" * 30, "9" * 5000, "x" * 2000, "\0", "\ufeff", "é", "e\u0301"]),
    st.text(max_size=4),
)
HEADERS = st.sampled_from(["", "user{0}item\n", "user_id{0}item_id{0}rating{0}timestamp\n"])
MARKS = st.sampled_from([",", "\t", " ", ";", "|", "::", "  "])
BREAKS = st.sampled_from(["\n", "\r\n", "\r", "\n\n"])


@st.composite
def texts(draw) -> bytes:
    """Draw a table that is more or less whole."""
    mark, end = draw(MARKS), draw(BREAKS)
    width = draw(st.integers(1, 5))
    row = st.lists(FIELDS, min_size=max(width - 1, 1), max_size=width + draw(st.integers(0, 1)))
    rows = draw(st.lists(row, max_size=6))
    text = draw(HEADERS).format(mark) + "".join(mark.join(row) + end for row in rows)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    return text.encode(encoding, errors="replace")


VALUES = st.one_of(
    st.integers(-2, 2**64 - 1),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.none(),
    st.booleans(),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False, places=2),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=1),
)


@st.composite
def parquets(draw) -> bytes:
    """Draw a Parquet file, its columns of one kind each as far as Parquet wants that."""
    n = draw(st.integers(0, 4))
    names = draw(st.sampled_from([["user", "item"], ["item", "user", "rating", "timestamp"]]))
    columns = {}
    for name in names:
        kind = type(draw(VALUES))
        same = VALUES.filter(lambda value, kind=kind: type(value) is kind or value is None)
        columns[name] = draw(st.lists(same, min_size=n, max_size=n))
    buffer = io.BytesIO()
    try:
        pd.DataFrame(columns).to_parquet(buffer)
    except (pyarrow.ArrowException, OverflowError, ValueError, TypeError):
        return b"PAR1"
    return buffer.getvalue()


@st.composite
def damaged(draw, contents) -> bytes:
    """Cut a file short, or put other bytes into its middle."""
    content = draw(contents)
    at = draw(st.integers(0, len(content)))
    middle = draw(st.binary(max_size=4))
    return content[:at] + middle + content[at + draw(st.integers(0, 8)) :]


PLAIN = st.one_of(st.binary(max_size=300), texts(), texts(), parquets())
PACKERS = [
    partial(gzip.compress, mtime=0),
    bz2.compress,
    lzma.compress,
    partial(lzma.compress, format=lzma.FORMAT_ALONE),
    lambda raw: gzip.compress(bz2.compress(raw), mtime=0),
    lambda raw: pyarrow.compress(raw, codec="zstd", asbytes=True),
]
PACKED = st.builds(lambda pack, raw: pack(raw), st.sampled_from(PACKERS), PLAIN)
CONTENTS = st.one_of(PLAIN, PLAIN, PACKED, damaged(PLAIN), damaged(PACKED))
STEMS = ["train", "test", "valid", "own.train", "own.test", "log", "user_list", "ratings", "u"]
SUFFIXES = [
    ".txt",
    ".csv",
    ".tsv",
    ".inter",
    ".parquet",
    ".dat",
    ".data",
    ".txt.gz",
    ".csv.zst",
    ".CSV",
    ".txt.GZ.bz2",
    "",
]
NAMES = st.builds(str.__add__, st.sampled_from(STEMS), st.sampled_from(SUFFIXES))
FILES = st.one_of(
    st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=3),
    st.builds(
        lambda suffix, *contents: dict(
            zip((f"train{suffix}", f"test{suffix}"), contents, strict=True)
        ),
        st.sampled_from(SUFFIXES),
        CONTENTS,
        CONTENTS,
    ),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from(["delimited", "lightgcn", "movielens", "parquet", "recbole"]),
        "header": st.booleans(),
        "duplicates": st.sampled_from(["refuse", "first", "last", "max"]),
        "user_column": st.sampled_from(["user", "2", "none"]),
        "item_column": st.sampled_from(["item", "1"]),
        "rating_column": st.sampled_from(["rating", "3", "none"]),
        "timestamp_column": st.sampled_from(["timestamp", "4", "none"]),
        "min_rating": st.just(3.0),
        "split_by": st.just("time"),
    },
)


def read_or_one_line(path: Path, choices) -> None:
    """Read data; whatever else than a Raw must be one line."""
    dataset = OwnData(label="own", path=str(path), **choices)
    for work in (dataset.fingerprint, dataset.read):
        try:
            made = work(path.parent)
        except InputError as error:
            text = str(error)
            assert text.splitlines() == [text]
            assert len(text) < 2000
        else:
            assert isinstance(made, Raw | str)


FUZZED = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@FUZZED
@given(FILES, SETTINGS)
def test_a_folder_of_any_files(files, choices):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        read_or_one_line(Path(folder), choices)


@FUZZED
@given(NAMES, CONTENTS, SETTINGS)
def test_any_file(name, content, choices):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        read_or_one_line(path, choices)


PACKINGS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]


@st.composite
def zips(draw) -> bytes:
    """Draw a zip, whole or damaged."""
    buffer, packing = io.BytesIO(), draw(st.sampled_from(PACKINGS))
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in draw(FILES).items():
            folder = draw(st.sampled_from(["", "a/", "b/", "a/c/"]))
            archive.writestr(zipfile.ZipInfo(folder + name), content, packing)
    return buffer.getvalue()


@FUZZED
@given(st.one_of(zips(), damaged(zips())), SETTINGS)
def test_any_zip(content, choices):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.zip"
        path.write_bytes(content)
        read_or_one_line(path, choices)
