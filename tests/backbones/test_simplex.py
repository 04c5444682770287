"""SimpleX: equal to its definition by dense matrices, forward and backward, on every path."""

import pytest
import threads
import torch

from robustbench_rec import BACKBONES, InputError, Interactions
from robustbench_rec.backbones._graph import Half
from robustbench_rec.backbones._history import HistoryMean
from robustbench_rec.testing import toy_split

# User 2 has no training pair, nor has item 3.
TINY = Interactions.of([0, 1, 1, 3, 3, 3], [0, 0, 1, 2, 1, 0], 4, 4)
SHARES = torch.tensor(
    [[1, 0, 0, 0], [1 / 2, 1 / 2, 0, 0], [0, 0, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0]],
    dtype=torch.float64,
)


@pytest.fixture(params=["compiled", "by_torch"])
def _path(request, monkeypatch):
    """Hold on either path; torch's is the one of other devices and runs on a CPU too."""
    monkeypatch.setattr(Half, "forward", getattr(Half, request.param))


def double_history():
    """Return the history's mean with weights that are not rounded to single precision."""
    history = HistoryMean(TINY).double()
    history.to_users.weights = SHARES[SHARES > 0]
    history.to_items.weights = SHARES.T[SHARES.T > 0]
    return history


def build(train=TINY, seed=0, **settings):
    return BACKBONES["simplex"](dim=3, **settings).build(train, torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("_path")
def test_the_mean_is_over_the_training_items_of_each_user():
    items = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0], [9.0, 90.0]])
    # User 3 has items 2, 1 and 0: (6 + 2 + 1) / 3.
    expected = torch.tensor([[1.0, 10.0], [1.5, 15.0], [0.0, 0.0], [3.0, 30.0]])
    torch.testing.assert_close(HistoryMean(TINY)(items), expected)


@pytest.mark.usefixtures("_path")
def test_the_gradient_of_the_mean_is_its_derivative():
    items = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(double_history(), items.requires_grad_())


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("map_init", ["identity", "xavier"])
@pytest.mark.parametrize("gate", [0.0, 0.3, 1.0])
def test_users_and_gradients_are_those_of_the_dense_definition(gate, map_init):
    module = build(gate=gate, map_init=map_init)
    parameters = (module.tables.users, module.tables.items, module.map)
    users, items, linear = (parameter.detach().double() for parameter in parameters)
    for table in (users, items, linear):
        table.requires_grad_()
    expected = gate * users + (1 - gate) * torch.stack(
        [linear @ (row @ items) for row in SHARES]  # V times a column, user by user
    )
    got_users, got_items = module()
    torch.testing.assert_close(got_users.double(), expected, rtol=0, atol=1e-6)
    assert torch.equal(got_items, module.tables.items)
    weights = torch.arange(12.0).view(4, 3)  # unequal gradients, (n_users, dim)
    by_ours = torch.autograd.grad((got_users * weights).sum(), parameters, materialize_grads=True)
    by_dense = torch.autograd.grad((expected * weights).sum(), (users, items, linear))
    for ours, dense in zip(by_ours, by_dense, strict=True):
        torch.testing.assert_close(ours.double(), dense, rtol=1e-5, atol=1e-6)


def test_who_has_no_training_pair_keeps_a_share_of_the_own_embedding():
    module = build(gate=0.3)
    torch.testing.assert_close(module()[0][2], 0.3 * module.tables.users[2])


def test_the_map_starts_as_the_identity_or_as_xaviers_normal():
    assert torch.equal(build().map, torch.eye(3))
    drawn = BACKBONES["simplex"](dim=64, map_init="xavier")
    start = drawn.build(TINY, torch.Generator().manual_seed(0)).map
    assert start.std().item() == pytest.approx(1 / 8, rel=0.05)
    again = drawn.build(TINY, torch.Generator().manual_seed(0)).map
    assert torch.equal(start, again)


def test_the_tables_start_as_those_of_mf():
    mf = BACKBONES["mf"](dim=3).build(TINY, torch.Generator().manual_seed(0))
    for map_init in ("identity", "xavier"):
        for one, other in zip(build(map_init=map_init).tables(), mf(), strict=True):
            assert torch.equal(one, other)


def test_bits_of_the_mean_depend_on_no_number_of_threads():
    train = toy_split(300, 200).train
    items = torch.randn(200, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    results = []
    for count in (1, threads.MOST):
        with threads.using(count):
            mean = HistoryMean(train)(items)
            results.append([mean, *torch.autograd.grad(mean, items, mean)])
    assert all(torch.equal(*both) for both in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"gate": 1.5}, r"^SimpleX.gate is 1.5; it must be in \[0, 1\]$"),
        ({"init_std": 0.0}, r"^SimpleX.init_std is 0.0; it must be > 0$"),
        ({"map_init": "zeros"}, r"^simplex.map_init is 'zeros'; it should be 'identity' or"),
    ],
)
def test_a_bad_setting_is_refused_by_one_line(table, message):
    with pytest.raises(InputError, match=message):
        BACKBONES.build({"name": "simplex", **table})


def test_the_initial_values_print():
    assert str(BACKBONES["simplex"]()) == (
        "simplex(gate=0.5, init_std=0.1, map_init=identity, dim=64)"
    )
