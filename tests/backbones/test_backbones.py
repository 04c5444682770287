"""What every backbone holds, and what mf and lightgcn compute."""

import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, Interactions
from robustbench_rec.kit.checking import check
from robustbench_rec.testing import toy_split

NAMES = sorted(BACKBONES)


def test_ours_are_known():
    assert {"mf", "lightgcn", "xsimgcl", "simplex", "popularity", "random"} <= set(NAMES)
    assert not BACKBONES.broken


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_meets_the_contract(name):
    width = {} if name == "popularity" else {"dim": 5}  # popularity has but one
    assert not [one for one in check("backbone", BACKBONES[name], width) if one.holds is False]


def test_seeds_give_other_embeddings_but_for_popularity():
    train = toy_split().train
    for name in NAMES:
        one, other = (
            BACKBONES[name](dim=1).build(train, torch.Generator().manual_seed(seed))()[0]
            for seed in (3, 4)
        )
        assert torch.equal(one, other) == (name == "popularity")


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
