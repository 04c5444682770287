"""Header lines among data are refused, wherever they stand; ids that are words are not."""

import gzip
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import ALL_NEEDED, PLAIN, pairs, read_all, write

from robustbench_rec import InputError

HEADLESS = replace(PLAIN, header=False)
ROWS = ["1::10::5::881", "1::20::3::882", "2::10::4::883"]
HEADERS = ["UserID::MovieID::Rating::Timestamp", "kunde::artikel::sterne::zeit"]


def joined(rows, mark: str) -> str:
    return "".join(f"{row.replace('::', mark)}\n" for row in rows)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("at", [0, 2, 3])
@pytest.mark.parametrize(("name", "mark"), [("ratings.dat", "::"), ("u.data", "\t")])
@pytest.mark.parametrize("how", [PLAIN, ALL_NEEDED])
def test_a_header_among_rows_of_movielens(tmp_path, header, at, name, mark, how):
    rows = [*ROWS[:at], header, *ROWS[at:]]
    path = write(tmp_path, {name: joined(rows, mark)}) / name
    user, item, *_ = header.split("::")
    says = rf"line {at + 1}: '{user}' and '{item}' look like a header, .*; delete the line"
    with pytest.raises(InputError, match=says) as caught:
        read_all(path, "movielens", how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_a_first_line_of_names_where_no_header_was_told_of(tmp_path, header, mark):
    rows = [header, *ROWS]
    path = write(tmp_path, {"log.csv": joined(rows, mark)})
    says = r"line 1: '\w+' and '\w+' look like a header, .*; delete header = false, or"
    for columns in ({}, {"rating": "3"}):
        with pytest.raises(InputError, match=says):
            read_all(path, how=HEADLESS, **columns)


def test_ratings_tell_a_first_line_of_names_from_ids_that_are_words(tmp_path):
    path = write(tmp_path, {"log.csv": "wer,was,wie\nann,hat,3\nbob,cap,4\n"})
    assert len(read_all(path, how=HEADLESS).train.users) == 3
    with pytest.raises(InputError, match=r"line 1: 'wer' and 'was' look like a header"):
        read_all(path, how=HEADLESS, user="1", item="2", rating="3")


@pytest.mark.parametrize("ids", ["12", "ab"])
def test_a_header_of_a_file_that_was_joined(tmp_path, ids):
    one, two = ids
    for header, columns in (
        ("userId,movieId", {}),
        ("item_id,user_id", {}),
        ("who,what", {"user": "who", "item": "what"}),
    ):
        text = f"{header}\n{one},{two}\n{header}\n{two},{one}\n{header}\n"
        write(tmp_path, {"log.csv": text})
        with pytest.raises(InputError, match=r"line 3: .* look like a header, .*; delete"):
            read_all(tmp_path, how=replace(PLAIN, duplicates="first"), **columns)


def test_a_header_in_one_part_or_packed_or_of_recbole(tmp_path):
    split = write(tmp_path / "a", {"train.csv": "user,item\n1,2\nuser,item\n", "test.csv": "u,i\n"})
    with pytest.raises(InputError, match=r"train\.csv, line 3: 'user' and 'item' look"):
        read_all(split)
    text = b"user_id:token\titem_id:token\na\tx\nuser_id:token\titem_id:token\n"
    packed = write(tmp_path / "b", {"log.inter.gz": gzip.compress(text)})
    with pytest.raises(InputError, match=r"log\.inter\.gz, line 3: 'user_id:token' and"):
        read_all(packed)
    frame = pd.DataFrame({"user": ["1", "user"], "item": ["2", "item"]})
    frame.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match=r"row 2: 'user' and 'item' look .*; take the row out"):
        read_all(tmp_path / "log.parquet")


@pytest.mark.parametrize(
    "rows",
    [
        "ann,1\n2,3\n4,bob\n",  # words in one column at a time
        "ann,hat\nbob,cap\n2,3\n",  # two pairs of words
        "user,1\nitem,2\n",
        "time,hat\nbob,score\n",
        "ann,hat\n",
        "ann,hat\n#1,~2\n",
    ],
)
def test_ids_that_are_words_are_ids(tmp_path, rows):
    write(tmp_path, {"log.csv": f"user,item\n{rows}"})
    assert len(read_all(tmp_path).train.users) == rows.count("\n")


def test_positions_are_no_names_of_columns(tmp_path):
    path = write(tmp_path, {"log.csv": "a,b\n1,2\nc,d\n", "log.dat": "a\tb\t3\n1\t2\t4\n"})
    for name, format in (("log.csv", "delimited"), ("log.dat", "movielens")):
        how = HEADLESS if format == "delimited" else PLAIN
        found = read_all(path / name, format, how, user="1", item="2").train
        assert ("1", "2") in pairs(found)


def test_one_rating_that_is_none_makes_no_header(tmp_path):
    for text in ("ann,hat,5\nbob,cap,unrated\n", "ann,hat,x\nbob,cap,x\n"):
        write(tmp_path, {"log.csv": f"user,item,rating\n{text}"})
        assert read_all(tmp_path).train.ratings is None


WORDS = st.text("abcdefgh_", min_size=1, max_size=6)
ROW = st.tuples(st.integers(0, 99).map(str), st.integers(0, 99).map(str))


@given(st.lists(ROW, min_size=1, max_size=8, unique=True), WORDS, WORDS, st.data())
def test_one_row_of_words_among_numbers_is_a_header(tmp_path_factory, rows, user, item, data):
    at = data.draw(st.integers(0, len(rows)))
    rows = [*rows[:at], (user, item), *rows[at:]]
    path = tmp_path_factory.mktemp("any") / "log.csv"
    path.write_text("user,item\n" + "".join(f"{one},{other}\n" for one, other in rows))
    with pytest.raises(InputError, match=rf"line {at + 2}: '{user}' and '{item}' look like"):
        read_all(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.dat", "1::10::5::881\n\ufeff2::20::3::882\n"),
        ("ratings.dat", "\ufeff1::10::5::881\n\ufeff2::20::3::882\n"),
        ("ratings.dat", "1::10::5::881\n\ufeffUserID::MovieID::Rating::Timestamp\n"),
        ("ratings.dat", "1::10::5::881\n2::\ufeff20::3::882\n"),
        ("log.csv", "user,item\n1,10\n\ufeff2,20\n"),
        ("log.csv", "user,item\n1,10\n\ufeffuser,item\n2,20\n"),
        ("u.data", "1\t10\t5\t881250949\n1\t20\t5\t881250949\n\ufeff2\t20\t3\t881250949\n"),
    ],
)
def test_a_byte_order_mark_within_a_file_is_named(tmp_path, name, text):
    path = write(tmp_path, {name: text.encode()}) / name
    with pytest.raises(InputError, match=r"line \d: \w+ id .* holds a byte-order mark, probably"):
        read_all(path)
    write(tmp_path, {"log.txt": "1 2 3\n\ufeff2 3\n"})
    with pytest.raises(InputError, match=r"log\.txt, line 2: .* holds a byte-order mark"):
        read_all(tmp_path / "log.txt")
