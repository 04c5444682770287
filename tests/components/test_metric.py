"""Ranks: read off lists, in order, and no other."""

import numpy as np
import pytest

from robustbench_rec import Ranks

HITS = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
COUNTS = np.array([3, 1, 1])
INF = np.inf


@pytest.fixture
def found() -> Ranks:
    """Return the ranks of three users with weights."""
    return Ranks.of(HITS, COUNTS, np.array([1.0, 3, 2, 1, 4]))


def test_ranks_are_read_off_lists(found):
    assert found.user.tolist() == [0, 0, 0, 1, 2]
    assert found.ranks.tolist() == [2, 4, INF, INF, 1]
    assert found.n_users == 3
    assert found.counts.tolist() == COUNTS.tolist()
    assert found.order.tolist() == [1, 2, 3, 1, 1]
    assert found.first.tolist() == [2, INF, 1]
    assert found.total.tolist() == [6, 1, 4]
    assert found.sum([1, 2, 3, 4, 5]).tolist() == [6, 4, 5]
    assert Ranks.of(HITS, COUNTS).weights.tolist() == [1] * 5


def test_the_best_list_begins_with_the_heaviest(found):
    assert found.best.ranks.tolist() == [1, 2, 3, 1, 1]
    assert found.best.weights.tolist() == [3, 2, 1, 1, 4]


def test_the_top_holds_what_is_found_there(found):
    top = found.top(3)
    assert (top.user.tolist(), top.ranks.tolist()) == ([0, 2], [2, 1])
    assert top.counts.tolist() == [1, 0, 1]
    assert top.total.tolist() == [1, 0, 4]
    assert top.first.tolist() == [2, INF, 1]
    assert found.top(3) is top


def test_finding_a_part_keeps_the_others_among_the_test_items(found):
    part = found.finding(np.array([False, True, True, True, False]))
    assert part.ranks.tolist() == [4, INF, INF, INF, INF]
    assert part.weights.tolist() == [3, 1, 2, 1, 4]
    assert part.total.tolist() == found.total.tolist()


def test_nobody_is_no_error():
    nobody = Ranks.of(np.zeros((0, 4), bool), np.zeros(0, int))
    assert nobody.first.shape == nobody.best.total.shape == nobody.top(2).counts.shape == (0,)


def test_metrics_share_them_so_they_are_read_only(found):
    for array in (found.user, found.ranks, found.weights, found.counts, found.first, found.order):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("user", "ranks", "weights", "says"),
    [
        ([0, 1], [1, 2], [1], "have equal lengths"),
        ([1, 0], [1, 2], [1, 1], "sorted by user, then by rank"),
        ([0, 0], [2, 1], [1, 1], "sorted by user, then by rank"),
        ([0, 2], [1, 1], [1, 1], r"Ranks.user must lie in \[0, 2\)"),
        ([-1, 1], [1, 1], [1, 1], r"Ranks.user must lie in \[0, 2\)"),
        ([0, 1], [0, 1], [1, 1], "at least 1; inf"),
        ([0, 1], [1, np.nan], [1, 1], "at least 1; inf"),
        ([0, 1], [1, 1], [1, -1], "finite and at least 0"),
        ([0, 1], [1, 1], [1, INF], "finite and at least 0"),
        ([0, 1], [1, 1], [1, np.nan], "finite and at least 0"),
    ],
)
def test_what_are_no_ranks_is_refused(user, ranks, weights, says):
    with pytest.raises(ValueError, match=says):
        Ranks(np.array(user), np.array(ranks, float), np.array(weights, float), 2)


def test_a_user_whose_test_items_weigh_nothing_is_named():
    with pytest.raises(ValueError, match="all weights of user 1 are 0"):
        Ranks.of(HITS, COUNTS, np.array([1.0, 3, 2, 0, 4]))
