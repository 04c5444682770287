import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, Interactions
from robustbench_rec.testing import toy_split


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_embeddings_have_the_shape_and_follow_the_generator_alone(name):
    split = toy_split()
    dim = 1 if name == "popularity" else 5
    backbone = BACKBONES[name](dim=dim)
    one, two = (
        backbone.build(split.train, torch.Generator().manual_seed(3)).eval() for _ in range(2)
    )
    users, items = one()
    assert users.shape == (60, dim)
    assert items.shape == (40, dim)
    for first, second in zip(one(), two(), strict=True):
        assert torch.equal(first, second)
    other = backbone.build(split.train, torch.Generator().manual_seed(4)).eval()
    assert torch.equal(users, other()[0]) == (name == "popularity")


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_backbone_learns_if_and_only_if_it_has_parameters(name):
    module = BACKBONES[name]().build(toy_split().train, torch.Generator())
    assert bool(list(module.parameters())) == BACKBONES[name].learns


def test_popularity_ranks_by_training_counts():
    train = Interactions.of([0, 1, 1, 2], [2, 2, 0, 2], 3, 3)
    users, items = BACKBONES["popularity"]().build(train, torch.Generator())()
    assert (users @ items.T).tolist() == [[1.0, 0.0, 3.0]] * 3


def test_random_ranks_otherwise_for_every_user():
    users, items = BACKBONES["random"]().build(toy_split().train, torch.Generator())()
    best = (users @ items.T).argmax(dim=1)
    assert len(best.unique()) > 20


def contrast_by_hand(one, other, temperature):
    """InfoNCE with the positive in the denominator, row by row."""
    cosine = torch.nn.functional.cosine_similarity
    rows = []
    for i in range(len(one)):
        terms = torch.stack([(cosine(one[i], row, dim=0) / temperature).exp() for row in other])
        rows.append(-(terms[i] / terms.sum()).log())
    return torch.stack(rows).mean()


def test_xsimgcl_contrasts_the_mean_with_a_layer_over_what_the_batch_holds():
    backbone = BACKBONES["xsimgcl"](dim=5, noise=0.0, temperature=0.5, weight=0.3)
    module = backbone.build(toy_split().train, torch.Generator().manual_seed(0))
    means = module()
    layers = [module.tables()]
    for _ in range(3):
        layers.append(module.graph.product(layers[-1]))
    for mean, *parts in zip(means, *layers[1:], strict=True):
        assert torch.allclose(mean, sum(parts) / 3, atol=1e-6)
    users, items = torch.tensor([4, 9, 4, 7]), torch.tensor([1, 2, 3, 3])
    terms = [
        contrast_by_hand(mean[ids], layer[ids], 0.5)
        for mean, layer, ids in zip(
            means, layers[1], (torch.tensor([4, 7, 9]), torch.tensor([1, 2, 3])), strict=True
        )
    ]
    assert module.auxiliary(users, items).item() == pytest.approx(0.3 * sum(terms).item(), rel=1e-5)


def test_xsimgcl_is_noisy_in_training_alone():
    module = BACKBONES["xsimgcl"](dim=5).build(toy_split().train, torch.Generator().manual_seed(0))
    assert not torch.equal(module()[0], module()[0])
    module.eval()
    assert torch.equal(module()[0], module()[0])


def test_xsimgcl_cannot_contrast_a_layer_that_it_has_not():
    with pytest.raises(ValueError, match=r"contrasted is 4; it must be a layer, 1 to 3"):
        BACKBONES["xsimgcl"](contrasted=4)


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


def test_simplex_mixes_a_user_with_the_mean_of_its_history():
    train = Interactions.of([0, 0, 1], [0, 2, 2], 3, 3)
    module = BACKBONES["simplex"](dim=4, gate=0.3).build(train, torch.Generator().manual_seed(0))
    own, items = module.tables()
    with torch.no_grad():
        module.map.copy_(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))
    pooled = torch.stack([(items[0] + items[2]) / 2, items[2], torch.zeros(4)])
    users, _ = module()
    assert torch.allclose(users, 0.3 * own + 0.7 * pooled @ module.map.T, atol=1e-6)
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))
    parts = [own, items, module.map]
    expected = (weights * (0.3 * own + 0.7 * pooled @ module.map.T)).sum()
    for one, other in zip(
        torch.autograd.grad((weights * users).sum(), parts),
        torch.autograd.grad(expected, parts),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-6)
