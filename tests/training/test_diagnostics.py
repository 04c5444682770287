"""How a loss weighs its negatives: by hand, of any loss, and along a training."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, LOSSES, PERTURBATIONS, Interactions, Loss, Split
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.testing import batch_of, toy_split
from robustbench_rec.training.diagnostics import (
    DIAGNOSTICS,
    PROBE,
    Slopes,
    known_false_negatives,
    mechanism,
    probed_rows,
    slopes_of,
)
from robustbench_rec.training.fit import TrainConfig, Trainer, fit

pytestmark = pytest.mark.usefixtures("one_thread")
NONE = np.zeros((2, 4), dtype=bool)
MF = BACKBONES["mf"](dim=8)
QUICK = TrainConfig(epochs=5, batch_size=64, lr=1e-2, eval_every=2)


def diagnosed(weights, known, pull=0.0):
    """Return the diagnostics of such weights, where the first positive alone is pulled."""
    return mechanism(Slopes(weights, pull * np.eye(len(weights))[0]), known)


def test_even_weights_are_those_of_no_concentration():
    found = diagnosed(np.full((2, 4), 0.3), NONE)
    assert found == pytest.approx(
        {"active_rows": 1, "utilisation": 1, "effective_sample_size": 1, "kl": 0, "renyi_2": 0}
    )


def test_all_weight_on_one_negative_is_the_most_concentrated():
    found = diagnosed(np.eye(4)[:2] * 7, NONE)
    assert found == pytest.approx(
        {
            "active_rows": 1,
            "utilisation": 1 / 4,
            "effective_sample_size": 1 / 4,
            "kl": math.log(4),
            "renyi_2": math.log(4),
        }
    )


def test_weights_between_by_hand():
    # Shares (.6, .2, .2, 0), against an even one (2.4, .8, .8, 0). (5)^2 / (4 (9 + 1 + 1)) =
    # 25 / 44; KL .6 log 2.4 + .4 log .8 = .436024; log(4 (.36 + .04 + .04)) = log 1.76.
    found = diagnosed(np.array([[3.0, 1.0, 1.0, 0.0]]), NONE[:1])
    assert found == pytest.approx(
        {
            "active_rows": 1,
            "utilisation": 0.75,
            "effective_sample_size": 25 / 44,
            "kl": 0.436024,
            "renyi_2": math.log(1.76),
        },
        abs=1e-6,
    )


def test_a_weight_is_used_above_a_hundredth_of_an_even_one():
    # An even one is (98 + .0097 + .0099) / 100 = .980196.
    weights = np.concatenate([np.ones(98), [0.0097, 0.0099]])[None]
    assert diagnosed(weights, weights < 0)["utilisation"] == pytest.approx(0.99)


def test_the_scale_of_the_weights_says_nothing():
    weights = np.array([[3.0, 1.0, 1.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
    known = weights > 0.35
    assert diagnosed(1e-6 * weights, known) == pytest.approx(diagnosed(weights, known))


def test_the_share_on_false_negatives_is_of_all_weight_in_the_batch():
    # 2 of 8 slots; their weights 6 and 1 of 4 + 6 + 1 + 9.
    weights = np.array([[0.0, 4.0, 6.0, 0.0], [1.0, 9.0, 0.0, 0.0]])
    known = np.zeros((2, 4), dtype=bool)
    known[0, 2] = known[1, 0] = True
    found = diagnosed(weights, known, pull=5.0)
    assert found["false_negative_rate"] == 0.25
    assert found["false_negative_share"] == pytest.approx(7 / 20)
    assert found["push_on_false_negatives"] == pytest.approx(7 / 5)
    assert set(found) == set(DIAGNOSTICS)


def test_rows_without_weight_are_idle_and_count_as_unused():
    weights = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    found = diagnosed(weights, NONE)
    assert found == pytest.approx(
        {
            "active_rows": 0.5,
            "utilisation": 2 / 8,
            "effective_sample_size": 0.5,  # of the active row
            "kl": math.log(2),
            "renyi_2": math.log(2),
        }
    )


def test_without_any_weight_only_rates_are_known():
    assert diagnosed(np.zeros((2, 4)), NONE) == {"active_rows": 0.0}
    known = ~NONE
    assert diagnosed(np.zeros((2, 4)), known) == {"active_rows": 0.0, "false_negative_rate": 1.0}


def test_without_known_false_negatives_nothing_is_said_of_them():
    assert "false_negative_rate" not in diagnosed(np.ones((2, 4)), NONE)
    assert "false_negative_share" not in diagnosed(np.ones((2, 4)), NONE)


def test_tiny_single_precision_weights_do_not_vanish_in_their_squares():
    weights = np.full((1, 4), 1e-30, dtype=np.float32)
    assert diagnosed(weights, NONE[:1])["effective_sample_size"] == pytest.approx(1)


@dataclass(frozen=True, kw_only=True)
class Weighing(Loss):
    """A loss whose weights are known: 1, -2, 0, ... by the place of a negative."""

    def __call__(self, batch):
        places = torch.arange(batch.neg.shape[1], dtype=batch.neg.dtype)
        return (batch.neg * (1 - 3 * places).clamp(-2, 1) * (places < 2)).mean(dim=0).sum()


def test_slopes_of_a_loss_of_one_s_own_are_absolute_derivatives():
    pos, neg = torch.zeros(2, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    weights, pulls = slopes_of(Weighing(), batch_of(pos, neg))
    assert weights.tolist() == [[0.5, 1.0, 0.0], [0.5, 1.0, 0.0]]
    assert pulls.tolist() == [0.0, 0.0]  # it does not look at positives
    assert neg.grad is None


@dataclass(frozen=True, kw_only=True)
class Blind(Loss):
    """A loss that does not look at negatives but learns a part."""

    def __call__(self, batch):
        return (batch.pos * torch.ones((), requires_grad=True)).mean()


def test_a_loss_that_does_not_look_at_negatives_has_no_weights():
    scores = (torch.zeros(2, requires_grad=True), torch.zeros(2, 3, requires_grad=True))
    assert slopes_of(Blind(), batch_of(*scores)) is None
    assert slopes_of(LOSSES["directau"](), batch_of(*scores)) is None


PUSHED = {
    # Shares of a softmax: e^1.5 / (e^.5 + e^1.5) = .731059, e^0 / (e^0 + e^2) = .119203; their
    # mean, as each row is pulled by 1 / tau, and its negatives pushed by as much.
    "softmax": ({"tau": 0.2}, (0.731059 + 0.119203) / 2),
    # Slopes sigmoid(n - p): .5 and .549834, .450166 and .549834. Of .549834 + .450166 = 1 in all
    # known, over the sum of them, 2.049834: the second row's p is .1 too.
    "bpr": ({}, 1 / 2.049834),
    # Slopes w / N = 5 above the margin, .2: of .3 alone, and of .2 + .1 neither; pulls 1 and 1.
    "ccl": ({"margin": 0.2, "weight": 10.0}, 5 / 2),
}


@pytest.mark.parametrize("name", PUSHED)
def test_the_push_on_false_negatives_by_hand(name):
    settings, expected = PUSHED[name]
    pos = torch.tensor([0.1, 0.1], dtype=torch.float64, requires_grad=True)
    neg = torch.tensor([[0.1, 0.3], [-0.1, 0.3]], dtype=torch.float64, requires_grad=True)
    known = np.array([[False, True], [True, False]])
    slopes = slopes_of(LOSSES[name](**settings).bind(2, 9), batch_of(pos, neg))
    found = mechanism(slopes, known)
    assert found["push_on_false_negatives"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["softmax", "bpr", "psl"])
def test_a_loss_of_differences_pushes_by_the_share_on_false_negatives(name):
    rng = np.random.default_rng(0)
    pos, neg = (torch.tensor(rng.normal(size=size)) for size in ((6,), (6, 9)))
    batch = batch_of(pos.requires_grad_(), neg.requires_grad_())
    found = mechanism(slopes_of(LOSSES[name]().bind(6, 9), batch), rng.random((6, 9)) < 0.3)
    share = found["false_negative_share"]
    assert found["push_on_false_negatives"] == pytest.approx(share, rel=1e-9)


def test_no_push_is_told_where_no_positive_is_pulled_or_no_false_negative_is_known():
    weights = np.ones((2, 4))
    assert "push_on_false_negatives" not in diagnosed(weights, ~NONE, pull=0.0)
    assert "push_on_false_negatives" not in diagnosed(weights, NONE, pull=1.0)
    # Positives at their target, and negatives above the margin.
    pos, neg = torch.ones(2, requires_grad=True), torch.ones(2, 4, requires_grad=True)
    found = mechanism(slopes_of(LOSSES["ccl"](), batch_of(pos, neg)), ~NONE)
    assert found["false_negative_share"] == 1.0
    assert "push_on_false_negatives" not in found
    # No negative above the margin: positives are pulled, and nothing pushes.
    assert diagnosed(0 * weights, ~NONE, pull=1.0)["push_on_false_negatives"] == 0.0


def test_known_false_negatives_are_the_clean_training_pairs_hidden_ones_and_validation():
    pairs = {"train": [(0, 0), (1, 1)], "valid": [(0, 1)], "test": [(0, 2)], "hidden": [(1, 3)]}
    made = {part: Interactions.of(*zip(*ids, strict=True), 2, 5) for part, ids in pairs.items()}
    split = Split.of(made["train"], made["valid"], made["test"], false_negatives=made["hidden"])
    users = torch.tensor([0, 1, 0])
    negatives = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4], [3, 3, 1, 1]], dtype=torch.int32)
    assert known_false_negatives(split, split, users, negatives).tolist() == [
        [True, False, False, False],  # the test's 2 is not looked at
        [True, False, True, False],  # a training pair is known too, as a pool may draw it
        [False, False, True, True],
    ]


def test_every_evaluation_measures_the_mechanism():
    model = fit(toy_split(), MF, LOSSES["softmax"](n_negatives=8), QUICK, seed=0)
    assert [epoch for epoch, _ in model.mechanism] == [2, 4, 5]
    assert [epoch for epoch, _ in model.mechanism] == [epoch for epoch, _ in model.history]
    for _, found in model.mechanism:
        assert set(found) == set(DIAGNOSTICS)
        assert 1 / PROBE[1] <= found["effective_sample_size"] <= 1
        assert 0 <= found["kl"] <= found["renyi_2"] <= math.log(PROBE[1])
    assert model.mechanism[0] != model.mechanism[1]


def test_a_loss_without_negatives_has_an_empty_mechanism():
    model = fit(toy_split(), MF, LOSSES["directau"](), QUICK, seed=0)
    assert model.mechanism == ((2, {}), (4, {}), (5, {}))


@pytest.mark.parametrize("loss", ["bpr", "drrl", "advinfonce", "llpauc", "sl_at_k"])
def test_measuring_changes_no_bit_of_the_training(loss, monkeypatch):
    settings = {"k": 3} if loss == "sl_at_k" else {}
    arguments = (toy_split(), MF, LOSSES[loss](n_negatives=8, **settings), QUICK, 0)
    measured = fit(*arguments)
    monkeypatch.setattr(Trainer, "mechanism", lambda trainer, model: {})
    blind = fit(*arguments)
    assert blind.mechanism != measured.mechanism
    assert blind.history == measured.history
    assert torch.equal(blind.users, measured.users)
    assert torch.equal(blind.items, measured.items)


def trainer_of(loss, split=None, clean=None):
    split = split or toy_split()
    module = MF.build(split.train, torch.Generator().manual_seed(0))
    return Trainer(module, split, loss, QUICK, seed=0, clean=clean)


def test_the_probe_is_the_same_for_every_loss_and_at_every_epoch(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "robustbench_rec.training.fit.slopes_of", lambda objective, batch: seen.append(batch)
    )
    few, many = (trainer_of(LOSSES["softmax"](n_negatives=n)) for n in (1, 9))
    for trainer in (few, few, many):
        trainer.mechanism(trainer.snapshot(1))
        trainer.run_epoch(1)
    for other in seen[1:]:
        assert torch.equal(seen[0].users, other.users)
        assert torch.equal(seen[0].items, other.items)
        assert torch.equal(seen[0].negatives, other.negatives)
    assert seen[0].neg.shape == (
        480,
        PROBE[1],
    )  # all training pairs, of which there are fewer than PROBE[0]


def test_the_probe_scores_by_the_model_as_it_is():
    trainer = trainer_of(LOSSES["softmax"](n_negatives=4, tau=0.3))
    model = trainer.snapshot(1)
    batch = trainer.batch(0, trainer.probed, (model.users, model.items), PROBE[1], False)
    cosines = torch.einsum("bd,bnd->bn", model.users[batch.users], model.items[batch.negatives])
    shares = (cosines / 0.3).softmax(dim=1)
    sizes = 1 / (PROBE[1] * (shares**2).sum(dim=1))
    found = trainer.mechanism(model)
    assert found["effective_sample_size"] == pytest.approx(sizes.mean().item(), rel=1e-4)
    assert found["utilisation"] == pytest.approx((PROBE[1] * shares > 0.01).float().mean().item())


def test_contaminated_negatives_raise_the_rate_of_known_false_negatives():
    clean = trainer_of(LOSSES["softmax"]())
    rated = trainer_of(LOSSES["softmax"](), replace(toy_split(), contamination=0.5))
    low, high = (one.mechanism(one.snapshot(1))["false_negative_rate"] for one in (clean, rated))
    # Each user has 2 hidden and 2 validation positives among the 32 items without training pair.
    assert low == pytest.approx(4 / 32, rel=0.05)
    assert high == pytest.approx(0.5 + 0.5 * 4 / 32, rel=0.05)


def test_a_pool_of_own_positives_forgets_no_other_false_negative():
    """At a level next to 0 next to nothing is drawn from the pool: the rate is that of 0."""
    clean = toy_split()
    slight = PERTURBATIONS["negative_contamination"](level=1e-9, pool="own")
    perturbed = perturb(slight, clean, np.random.default_rng(0))
    control = trainer_of(LOSSES["softmax"](), clean)
    trainer = trainer_of(LOSSES["softmax"](), perturbed, clean)
    rates = [one.mechanism(one.snapshot(1))["false_negative_rate"] for one in (control, trainer)]
    assert rates[0] > 0
    assert rates[1] == rates[0]


@pytest.mark.parametrize("name", ["hidden_positives", "false_positives"])
def test_the_same_pairs_are_probed_at_every_level(name, monkeypatch):
    monkeypatch.setattr("robustbench_rec.training.diagnostics.PROBE", (200, 4))
    clean = toy_split()
    rows = {}
    for level in (0.0, 0.1, 0.3):
        split = perturb(PERTURBATIONS[name](level=level), clean, np.random.default_rng(0))
        probed = probed_rows(clean, split, np.random.default_rng(1))
        assert len(set(probed)) == 200
        rows[level] = split.train.keys[probed]
        assert np.isin(rows[level], clean.train.keys).all()
    for level in (0.1, 0.3):
        # What is left of the control's stands first, in its order; others fill what was hidden.
        left = rows[0.0][np.isin(rows[0.0], rows[level])]
        assert np.array_equal(rows[level][: left.size], left)
        assert left.size >= 200 * (0.6 if name == "hidden_positives" else 1)


def test_where_nothing_clean_is_left_what_there_is_is_probed():
    clean = toy_split()
    others = replace(clean, train=clean.false_negatives)
    probed = probed_rows(clean, others, np.random.default_rng(0))
    assert np.array_equal(np.sort(probed), np.arange(len(others.train)))
