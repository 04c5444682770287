"""The gathered dot product: equal to the plain one in double precision, whatever the shapes."""

import numpy as np
import pytest
import threads
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from robustbench_rec.kernels import scores as scoring
from robustbench_rec.kernels.scores import apart, gathered_scores


def plain(users, items, index, cosine=False):
    """Return the scores as they are defined: no tricks, any dtype, gathered whole."""
    if cosine:
        users, items = normalize(users, dim=1), normalize(items, dim=1)
    return (users.unsqueeze(1) * items[index]).sum(dim=2)


def problem(n_rows, n_slots, n_items, dim, seed=0, dtype=torch.float32, zeros=0.0):
    """Return users, items, index and the gradient of the scores, some of it zero."""
    rng = np.random.default_rng(seed)
    users, items = (
        torch.tensor(_entries(rng, (n, dim)), dtype=dtype, requires_grad=True)
        for n in (n_rows, n_items)
    )
    index = torch.tensor(rng.integers(n_items, size=(n_rows, n_slots)), dtype=torch.int32)
    weights = rng.standard_normal(index.shape) * (rng.random(index.shape) >= zeros)
    return users, items, index, torch.tensor(weights, dtype=dtype)


def _entries(rng, shape):
    """Return numbers of either sign, none near 0: a very short vector's direction rounds badly."""
    return rng.uniform(0.3, 1.5, shape) * rng.choice([-1, 1], shape)


def results(scores, users, items, weights):
    """Return scores, and gradients by users and by items."""
    return [scores.detach(), *torch.autograd.grad(scores, (users, items), weights)]


def in_double(users, items, index, weights, cosine):
    doubles = [tensor.detach().double().requires_grad_() for tensor in (users, items)]
    return results(plain(*doubles, index, cosine), *doubles, weights.double())


shapes = st.tuples(
    st.integers(0, 5), st.integers(1, 9), st.integers(1, 12), st.integers(1, 19), st.integers(0, 99)
)


@pytest.mark.parametrize("cosine", [False, True])
@given(shape=shapes, zeros=st.sampled_from([0.0, 0.7, 1.0]))
@settings(max_examples=60)
def test_scores_and_gradients_are_those_of_the_definition(cosine, shape, zeros):
    users, items, index, weights = problem(*shape, zeros=zeros)
    got = results(gathered_scores(users, items, index, cosine), users, items, weights)
    expected = in_double(users, items, index, weights, cosine)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("n_slots", [1, 64, 1000])
def test_it_holds_at_the_sizes_of_a_training_step(n_slots, cosine):
    users, items, index, weights = problem(128, n_slots, 300, 64, zeros=0.5)
    got = results(gathered_scores(users, items, index, cosine), users, items, weights)
    for one, other in zip(got, in_double(users, items, index, weights, cosine), strict=True):
        scale = other.abs().max()
        torch.testing.assert_close(one.double() / scale, other / scale, rtol=0, atol=4e-6)


def test_an_item_many_times_in_a_row_counts_as_often():
    users, items, index, weights = problem(3, 40, 2, 5)
    index[:] = 1
    got = results(gathered_scores(users, items, index), users, items, weights)
    for one, other in zip(got, in_double(users, items, index, weights, False), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)
    assert (got[2][0] == 0).all()


@pytest.mark.parametrize("cosine", [False, True])
def test_inputs_need_not_be_contiguous(cosine):
    users, items, index, weights = problem(6, 8, 10, 16)
    apart = [tensor.detach().t().contiguous().t().requires_grad_() for tensor in (users, items)]
    strided = torch.stack([index, index], dim=2)[:, :, 0]
    assert not apart[0].is_contiguous()
    assert not strided.is_contiguous()
    scores = gathered_scores(*apart, strided, cosine)
    expected = gathered_scores(users, items, index, cosine)
    spread = weights.t().contiguous().t()
    for one, other in zip(
        results(scores, *apart, spread), results(expected, users, items, weights), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_any_integers_index(dtype):
    users, items, index, _ = problem(4, 3, 5, 8)
    expected = gathered_scores(users, items, index)
    assert torch.equal(gathered_scores(users, items, index.to(dtype)), expected)


def test_a_vector_of_no_length_has_no_direction_and_breaks_nothing():
    users, items, index, weights = problem(4, 5, 6, 8)
    with torch.no_grad():
        users[1] = items[2] = 0
    got = results(gathered_scores(users, items, index, True), users, items, weights)
    assert all(part.isfinite().all() for part in got)
    assert (got[0][1] == 0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(bad):
    users, items, index, _ = problem(4, 50, 6, 8)
    with torch.no_grad():
        items[3, 5] = bad
    scores = gathered_scores(users, items, index)
    assert torch.equal(scores.isfinite(), index != 3)


def test_a_gradient_that_is_not_finite_reaches_what_it_is_of():
    users, items, index, weights = problem(4, 3, 6, 8)
    weights[2, 1] = float("nan")
    _, by_users, by_items = results(gathered_scores(users, items, index), users, items, weights)
    assert by_users.isfinite().all(dim=1).tolist() == [True, True, False, True]
    assert not by_items[index[2, 1]].isfinite().any()


@pytest.mark.parametrize("cosine", [False, True])
def test_any_number_of_threads_gives_the_same_bits(cosine):
    users, items, index, weights = problem(50, 30, 40, 64, zeros=0.3)
    found = []
    for n in (1, threads.MOST):
        with threads.using(n):
            scores = gathered_scores(users, items, index, cosine)
            found.append(results(scores, users, items, weights))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cosine", [False, True])
def test_the_path_of_torch_operations_has_the_right_derivative(cosine):
    users, items, index, _ = problem(3, 4, 5, 6, dtype=torch.float64)
    index[0] = 2
    assert torch.autograd.gradcheck(
        lambda u, v: gathered_scores(u, v, index, cosine), (users, items)
    )


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_path_of_torch_operations_does_not_depend_on_its_chunks(rows, monkeypatch):
    users, items, index, weights = problem(7, 4, 5, 6, dtype=torch.float64)
    expected = in_double(users, items, index, weights, False)
    monkeypatch.setattr(scoring, "CHUNK_BYTES", rows * 4 * 6 * 8)
    got = results(gathered_scores(users, items, index), users, items, weights)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("bad", "message"), [(-1, "index holds -1 to"), (6, "to 6; items are 0 to 5")]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_index_out_of_range_is_refused(bad, message, dtype):
    users, items, index, _ = problem(4, 3, 6, 8, dtype=dtype)
    index[3, 2] = bad
    with pytest.raises(IndexError, match=message):
        gathered_scores(users, items, index)


@pytest.mark.parametrize(
    "types",
    [
        (torch.float32, torch.float64, torch.int32),
        (torch.float32, torch.float32, torch.float32),
    ],
)
def test_types_that_do_not_fit_are_named(types):
    shapes = (4, 8), (6, 8), (4, 3)
    tensors = (torch.zeros(shape, dtype=one) for shape, one in zip(shapes, types, strict=True))
    with pytest.raises(ValueError, match=f"items {types[1]}, index {types[2]}: the first two"):
        gathered_scores(*tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_table_that_changed_before_the_backward_is_refused(dtype):
    users, items, index, weights = problem(4, 3, 6, 8, dtype=dtype)
    scores = gathered_scores(users, items, index)
    with torch.no_grad():
        items.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(scores, (users, items), weights)


@pytest.mark.parametrize(
    ("users", "items", "index"),
    [((4, 8), (6, 7), (4, 3)), ((4, 8), (6, 8), (5, 3)), ((4,), (6, 8), (4, 3))],
)
def test_shapes_that_do_not_fit_are_named(users, items, index):
    tensors = torch.zeros(users), torch.zeros(items), torch.zeros(index, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"do not fit: they must be \(B, dim\)"):
        gathered_scores(*tensors)


def test_positives_and_negatives_come_apart_contiguous_and_differentiable():
    scores = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    pos, neg = apart(scores)
    assert torch.equal(pos, scores[:, 0])
    assert torch.equal(neg, scores[:, 1:])
    assert pos.is_contiguous()
    assert neg.is_contiguous()
    assert torch.autograd.gradcheck(apart, scores)
    (by_scores,) = torch.autograd.grad(pos.sum(), scores)  # of one of both alone
    assert torch.equal(by_scores, torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(5, 4))
