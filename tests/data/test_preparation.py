"""Preparation on logs small enough to know the answer, and its properties on random ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_rec import Dataset, InputError, Raw, Split, Table
from robustbench_rec.data.preparation import in_core, load, prepare, redraws_test


@dataclass(frozen=True, kw_only=True)
class Log(Dataset):
    """A data set that is handed over, not read."""

    name = "log"


def table(pairs, ratings=None, timestamps=None, where=""):
    users, items = (np.array(column) for column in zip(*pairs, strict=True))
    numbers = (None if x is None else np.array(x, dtype=float) for x in (ratings, timestamps))
    return Table(users, items, *numbers, where)


def block(n_users, n_items):
    return [(u, i) for u in range(n_users) for i in range(n_items)]


def pairs(split: Split, part: str) -> set:
    chosen = getattr(split, part)
    return {
        (user, item)
        for user, item in zip(
            split.user_ids[chosen.users].tolist(),
            split.item_ids[chosen.items].tolist(),
            strict=True,
        )
    }


def test_ratings_under_the_least_are_dropped():
    log = table([*block(3, 4), (9, 0)], ratings=[*[5] * 12, 2])
    split = prepare(Raw(log), Log(min_rating=3.0), seed=0)
    assert split.user_ids.tolist() == [0, 1, 2]
    assert len(split.seen) + len(split.valid) + len(split.test) == 12


def test_the_core_is_iterated_until_it_stands():
    # Item 9 keeps user 8 in a first pass only: it goes itself, since it has one pair.
    log = table([*block(2, 2), (8, 0), (8, 9)])
    split = prepare(Raw(log), Log(k_core=2), seed=0)
    assert split.user_ids.tolist() == [0, 1]
    assert split.item_ids.tolist() == [0, 1]


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=4), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_the_core_is_a_core_and_nothing_outside_could_join(chosen, k):
    from robustbench_rec import Interactions

    log = Interactions.of(*zip(*chosen, strict=True), 7, 7)
    core = log[in_core(log, k)]
    for counts in (core.user_counts, core.item_counts):
        assert ((counts == 0) | (counts >= k)).all()
    assert in_core(core, k).all()


def test_ratio_tests_a_rounded_up_share_of_each_user():
    split = prepare(Raw(table([*block(4, 11), (7, 0), (7, 1), (8, 0)])), Log(test=0.2), seed=0)
    assert split.test.user_counts.tolist() == [3, 3, 3, 3, 1, 0]
    assert (split.train.user_counts >= 1).all()


def test_validation_takes_a_share_but_never_a_users_last_pair():
    train = [(0, i) for i in range(25)] + [(1, 0), (1, 1), (2, 0)]
    split = prepare(Raw(table(train), test=table([(0, 30), (2, 31)])), Log(valid=0.1), seed=0)
    assert split.valid.user_counts.tolist() == [2, 1, 0]
    assert split.train.user_counts.tolist() == [23, 1, 1]
    assert split.seen == split.train


def test_time_tests_the_last_of_the_timeline_of_users_who_trained():
    log = table(
        [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (0, 3), (2, 1), (3, 0), (1, 3)],
        timestamps=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    )
    split = prepare(Raw(log), Log(split_by="time", test=0.3), seed=0)
    assert pairs(split, "test") == {(2, 1), (1, 3)}  # user 3 has no past


def test_time_without_timestamps_says_what_to_set():
    with pytest.raises(InputError, match=r"log has no timestamps.*timestamp_column"):
        prepare(Raw(table(block(3, 3))), Log(split_by="time"), seed=0)


def test_a_least_rating_without_ratings_says_what_to_set():
    with pytest.raises(InputError, match=r"log has no ratings, so min_rating=3.*rating_column"):
        prepare(Raw(table(block(3, 3))), Log(min_rating=3.0), seed=0)


def test_parts_that_come_split_are_taken_as_they_are():
    raw = Raw(table([(0, 0), (5, 1)]), table([(0, 2)]), table([(7, 9)]))
    split = prepare(raw, Log(), seed=0)
    assert pairs(split, "train") == {(0, 0), (5, 1)}
    assert pairs(split, "valid") == {(0, 2)}
    assert pairs(split, "test") == {(7, 9)}
    assert split.user_ids.tolist() == [0, 5, 7]
    assert split.item_ids.tolist() == [0, 1, 2, 9]


SPLIT = Raw(
    table([pair for pair in block(20, 12) if sum(pair) % 4]),
    test=table([pair for pair in block(20, 12) if not sum(pair) % 4]),
)
"""Data that come split: of each of 20 users 9 pairs train and 3 test."""
WITH_VALID = Raw(
    table([pair for pair in block(20, 12) if sum(pair) % 4 > 1]),
    table([pair for pair in block(20, 12) if sum(pair) % 4 == 1]),
    SPLIT.test,
)


@pytest.mark.parametrize("raw", [SPLIT, WITH_VALID], ids=["without", "with validation"])
def test_a_replicate_draws_validation_anew_and_keeps_the_test(raw):
    one, again, two, tuning = (prepare(raw, Log(), 0, of) for of in (0, 0, 1, "tuning"))
    for part in ("train", "valid", "test"):
        assert pairs(one, part) == pairs(again, part)
    drawn = [frozenset(pairs(split, "valid")) for split in (one, two, tuning)]
    assert len(set(drawn)) == 3
    for split in (one, two, tuning):
        assert pairs(split, "test") == pairs(prepare(raw, Log(), 0), "test")
        assert pairs(split, "train") | pairs(split, "valid") == pairs(
            prepare(SPLIT, Log(), 0), "seen"
        ) | pairs(prepare(SPLIT, Log(), 0), "valid")


def test_given_validation_is_kept_for_all_replicates_and_else_drawn_anew_as_large():
    given = pairs(prepare(WITH_VALID, Log(), 0), "valid")
    split = prepare(WITH_VALID, Log(), 0, 0)
    assert len(given) == 60
    assert pairs(split, "valid") != given
    assert (split.valid.user_counts == 3).all()


def test_a_replicate_of_a_log_draws_its_test_and_what_is_held_out_anew():
    raw = Raw(table(block(20, 12)))
    one, two = (prepare(raw, Log(hold_out=0.2), 0, replicate) for replicate in (0, 1))
    for part in ("test", "valid", "false_negatives"):
        assert pairs(one, part) != pairs(two, part)


@pytest.mark.parametrize("raw", [SPLIT, WITH_VALID], ids=["without", "with validation"])
def test_parts_are_joined_and_split_anew_on_request(raw):
    splits = [prepare(raw, Log(resplit=True, test=0.5), 0, replicate) for replicate in (0, 1)]
    for split in splits:
        whole = (pairs(split, part) for part in ("train", "valid", "test"))
        assert set().union(*whole) == set(block(20, 12))
        assert (split.test.user_counts == 6).all()
    assert pairs(splits[0], "test") != pairs(splits[1], "test")


def test_the_filters_of_a_catalogued_data_set_do_not_apply_to_what_came_filtered():
    @dataclass(frozen=True, kw_only=True)
    class Rated(Log):
        min_rating: float = 3.0
        k_core: int = 2

    assert prepare(SPLIT, Rated(resplit=True), 0).n_users == 20  # it has no ratings
    with pytest.raises(InputError, match="has no ratings, so min_rating=4 cannot apply"):
        prepare(SPLIT, Rated(resplit=True, min_rating=4.0), 0)


def test_one_log_cannot_be_split_anew():
    with pytest.raises(InputError, match=r"log is one log, which is split here anyway; delete"):
        prepare(Raw(table(block(20, 12))), Log(resplit=True), 0)


def test_held_out_pairs_may_stay_positives():
    raw = Raw(table(block(20, 12)))
    removed, kept = (prepare(raw, Log(hold_out=0.25, held_out=how), 0) for how in HELD_OUT)
    assert kept.false_negatives == removed.false_negatives
    assert kept.train == kept.seen == removed.seen
    with pytest.raises(InputError, match=r"held_out is 'kept', but hold_out is 0: set hold_out"):
        Log(held_out="kept")


HELD_OUT = ("removed", "kept")


@pytest.mark.parametrize("setting", [{"k_core": 2}, {"min_rating": 4.0}, {"split_by": "time"}])
def test_a_setting_for_a_raw_log_is_refused_where_data_come_split(setting):
    raw = Raw(table([(0, 0), (5, 1)]), table([(0, 2)]), table([(7, 9)]))
    with pytest.raises(
        InputError, match=rf"has given parts, so {next(iter(setting))} = .* delete it"
    ):
        prepare(raw, Log(**setting), seed=0)


def test_ids_are_ordered_by_value_if_numbers_else_as_text():
    numbers = prepare(Raw(table(block(11, 3))), Log(), seed=0)
    assert numbers.user_ids.tolist() == list(range(11))
    words = [(f"u{user}", item) for user, item in block(11, 3)]
    assert prepare(Raw(table(words)), Log(), seed=0).user_ids.tolist()[:3] == ["u0", "u1", "u10"]


def test_numbers_in_one_part_and_text_in_another_become_text():
    split = prepare(Raw(table(block(2, 3)), test=table([("a", 7)])), Log(), seed=0)
    assert split.user_ids.tolist() == ["0", "1", "a"]


def test_held_out_pairs_leave_train_but_stay_seen():
    split = prepare(Raw(table(block(20, 12))), Log(hold_out=0.25), seed=0)
    assert (split.seen.user_counts == 8).all()  # of 10 in training one validates, of 12 two test
    assert (split.false_negatives.user_counts == 2).all()
    assert len(split.train) == len(split.seen) - len(split.false_negatives)
    assert split.seen == split.train + split.false_negatives
    assert (split.train.user_counts >= 1).all()


def test_every_user_has_a_held_out_pair_however_small_the_share():
    split = prepare(Raw(table(block(20, 12))), Log(hold_out=0.01), seed=0)
    assert (split.false_negatives.user_counts == 1).all()


def test_each_user_keeps_a_training_pair_when_much_is_held_out():
    split = prepare(Raw(table(block(9, 3)), test=table([(0, 5)])), Log(hold_out=0.99), seed=0)
    assert (split.train.user_counts == 1).all()


def held_by_pairs(raw, share, seed=0):
    return prepare(raw, Log(hold_out=share, hold_out_by="pairs"), seed)


def test_a_share_of_all_pairs_is_rounded_and_leaves_users_without_a_pool():
    # 60 users train on 3 of 4 pairs after validation; 180 pairs.
    raw = Raw(table(block(60, 4)), test=table([(0, 5)]))
    split = held_by_pairs(raw, 0.1)
    assert len(split.seen) == 180
    assert len(split.false_negatives) == 18
    assert split.seen == split.train + split.false_negatives
    counts = split.false_negatives.user_counts
    assert counts.min() == 0
    assert counts.max() > 1  # no user's share is fixed
    assert 0.6 < (counts == 0).mean() < 0.85  # .9^3 = .73 are expected to have none


def test_every_user_keeps_a_pair_where_a_share_of_all_is_held_out():
    raw = Raw(table([*block(9, 3), (9, 0)]), test=table([(0, 5)]))  # 2 pairs train; of the last 1
    split = held_by_pairs(raw, 0.99)
    assert split.train.user_counts.tolist() == [1] * 10
    assert len(held_by_pairs(raw, 0.4).false_negatives) == round(0.4 * 19)


def test_all_pairs_that_may_go_are_as_likely_to_be_held_out():
    raw = Raw(table([*block(2, 3), *((2, i) for i in range(16))]), test=table([(0, 20)]))
    times = np.zeros(3)
    for seed in range(400):
        times += held_by_pairs(raw, 0.1, seed).false_negatives.user_counts
    # 2 of 2 + 2 + 15 pairs; that a user with 2 keeps one matters once in 171 times. A deviation of
    # .02 is one standard error.
    assert times / 400 == pytest.approx([4 / 19, 4 / 19, 30 / 19], abs=0.06)


def test_a_way_to_hold_out_where_nothing_is_held_out_is_refused():
    with pytest.raises(InputError, match=r"hold_out_by is 'pairs', but hold_out is 0: set"):
        Log(hold_out_by="pairs")


@pytest.mark.parametrize("by", ["user", "pairs"])
def test_what_is_held_out_does_not_depend_on_the_order_of_rows(by):
    log = block(20, 12)
    chosen = Log(hold_out=0.2, hold_out_by=by)
    first, again = (prepare(Raw(table(rows)), chosen, seed=0) for rows in (log, log[::-1]))
    assert first.false_negatives == again.false_negatives


@pytest.mark.parametrize("by", ["user", "pairs"])
def test_what_is_held_out_nests_and_changes_no_other_draw(by):
    log = Raw(table(block(20, 12)))
    chosen = (Log(hold_out=h, hold_out_by=by if h else "user") for h in (0.0, 0.1, 0.3))
    none, some, more = (prepare(log, one, seed=0) for one in chosen)
    assert pairs(some, "false_negatives") < pairs(more, "false_negatives")
    for part in ("seen", "valid", "test"):
        assert pairs(none, part) == pairs(more, part)


def test_unobserved_positives_are_false_negatives_but_not_seen():
    train, test = table(block(3, 4)), table([(0, 5)])
    unobserved = table([(0, 5), (1, 0), (1, 5), (9, 0), (0, 8)])
    split = prepare(Raw(train, test=test, unobserved=unobserved), Log(), seed=0)
    assert pairs(split, "false_negatives") == {(1, 5)}
    assert not split.seen.holds(split.false_negatives.users, split.false_negatives.items).any()


def test_another_seed_is_another_split_and_row_order_is_none():
    log = block(10, 10)
    first, again = (prepare(Raw(table(rows)), Log(), seed=0) for rows in (log, log[::-1]))
    assert first.train == again.train
    assert first.test == again.test
    assert first.test != prepare(Raw(table(log)), Log(), seed=1).test


def test_load_reads_and_prepares():
    class Read(Log):
        def read(self, data_dir):
            assert data_dir == Path("here")
            return Raw(table(block(3, 3)))

    assert load(Read(), Path("here"), 0).n_users == 3


def test_a_repeated_pair_is_named():
    with pytest.raises(
        InputError, match=r"a\.tsv holds the pair \(user b, item 7\) more than once"
    ):
        prepare(Raw(table([("a", 7), ("b", 7), ("b", 7)], where="a.tsv")), Log(), seed=0)


def test_a_test_pair_in_train_is_named():
    train = table(block(3, 3), where="train.tsv")
    test = table([(0, 8), (2, 1), (1, 1)], where="test.tsv")
    with pytest.raises(
        InputError,
        match=r"test\.tsv holds 2 pairs that train\.tsv holds too, such as \(user 1, item 1\)",
    ):
        prepare(Raw(train, test=test), Log(), seed=0)


@pytest.mark.parametrize(
    ("raw", "settings_", "says"),
    [
        (Raw(table(block(1, 5))), {}, r"log holds 1 users and 5 items; at least 2 users"),
        (Raw(table(block(5, 1))), {}, r"log holds 5 users and 1 items; at least 2 users"),
        (
            Raw(table([(0, 0), (0, 1)]), test=table([(0, 2)])),
            {},
            r"log holds 1 users and 3 items; at least 2 users",
        ),
        (Raw(table(block(3, 3))), {"k_core": 4}, r"log: k_core=4 leaves 0 users and 0 items"),
        (
            Raw(table(block(2, 2), ratings=[1, 2, 3, 4])),
            {"min_rating": 5.0},
            r"log: min_rating=5 leaves 0 users and 0 items",
        ),
        (Raw(table([(0, 0), (1, 1)])), {}, r"split_by='ratio' with test=0.2 leaves no test pair"),
    ],
)
def test_too_little_says_which_step_took_it(raw, settings_, says):
    with pytest.raises(InputError, match=says):
        prepare(raw, Log(**settings_), seed=0)


@given(
    st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=30),
    st.floats(0.05, 0.9),
    st.floats(0.01, 0.9),
    st.sampled_from(["user", "pairs"]),
)
@settings(max_examples=40, deadline=None)
def test_any_log_is_shared_out_whole_and_once(chosen, share, hold_out, by):
    how = Log(test=share, hold_out=hold_out, hold_out_by=by)
    split = prepare(Raw(table(sorted(chosen))), how, seed=3)
    parts = [pairs(split, part) for part in ("train", "false_negatives", "valid", "test")]
    assert sum(len(part) for part in parts) == len(chosen)
    assert set().union(*parts) == chosen
    assert (split.train.user_counts >= 1).all()


@pytest.mark.parametrize(
    ("raw", "how", "redrawn"),
    [
        (SPLIT, {}, False),
        (SPLIT, {"resplit": True}, True),
        (Raw(SPLIT.train), {}, True),
        (Raw(SPLIT.train), {"split_by": "time"}, False),
    ],
)
def test_another_replicate_has_another_test_only_where_it_is_drawn(raw, how, redrawn):
    assert redraws_test(raw, Log(**how)) == redrawn
