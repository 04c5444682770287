"""Propagation: equal to products with the dense matrix, forward and backward, on every path."""

import numpy as np
import pytest
import threads
import torch
from numba import njit

from robustbench_rec import BACKBONES, Interactions
from robustbench_rec.backbones import _graph
from robustbench_rec.backbones._graph import Graph, Half, layer_mean, noisy_layer_mean
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import toy_split

# User 2 and item 3 have no training pair.
TINY = Interactions.of([0, 1, 1, 3, 3], [0, 0, 1, 2, 1], 4, 4)


def dense(train):
    """Return the normalised adjacency over users, then items, in double precision."""
    graph = np.zeros((train.n_users, train.n_items))
    weights = 1 / np.sqrt(train.user_counts[train.users] * train.item_counts[train.items])
    graph[train.users, train.items] = weights
    whole = np.block(
        [[np.zeros((len(graph),) * 2), graph], [graph.T, np.zeros((train.n_items,) * 2)]]
    )
    return torch.tensor(whole)


def tables(train, dim=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    users, items = (
        torch.randn(n, dim, generator=generator, dtype=dtype).requires_grad_()
        for n in (train.n_users, train.n_items)
    )
    return users, items


def powers(train, users, items, layers):
    """Return the layers 0 to `layers`, users before items, as they are defined."""
    passed = [torch.cat([users, items]).double()]
    for _ in range(layers):
        passed.append(dense(train) @ passed[-1])
    return torch.stack(passed)


def double_graph(train):
    """Return a graph whose weights are not rounded to single precision."""
    graph = Graph(train).double()
    whole = dense(train)
    users, items = whole[: train.n_users, train.n_users :], whole[train.n_users :, : train.n_users]
    graph.to_users.weights, graph.to_items.weights = users[users > 0], items[items > 0]
    return graph


def noisy(graph, users, items, layers=3, contrasted=1, noise=0.0, seed=0):
    return noisy_layer_mean(
        graph,
        users,
        items,
        layers=layers,
        contrasted=contrasted,
        noise=noise,
        generator=torch.Generator().manual_seed(seed),
    )


def close(pair, expected, **tolerances):
    torch.testing.assert_close(torch.cat(pair).double(), expected, **tolerances)


@pytest.fixture(params=["compiled", "by_torch"])
def _path(request, monkeypatch):
    """Hold on either path; torch's is the one of other devices and runs on a CPU too."""
    monkeypatch.setattr(Half, "forward", getattr(Half, request.param))


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("train", [TINY, toy_split().train, TINY.none()])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layer_mean_is_that_of_the_dense_matrix(train, layers):
    mean = layer_mean(double_graph(train), *tables(train), layers)
    close(mean, powers(train, *tables(train), layers).mean(dim=0), rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("_path")
def test_gradients_are_derivatives():
    graph = double_graph(TINY)
    assert torch.autograd.gradcheck(lambda *pair: layer_mean(graph, *pair, 3), tables(TINY, 2))
    for contrasted in (1, 2, 3):
        assert torch.autograd.gradcheck(
            lambda *pair, at=contrasted: sum(noisy(graph, *pair, contrasted=at), ()),
            tables(TINY, 2),
        )


@pytest.mark.usefixtures("_path")
def test_single_precision_is_within_its_rounding_of_the_plain_sum_of_layers():
    train = toy_split().train
    users, items = tables(train, 64, torch.float32)
    mean = layer_mean(Graph(train), users, items, 3)
    assert mean[0].dtype == torch.float32
    close(mean, powers(train, users, items, 3).mean(dim=0), rtol=0, atol=1e-6)


def test_who_has_no_training_pair_keeps_a_share_of_the_own_embedding():
    users, items = tables(TINY)
    mean = layer_mean(Graph(TINY), users, items, 2)
    torch.testing.assert_close(mean[0][2], users[2] / 3)
    torch.testing.assert_close(mean[1][3], items[3] / 3)
    (of_users, of_items), _ = noisy(Graph(TINY), users, items, noise=0.2)
    assert not of_users[2].any()
    assert not of_items[3].any()


def test_a_gradient_that_is_no_whole_matrix_is_propagated():
    graph, pair = Graph(TINY), tables(TINY)
    users, _ = layer_mean(graph, *pair, 2)
    got = torch.autograd.grad(users.sum(), pair)  # expanded from a number, and none by items
    ones = torch.ones_like(pair[0]), torch.zeros_like(pair[1])
    for one, other in zip(got, layer_mean(graph, *ones, 2), strict=True):
        assert torch.equal(one, other)


def test_bits_depend_neither_on_the_turn_nor_on_threads():
    train = toy_split(300, 200).train
    graph, pair = Graph(train), tables(train, 64, torch.float32)
    results = []
    for count in (1, threads.MOST, threads.MOST):
        with threads.using(count):
            mean = layer_mean(graph, *pair, 3)
            results.append([*mean, *torch.autograd.grad(mean, pair, pair)])
    for result in results[1:]:
        assert all(torch.equal(*both) for both in zip(result, results[0], strict=True))


def test_lightgcn_keeps_no_layer_for_the_backward():
    module = BACKBONES["lightgcn"](dim=3, layers=3).build(TINY, torch.Generator())
    users, items = module()
    assert users.grad_fn is items.grad_fn
    assert not users.grad_fn.saved_tensors
    assert {name for name, _ in module.named_parameters()} == {"tables.users", "tables.items"}


@pytest.mark.parametrize("contrasted", [1, 2, 3])
def test_without_noise_the_mean_leaves_out_layer_0_and_the_asked_layer_comes_along(contrasted):
    passed = powers(TINY, *tables(TINY), 3)
    mean, layer = noisy(double_graph(TINY), *tables(TINY), contrasted=contrasted)
    close(mean, passed[1:].mean(dim=0))
    close(layer, passed[contrasted])


def test_noise_moves_each_row_by_its_length_away_from_zero():
    train, length = toy_split().train, 0.2
    pair = tables(train)
    _, plain = noisy(Graph(train), *pair, layers=1)
    mean, moved = noisy(Graph(train), *pair, layers=1, noise=length)
    for before, after, same in zip(plain, moved, mean, strict=True):
        assert torch.equal(after, same)
        step = (after - before) * before.sign()
        assert (step >= 0).all()
        torch.testing.assert_close(step.norm(dim=1), torch.full((len(step),), length).double())


def test_noise_is_propagated_and_follows_the_generator_alone():
    pair = tables(TINY)
    (mean, first), (_, second) = (
        noisy(Graph(TINY), *pair, layers=2, contrasted=at, noise=0.2) for at in (1, 2)
    )
    close(mean, (torch.cat(first) + torch.cat(second)) / 2)
    propagated = dense(TINY) @ torch.cat(first)
    step = torch.cat(second) - propagated
    lengths = torch.where(propagated.any(dim=1), 0.2, 0.0).double()
    torch.testing.assert_close(step.norm(dim=1), lengths, rtol=1e-5, atol=1e-6)
    other, _ = noisy(Graph(TINY), *pair, layers=2, noise=0.2, seed=1)
    assert not torch.equal(mean[0], other[0])


def test_noise_is_a_constant_to_the_gradient():
    pair = tables(TINY)
    plain, moved = (
        torch.autograd.grad(sum(noisy(Graph(TINY), *pair, noise=noise), ()), pair, pair * 2)
        for noise in (0.0, 0.2)
    )
    assert all(torch.equal(*both) for both in zip(plain, moved, strict=True))


@njit(fastmath={"contract"})
def entry_by_entry(starts, columns, weights, dense, sums):
    """Add each row's entries to its sum, one after another."""
    for row in range(len(starts) - 1):
        for entry in range(starts[row], starts[row + 1]):
            for k in range(dense.shape[1]):
                sums[row, k] += weights[entry] * dense[columns[entry], k]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_adds_entries_in_their_order_however_many_at_a_time(dtype):
    half = Graph(toy_split().train).to_items
    dense = torch.randn(60, 13, dtype=dtype, generator=torch.Generator().manual_seed(0))
    base = torch.randn(40, 13, dtype=dtype, generator=torch.Generator().manual_seed(1))
    sums = base.clone()
    arrays = (half.starts, half.columns, half.weights, dense, sums)
    entry_by_entry(*(part.numpy() for part in arrays))
    assert torch.equal(half.compiled(dense, base, 1.0), sums)
    assert set((half.starts.diff() % 4).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("columns", [1, 4, 13])
def test_the_product_by_torch_does_not_depend_on_its_chunks(columns, monkeypatch):
    half = Graph(toy_split().train).to_items
    dense = torch.randn(60, 13, generator=torch.Generator().manual_seed(0))
    whole = half.by_torch(dense, None, 1.0)
    monkeypatch.setattr(_graph, "CHUNK_BYTES", columns * 4 * len(half.weights))
    assert torch.equal(half.by_torch(dense, None, 1.0), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_product_on_a_gpu_has_the_same_bits_every_time():
    """A small world does not show it: torch's sparse product repeated those of the toy split."""
    rng = rng_for(0)
    users, items = rng.integers(1000, size=80_000), (1500 * rng.random(80_000) ** 2).astype(int)
    keys = np.unique(users * 1500 + items)
    half = Graph(Interactions.of(keys // 1500, keys % 1500, 1000, 1500)).to_items
    dense = torch.randn(1000, 64, generator=torch.Generator().manual_seed(0))
    compiled, half = half(dense, None, 1.0), half.cuda()
    found = [half(dense.cuda(), None, 1.0).cpu() for _ in range(20)]
    torch.testing.assert_close(found[0], compiled, rtol=0, atol=1e-5)
    assert all(torch.equal(one, found[0]) for one in found)
