"""XSimGCL: its noise, and its contrastive term against the formula written out."""

import math

import pytest
import torch

from robustbench_rec import BACKBONES, InputError, Interactions
from robustbench_rec.backbones._contrast import info_nce
from robustbench_rec.testing import toy_split

TINY = Interactions.of([0, 1, 1, 2, 3, 3], [0, 0, 1, 3, 2, 1], 4, 4)


def build(train=TINY, seed=0, **settings):
    backbone = BACKBONES["xsimgcl"](**{"dim": 5, **settings})
    return backbone.build(train, torch.Generator().manual_seed(seed))


def cosine(one, other):
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.hypot(*one) / math.hypot(*other)


def by_hand(one, other, temperature):
    """Return InfoNCE of two lists of rows, term by term."""
    terms = []
    for row in range(len(one)):
        parts = [math.exp(cosine(one[row], match) / temperature) for match in other]
        terms.append(-math.log(parts[row] / sum(parts)))
    return sum(terms) / len(terms)


def propagated(train, users, items, layers):
    """Return the noiseless layers 1 to `layers` by the dense matrix, users before items."""
    graph = torch.zeros(train.n_users, train.n_items, dtype=torch.float64)
    for user, item in zip(train.users, train.items, strict=True):
        graph[user, item] = (train.user_counts[user] * train.item_counts[item]) ** -0.5
    passed = []
    for _ in range(layers):
        users, items = graph @ items, graph.T @ users
        passed.append((users, items))
    return passed


def test_info_nce_of_a_worked_example():
    one = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    other = torch.tensor([[2.0, 0.0], [7.0, 7.0]])
    # Cosines, by rows: 1 and 1 / sqrt(2); 0 and 1 / sqrt(2). Over a temperature of 1/2:
    # row 0: -log(e^2 / (e^2 + e^1.41421)) = log(1 + e^-0.58579) = 0.442543
    # row 1: -log(e^1.41421 / (1 + e^1.41421)) = log(1 + e^-1.41421) = 0.217628
    # The mean is 0.330085.
    assert info_nce(one, other, 0.5).item() == pytest.approx(0.330085, abs=1e-6)


def test_info_nce_of_one_row_has_nothing_to_tell_apart():
    assert info_nce(torch.tensor([[1.0, 2.0]]), torch.tensor([[-3.0, 1.0]]), 0.1).item() == 0


def test_info_nce_is_finite_at_a_low_temperature_and_for_rows_of_zeros():
    one = torch.eye(3).requires_grad_()
    value = info_nce(one, torch.zeros(3, 3), 1e-3)
    assert value.item() == pytest.approx(math.log(3))
    assert torch.autograd.grad(value, one)[0].isfinite().all()
    assert info_nce(one, -one, 1e-3).item() == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize(("layers", "contrasted"), [(3, 1), (3, 2), (2, 2)])
def test_auxiliary_is_the_weighted_sum_over_distinct_users_and_items(layers, contrasted, noise):
    module = build(
        layers=layers, contrast_layer=contrasted, noise=noise, temperature=0.4, weight=0.7
    )
    mean = module()
    layer = module.last[1]
    # A batch of 5 rows: users 3, 0, 3, 1, 0 and items 2, 0, 1, 1, 0.
    value = module.auxiliary(torch.tensor([3, 0, 3, 1, 0]), torch.tensor([2, 0, 1, 1, 0]))
    expected = 0.7 * (
        by_hand(
            [mean[0][i].tolist() for i in (0, 1, 3)], [layer[0][i].tolist() for i in (0, 1, 3)], 0.4
        )
        + by_hand(
            [mean[1][i].tolist() for i in (0, 1, 2)], [layer[1][i].tolist() for i in (0, 1, 2)], 0.4
        )
    )
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_without_noise_mean_and_contrasted_layer_are_propagations():
    module = build(layers=3, contrast_layer=2).eval()
    mean = module()
    passed = propagated(TINY, *(table.detach().double() for table in module.tables()), 3)
    for side in (0, 1):
        expected = sum(layer[side] for layer in passed) / 3
        torch.testing.assert_close(mean[side].double(), expected, rtol=0, atol=1e-7)
        contrasted = module.last[1][side].double()
        torch.testing.assert_close(contrasted, passed[1][side], rtol=0, atol=1e-7)


def test_the_gradient_of_auxiliary_is_its_derivative():
    module = build(dim=2, contrast_layer=2, temperature=0.5, weight=0.7).double()
    users, items = torch.tensor([0, 1, 3, 1]), torch.tensor([0, 1, 2, 3])
    module.eval()
    tables = tuple(table.detach().clone().requires_grad_() for table in module.tables())
    names = [name for name, _ in module.named_parameters()]

    def term(*values):
        parameters = dict(zip(names, values, strict=True))
        torch.func.functional_call(module, parameters, ())
        return module.auxiliary(users, items)

    # The weights of the graph are single precision, in the forward as in the backward.
    assert torch.autograd.gradcheck(term, tables)


def test_the_gradient_reaches_who_is_not_in_the_batch():
    module = build(toy_split().train)
    module()
    module.auxiliary(torch.tensor([0, 1]), torch.tensor([0, 1])).backward()
    assert (module.tables.users.grad.abs().sum(dim=1) > 0).sum() > 2
    assert (module.tables.items.grad.abs().sum(dim=1) > 0).sum() > 2


def test_a_step_down_lowers_the_term():
    module = build(toy_split().train).eval()
    users, items = torch.arange(60), torch.arange(40)

    def term():
        module()
        return module.auxiliary(users, items)

    before = term()
    gradients = torch.autograd.grad(before, list(module.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter -= 1e-3 * gradient
        assert term() < before


def test_auxiliary_is_of_the_last_call():
    users, items = torch.arange(4), torch.arange(4)
    module = build(noise=0.3)
    module()
    first, again = module.auxiliary(users, items), module.auxiliary(users, items)
    module()
    assert torch.equal(first, again)
    assert not torch.equal(first, module.auxiliary(users, items))


def test_auxiliary_before_any_call_is_refused():
    with pytest.raises(RuntimeError, match="call the module first"):
        build().auxiliary(torch.arange(2), torch.arange(2))


def test_weight_scales_the_term_and_no_weight_takes_it_away():
    terms = []
    for weight in (0.0, 0.05, 0.2):
        module = build(weight=weight)
        module()
        terms.append(module.auxiliary(torch.arange(4), torch.arange(4)).item())
    assert terms[0] == 0
    assert terms[2] == pytest.approx(4 * terms[1], rel=1e-5)


def test_noise_is_drawn_in_training_alone():
    module = build(noise=0.3)
    one, other = module.eval()(), module()
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    # Evaluation drew nothing: the first training call is that of a module never evaluated.
    assert torch.equal(module.train()()[0], build(noise=0.3)()[0])


def test_noise_changes_from_call_to_call_and_follows_the_generator_given():
    one, same, other = build(), build(), build(seed=1)
    with torch.no_grad():
        other.tables.users.copy_(one.tables.users)
        other.tables.items.copy_(one.tables.items)
    first = one()[0]
    assert torch.equal(first, same()[0])
    second = one()[0]
    assert not torch.equal(first, second)
    assert torch.equal(second, same()[0])
    assert not torch.equal(first, other()[0])


def test_no_noise_is_evaluation():
    module = build(noise=0.0)
    assert torch.equal(module.train()()[0], module.eval()()[0])


def test_the_tables_start_as_those_of_lightgcn():
    lightgcn = BACKBONES["lightgcn"](dim=5).build(TINY, torch.Generator().manual_seed(0))
    for one, other in zip(build().tables(), lightgcn.tables(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"layers": 2, "contrast_layer": 3},
            r"^XSimGCL.contrast_layer is 3; it must lie in \[1, 2\], the layers$",
        ),
        ({"contrast_layer": 0}, r"^XSimGCL.contrast_layer is 0; it must be >= 1$"),
        ({"temperature": 0.0}, r"^XSimGCL.temperature is 0.0; it must be > 0$"),
        ({"noise": -0.1}, r"^XSimGCL.noise is -0.1; it must be >= 0$"),
        ({"weight": -1.0}, r"^XSimGCL.weight is -1.0; it must be >= 0$"),
    ],
)
def test_a_bad_setting_is_refused_by_one_line(table, message):
    with pytest.raises(InputError, match=message):
        BACKBONES.build({"name": "xsimgcl", **table})


def test_every_setting_prints():
    assert str(BACKBONES["xsimgcl"]()) == (
        "xsimgcl(layers=3, contrast_layer=1, noise=0.1, temperature=0.1, weight=0.2, "
        "init_std=0.1, dim=64)"
    )
