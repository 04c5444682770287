"""Readers: each format gives the same pairs; each bad file gives one clear line."""

import builtins
import bz2
import datetime
import decimal
import gzip
import lzma
import os
import sys
import tarfile
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from readings import ALL_NEEDED, PLAIN, pairs, read_all, write

from robustbench_rec import InputError
from robustbench_rec.data import tables
from robustbench_rec.data.columns import Reading
from robustbench_rec.data.formats import files_of, look, parts
from robustbench_rec.data.source import Source
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.records.run import read_run

PAIRS = {(1, 10), (1, 20), (2, 10), (3, 30)}

ONE_LOG = {
    "log.tsv": "user_procid\titem_procid\n1\t10\n1\t20\n2\t10\n3\t30\n",
    "log.csv": "item_id,x,userId\n10,a,1\n20,b,1\n10,c,2\n30,d,3\n",
    "semicolons.csv": '"User";"Item"\n1;10\n1;20\n2;10\n3;30\n',
    "marked.csv": "\ufeffuser,item\r\n1,10\r\n1,20\r\n\r\n2,10\r\n3,30\r\n",
    "u.data": "1\t10\t5\t881250949\n1\t20\t3\t881250950\n2\t10\t4\t881250951\n"
    "3\t30\t1\t881250952\n",
    "ratings.dat": "1::10::5::881\n1::20::3::882\n2::10::4::883\n3::30::1::884\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n1,10,5,881\n1,20,3,1\n2,10,4,1\n3,30,1,1\n",
    "log.inter": "timestamp:float\titem_id:token\tuser_id:token\n1\t10\t1\n1\t20\t1\n2\t10\t2\n"
    "3\t30\t3",
    "log.txt": "1 10 20\n2 10\n3 30\n4\n",
}


def packed(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("name", ONE_LOG)
def test_a_log_of_each_format_is_told_by_looking(tmp_path, name):
    write(tmp_path, {name: ONE_LOG[name]})
    for path in (tmp_path, tmp_path / name):
        raw = read_all(path)
        assert pairs(raw.train) == PAIRS
        assert raw.test is None


def test_ratings_and_timestamps_are_numbers(tmp_path):
    write(tmp_path, {"ratings.dat": ONE_LOG["ratings.dat"]})
    table = read_all(tmp_path).train
    assert table.ratings.tolist() == [5, 3, 4, 1]
    assert table.timestamps.tolist() == [881, 882, 883, 884]


def test_latin_1_in_movielens_dat_is_no_harm(tmp_path):
    write(tmp_path, {"ratings.dat": b"1::10::5::881\n2::\xe9::3::882\n"})
    assert pairs(read_all(tmp_path).train) == {(1, "10"), (2, "é")}


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".tsv", "user\titem\n{}\t{}\n"),
        (".csv", "user,item\n{},{}\n"),
        (".txt", "{} {}\n"),
    ],
)
@pytest.mark.parametrize("pack", [False, True])
def test_data_that_come_split(tmp_path, ending, text, pack):
    files = {
        f"train{ending}": text.format(1, 10),
        f"valid{ending}": text.format(1, 20),
        f"test{ending}": text.format(2, 30),
        "summary.md": "not a table",
    }
    path = packed(tmp_path / "own.zip", files) if pack else write(tmp_path / "own", files)
    raw = read_all(path)
    assert [pairs(part) for part in (raw.train, raw.valid, raw.test)] == [
        {(1, 10)},
        {(1, 20)},
        {(2, 30)},
    ]


def test_recbole_files_that_come_split(tmp_path):
    text = "user_id:token\titem_id:token\n{}\t{}\n"
    write(
        tmp_path,
        {"own.train.inter": text.format("a", "x"), "own.test.inter": text.format("b", "y")},
    )
    raw = read_all(tmp_path)
    assert pairs(raw.train) == {("a", "x")}
    assert pairs(raw.test) == {("b", "y")}
    assert raw.valid is None


def test_parquet_alone_and_split(tmp_path):
    frame = pd.DataFrame({"userId": [1, 1, 2, 3], "movieId": [10, 20, 10, 30]})
    frame["timestamp"] = pd.to_datetime([1, 2, 3, 4], unit="s")
    frame.to_parquet(tmp_path / "log.parquet")
    raw = read_all(tmp_path / "log.parquet")
    assert pairs(raw.train) == PAIRS
    assert raw.train.timestamps.tolist() == [1, 2, 3, 4]
    split = tmp_path / "own"
    split.mkdir()
    frame[:3].to_parquet(split / "train.parquet")
    frame[3:].to_parquet(split / "test.parquet")
    assert pairs(read_all(split).test) == {(3, 30)}
    packed_path = packed(tmp_path / "own.zip", {})
    with zipfile.ZipFile(packed_path, "w") as archive:
        for name in ("train.parquet", "test.parquet"):
            archive.write(split / name, name)
    assert pairs(read_all(packed_path).test) == {(3, 30)}


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    write(tmp_path, {"log.parquet": b"PAR1"})
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'robustbench_rec\[parquet\]'"):
        read_all(tmp_path / "log.parquet")


def test_lists_give_original_ids(tmp_path):
    header = "user_procid\titem_procid\n"
    path = packed(
        tmp_path / "own.zip",
        {
            "train.tsv": header + "0\t0\n1\t1\n",
            "test.tsv": header + "0\t1\n",
            "user_list.tsv": "user_orgid\tuser_procid\nA1\t0\nB2\t1\n",
            "item_list.tsv": "item_orgid\titem_procid\n70\t0\n80\t1\n",
        },
    )
    raw = read_all(path)
    assert pairs(raw.train) == {("A1", 70), ("B2", 80)}
    assert pairs(raw.test) == {("A1", 80)}
    assert files_of(Source(path)) == ["train.tsv", "test.tsv", "user_list.tsv", "item_list.tsv"]


def test_a_zip_may_hold_its_files_in_a_folder_and_the_nearest_counts(tmp_path):
    log = ONE_LOG["u.data"]
    path = packed(
        tmp_path / "a.zip", {"m/u.data": log, "m/old/u.data": "", "__MACOSX/._u.data": ""}
    )
    assert pairs(read_all(path).train) == PAIRS


def test_columns_and_format_can_be_set(tmp_path):
    write(tmp_path, {"log.csv": "a,b,c\n1,10,5\n2,20,3\n", "train.txt": "1\t2\t3\n"})
    raw = read_all(tmp_path / "log.csv", user="b", item="a", rating="c")
    assert pairs(raw.train) == {(10, 1), (20, 2)}
    assert raw.train.ratings.tolist() == [5, 3]
    assert look(Source(tmp_path), "train.txt", Reading()) == "lightgcn"
    assert pairs(read_all(tmp_path / "train.txt", "movielens").train) == {(1, 2)}


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["007", "8"], ["007", "8"]),
        (["99999999999999999999", "1"], ["99999999999999999999", "1"]),
        (["b", " a "], ["b", "a"]),
        (["NA", "x1"], ["NA", "x1"]),
        (["9223372036854775807", "1"], [9223372036854775807, 1]),
    ],
)
def test_ids_keep_what_they_say(tmp_path, ids, kept):
    write(tmp_path, {"log.csv": "user,item\n" + "".join(f"{user},1\n" for user in ids)})
    assert read_all(tmp_path).train.users.tolist() == kept


BAD_LOGS = {
    "empty": ("log.csv", "", r"log\.csv is empty$"),
    "only a header": ("log.csv", "user,item\n", r"log\.csv holds no pairs"),
    "empty u.data": ("u.data", "", r"u\.data is empty"),
    "empty lightgcn": ("log.txt", "", r"log\.txt is empty"),
    "lightgcn without items": ("log.txt", "1\n2\n", r"log\.txt holds no pairs"),
    "empty parquet": ("log.parquet", b"", r"log\.parquet: not a whole Parquet file"),
    "torn parquet": ("log.parquet", b"PAR1abc", r"log\.parquet: not a whole Parquet file"),
    "torn row": ("log.csv", "user,item\n1,2\n3", r"log\.csv, line 3: no item; expected a user and"),
    "torn quote": ("log.csv", 'user,item\n1,2\n"3,4\n', r"log\.csv: the table does not parse"),
    "torn u.data": ("u.data", "1\t2\t3\t881250949\n1\t5\t3\n", r"u\.data, line 2: no timestamp"),
    "torn dat": ("ratings.dat", "1::2::3::4\n1::5::\n", r"ratings\.dat, line 2: no rating"),
    "null": ("log.csv", "user,item\n1,2\n,3\n", r"log\.csv, line 3: no user"),
    "not UTF-8": (
        "log.csv",
        b"user,item\n1,2\n\xe9,3\n",
        r"log\.csv, line 3: byte 0xe9 is not UTF",
    ),
    "not UTF-8 at once": ("log.csv", b"us\xe9r,item\n1,2\n", r"log\.csv, line 1: not UTF-8 text"),
    "other delimiter below": ("log.csv", "user,item\n1;2\n", r"log\.csv, line 2: no item"),
    "unknown delimiter": (
        "log.csv",
        "user~item\n1~2\n",
        r"no user column in the header 'user~item'",
    ),
    "commas in lightgcn": (
        "train.txt",
        "1,2,3\n",
        r"line 1: '1,2,3' is not a whole number; expected",
    ),
    "no header": (
        "log.csv",
        "1,2\n3,4\n",
        r"log\.csv: its first line '1, 2' looks like data.*header = false, and user_col",
    ),
    "repeated pair": (
        "log.csv",
        "user,item\n1,2\n\n3,4\n1,2\n",
        r"log\.csv, line 5: the pair \(user 1, item 2\) is on line 2 already",
    ),
    "repeated in lightgcn": (
        "log.txt",
        "1 2\n3 4 4\n",
        r"log\.txt, line 2: the pair \(user 3, item 4",
    ),
    "negative user": (
        "log.csv",
        "user,item\n1,2\n-3,4\n",
        r"log\.csv, line 3: user id -3 is negative",
    ),
    "negative item": ("log.txt", "1 2\n2 -4\n", r"log\.txt, line 2: item id -4 is negative"),
    "newline in an id": (
        "log.csv",
        'user,item\n1,2\n3,"a\n4,"b\n5,6\n',
        r"log\.csv, line 3: item id 'a\\n4,b' holds a newline or NUL",
    ),
    "NUL in an id": (
        "log.tsv",
        "user\titem\n1\t2\n3\0\t4\n",
        r"log\.tsv, line 3: holds a NUL character; delete it",
    ),
    "NUL in a column that is not read": (
        "log.csv",
        'user,item,note\n1,2,"a,b"\n3,4,\0\n',
        r"log\.csv, line 3: holds a NUL character; delete it",
    ),
    "more fields than the header": (
        "log.csv",
        "user,item\n1,2\n3,4,5\n6,7\n",
        r"log\.csv, line 3: 3 fields; expected at most 2, as on line 1$",
    ),
    "more fields at once": (
        "log.tsv",
        "user\titem\n1\t2\t\n",
        r"log\.tsv, line 2: 3 fields; expected at most 2, as on line 1$",
    ),
    "more fields below a text of two lines": (
        "log.csv",
        'user,item,x\n1,2,"a,\nb"\n3,4,"c\n",d\n',
        r"log\.csv, line 4: 4 fields; expected at most 3, as on line 1$",
    ),
    "more fields in u.data": (
        "u.data",
        "1\t2\t3\t881250949\n1\t5\t3\t881250949\t9",
        r"u\.data, line 2: 5 fields; expected at most 4, as on line 1$",
    ),
    "more fields in dat": (
        "ratings.dat",
        "1::2::3::4\n1::5::3::4::9\n",
        r"ratings\.dat, line 2: 5 fields; expected at most 4, as on line 1$",
    ),
    "no number": (
        "ratings.csv",
        "user,item,rating\n1,2,five\n",
        r"line 2: rating 'five' is not a numb",
    ),
    "carriage return before colons": (
        "train.txt",
        b"\0\r::",
        r"train\.txt, line 1: '\\x00'; expected user, item, rating and timestamp",
    ),
    "infinite": (
        "ratings.csv",
        "user,item,rating\n1,2,inf\n",
        r"line 2: rating 'inf' is not a number",
    ),
    "no RecBole header": (
        "log.inter",
        "1,2\n",
        r"log\.inter, line 1: '1,2' is not a RecBole header",
    ),
}


@pytest.mark.parametrize("case", BAD_LOGS)
def test_a_bad_file_gives_one_clear_line(tmp_path, case):
    name, content, says = BAD_LOGS[case]
    write(tmp_path, {name: content})
    with pytest.raises(InputError, match=says) as caught:
        read_all(tmp_path / name, how=ALL_NEEDED)
    assert "\n" not in str(caught.value)


def test_a_quote_between_tabs_is_text_and_swallows_no_row(tmp_path):
    write(tmp_path, {"log.tsv": 'user\titem\n1\t"a\n2\tb"\n3\t"c"\n'})
    assert pairs(read_all(tmp_path).train) == {(1, '"a'), (2, 'b"'), (3, '"c"')}
    write(tmp_path, {"log.tsv": '1\t"a\t3\n2\tb"\t4\n'})
    assert pairs(read_all(tmp_path, "movielens").train) == {(1, '"a'), (2, 'b"')}


def test_separators_in_quotes_are_no_fields_of_their_own(tmp_path):
    write(tmp_path, {"log.csv": 'user,item,title\n1,2,"a, b, c"\n3,"4,5"\n'})
    table = read_all(tmp_path).train
    assert list(zip(table.users, table.items, strict=True)) == [(1, "2"), (3, "4,5")]


def test_a_first_line_that_ends_in_a_carriage_return_is_a_line(tmp_path):
    write(tmp_path, {"u.data": ONE_LOG["u.data"].replace("\n", "\r")})
    assert pairs(read_all(tmp_path / "u.data").train) == PAIRS
    write(tmp_path, {"log.csv": b"1,2\r2,3\r"})
    how = replace(PLAIN, header=False)
    assert pairs(read_all(tmp_path / "log.csv", how=how).train) == {(1, 2), (2, 3)}
    for bad in (b"\r1,2", b"\n1,2\n"):
        write(tmp_path, {"log.csv": bad})
        with pytest.raises(InputError, match=r"log\.csv has no column '2'"):
            read_all(tmp_path / "log.csv", how=how)


def test_lines_that_end_in_carriage_returns_are_lines(tmp_path):
    write(tmp_path, {"log.csv": "user,item\r1,10\r2,20\r"})
    assert pairs(read_all(tmp_path).train) == {(1, 10), (2, 20)}


def test_fields_are_counted_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", 7)
    for end in ("", "\n"):
        write(tmp_path, {"log.csv": "user,item\n" + "1,2\n" * 5 + "3,4,5" + end})
        with pytest.raises(InputError, match=r"line 7: 3 fields"):
            read_all(tmp_path)


def test_two_roles_in_one_column_are_refused(tmp_path):
    write(tmp_path, {"log.csv": "user,item,rating\n1,2,3\n"})
    says = r"log\.csv: user and item are both the column 'item'; name another with user_column or"
    for columns in ({"user": "item"}, {"user": "item", "item": "item"}):
        with pytest.raises(InputError, match=says) as caught:
            read_all(tmp_path, **columns)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"rating and timestamp are both the column 'rating'"):
        read_all(tmp_path, timestamp="rating")


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no such file or folder: .*nowhere\.csv"):
        read_all(tmp_path / "nowhere.csv")


def test_a_missing_column_names_the_nearest(tmp_path):
    write(tmp_path, {"log.csv": "user,item,stars_given\n1,2,3\n"})
    with pytest.raises(InputError, match=r"no column 'stars_give'; did you mean 'stars_given'\?"):
        read_all(tmp_path, rating="stars_give")


def test_damaged_notes_of_pandas_in_parquet_do_no_harm(tmp_path):
    frame = pd.DataFrame({"user": [1, 1, 2, 3], "item": [10, 20, 10, 30]})
    table = pyarrow.Table.from_pandas(frame).replace_schema_metadata({"pandas": "{"})
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    assert pairs(read_all(tmp_path).train) == PAIRS


def test_parquet_text_that_is_none_is_named(tmp_path):
    column = pyarrow.array([b"\x80"]).view(pyarrow.string())
    table = pyarrow.table({"user": column, "item": [1]})
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(InputError, match=r"log\.parquet: not a whole Parquet file \(.*UTF"):
        read_all(tmp_path)


def test_parquet_nulls_are_named_by_row(tmp_path):
    pd.DataFrame({"user": [1, None], "item": [1, 2]}).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match=r"log\.parquet, row 2: no user"):
        read_all(tmp_path)


def test_train_without_test_is_refused(tmp_path):
    write(tmp_path, {"train.tsv": ONE_LOG["log.tsv"]})
    with pytest.raises(InputError, match=r"holds train\.tsv but no test\.tsv"):
        parts(Source(tmp_path))


def test_no_table_and_several_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no table; expected train and test"):
        parts(Source(tmp_path))
    write(tmp_path, {"a.csv": "", "b.csv": ""})
    with pytest.raises(InputError, match=r"holds a\.csv and b\.csv; expected"):
        parts(Source(tmp_path))


@pytest.mark.parametrize("kept", [200, 0])
def test_a_truncated_zip_is_named(tmp_path, kept):
    noise = "".join(f"{u}\t{i}\n" for u, i in np.random.default_rng(0).integers(0, 9999, (99, 2)))
    files = {"train.tsv": "user\titem\n" + noise, "test.tsv": "user\titem\n1\t2\n"}
    path = packed(tmp_path / "own.zip", files)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"own\.zip: not a whole zip file \(.*get it again"):
        read_all(path)


def test_a_damaged_member_is_named(tmp_path):
    files = {"train.tsv": "user\titem\n1\t2\n3\t4\n" * 3, "test.tsv": "user\titem\n1\t3\n"}
    path = packed(tmp_path / "own.zip", files)
    content = bytearray(path.read_bytes())
    content[45] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.zip!train\.tsv: not a whole zip file"):
        read_all(path)


def test_an_id_that_the_list_lacks_is_named(tmp_path):
    header = "user_procid\titem_procid\n"
    write(
        tmp_path,
        {
            "train.tsv": header + "0\t0\n7\t1\n",
            "test.tsv": header + "0\t1\n",
            "user_list.tsv": "user_orgid\tuser_procid\nA1\t0\n",
        },
    )
    with pytest.raises(
        InputError, match=r"train\.tsv holds user 7, which .*user_list\.tsv does not"
    ):
        read_all(tmp_path)


def test_a_test_part_alone_is_no_log(tmp_path):
    (tmp_path / "test.txt").write_text("0 1 2\n1 2 3\n")
    with pytest.raises(InputError, match=r"holds test.txt; expected train and test files"):
        parts(Source(tmp_path))


MILLISECONDS = "1 10 500 881250949000\n1 20 3 881250950000\n2 10 0 881250951000\n"

TRIPLES = {
    "spaces": "0 106 880000000\n0 114 880000061\n1 106 880000122\n",
    "tabs": "0\t106\t880000000\n0\t114\t880000061\n1\t106\t880000122\n",
    "ratings": "0 106 5\n0 114 4\n1 106 5\n",
    "halves": "0 106 4.5\n0 114 4\n1 106 5\n",
    "lists of three items in parts": "0 1 2 3\n0 4 5 6\n1 1 2 3\n1 7 8 9\n",
    "lists of large ids in parts": "0 1 2 900000000\n0 4 900000001 900000002\n1 1 3 900000000\n",
    "a list that goes on": "0 1 2 3 6\n1 2\n0 4 5\n",
}


@pytest.mark.parametrize("case", TRIPLES)
@pytest.mark.parametrize("names", [["log.txt"], ["train.txt", "test.txt"], ["u.data"], ["log"]])
@pytest.mark.parametrize("format", ["auto", "lightgcn"])
def test_one_interaction_a_line_is_not_taken_for_lists(tmp_path, case, names, format):
    write(tmp_path, dict.fromkeys(names, TRIPLES[case]))
    path = tmp_path / names[0] if len(names) == 1 else tmp_path
    says = r"user 0 is on line 1 already, so this looks like one interaction per line.*format ="
    with pytest.raises(InputError, match=says) as caught:
        read_all(path, format)
    assert "\n" not in str(caught.value)


def test_a_rating_may_be_a_count_and_one_torn_line_does_not_make_lists(tmp_path):
    table = read_all(write(tmp_path, {"log.txt": MILLISECONDS})).train
    assert pairs(table) == {(1, 10), (1, 20), (2, 10)}
    assert table.ratings.tolist() == [500, 3, 0]
    write(tmp_path, {"log.txt": MILLISECONDS + "2 20 1\n"})
    with pytest.raises(InputError, match=r"log\.txt, line 4: no timestamp"):
        read_all(tmp_path, how=ALL_NEEDED)


def test_doubtful_numbers_are_read_by_the_settings_that_the_message_names(tmp_path):
    path = write(tmp_path, {"log.txt": "1 10 5 1998\n1 20 3 1999\n2 10 4 1998\n"})
    with pytest.raises(InputError, match=r'set format = "movielens" .*for lists, put all items of'):
        read_all(path)
    assert read_all(path, "movielens").train.timestamps.tolist() == [1998, 1999, 1998]
    write(tmp_path, {"log.txt": "1 10 5 1998 20 3 1999\n2 10 4 1998\n"})
    assert len(read_all(path).train.items) == 9


@pytest.mark.parametrize("mark", [" ", "\t"])
def test_triples_are_read_as_the_message_says(tmp_path, mark):
    text = TRIPLES["spaces"].replace(" ", mark)
    write(tmp_path, {"train.txt": text, "test.txt": "0 7 1\n".replace(" ", mark)})
    how = replace(PLAIN, header=False)
    raw = read_all(tmp_path, "delimited", how, user="1", item="2", timestamp="3")
    assert pairs(raw.train) == {(0, 106), (0, 114), (1, 106)}
    assert raw.train.timestamps.tolist() == [880000000, 880000061, 880000122]
    assert raw.train.ratings is None
    assert pairs(raw.test) == {(0, 7)}


@pytest.mark.parametrize("name", ["train.txt", "log.dat", "u.data", "log"])
@pytest.mark.parametrize("mark", [" ", "\t"])
def test_four_numbers_a_line_are_a_log_of_movielens_whatever_the_name(tmp_path, name, mark):
    write(tmp_path, {name: ONE_LOG["u.data"].replace("\t", mark)})
    table = read_all(tmp_path / name).train
    assert pairs(table) == PAIRS
    assert table.ratings.tolist() == [5, 3, 4, 1]


def test_the_test_part_is_read_as_the_training_part(tmp_path):
    # By itself a test part of one pair a user would look like lists.
    files = {"train.txt": ONE_LOG["u.data"], "test.txt": "1\t30\t5\t9\n2\t20\t5\t9\n"}
    assert pairs(read_all(write(tmp_path, files)).test) == {(1, 30), (2, 20)}


@pytest.mark.parametrize("last", ["0 107 5\n1 108 3\n", "0 107 880000000\n"])
def test_more_than_a_pair_is_no_list_beside_a_training_part_of_pairs(tmp_path, last):
    """One line a user is left out to test on, with its rating or time: as lists are."""
    write(tmp_path, {"train.txt": "0 106\n0 114\n1 106\n1 107\n", "test.txt": last})
    says = (
        r"test.txt, line 1: more than a user and an item, while .*train.txt has one pair per line"
    )
    with pytest.raises(InputError, match=says):
        read_all(tmp_path)
    write(tmp_path, {"test.txt": "0 107\n1 108\n"})
    assert pairs(read_all(tmp_path).test) == {(0, 107), (1, 108)}


def test_times_in_the_place_of_ratings_are_refused(tmp_path):
    write(tmp_path, {"u.data": "0\t2\t880000002\t4\n0\t3\t880000003\t5\n"})
    with pytest.raises(
        InputError, match=r"all ratings, in the third column, are above 1e\+08, like ti"
    ):
        read_all(tmp_path / "u.data")


@pytest.mark.parametrize("mark", ["\u200b", "\x1b", "\x7f"])
def test_ids_with_what_cannot_be_seen_are_refused(tmp_path, mark):
    write(tmp_path, {"log.csv": f"user_id,item_id\nu1,1\nu{mark}1,2\n"})
    says = rf"line 3: user id .* holds an invisible character, U\+{ord(mark):04X}; delete"
    with pytest.raises(InputError, match=says):
        read_all(tmp_path / "log.csv")


@pytest.mark.parametrize("text", ["0 1\n0 2\n1 1\n", "0 1 2\n1 1\n", "0 1 2\n1 1 2\n3 1 5\n"])
def test_lists_and_pairs_are_read_as_before(tmp_path, text):
    write(tmp_path, {"log.txt": text})
    expected = {
        (int(user), int(item))
        for user, *items in map(str.split, text.splitlines())
        for item in items
    }
    assert pairs(read_all(tmp_path).train) == expected


def test_lists_take_ids_of_64_bits_and_no_longer(tmp_path):
    write(tmp_path, {"log.txt": "9223372036854775807 9000000000000000000\n0 007\n"})
    assert pairs(read_all(tmp_path).train) == {(2**63 - 1, 9 * 10**18), (0, 7)}
    for large in ("9223372036854775808", "9" * 10**5):
        write(tmp_path, {"log.txt": f"1 2\n0 {large}\n"})
        with pytest.raises(
            InputError, match=r"log\.txt, line 2: id 9\d+ is too large; ids go up"
        ) as e:
            read_all(tmp_path)
        assert len(str(e.value)) < 400


TWO_PAIRS = "1 10\n2 20\n"


@pytest.mark.parametrize(
    "names",
    [
        ["alpha/train.txt", "alpha/test.txt", "beta/train.txt", "beta/test.txt"],
        ["alpha/train.txt", "alpha/test.txt", "beta/test.txt"],
        ["r/alpha/train.txt", "r/beta/test.txt"],
        ["alpha/u.data", "beta/ratings.csv"],
        ["alpha/train.txt", "alpha/test.txt", "beta/u.data"],
        ["alpha/log.csv", "beta/log.csv"],
    ],
)
def test_two_sets_in_one_zip_are_refused_with_both_names(tmp_path, names):
    path = packed(tmp_path / "own.zip", dict.fromkeys(names, TWO_PAIRS))
    with pytest.raises(
        InputError, match=r"own\.zip holds data in .*alpha/ and in .*beta/, equally"
    ):
        read_all(path)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a/train.txt", "a/test.txt", "a/old/train.txt", "a/old/test.txt"], "a/"),
        (["a/train.txt", "a/test.txt", "__MACOSX/train.txt", "__MACOSX/._test.txt"], "a/"),
        (["./train.txt", "./test.txt", ".git/train.txt", "README.txt"], "./"),
        (["a/train.txt", "a/test.txt", "README.txt", "notes/README.txt"], "a/"),
    ],
)
def test_the_parts_come_from_the_folder_nearest_to_the_top(tmp_path, names, found):
    path = packed(tmp_path / "own.zip", dict.fromkeys(names, TWO_PAIRS))
    assert parts(Source(path)) == {"train": f"{found}train.txt", "test": f"{found}test.txt"}


def test_a_log_nearer_to_the_top_than_parts_is_the_data(tmp_path):
    names = ["a/u.data", "a/old/train.txt", "a/old/test.txt"]
    path = packed(tmp_path / "own.zip", dict.fromkeys(names, TWO_PAIRS))
    assert parts(Source(path)) == {"log": "a/u.data"}


def test_lists_of_ids_come_from_the_folder_of_the_parts(tmp_path):
    header = "user_procid\titem_procid\n"
    files = {
        "a/train.tsv": header + "0\t0\n",
        "a/test.tsv": header + "0\t1\n",
        "b/user_list.tsv": "user_orgid\tuser_procid\nA1\t0\n",
    }
    assert pairs(read_all(packed(tmp_path / "own.zip", files)).train) == {(0, 0)}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["u.data", "ratings.csv"], r"holds ratings\.csv and u\.data; expected"),
        (["train.csv", "train.txt", "test.txt"], r"holds train\.csv and train\.txt; keep one"),
        (
            ["train.txt", "test.txt", "test.txt.gz"],
            r"test\.txt and test\.txt\.gz; keep one test part",
        ),
        (
            ["train.txt", "test.txt", "valid.csv"],
            r"holds valid\.csv beside train\.txt, with another",
        ),
        (
            ["train.txt", "test.txt", "val.txt"],
            r"holds val\.txt beside train\.txt, with another name",
        ),
        (
            ["train.txt", "test.txt", "Valid.txt"],
            r"holds Valid\.txt beside train\.txt, with another",
        ),
        (
            ["a.train.inter", "a.test.inter", "b.test.inter"],
            r"holds b\.test\.inter beside a\.train",
        ),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tmp_path, names, says):
    write(tmp_path, dict.fromkeys(names, TWO_PAIRS))
    with pytest.raises(InputError, match=says):
        parts(Source(tmp_path))


def test_a_zip_that_holds_a_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr("log.txt", TWO_PAIRS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("log.txt", "1 11\n")
    with pytest.raises(InputError, match=r"own\.zip holds 'log\.txt' more than once"):
        read_all(tmp_path / "own.zip")


MARK = "\ufeff"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.dat", "1::10::5::881\n1::é::3::882\n"),
        ("u.data", "1\t10\t5\t881\n1\té\t3\t882\n"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_first_user(tmp_path, name, text):
    write(tmp_path, {name: MARK + text})
    assert pairs(read_all(tmp_path, "movielens").train) == {(1, "10"), (1, "é")}


PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": partial(lzma.compress, format=lzma.FORMAT_ALONE),
    ".zst": lambda raw: pyarrow.compress(raw, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("name", ONE_LOG)
def test_a_compressed_log_is_read_as_it_is_unpacked(tmp_path, name, ending):
    content = PACK[ending](ONE_LOG[name].encode())
    write(tmp_path / "a", {f"{name}{ending}": content})
    # The name need not tell.
    for path in (tmp_path / "a", write(tmp_path / "b", {name: content})):
        assert pairs(read_all(path).train) == PAIRS
    assert (
        pairs(read_all(packed(tmp_path / "c.zip", {f"m/{name}{ending}": content})).train) == PAIRS
    )


@pytest.mark.parametrize("ending", PACK)
def test_compressed_parts_are_parts(tmp_path, ending):
    files = {"train.txt": "1 10\n", "valid.txt": "1 20\n", "test.txt": "1 30\n"}
    write(
        tmp_path, {f"{name}{ending}": PACK[ending](text.encode()) for name, text in files.items()}
    )
    raw = read_all(tmp_path)
    assert [pairs(part) for part in (raw.train, raw.valid, raw.test)] == [
        {(1, 10)},
        {(1, 20)},
        {(1, 30)},
    ]
    plain = write(tmp_path / "plain", files)
    sources = Source(tmp_path), Source(plain)
    assert len({source.digest(files_of(source)) for source in sources}) == 1


@pytest.mark.parametrize("ending", PACK)
def test_parquet_may_be_compressed(tmp_path, ending):
    frame = pd.DataFrame({"user": [1, 1, 2, 3], "item": [10, 20, 10, 30]})
    write(tmp_path, {f"log.parquet{ending}": PACK[ending](frame.to_parquet())})
    assert pairs(read_all(tmp_path).train) == PAIRS


@pytest.mark.parametrize("ending", PACK)
def test_a_torn_compressed_file_is_named(tmp_path, ending):
    noise = np.random.default_rng(0).bytes(999).hex()
    content = PACK[ending](f"user,item\n1,{noise}\n".encode())
    for damaged in (content[:-30], content[:40], content[:30] + b"\xff" * 9 + content[39:]):
        write(tmp_path, {f"log.csv{ending}": damaged})
        with pytest.raises(
            InputError, match=r"log\.csv\.\w+( cannot be read|: not a whole)"
        ) as caught:
            read_all(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_tar_archive_is_named(tmp_path):
    write(tmp_path, {"log.csv": ONE_LOG["log.csv"]})
    with tarfile.open(tmp_path / "own.csv.gz", "w:gz") as archive:
        archive.add(tmp_path / "log.csv", "log.csv")
    with pytest.raises(InputError, match=r"own\.csv\.gz is a tar archive; unpack it"):
        read_all(tmp_path / "own.csv.gz")


@pytest.mark.parametrize("ending", [*PACK, ".zip"])
def test_what_unpacks_to_too_much_is_refused_with_the_bound(tmp_path, monkeypatch, ending):
    text = "user,item\n" + "".join(f"{row},1\n" for row in range(1000))
    path = tmp_path / f"log.csv{ending}"
    if ending == ".zip":
        packed(path, {"log.csv": text})
    else:
        path.write_bytes(PACK[ending](text.encode()))
    monkeypatch.setenv("ROBUSTBENCH_REC_MOST_UNPACKED", "1e-6")
    says = r"log\.csv.* unpacks to more than 1e-06 GiB; .*set ROBUSTBENCH_REC_MOST_UNPACKED to more"
    with pytest.raises(InputError, match=says):
        read_all(path)
    monkeypatch.setenv("ROBUSTBENCH_REC_MOST_UNPACKED", "1")
    assert len(read_all(path).train.users) == 1000
    monkeypatch.setenv("ROBUSTBENCH_REC_MOST_UNPACKED", "much")
    with pytest.raises(InputError, match=r"ROBUSTBENCH_REC_MOST_UNPACKED is 'much'; it must be"):
        read_all(path)


def test_zstd_without_a_reader_says_what_to_install(tmp_path, monkeypatch):
    write(tmp_path, {"log.csv.zst": PACK[".zst"](ONE_LOG["log.csv"].encode())})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"by zstd, which needs pyarrow: pip install 'robustb"):
        read_all(tmp_path)


def test_an_encrypted_zip_is_named(tmp_path):
    path = packed(tmp_path / "own.zip", {"log.csv": ONE_LOG["log.csv"]})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.zip!log\.csv is encrypted; unpack"):
        read_all(path)


HEADLESS = {
    "commas": "A000Q,B0005,5.0,1300000000\nA000Q,B0006,4.0,1300000001\n",
    "semicolons": "A000Q;B0005;5.0;1300000000\nA000Q;B0006;4.0;1300000001\n",
    "bars": "A000Q|B0005|5.0|1300000000\nA000Q|B0006|4.0|1300000001\n",
    "spaces": "A000Q B0005 5.0 1300000000\nA000Q B0006 4.0 1300000001\n",
    "colons": "A000Q::B0005::5.0::1300000000\nA000Q::B0006::4.0::1300000001\n",
    "marked": "\ufeffA000Q,B0005,5.0,1300000000\r\nA000Q,B0006,4.0,1300000001\r\n",
    "quoted": '"A000Q","B0005",5.0,1300000000\n"A000Q","B0006",4.0,1300000001\n',
}


@pytest.mark.parametrize("case", HEADLESS)
def test_text_without_a_header_is_read_by_position(tmp_path, case):
    write(tmp_path, {"ratings.csv": HEADLESS[case]})
    how = replace(PLAIN, header=False)
    table = read_all(tmp_path, how=how).train
    assert pairs(table) == {("A000Q", "B0005"), ("A000Q", "B0006")}
    assert table.ratings is table.timestamps is None
    table = read_all(tmp_path, how=how, user="2", item="1", rating="3", timestamp="4").train
    assert pairs(table) == {("B0005", "A000Q"), ("B0006", "A000Q")}
    assert table.ratings.tolist() == [5, 4]
    assert table.timestamps.tolist() == [1300000000, 1300000001]


def test_a_position_that_is_none_names_those_there_are(tmp_path):
    write(tmp_path, {"ratings.csv": "1,2\n3,4\n"})
    with pytest.raises(InputError, match=r"has no column '3'.*\(its header is '1, 2'\)"):
        read_all(tmp_path, how=replace(PLAIN, header=False), rating="3")


def test_a_first_line_of_data_is_told_from_a_header(tmp_path):
    write(tmp_path, {"ratings.csv": HEADLESS["commas"]})
    with pytest.raises(
        InputError, match=r"'A000Q, B0005, 5\.0, 13.*it looks like data, so set header"
    ):
        read_all(tmp_path)


def test_columns_that_no_setting_needs_do_not_stop_a_file(tmp_path):
    write(tmp_path, {"log.csv": "user,item,rating,time\n1,2,,never\n1,3,4,2\n"})
    table = read_all(tmp_path).train
    assert pairs(table) == {(1, 2), (1, 3)}
    assert table.ratings is table.timestamps is None
    for role, says in (("rating", "no rating"), ("timestamp", "timestamp 'never' is not a number")):
        with pytest.raises(InputError, match=rf'line 2: {says}.*{role}_column = "none" ignores'):
            read_all(tmp_path, how=replace(PLAIN, needed=frozenset({role})))


def test_a_column_can_be_switched_off_or_named_and_then_it_counts(tmp_path):
    write(tmp_path, {"log.csv": "user,item,rating,time\n1,2,,1\n1,3,4,2\n"})
    table = read_all(tmp_path, how=ALL_NEEDED, rating="none").train
    assert table.ratings is None
    assert table.timestamps.tolist() == [1, 2]
    with pytest.raises(InputError, match=r"line 2: no rating"):
        read_all(tmp_path, rating="rating")
    write(tmp_path, {"log.csv": "", "u.data": ONE_LOG["u.data"]})
    assert read_all(tmp_path / "u.data", timestamp="none").train.timestamps is None


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (["1970-01-01", "1970-01-02"], [0, 86400]),
        (["1970-01-01T00:00:05Z", "1970-01-01T01:00:00+01:00"], [5, 0]),
        (["1970-01-01 00:01:00", "1970-01-01 00:00:00.500"], [60, 0.5]),
    ],
)
def test_times_may_be_dates_of_iso_8601(tmp_path, times, seconds):
    rows = "".join(f"1,{item},{time}\n" for item, time in enumerate(times))
    write(tmp_path, {"log.csv": f"user,item,timestamp\n{rows}"})
    assert read_all(tmp_path, how=ALL_NEEDED).train.timestamps.tolist() == seconds


def test_a_date_that_is_none_is_named(tmp_path):
    write(tmp_path, {"log.csv": "user,item,timestamp\n1,2,2021-03-01\n1,3,2021-13-01\n"})
    says = r"line 3: timestamp '2021-13-01' is not a number or a date as in ISO 8601"
    with pytest.raises(InputError, match=says):
        read_all(tmp_path, how=ALL_NEEDED)


REPEATS = "user,item,rating,time\n1,2,3,10\n1,3,1,20\n1,2,5,30\n1,2,4,40\n"


@pytest.mark.parametrize(
    ("duplicates", "ratings", "times"),
    [("first", [3, 1], [10, 20]), ("last", [1, 4], [20, 40]), ("max", [1, 5], [20, 30])],
)
def test_one_row_of_a_repeated_pair_may_be_kept(tmp_path, duplicates, ratings, times):
    write(tmp_path, {"log.csv": REPEATS})
    table = read_all(tmp_path, how=replace(PLAIN, duplicates=duplicates)).train
    assert pairs(table) == {(1, 2), (1, 3)}
    assert (table.ratings.tolist(), table.timestamps.tolist()) == (ratings, times)


def test_a_repeated_pair_is_refused_with_the_setting(tmp_path):
    write(tmp_path, {"log.csv": REPEATS})
    with pytest.raises(
        InputError, match=r'line 4: the pair .*set duplicates to "first", "last" or'
    ):
        read_all(tmp_path)
    write(tmp_path, {"log.csv": "user,item\n a,1\na,1\n"})
    with pytest.raises(InputError, match=r"line 3: the pair \(user a, item 1\) is on line 2"):
        read_all(tmp_path)
    with pytest.raises(InputError, match=r'has no ratings, so duplicates = "max" cannot apply'):
        read_all(tmp_path, how=replace(PLAIN, duplicates="max"))
    assert pairs(read_all(tmp_path, how=replace(PLAIN, duplicates="first")).train) == {("a", 1)}


@pytest.mark.parametrize("items", [[[1], [2]], [{"a": 1}, {"a": 2}]])
def test_parquet_lists_are_no_ids(tmp_path, items):
    pd.DataFrame({"user": [1, 2], "item": items}).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match=r"the item column 'item' holds lists or structures"):
        read_all(tmp_path)


def test_parquet_values_of_other_kinds_are_read(tmp_path):
    frame = pd.DataFrame(
        {
            "user": [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
            "item": pd.Categorical(["x", "y"]),
            "rating": [decimal.Decimal("4.5"), decimal.Decimal("2.0")],
            "timestamp": [datetime.date(1970, 1, 1), datetime.date(1970, 1, 2)],
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    table = read_all(tmp_path, how=ALL_NEEDED).train
    assert pairs(table) == {("2020-01-01", "x"), ("2020-01-02", "y")}
    assert table.ratings.tolist() == [4.5, 2]
    assert table.timestamps.tolist() == [0, 86400]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("user,item,item", r"'item' and 'item' may be the item column; name it with item_column"),
        ("userId,item,user_id", r"'userId' and 'user_id' may be the user column"),
    ],
)
def test_two_columns_that_may_be_one_role_are_refused(tmp_path, header, says):
    write(tmp_path, {"log.csv": f"{header}\n1,2,3\n"})
    with pytest.raises(InputError, match=says):
        read_all(tmp_path)
    with pytest.raises(InputError, match=r"log\.csv has 2 columns called 'a'"):
        read_all(write(tmp_path, {"log.csv": "a,a,item\n1,2,3\n"}), user="a")


@pytest.mark.parametrize("rows", ["0,5,X,\n0,6,X,\n", "0,5,X,Y\n", "0,5,X,,,\n0,6,X\n"])
def test_a_first_row_longer_than_the_header_is_named(tmp_path, rows):
    write(tmp_path, {"log.csv": f"user_id,item_id,city\n{rows}"})
    with pytest.raises(InputError, match=r"line 2: \d fields; expected at most 3, as on line 1$"):
        read_all(tmp_path)


@pytest.mark.parametrize("digits", [10**5, 2 * 10**7])
def test_an_id_of_many_digits_is_refused(tmp_path, digits):
    write(tmp_path, {"log.csv": b"user,item\n1,2\n" + b"9" * digits + b",3\n"})
    with pytest.raises(InputError, match=rf"line 3: user id '9+' has {digits} characters; at") as e:
        read_all(tmp_path)
    assert len(str(e.value)) < 300


def test_what_is_neither_file_nor_folder_is_named(tmp_path):
    os.mkfifo(tmp_path / "log.csv")
    for path in (tmp_path / "log.csv", Path("/dev/zero")):
        with pytest.raises(InputError, match="is neither a file nor a folder"):
            read_all(path)
    with pytest.raises(InputError, match="holds no table"):
        read_all(tmp_path)


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "loop"])
def test_a_path_that_cannot_be_is_named(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(
        InputError, match=r"no such file or folder|cannot be read: File name too long"
    ):
        read_all(tmp_path / name)


UPPER = {"log.CSV": "log.csv", "U.DATA": "u.data", "LOG.TXT": "log.txt", "log.Inter": "log.inter"}


@pytest.mark.parametrize("name", UPPER)
@pytest.mark.parametrize("ending", ["", ".GZ", ".Zst"])
def test_endings_may_be_in_upper_case(tmp_path, name, ending):
    content = ONE_LOG[UPPER[name]].encode()
    content = PACK[ending.lower()](content) if ending else content
    write(tmp_path / "a", {f"{name}{ending}": content})
    for path in (tmp_path / "a", tmp_path / "a" / f"{name}{ending}"):
        assert pairs(read_all(path).train) == PAIRS


def test_parts_zips_and_parquet_may_have_endings_in_upper_case(tmp_path):
    files = {"train.CSV": "user,item\n1,2\n", "test.CSV": "user,item\n1,3\n"}
    for path in (write(tmp_path / "a", files), packed(tmp_path / "own.ZIP", files)):
        assert pairs(read_all(path).test) == {(1, 3)}
    frame = pd.DataFrame({"user": [1, 1, 2, 3], "item": [10, 20, 10, 30]})
    write(tmp_path / "b", {"log.PARQUET": frame.to_parquet()})
    assert pairs(read_all(tmp_path / "b").train) == PAIRS


@pytest.mark.parametrize("packs", [[".gz", ".gz"], [".bz2", ".zst"], [".zst", ".gz", ".xz"]])
def test_what_is_compressed_twice_is_unpacked_twice(tmp_path, packs):
    content = ONE_LOG["log.csv"].encode()
    for pack in packs:
        content = PACK[pack](content)
    name = f"log.csv{''.join(packs)}"
    write(tmp_path / "a", {name: content})
    for path in (tmp_path / "a", write(tmp_path / "b", {"log.csv": content})):
        assert pairs(read_all(path).train) == PAIRS
    assert pairs(read_all(packed(tmp_path / "c.zip", {name: content})).train) == PAIRS


def test_what_is_compressed_without_end_is_refused(tmp_path):
    content = ONE_LOG["log.csv"].encode()
    for _ in range(4):
        content = gzip.compress(content)
    write(tmp_path, {"log.csv": content})
    with pytest.raises(InputError, match=r"log\.csv is compressed more than 3 times; unpack it"):
        read_all(tmp_path)


def test_the_bound_holds_within_what_is_compressed_twice(tmp_path, monkeypatch):
    content = gzip.compress(gzip.compress(b"user,item\n" + b"1,2\n" * 10**5))
    write(tmp_path, {"log.csv.gz.gz": content})
    monkeypatch.setenv("ROBUSTBENCH_REC_MOST_UNPACKED", "1e-4")
    with pytest.raises(InputError, match=r"log\.csv\.gz\.gz unpacks to more than 0\.0001 GiB"):
        read_all(tmp_path)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ONE_LOG)
def test_text_of_two_bytes_a_character_is_named(tmp_path, coding, name):
    content = ONE_LOG[name].removeprefix("\ufeff").encode(coding)
    write(tmp_path / "a", {name: content})
    write(tmp_path / "b", {f"{name}.gz": gzip.compress(content)})
    for path in (tmp_path / "a", tmp_path / "b", packed(tmp_path / "c.zip", {name: content})):
        with pytest.raises(InputError, match=r"is text of UTF-16 or UTF-32; save it as UTF-8$"):
            read_all(path)


@pytest.mark.parametrize(
    ("magic", "kind"),
    [(b"7z\xbc\xaf'\x1c", "7z"), (b"Rar!\x1a\x07", "rar"), (b'\x04"M\x18', "lz4")],
)
def test_what_is_packed_otherwise_is_named(tmp_path, magic, kind):
    write(tmp_path, {"log.csv": magic + bytes(99)})
    with pytest.raises(
        InputError, match=rf"log\.csv is packed by {kind}, which is not supported; unp"
    ):
        read_all(tmp_path)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (["1970-W01-4", "1970-W01-5"], [0, 86400]),
        (["1970W014", "1970-01-02"], [0, 86400]),
        (["1970-W01-4T00:00:05Z", "1970-W01-4T01:00:00+01:00"], [5, 0]),
    ],
)
def test_times_may_be_dates_by_week(tmp_path, times, seconds):
    rows = "".join(f"1,{item},{time}\n" for item, time in enumerate(times))
    write(tmp_path, {"log.csv": f"user,item,timestamp\n{rows}"})
    assert read_all(tmp_path, how=ALL_NEEDED).train.timestamps.tolist() == seconds
    write(tmp_path, {"log.csv": "user,item,timestamp\n1,2,1970-W54-1\n"})
    with pytest.raises(InputError, match=r"timestamp '1970-W54-1' is not a number or a date as in"):
        read_all(tmp_path, how=ALL_NEEDED)


@pytest.mark.parametrize("text", ["1,10,5\n1,20,3\n", "1;10;5\n", "wer\twas\n1\t10\n"])
def test_columns_in_a_text_file_are_refused_with_the_settings_that_read_them(tmp_path, text):
    write(tmp_path, {"log.txt": text})
    says = (
        r'is not a whole number; .*; for columns set format = "delimited", with user_column and '
        r'item_column where .*, or header = false, user_column = "1" and item_column = "2"$'
    )
    with pytest.raises(InputError, match=says):
        read_all(tmp_path)
    if text[0] == "1":
        how = replace(PLAIN, header=False)
        found = read_all(tmp_path, "delimited", how, user="1", item="2").train
    else:
        found = read_all(tmp_path, "delimited", user="wer", item="was").train
    assert (1, 10) in pairs(found)


def test_a_file_of_the_system_is_refused_and_not_waited_for(tmp_path):
    (tmp_path / "log.csv").symlink_to("/proc/kmsg")
    for path in (tmp_path, tmp_path / "log.csv", Path("/proc/kmsg"), Path("/sys/kernel/notes")):
        with pytest.raises(InputError, match=r"is a system file \(in /proc, /sys, /dev"):
            read_all(path)
    (tmp_path / "own.toml").symlink_to("/proc/kmsg")
    with pytest.raises(InputError, match=r"own\.toml is a system file"):
        load_suite(tmp_path / "own.toml")
    (tmp_path / "manifest.json").symlink_to("/proc/kmsg")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path)
