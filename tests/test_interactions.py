from dataclasses import replace

import numpy as np
import pytest

from robustbench_rec import Interactions, Split
from robustbench_rec.testing import toy_split


def pairs(*of: tuple[int, int], n_users: int = 3, n_items: int = 4) -> Interactions:
    users, items = zip(*of, strict=True) if of else ((), ())
    return Interactions.of(users, items, n_users, n_items)


def test_of_sorts_by_user_then_item_and_carries_what_stands_beside():
    held = Interactions.of([1, 0, 1], [0, 2, 3], 3, 4, timestamps=[30, 10, 20], ratings=[3, 1, 2])
    assert held.users.tolist() == [0, 1, 1]
    assert held.items.tolist() == [2, 0, 3]
    assert held.timestamps.tolist() == [10, 30, 20]
    assert held.ratings.tolist() == [1, 3, 2]


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([0, 0], [1, 1], r"the pair \(user 0, item 1\) twice"),
        ([0, 3], [0, 0], r"users holds id 3; ids lie in \[0, 3\)"),
        ([0, -1], [0, 0], r"users holds id -1; ids lie in \[0, 3\)"),
        ([0, 1], [0, 4], r"items holds id 4; ids lie in \[0, 4\)"),
    ],
)
def test_bad_pairs_are_refused_by_what_is_wrong(users, items, message):
    with pytest.raises(ValueError, match=message):
        Interactions.of(users, items, 3, 4)


def test_unsorted_pairs_and_uneven_lengths_are_refused():
    with pytest.raises(ValueError, match="must be sorted"):
        Interactions(np.array([1, 0]), np.array([0, 0]), 3, 4)
    with pytest.raises(ValueError, match=r"items has shape \(1,\)"):
        Interactions(np.array([1, 2]), np.array([0]), 3, 4)


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([0.0, 1.9], [0, 1], r"^Interactions\.users has dtype float64; ids are integers$"),
        ([0, 1], np.float32([0, 1]), r"^Interactions\.items has dtype float32; ids are integers$"),
        ([True, False], [0, 1], r"^Interactions\.users has dtype bool; ids are integers$"),
    ],
)
def test_ids_that_a_cast_would_truncate_are_refused(users, items, message):
    for make in (Interactions, Interactions.of):
        with pytest.raises(ValueError, match=message):
            make(users, items, 3, 4)


def test_no_pairs_may_come_in_any_dtype():
    for make in (Interactions, Interactions.of):
        assert make([], np.empty(0), 3, 4).users.dtype == np.int64


def test_arrays_are_copies_that_nobody_can_write():
    users = np.array([0, 1])
    held = Interactions(users, np.array([0, 0]), 3, 4)
    users[0] = 2
    assert held.users.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        held.users[0] = 2


def test_counts_starts_and_membership():
    held = pairs((0, 1), (2, 0), (2, 3))
    assert held.user_counts.tolist() == [1, 0, 2]
    assert held.item_counts.tolist() == [1, 1, 0, 1]
    assert held.starts.tolist() == [0, 1, 1, 3]
    assert held.holds([[0], [2]], [[1, 0], [3, 1]]).tolist() == [[True, False], [True, False]]
    assert not pairs().holds([0], [0]).any()


def test_sets_add_subtract_and_compare_by_content():
    one, two = pairs((0, 1), (2, 3)), pairs((1, 1))
    assert one + two == pairs((0, 1), (1, 1), (2, 3))
    assert (one + two).without(two) == one
    assert one != pairs((0, 1), (2, 3), n_items=5)
    with pytest.raises(ValueError, match="twice"):
        one + one


def test_split_refuses_parts_that_overlap_or_differ_in_catalogue():
    train, test = pairs((0, 1)), pairs((1, 2))
    with pytest.raises(ValueError, match=r"seen and Split.test share 1 pairs"):
        Split.of(train, pairs(), train)
    with pytest.raises(ValueError, match=r"valid and Split.test share 1 pairs"):
        Split.of(train, test, test)
    with pytest.raises(ValueError, match=r"Split.valid is over 9 x 4"):
        Split.of(train, pairs(n_users=9), test)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([1.0], r"Split.test_weights has shape \(1,\), not \(2,\)"),
        ([[1.0, 2.0]], r"Split.test_weights has shape \(1, 2\)"),
        ([1.0, 0.0], "Split.test_weights holds 0.0; weights are finite and above 0"),
        ([np.nan, 1.0], "Split.test_weights holds nan"),
        ([1.0, np.inf], "Split.test_weights holds inf"),
        (["1", "2"], "Split.test_weights has dtype <U1; weights are numbers"),
    ],
)
def test_test_weights_that_are_none_are_refused(weights, says):
    split = Split.of(pairs((0, 1)), pairs(), pairs((1, 2), (2, 0)))
    with pytest.raises(ValueError, match=says):
        replace(split, test_weights=weights)


def test_test_weights_are_a_copy_that_nobody_writes_to():
    weights = np.array([2, 1])
    split = Split.of(pairs((0, 1)), pairs(), pairs((1, 2), (2, 0)))
    weighted = replace(split, test_weights=weights)
    weights[0] = 9
    assert weighted.test_weights.tolist() == [2.0, 1.0]
    assert weighted.test_weights.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        weighted.test_weights[0] = 9


def test_met_holds_everything_known_to_be_positive():
    split = toy_split()
    parts = (split.train, split.valid, split.test, split.false_negatives)
    assert len(split.met()) == sum(map(len, parts))
    assert all(split.met().holds(part.users, part.items).all() for part in parts)


def frame(users, items):
    return {"user": np.asarray(users), "item": np.asarray(items)}


def test_a_split_of_frames_numbers_ids_by_value_and_carves_validation():
    train = frame(["b", "b", "b", "a", "a"], [30, 10, 20, 10, 20])
    split = Split.from_frames(train, frame(["a", "c"], [40, 10]))
    assert split.user_ids.tolist() == ["a", "b", "c"]
    assert split.item_ids.tolist() == [10, 20, 30, 40]
    assert split.test == Interactions.of([0, 2], [3, 0], 3, 4)
    assert len(split.train) == 3
    assert split.valid.user_counts.tolist() == [1, 1, 0]
    again = Split.from_frames(train, frame(["a", "c"], [40, 10]))
    assert (again.train, again.valid) == (split.train, split.valid)
    assert repr(split).startswith("Split(3 users, 4 items, 3 + 2 + 2 training, validation and test")
    assert "\n" not in repr(split)


def test_large_ids_of_several_integer_types_stay_apart():
    large = 2**60
    train = {"user": np.array([large, large + 1], dtype=np.uint64), "item": np.array([1, 2])}
    split = Split.from_frames(train, frame([large + 2], [1]), frame([large], [2]))
    assert split.user_ids.tolist() == [large, large + 1, large + 2]


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (frame([7, 7], [9, 9]), frame([7], [8]), r"the pair \(user 7, item 9\) twice"),
        (frame([7.0], [9]), frame([7], [8]), "column 'user' holds 7.0; ids are whole numbers, or"),
        (frame(["7"], [9]), frame([7], [8]), "'user' holds whole numbers in one frame and texts"),
        (frame([None], [9]), frame([7], [8]), "column 'user' holds None"),
        (frame([[7]], [9]), frame([7], [8]), r"column 'user' has shape \(1, 1\)"),
        ({"user": [2**64 - 1], "item": [1]}, frame([7], [8]), "column 'user' holds 18446744073709"),
    ],
)
def test_frames_that_are_unfit_are_refused(train, test, says):
    with pytest.raises(ValueError, match=says):
        Split.from_frames(train, test)


@pytest.mark.parametrize("share", [0, 1, -1, 2, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=r"valid_share is .*; it must lie in \(0, 1\)"):
        Split.from_frames(frame([7], [9]), frame([7], [8]), valid_share=share)
