"""Agreement of lists: by hand, by a slow loop, and in its properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_rec.evaluation.overlap import jaccard, rank_biased_overlap


def lists(*rows):
    return np.array(rows, dtype=np.int64)


def slowly(one, other, p):
    """Return the finite rank-biased overlap of two lists, as its sum reads."""
    one, other = ([item for item in row if item >= 0] for row in (one, other))
    depths = range(1, max(len(one), len(other)) + 1)
    shares = [len({*one[:d]} & {*other[:d]}) / d for d in depths]
    weights = [p ** (d - 1) for d in depths]
    return sum(w * s for w, s in zip(weights, shares, strict=True)) / sum(weights)


def test_values_by_hand():
    one, other = lists([1, 2, 3], [1, 2, 3]), lists([1, 3, 4], [4, 5, 6])
    np.testing.assert_allclose(jaccard(one, other), [2 / 4, 0])
    # Shares of 1, 1/2, 2/3 at the three depths, weighed 1, 1/2, 1/4.
    expected = (1 + 0.5 / 2 + 0.25 * 2 / 3) / 1.75
    np.testing.assert_allclose(rank_biased_overlap(one, other, p=0.5), [expected, 0])


def test_equal_lists_agree_wholly_however_short():
    rows = lists([3, 1, 2, 0], [5, 4, -1, -1], [7, -1, -1, -1])
    np.testing.assert_array_equal(jaccard(rows, rows), 1)
    np.testing.assert_allclose(rank_biased_overlap(rows, rows), 1, rtol=1e-15)


def test_a_swap_at_the_top_costs_more_than_one_at_the_end():
    one = lists([0, 1, 2, 3], [0, 1, 2, 3])
    top, end = rank_biased_overlap(one, lists([1, 0, 2, 3], [0, 1, 3, 2]))
    assert top < end < 1


shuffled = st.permutations(range(12)).flatmap(
    lambda items: st.integers(1, 6).map(lambda n: [*items[:n], *[-1] * (6 - n)])
)


@given(shuffled, shuffled, st.sampled_from([0.5, 0.9, 0.99]))
def test_it_is_the_sum_that_it_reads_and_the_same_both_ways(one, other, p):
    value = rank_biased_overlap(lists(one), lists(other), p)
    assert value[0] == pytest.approx(slowly(one, other, p))
    assert 0 <= value[0] <= 1 + 1e-12
    np.testing.assert_allclose(rank_biased_overlap(lists(other), lists(one), p), value)
    held, found = ({*row} - {-1} for row in (one, other))
    assert jaccard(lists(one), lists(other))[0] == len(held & found) / len(held | found)
