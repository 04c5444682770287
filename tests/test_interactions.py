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
    with pytest.raises(ValueError, match=r"seen and Split.test_pool share 1 pairs"):
        Split.of(train, pairs(), train)
    with pytest.raises(ValueError, match=r"valid and Split.test_pool share 1 pairs"):
        Split.of(train, test, test)
    with pytest.raises(ValueError, match=r"Split.valid is over 9 x 4"):
        Split.of(train, pairs(n_users=9), test)
    with pytest.raises(ValueError, match="test_pool does not"):
        Split.of(train, pairs(), test, test_pool=pairs((2, 2)))


def test_met_holds_everything_known_to_be_positive():
    split = toy_split()
    parts = (split.train, split.valid, split.test_pool, split.false_negatives)
    assert len(split.met()) == sum(map(len, parts))
    assert all(split.met().holds(part.users, part.items).all() for part in parts)
