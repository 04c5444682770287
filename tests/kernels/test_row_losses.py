"""Losses from embeddings in one go: what scores, loss and gradients are one after another."""

import numpy as np
import pytest
import threads
import torch

from robustbench_rec import LOSSES
from robustbench_rec.components.loss import rows_of
from robustbench_rec.kernels import compiled
from robustbench_rec.kernels.row_losses import MARGIN, RowLoss
from robustbench_rec.kernels.scores import gathered_scores

N_USERS, N_ITEMS = 9, 13
WITH_ROWS = sorted(name for name in LOSSES if rows_of(LOSSES[name]().bind(N_USERS, N_ITEMS)))


def row_loss(name):
    rows = LOSSES[name]().bind(N_USERS, N_ITEMS).rows
    return RowLoss(rows.function, np.array(rows.settings, dtype=np.float64))


def problem(n_rows=20, n_slots=6, dim=8):
    """Return both tables, each row's own number, and users and items of a batch."""
    rng = np.random.default_rng(0)
    tables = [
        torch.tensor(rng.normal(size=(n, dim)), dtype=torch.float32) for n in (N_USERS, N_ITEMS)
    ]
    own = torch.tensor(rng.uniform(0.1, 0.5, n_rows), dtype=torch.float32)
    who = torch.tensor(rng.integers(N_USERS, size=n_rows))
    index = torch.tensor(rng.integers(N_ITEMS, size=(n_rows, n_slots)), dtype=torch.int32)
    return [part.requires_grad_() for part in (*tables, own)], who, index


def in_one_go(name, parts, who, index, cosine, factor=1.0):
    value, total = row_loss(name).of_embeddings(*parts, who, index, cosine)
    return value.detach(), total, *torch.autograd.grad(factor * value, parts)


def one_after_another(name, parts, who, index, cosine, factor=1.0):
    users, items, own = parts
    scores = gathered_scores(users.index_select(0, who), items, index, cosine)
    value = row_loss(name).of_scores(scores, own)
    found = value.detach(), scores.detach().sum()
    return *found, *torch.autograd.grad(factor * value, parts)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("factor", [1.0, 0.25])
@pytest.mark.parametrize("name", ["softmax", "ccl", "drrl", "bpr"])
@pytest.mark.parametrize("n_slots", [2, 5, 8, 9, 40])
def test_both_ways_to_a_loss_agree(name, n_slots, factor, cosine):
    given = problem(n_slots=n_slots)
    got = in_one_go(name, *given, cosine, factor)
    expected = one_after_another(name, *given, cosine, factor)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "ccl", "drrl", "bpr"])
def test_any_number_of_threads_gives_the_same_bits(name):
    found = []
    for n in (1, threads.MOST):
        with threads.using(n):
            found.append(in_one_go(name, *problem(n_rows=51, n_slots=33), True))
            found.append(one_after_another(name, *problem(n_rows=51, n_slots=33), True))
    for one, other in zip(found[0] + found[1], found[2] + found[3], strict=True):
        assert torch.equal(one, other)


def test_a_user_of_several_rows_gets_the_sum_and_one_of_none_nothing():
    (users, items, own), _, index = problem(n_rows=4)
    who = torch.tensor([2, 5, 2, 2])
    _, _, by_users, *_ = in_one_go("softmax", (users, items, own), who, index, False)
    parts = [
        in_one_go(
            "softmax",
            (users, items, own[row : row + 1].detach().requires_grad_()),
            who[row : row + 1],
            index[row : row + 1],
            False,
        )[2]
        for row in range(4)
    ]
    torch.testing.assert_close(by_users, sum(parts) / 4)
    assert set(by_users.abs().sum(dim=1).nonzero().flatten().tolist()) == {2, 5}


def test_a_table_that_changed_before_the_backward_is_refused():
    (users, items, own), who, index = problem()
    value, _ = row_loss("softmax").of_embeddings(users, items, own, who, index, True)
    with torch.no_grad():
        items.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(value, [users])


def test_a_score_that_is_not_finite_shows_in_the_sum():
    (users, items, own), who, index = problem()
    with torch.no_grad():
        items[int(index[3, 2])] = float("inf")
    _, total = row_loss("ccl").of_embeddings(users, items, own, who, index, False)
    assert not total.isfinite()


def bits_at(name, distance, n):
    """Return the bits of a row's loss and slopes that stand so many numbers behind its scores."""
    loss = row_loss(name)
    memory = np.empty(2 * n + 32 + abs(distance), dtype=np.float32)
    first = -(memory.ctypes.data // 4) % 16 + max(0, -distance)  # from a line of the cache
    scores, slopes = memory[first:][:n], memory[first + distance :][:n]
    scores[:] = np.random.default_rng(n).uniform(-1, 1, n)
    values = np.empty((2, 1), dtype=np.float32)
    own = np.zeros(1, dtype=np.float32)
    compiled.row_losses(
        loss.function, loss.settings, own, scores[None], slopes[None], values[0], values[1]
    )
    return values.tobytes() + slopes.tobytes()


@pytest.mark.parametrize("name", WITH_ROWS)
def test_what_is_isolated_gives_the_same_bits_wherever_it_stands(name):
    for n in range(2, 70):
        far = bits_at(name, n + 5000, n)
        for distance in (n + MARGIN, n + MARGIN + 1, n + 2 * MARGIN, -n - MARGIN, -n - 5000):
            assert bits_at(name, distance, n) == far


@pytest.mark.parametrize("way", ["of_scores", "of_embeddings"])
def test_slopes_are_isolated(way):
    (users, items, own), who, index = problem()
    if way == "of_scores":
        scores = gathered_scores(users.index_select(0, who), items, index, cosine=False)
        (slopes, _) = row_loss("softmax").of_scores(scores, own).grad_fn.slopes
    else:
        value, _ = row_loss("softmax").of_embeddings(users, items, own, who, index, False)
        slopes = value.grad_fn.rows.slopes
    assert slopes.shape == index.shape
    assert slopes.flags.c_contiguous
    memory = slopes.base
    assert slopes.ctypes.data - memory.ctypes.data == 4 * MARGIN
    assert memory.size == slopes.size + 2 * MARGIN
