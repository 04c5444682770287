"""What is easily taken for something else: refused where it cannot be meant, else told of."""

import numpy as np
import pandas as pd
import pytest

from robustbench_rec import PERTURBATIONS, InputError, load_dataset
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.seeds import rng_for

PAIRS = [(user, (7 * user + k * k) % 29 + 1) for user in range(1, 21) for k in range(5)]
PAIRS = list(dict.fromkeys(PAIRS))


def written(folder, name, rows, mark=","):
    (folder / name).write_text("\n".join(mark.join(map(str, row)) for row in rows) + "\n")


def test_columns_by_position_need_header_false(tmp_path):
    written(tmp_path, "log.csv", [(2, 1, 5), *((*pair, 3) for pair in PAIRS)])
    by_place = {"user_column": "1", "item_column": "2"}
    with pytest.raises(
        InputError, match=r"first line '2, 1, 5' looks like data, .* header = false"
    ):
        load_dataset("log", tmp_path, **by_place)
    split = load_dataset("log", tmp_path, header=False, **by_place)
    assert split.n_users == 20


@pytest.mark.parametrize("columns", [2, 3])
def test_numbers_of_rows_that_were_written_first_are_doubted(tmp_path, columns):
    rows = [(at, 1000 + u, 100 + i, 4)[: columns + 1] for at, (u, i) in enumerate(PAIRS)]
    written(tmp_path, "log.txt", rows, "\t")
    with pytest.warns(UserWarning, match=f"its {len(rows)} users, 0 to {len(rows) - 1}, have "):
        load_dataset("log", tmp_path, format="lightgcn")


def test_lists_of_one_length_that_are_no_rows_are_not_doubted(tmp_path, recwarn):
    lists = [(user, *range(user, user + 4)) for user in range(3, 40)]
    written(tmp_path, "log.txt", lists, " ")
    load_dataset("log", tmp_path)
    assert not recwarn.list


@pytest.mark.parametrize("unit", [1, 1000])
def test_users_that_look_like_times_are_doubted(tmp_path, unit):
    rows = [(978_300_000 * unit + 3 * user, item) for user, item in PAIRS]
    written(tmp_path, "log.csv", [("user", "item"), *rows])
    with pytest.warns(UserWarning, match="its users look like times, such as 9783000"):
        load_dataset("log", tmp_path)


@pytest.mark.parametrize("word", ["None", r"\N", "NA", "n/a", "undefined", "-", "(null)", "NaT"])
@pytest.mark.parametrize("role", ["user", "item"])
def test_a_word_for_nothing_among_numbers_is_no_id(tmp_path, word, role):
    odd = (word, 3) if role == "user" else (3, word)
    written(tmp_path, "log.csv", [("user", "item"), *PAIRS, odd])
    line = len(PAIRS) + 2
    with pytest.raises(
        InputError, match=f"line {line}: {role} id .* among numbers is a placeholder"
    ):
        load_dataset("log", tmp_path)


def test_where_ids_are_words_none_is_one(tmp_path):
    named = [(f"u{user}", f"i{item}") for user, item in PAIRS]
    written(tmp_path, "log.csv", [("user", "item"), *named, *(("None", i) for _, i in named[:5])])
    assert load_dataset("log", tmp_path).n_users == 21


@pytest.mark.parametrize("beside", ["test.csv", "valid.csv", "val.csv", "test.txt"])
def test_a_held_out_part_beside_a_log_is_not_passed_over(tmp_path, beside):
    written(tmp_path, "ratings.csv", [("user", "item"), *PAIRS])
    written(tmp_path, beside, [("user", "item"), *PAIRS[:9]])
    with pytest.raises(
        InputError, match=f"holds {beside} beside ratings.csv: rename the other file to train"
    ):
        load_dataset("log", tmp_path, path=str(tmp_path))


def test_times_beyond_the_years_of_dates_stop_only_who_needs_them(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    users, items = zip(*PAIRS, strict=True)
    times = pa.array([253_370_764_800_000_000] * len(PAIRS), pa.timestamp("us"))  # the year 9999
    table = pa.table({"user": users, "item": items, "timestamp": times})
    parquet.write_table(table, tmp_path / "log.parquet")
    assert load_dataset("log", tmp_path).n_users == 20
    with pytest.raises(InputError, match=r"row 1: .*timestamp"):
        load_dataset("log", tmp_path, split_by="time")


def rated(folder, ratings, times=False):
    frame = pd.DataFrame(PAIRS, columns=["user", "item"])
    frame["rating"] = np.resize(ratings, len(frame))
    if times:
        frame["timestamp"] = np.random.default_rng(0).permutation(len(frame)) * 1000
    frame.to_csv(folder / "log.csv", index=False)
    return frame


def test_a_threshold_below_0_is_one(tmp_path):
    frame = rated(tmp_path, [-2, -1, 0, 1, 2])
    split = load_dataset("log", tmp_path, min_rating=-1)
    kept = int((frame["rating"] >= -1).sum())
    assert sum(len(part) for part in (split.train, split.valid, split.test)) == kept
    assert len(split.low_rated) <= len(frame) - kept


def test_rating_noise_is_of_the_past_where_the_test_is_the_future(tmp_path):
    frame = rated(tmp_path, [1, 5, 2, 4, 3], times=True)
    split = load_dataset("log", tmp_path, min_rating=3, split_by="time")
    noisy = perturb(PERTURBATIONS["rating_noise"](level=1.0), split, rng_for(0))
    assert 0 < len(split.low_rated) < int((frame["rating"] < 3).sum())
    assert noisy.train.timestamps.max() < split.test.timestamps.min()


@pytest.mark.parametrize(
    "beside", ["eval.csv", "vali.csv", "valid_1.csv", "val-set.csv", "test2.csv", "train_valid.csv"]
)
def test_a_held_out_part_of_another_name_is_told(tmp_path, beside):
    for name in ("train.csv", "test.csv", beside):
        written(tmp_path, name, [("user", "item"), *PAIRS[name == "test.csv" :: 2]])
    with pytest.raises(InputError, match=f"holds {beside} beside train.csv, with another name"):
        load_dataset("own", tmp_path, path=str(tmp_path))


def test_tables_of_other_words_beside_the_parts_do_not_stop_them(tmp_path):
    for at, name in enumerate(("train.csv", "test.csv", "attested.csv", "movies.csv")):
        written(tmp_path, name, [("user", "item"), *PAIRS[at % 2 :: 2]])
    assert load_dataset("own", tmp_path, path=str(tmp_path)).n_users == 20


def test_a_column_of_lists_is_no_item(tmp_path):
    written(
        tmp_path, "own.inter", [("user_id:token", "item_id:token_seq"), (1, "1 2"), (2, "3")], "\t"
    )
    with pytest.raises(InputError, match="item_id:token_seq', whose values are lists; write one"):
        load_dataset("own", tmp_path)


def test_a_tab_within_an_id_is_another_separator(tmp_path):
    written(tmp_path, "log.csv", [("user", "item"), *PAIRS, ('"7\t8"', 3)])
    with pytest.raises(InputError, match=f"line {len(PAIRS) + 2}: user id .* holds a tab"):
        load_dataset("log", tmp_path)


@pytest.mark.parametrize("way", ["'{}'", '"""{}"""', "{:,}"])
def test_quotes_and_groups_of_digits_are_another_spelling(tmp_path, way):
    rows = [(1000 + user, 2000 + item) for user, item in PAIRS]
    told = [(f'"{way.format(u)}"' if "," in way else way.format(u), i + 40) for u, i in rows[:60]]
    written(tmp_path, "log.csv", [("user", "item"), *rows, *told])
    with pytest.warns(UserWarning, match="users differ from others only in"):
        load_dataset("log", tmp_path)


def test_triples_beside_pairs_are_seen_whatever_ends_a_line(tmp_path):
    pairs = "\r".join(f"{user} {item}" for user, item in PAIRS)
    (tmp_path / "train.txt").write_bytes(pairs.encode())
    (tmp_path / "test.txt").write_bytes(b"1 30 77\r2 30 77\r")
    with pytest.raises(InputError, match="more than a user and an item"):
        load_dataset("own", tmp_path, path=str(tmp_path), format="lightgcn")


@pytest.mark.parametrize("rest", [(4,), (978_300_000,), (4, 978_300_000)])
def test_one_rated_line_a_user_beside_lists_is_no_list(tmp_path, rest):
    written(tmp_path, "train.txt", [(u, *range(u, u + 3 + u % 4)) for u in range(1, 30)], " ")
    written(tmp_path, "test.txt", [(u, u + 9, *rest) for u in range(1, 30)], " ")
    what = "ratings" if rest[0] == 4 else "times"
    with pytest.raises(InputError, match=rf"test\.txt, line 1: {rest[0]} and .* look like {what}"):
        load_dataset("own", tmp_path, path=str(tmp_path))


def test_two_items_a_user_are_a_list(tmp_path):
    written(tmp_path, "train.txt", [(u, *range(u, u + 3 + u % 4)) for u in range(1, 30)], " ")
    written(tmp_path, "test.txt", [(u, u + 9, u + 11) for u in range(1, 30)], " ")
    assert len(load_dataset("own", tmp_path, path=str(tmp_path)).test) == 58
