"""The bits of the compiled sums: pairs are added in their order, however many at a time."""

import numpy as np
import pytest
from numba import njit

from robustbench_rec.kernels import compiled
from robustbench_rec.rows import SUMS


@njit(fastmath=SUMS)
def one_by_one(items, item_scales, index, weights, sums):
    """Add each row's items to its sum, one pair after another: what "their order" means."""
    for b in range(len(index)):
        for n in range(index.shape[1]):
            factor = weights[b, n] * item_scales[index[b, n]]
            for k in range(items.shape[1]):
                sums[b, k] += factor * items[index[b, n], k]


@pytest.mark.parametrize("dim", [1, 13, 64])
@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.97])
@pytest.mark.parametrize("n_slots", [1, 2, 4, 5, 8, 9, 201, 1001])
def test_the_gradient_by_user_adds_pairs_in_their_order(n_slots, zeros, dim):
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(n, dim)).astype(np.float32) for n in (16, 300))
    index = rng.integers(300, size=(16, n_slots)).astype(np.uint32)
    weights = rng.normal(size=index.shape).astype(np.float32)
    weights[rng.random(index.shape) < zeros] = 0
    scales = np.ones(16, dtype=np.float32), compiled.scales(items, True)
    expected, got = np.zeros_like(users), np.empty_like(users)
    one_by_one(items, scales[1], index, weights, expected)
    compiled.by_user(users, items, *scales, index, weights, False, 1, got)
    np.testing.assert_array_equal(got, expected)


def test_rows_are_summed_by_their_users_in_the_order_of_the_rows():
    who, rows = np.array([2, 0, 2, 2]), np.float32([[1e8], [3], [1], [-1e8]])
    gradient = np.full((4, 1), 7, dtype=np.float32)
    compiled.by_table(who, rows, gradient)
    assert gradient.ravel().tolist() == [3, 0, 0, 0]  # 1e8 + 1 is 1e8
