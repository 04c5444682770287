"""How a loss weighs its negatives: by hand, of any loss, and along a training."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from robustbench_rec import (
    BACKBONES,
    LOSSES,
    PERTURBATIONS,
    Interactions,
    Loss,
    Split,
    evaluate,
    load_dataset,
)
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.testing import batch_of, toy_split
from robustbench_rec.training.diagnostics import (
    DIAGNOSTICS,
    PROBE,
    Slopes,
    cut,
    known_false_negatives,
    probed_rows,
    push,
    slopes_of,
    weight_diagnostics,
)
from robustbench_rec.training.fit import TrainConfig, Trainer, fit

NONE = np.zeros((2, 4), dtype=bool)
PUSH = "push_on_false_negatives"
BOTH = (PUSH, "push_over_pull")
MF = BACKBONES["mf"](dim=8)
QUICK = TrainConfig(epochs=5, batch_size=64, lr=1e-2, eval_every=2)


def test_even_weights_are_those_of_no_concentration():
    found = weight_diagnostics(np.full((2, 4), 0.3), NONE)
    assert found == pytest.approx(
        {"active_rows": 1, "utilisation": 1, "effective_sample_size": 1, "kl": 0, "renyi_2": 0}
    )


def test_all_weight_on_one_negative_is_the_most_concentrated():
    found = weight_diagnostics(np.eye(4)[:2] * 7, NONE)
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
    found = weight_diagnostics(np.array([[3.0, 1.0, 1.0, 0.0]]), NONE[:1])
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
    assert weight_diagnostics(weights, weights < 0)["utilisation"] == pytest.approx(0.99)


def test_the_scale_of_the_weights_says_nothing():
    weights = np.array([[3.0, 1.0, 1.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
    known = weights > 0.35
    assert weight_diagnostics(1e-6 * weights, known) == pytest.approx(
        weight_diagnostics(weights, known)
    )


def test_the_share_on_false_negatives_is_of_all_weight_in_the_batch():
    # 2 of 8 slots; their weights 6 and 1 of 4 + 6 + 1 + 9.
    weights = np.array([[0.0, 4.0, 6.0, 0.0], [1.0, 9.0, 0.0, 0.0]])
    known = np.zeros((2, 4), dtype=bool)
    known[0, 2] = known[1, 0] = True
    found = weight_diagnostics(weights, known)
    assert found["false_negative_rate"] == 0.25
    assert found["false_negative_share"] == pytest.approx(7 / 20)
    pushed = push(Slopes(weights, np.array([5.0, 0.0])), known)
    assert pushed[PUSH] == pytest.approx(3.5 / 5)  # 1 in a row; their mean over the only pull
    assert pushed["push_over_pull"] == pytest.approx(7 / 5)
    assert set(found | pushed) == set(DIAGNOSTICS)


def test_rows_without_weight_are_idle_and_count_as_unused():
    weights = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    found = weight_diagnostics(weights, NONE)
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
    assert weight_diagnostics(np.zeros((2, 4)), NONE) == {"active_rows": 0.0}
    known = ~NONE
    assert weight_diagnostics(np.zeros((2, 4)), known) == {
        "active_rows": 0.0,
        "false_negative_rate": 1.0,
    }


def test_without_known_false_negatives_nothing_is_said_of_them():
    assert "false_negative_rate" not in weight_diagnostics(np.ones((2, 4)), NONE)
    assert "false_negative_share" not in weight_diagnostics(np.ones((2, 4)), NONE)


def test_tiny_single_precision_weights_do_not_vanish_in_their_squares():
    weights = np.full((1, 4), 1e-30, dtype=np.float32)
    assert weight_diagnostics(weights, NONE[:1])["effective_sample_size"] == pytest.approx(1)


@dataclass(frozen=True, kw_only=True)
class Weighing(Loss):
    """A loss whose weights are known: 1, -2, 0, ... by the place of a negative."""

    def __call__(self, batch):
        places = torch.arange(batch.neg.shape[1], dtype=batch.neg.dtype)
        return (batch.neg * (1 - 3 * places).clamp(-2, 1) * (places < 2)).mean(dim=0).sum()


def test_slopes_of_a_loss_of_one_s_own_are_absolute_derivatives():
    neg = torch.zeros(2, 3)
    weights, pulls = slopes_of(Weighing(), batch_of(torch.zeros(2), neg))
    assert weights.tolist() == [[0.5, 1.0, 0.0], [0.5, 1.0, 0.0]]
    assert pulls.tolist() == [0.0, 0.0]  # it does not look at positives
    assert not neg.requires_grad


@dataclass(frozen=True, kw_only=True)
class Blind(Loss):
    """A loss that does not look at negatives but learns a part."""

    def __call__(self, batch):
        return (batch.pos * torch.ones((), requires_grad=True)).mean()


def test_a_loss_that_does_not_look_at_negatives_has_no_weights():
    batch = batch_of(torch.zeros(2), torch.zeros(2, 3))
    assert slopes_of(Blind(), batch) is None
    assert slopes_of(LOSSES["directau"](), batch) is None


PUSHED = {
    # Shares of a softmax: e^1.5 / (e^.5 + e^1.5) = .731059, e^0 / (e^0 + e^2) = .119203; their
    # mean, as each row is pulled by 1 / tau, and its negatives pushed by as much.
    "softmax": ({"tau": 0.2}, (0.731059 + 0.119203) / 2),
    # Slopes sigmoid(n - p): .5 and .549834, .450166 and .549834. Of .549834 + .450166 = 1 in all
    # known, over the sum of them, 2.049834: the second row's p is .1 too.
    "bpr": ({}, 1 / 2.049834),
    # One known a row. Slopes w / N = 5 above the margin, .2: of .3, but not of -.1; pulls of 1.
    "ccl": ({"margin": 0.2, "weight": 10.0}, 5.0),
}


@pytest.mark.parametrize("name", PUSHED)
def test_the_push_on_false_negatives_by_hand(name):
    settings, expected = PUSHED[name]
    pos = torch.tensor([0.1, 0.1], dtype=torch.float64)
    neg = torch.tensor([[0.1, 0.3], [-0.1, 0.3]], dtype=torch.float64)
    known = np.array([[False, True], [True, False]])
    slopes = slopes_of(LOSSES[name](**settings).bind(2, 9), batch_of(pos, neg))
    assert push(slopes, known)[PUSH] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["softmax", "bpr"])
def test_a_loss_of_differences_pushes_by_the_share_on_false_negatives(name):
    rng = np.random.default_rng(0)
    pos, neg = (torch.tensor(rng.normal(size=size)) for size in ((6,), (6, 9)))
    slopes = slopes_of(LOSSES[name]().bind(6, 9), batch_of(pos, neg))
    known = rng.random((6, 9)) < 0.3
    share = weight_diagnostics(slopes.weights, known)["false_negative_share"]
    assert push(slopes, known) == dict.fromkeys(BOTH, pytest.approx(share, rel=1e-6))


def test_no_push_is_told_where_no_positive_is_pulled_or_no_false_negative_is_known():
    weights, pulled = np.ones((2, 4)), np.array([0.0, 1.0])
    assert push(Slopes(weights, 0 * pulled), ~NONE) == {}
    assert push(Slopes(weights, pulled), NONE) == {}
    assert push(None, ~NONE) == {}
    # Positives at their target are not pulled, and negatives above the margin are pushed.
    at_target = slopes_of(LOSSES["ccl"](), batch_of(torch.ones(2), torch.ones(2, 4)))
    assert at_target.weights.all()
    assert push(at_target, ~NONE) == {}
    # No negative stands above the margin: positives are pulled, and nothing pushes.
    assert push(Slopes(0 * weights, pulled), ~NONE) == dict.fromkeys(BOTH, 0.0)


def test_a_batch_is_cut_into_rows_of_as_many_negatives_as_a_loss_trains_with():
    neg = torch.arange(10.0).reshape(2, 5)
    whole = batch_of(torch.tensor([0.1, 0.2]), neg)
    known = neg.numpy() % 3 == 0
    batch, cut_known = cut(whole, known, 2)
    assert batch.neg.tolist() == [[0, 1], [2, 3], [5, 6], [7, 8]]
    assert cut_known.tolist() == [[True, False], [False, True], [False, True], [False, False]]
    assert batch.users.tolist() == [0, 0, 1, 1]
    assert batch.pos.tolist() == whole.pos[[0, 0, 1, 1]].tolist()
    assert torch.equal(batch.item_vectors, whole.item_vectors[[0, 0, 1, 1]])
    assert torch.equal(batch.negatives[2:].flatten(), whole.negatives[1, :4])
    assert cut(whole, known, 5)[0] is cut(whole, known, 9)[0] is whole
    assert len(cut(batch_of(torch.zeros(2), torch.zeros(2, 500)), NONE[:, :1], 1)[0].pos) == 32


@pytest.mark.parametrize("name", ["bce", "mse"])
def test_the_push_of_a_loss_that_sums_is_that_of_its_own_number_of_negatives(name):
    """With equal scores it is the number of known false negatives in a row."""
    half = batch_of(torch.zeros(4), torch.zeros(4, 500))
    known = np.broadcast_to(np.arange(500) % 2 == 0, (4, 500))
    for n in (1, 2, 10):
        cut_batch, cut_known = cut(half, known, n)
        pushed = push(slopes_of(LOSSES[name](n_negatives=n), cut_batch), cut_known)
        assert pushed == dict.fromkeys(BOTH, pytest.approx(n / 2))


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


def test_every_evaluation_measures_the_diagnostics():
    model = fit(toy_split(), MF, LOSSES["softmax"](n_negatives=8), QUICK, seed=0)
    assert [epoch for epoch, _ in model.diagnostics] == [2, 4, 5]
    assert [epoch for epoch, _ in model.diagnostics] == [epoch for epoch, _ in model.history]
    for _, found in model.diagnostics:
        assert set(found) == set(DIAGNOSTICS)
        assert 1 / PROBE[1] <= found["effective_sample_size"] <= 1
        assert 0 <= found["kl"] <= found["renyi_2"] <= math.log(PROBE[1])
    assert model.diagnostics[0] != model.diagnostics[1]


def test_a_loss_without_negatives_has_no_diagnostics():
    model = fit(toy_split(), MF, LOSSES["directau"](), QUICK, seed=0)
    assert model.diagnostics == ((2, {}), (4, {}), (5, {}))


@pytest.mark.parametrize("loss", ["bpr", "drrl", "advinfonce", "llpauc", "sl_at_k"])
def test_measuring_changes_no_bit_of_the_training(loss, monkeypatch):
    settings = {"k": 3} if loss == "sl_at_k" else {}
    arguments = (toy_split(), MF, LOSSES[loss](n_negatives=8, **settings), QUICK, 0)
    measured = fit(*arguments)
    monkeypatch.setattr(Trainer, "diagnostics", lambda trainer, model: {})
    blind = fit(*arguments)
    assert blind.diagnostics != measured.diagnostics
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
        trainer.diagnostics(trainer.snapshot(1))
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
    found = trainer.diagnostics(model)
    assert found["effective_sample_size"] == pytest.approx(sizes.mean().item(), rel=1e-4)
    assert found["utilisation"] == pytest.approx((PROBE[1] * shares > 0.01).float().mean().item())


def test_contaminated_negatives_raise_the_rate_of_known_false_negatives():
    clean = trainer_of(LOSSES["softmax"]())
    rated = trainer_of(LOSSES["softmax"](), replace(toy_split(), contamination=0.5))
    low, high = (one.diagnostics(one.snapshot(1))["false_negative_rate"] for one in (clean, rated))
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
    rates = [one.diagnostics(one.snapshot(1))["false_negative_rate"] for one in (control, trainer)]
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


@pytest.mark.parametrize(("weight", "pinned"), [(2.0, False), (10.0, True)])
def test_a_loss_collapses_where_false_negatives_are_pushed_more_than_positives_are_pulled(
    weight, pinned
):
    """At rate r of one's own positives, CCL pushes each by w r in all, and pulls it by 1."""
    world = {"n_users": 150, "n_items": 200, "positives": 30.0, "observed": 0.8}
    clean = load_dataset("synthetic", **world)
    loss = LOSSES["ccl"](weight=weight, n_negatives=32)
    config = TrainConfig(epochs=15, batch_size=128, lr=1e-2, eval_every=5)
    ndcg, pushes = [], []
    for level in (0.0, 0.2):
        noise = PERTURBATIONS["negative_contamination"](level=level)
        split = perturb(noise, clean, np.random.default_rng(0))
        model = fit(split, MF, loss, config, seed=0, clean=clean)
        found = evaluate(model.users, model.items, split.test, split.seen, [20], ["ndcg"])
        ndcg.append(found.per_user["ndcg@20"].mean())
        pushes.append(dict(model.diagnostics)[model.best_epoch][PUSH])
    assert pushes[0] < 1  # of hidden positives alone
    assert pushes[1] == pytest.approx(0.2 * weight + 0.8 * pushes[0], rel=0.05)
    assert (pushes[1] > 1) == pinned
    retained = ndcg[1] / ndcg[0]  # .93 and .50; other worlds .82 and .65, 1.03 and .53
    assert retained < 0.65 if pinned else retained > 0.8
