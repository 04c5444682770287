"""Ids that are written in two ways are refused or told of, with an example of each."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_rec import InputError, Raw, Table, load_dataset
from robustbench_rec.data.doubts import doubts, refuse_strangers

USERS = [str(user) for user in range(10, 20)]
ITEMS = ["café", "A1", "b2", "100"]


WAYS = {
    "float": "{}.0".format,
    "zeros": "0{}".format,
    "case": str.swapcase,
    "accents": lambda id: unicodedata.normalize("NFD", id),
}


def split_before(folder: Path, users, items, test_users, test_items) -> Path:
    """Write parts in which most users have two training pairs and a test pair."""
    folder.mkdir(parents=True, exist_ok=True)
    train = [f"{user},{items[at]}" for user in users for at in (0, 1)]
    train += [f"{users[0]},{items[2]}", f"{users[1]},{items[3]}"]
    test = [f"{user},{test_items[2]}" for user in test_users[2:]]
    for name, rows in (("train.csv", train), ("test.csv", test)):
        (folder / name).write_text("\n".join(["user,item", *rows, ""]))
    return folder


@pytest.mark.parametrize(
    ("users", "way"),
    [
        (USERS, "float"),
        (USERS, "zeros"),
        ([f"U{user}" for user in USERS], "case"),
        ([f"é{user}" for user in USERS], "accents"),
    ],
)
def test_users_of_the_test_that_training_lacks_are_refused(tmp_path, users, way):
    other = list(map(WAYS[way], users))
    path = split_before(tmp_path, users, ITEMS, other, ITEMS)
    with pytest.raises(InputError, match=r"test\.csv: none of its 8 users is in") as caught:
        load_dataset("own", tmp_path, path=str(path))
    assert f"such as {other[2]!r}, while that has {users[2]!r};" in str(caught.value)


def test_items_alone_are_refused_too(tmp_path):
    path = split_before(tmp_path, USERS, ITEMS, USERS, [item.upper() for item in ITEMS])
    says = r"test\.csv: none of its 1 items is in .*train\.csv, such as 'B2', while that has 'b2'"
    with pytest.raises(InputError, match=says):
        load_dataset("own", tmp_path, path=str(path))


def test_parts_that_are_split_anew_may_have_no_user_in_common(tmp_path):
    others = [f"9{user}" for user in USERS]
    path = split_before(tmp_path, USERS, ITEMS, others, ITEMS)
    with pytest.warns(UserWarning, match="8 of its 8 users are not"):
        assert load_dataset("own", tmp_path, path=str(path), resplit=True).n_users > len(USERS)


def test_a_part_that_training_mostly_lacks_is_warned_of(tmp_path):
    other = [f"{user}.0" if user > "14" else user for user in USERS]
    path = split_before(tmp_path, USERS, ITEMS, other, ITEMS)
    says = (
        r"^data set own: .*test\.csv: 5 of its 8 users are not in .*train\.csv, such as "
        r"'15\.0', while that has '15'; write ids in the same way"
    )
    alike = pytest.warns(UserWarning, match="5 of 15 users differ from others only")
    with alike, pytest.warns(UserWarning, match=says):
        load_dataset("own", tmp_path, path=str(path))


def log(users) -> Raw:
    users = np.array(users, dtype=object)
    return Raw(Table(users, np.arange(users.size), where="log.csv"))


@pytest.mark.parametrize(
    ("users", "told"),
    [
        (["U1", "u1", "U2", "u2"], "'U1' and 'u1'"),
        (["012", "12", "7"], "'012' and '12'"),
        (["12", "12.0", "7"], "'12' and '12.0'"),
        (["12", "+12", "7"], "'+12' and '12'"),
        (["12", "12e0", "7"], "'12' and '12e0'"),
        (["12", "1_2", "7"], "'12' and '1_2'"),
        (["12", "\uff11\uff12", "7"], "'12' and '\uff11\uff12'"),
        (["9" * 40, f"{'9' * 40}.0", "7"], f"'{'9' * 40}' and '{'9' * 40}.0'"),
        (["9" * 40, "9" * 39 + "8", "nan", "inf", "1e999999999", "e5", "+", "_"], ""),
        (["e\u0301", "\xe9"], "'e\u0301' and '\xe9'"),
        (["U1", "U2", "12", "120", "1.0.0", "é", "e"], ""),
        ([f"U{n}" for n in range(50)] + ["u1"], ""),
    ],
)
def test_ids_of_one_log_that_look_alike_are_told_of_where_they_are_many(users, told):
    lines = list(doubts(log(users)))
    assert bool(lines) == bool(told)
    assert all(line.endswith(f"such as {told}; are they the same?") for line in lines)


OTHER_DIGITS = ["\u0660", "\u0966", "\uff10"]  # Arabic, Devanagari, full width


@st.composite
def spellings(draw) -> tuple[str, str]:
    """Draw a whole number, and another way to write it, or two that follow each other."""
    number = draw(st.integers(0, 10**20))
    text = str(number)

    def in_other_digits(zero: str) -> str:
        return "".join(chr(ord(zero) + int(digit)) for digit in text)

    ways = [
        f"+{text}",
        "0" * draw(st.integers(1, 3)) + text,
        f"{text}." + "0" * draw(st.integers(0, 3)),
        f"{text}e0",
        f"{text}E+00",
        f"{text[0]}.{text[1:] or 0}e{len(text) - 1}",
        f"{number}0e-1",
        in_other_digits(draw(st.sampled_from(OTHER_DIGITS))),
        *([f"{text[:1]}_{text[1:]}"] if text[1:] else []),
    ]
    way = draw(st.sampled_from(ways))
    return text, draw(st.sampled_from([way, f"+{way}"])) if way[0].isdecimal() else way


@given(spellings())
def test_a_number_in_any_other_form_is_told_of(pair):
    (line,) = doubts(log(list(pair)))
    assert all(repr(id) in line for id in pair)
    train, test = (log([id]).train for id in pair)
    with pytest.raises(InputError, match=r"none of its 1 users") as caught:
        refuse_strangers(Raw(train, test=test))
    assert f"such as {pair[1]!r}, while that has {pair[0]!r}" in str(caught.value)


@given(st.lists(st.integers(0, 10**30), min_size=2, max_size=9, unique=True), st.sampled_from("+_"))
def test_different_numbers_are_not_told_of(numbers, odd):
    assert not list(doubts(log([*map(str, numbers), f"{odd}x"])))


def test_numbers_raise_no_doubt():
    pairs = Table(np.arange(5), np.arange(5))
    raw = Raw(pairs, test=Table(np.arange(3), np.arange(3) + 1))
    refuse_strangers(raw)
    assert not list(doubts(raw))


def test_a_validation_part_counts_as_a_test_does():
    pairs = Table(np.arange(5), np.arange(5))
    other = Table(np.arange(5) + 10, np.arange(5))
    with pytest.raises(InputError, match=r"a part: none of its 5 users is in the training part"):
        refuse_strangers(Raw(pairs, valid=other, test=pairs))
