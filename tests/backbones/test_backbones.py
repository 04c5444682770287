import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, Interactions
from robustbench_rec.testing import toy_split


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_embeddings_have_the_shape_and_follow_the_generator_alone(name):
    split = toy_split()
    backbone = BACKBONES[name](dim=5)
    one, two = (backbone.build(split.train, torch.Generator().manual_seed(3)) for _ in range(2))
    users, items = one()
    assert users.shape == (60, 5)
    assert items.shape == (40, 5)
    for first, second in zip(one(), two(), strict=True):
        assert torch.equal(first, second)
    other = backbone.build(split.train, torch.Generator().manual_seed(4))
    assert not torch.equal(users, other()[0])


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


def test_lightgcn_gradients_reach_both_tables():
    module = BACKBONES["lightgcn"](dim=3).build(toy_split().train, torch.Generator())
    users, items = module()
    (users.sum() + items.sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())
