"""What every backbone holds, and what mf and lightgcn compute."""

import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, Interactions
from robustbench_rec.testing import toy_split

NAMES = sorted(BACKBONES)
LEARNING = [name for name in NAMES if BACKBONES[name].learns]


def chosen(name):
    """Return a backbone with 5 numbers an embedding, or with the only width it has."""
    return BACKBONES[name](dim=1 if name == "popularity" else 5)


def built(name, seed=3, train=None):
    generator = torch.Generator().manual_seed(seed)
    return chosen(name).build(train or toy_split().train, generator)


def test_ours_are_known():
    assert {"mf", "lightgcn", "xsimgcl", "simplex", "popularity", "random"} <= set(NAMES)
    assert not BACKBONES.broken


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_says_what_it_is(name):
    assert BACKBONES[name].__doc__
    assert BACKBONES[name].source


@pytest.mark.parametrize("name", NAMES)
def test_embeddings_have_the_shape_and_follow_the_generator_alone(name):
    users, items = built(name)()
    assert users.shape == (60, chosen(name).dim)
    assert items.shape == (40, chosen(name).dim)
    for first, second in zip((users, items), built(name)(), strict=True):
        assert first.dtype == torch.float32
        assert first.isfinite().all()
        assert torch.equal(first, second)
    other = built(name, seed=4)()
    assert torch.equal(users, other[0]) == (name == "popularity")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_drawn_outside_the_generator(name):
    before = torch.get_rng_state()
    built(name)()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_repeats_itself_without_a_trace(name):
    module = built(name).eval()
    first = [table.clone() for table in module()]
    for one, other in zip(first, module(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_moves_with_the_module(name):
    for part in built(name).modules():
        assert not [value for value in vars(part).values() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("name", NAMES)
def test_only_what_learns_has_parameters(name):
    assert bool(list(built(name).parameters())) == BACKBONES[name].learns


@pytest.mark.parametrize("name", LEARNING)
def test_gradients_reach_every_parameter(name):
    module = built(name)
    users, items = module()
    (users.square().sum() + items.square().sum()).backward()
    for parameter in module.parameters():
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_who_has_no_training_pair_gets_finite_embeddings(name):
    users, items = built(name, train=Interactions.of([0, 0], [0, 2], 3, 4))()
    assert users.isfinite().all()
    assert items.isfinite().all()


def test_mf_starts_from_the_asked_deviation():
    module = BACKBONES["mf"](init_std=0.5).build(toy_split().train, torch.Generator())
    assert module()[0].std().item() == pytest.approx(0.5, rel=0.05)


def test_lightgcn_averages_normalised_propagations():
    # Users 0, 1; items 0, 1; pairs (0, 0), (1, 0), (1, 1): degrees 1, 2 and 2, 1.
    train = Interactions.of([0, 1, 1], [0, 0, 1], 2, 2)
    module = BACKBONES["lightgcn"](dim=3, layers=2).build(train, torch.Generator())
    users, items = (table.detach().numpy() for table in module.tables())
    graph = np.array([[1 / np.sqrt(2), 0], [1 / 2, 1 / np.sqrt(2)]])
    users_1, items_1 = graph @ items, graph.T @ users
    users_2, items_2 = graph @ items_1, graph.T @ users_1
    got_users, got_items = (table.detach().numpy() for table in module())
    np.testing.assert_allclose(got_users, (users + users_1 + users_2) / 3, rtol=1e-6)
    np.testing.assert_allclose(got_items, (items + items_1 + items_2) / 3, rtol=1e-6)
