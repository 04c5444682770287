"""Readers: each format gives the same pairs; each bad file gives one clear line."""

import builtins
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustbench_rec import InputError, Table
from robustbench_rec.data import tables
from robustbench_rec.data.columns import Columns
from robustbench_rec.data.formats import files_of, look, parts, read
from robustbench_rec.data.source import Source

PAIRS = {(1, 10), (1, 20), (2, 10), (3, 30)}

ONE_LOG = {
    "log.tsv": "user_procid\titem_procid\n1\t10\n1\t20\n2\t10\n3\t30\n",
    "log.csv": "item_id,x,userId\n10,a,1\n20,b,1\n10,c,2\n30,d,3\n",
    "semicolons.csv": '"User";"Item"\n1;10\n1;20\n2;10\n3;30\n',
    "marked.csv": "\ufeffuser,item\r\n1,10\r\n1,20\r\n\r\n2,10\r\n3,30\r\n",
    "u.data": "1\t10\t5\t881\n1\t20\t3\t882\n2\t10\t4\t883\n3\t30\t1\t884\n",
    "ratings.dat": "1::10::5::881\n1::20::3::882\n2::10::4::883\n3::30::1::884\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n1,10,5,881\n1,20,3,1\n2,10,4,1\n3,30,1,1\n",
    "log.inter": "timestamp:float\titem_id:token\tuser_id:token\n1\t10\t1\n1\t20\t1\n2\t10\t2\n"
    "3\t30\t3",
    "log.txt": "1 10 20\n2 10\n3 30\n4\n",
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def packed(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def pairs(table: Table) -> set:
    return set(zip(table.users.tolist(), table.items.tolist(), strict=True))


def read_all(path: Path, format="auto", **columns):
    return read(Source(path), format, Columns(**columns))


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
    assert look(Source(tmp_path), "train.txt", Columns()) == "lightgcn"
    assert pairs(read_all(tmp_path / "train.txt", "movielens").train) == {(1, 2)}


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["007", "8"], ["007", "8"]),
        (["99999999999999999999", "1"], ["99999999999999999999", "1"]),
        (["b", " a "], ["b", "a"]),
        (["NA", "1"], ["NA", "1"]),
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
    "torn u.data": ("u.data", "1\t2\t3\t4\n1\t5\t3\n", r"u\.data, line 2: no timestamp"),
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
    "commas in lightgcn": ("train.txt", "1,2,3\n", r"line 1: '1,2,3' is no whole number; expected"),
    "no header": (
        "log.csv",
        "1,2\n3,4\n",
        r"log\.csv: no user column in the header '1, 2'.*user_col",
    ),
    "repeated pair": (
        "log.csv",
        "user,item\n1,2\n\n3,4\n1,2\n",
        r"log\.csv, line 5: the pair \(user 1, item 2\) stands on line 2 already",
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
        r"log\.tsv, line 3: user id '3\\x00' holds a newline or NUL",
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
        "1\t2\t3\t4\n1\t5\t3\t4\t9",
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
    "infinite": (
        "ratings.csv",
        "user,item,rating\n1,2,inf\n",
        r"line 2: rating 'inf' is not a number",
    ),
    "no RecBole header": (
        "log.inter",
        "1,2\n",
        r"log\.inter, line 1: '1,2' is no header of RecBole",
    ),
}


@pytest.mark.parametrize("case", BAD_LOGS)
def test_a_bad_file_gives_one_clear_line(tmp_path, case):
    name, content, says = BAD_LOGS[case]
    write(tmp_path, {name: content})
    with pytest.raises(InputError, match=says) as caught:
        read_all(tmp_path / name)
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
