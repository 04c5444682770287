"""Training: it learns, keeps the best epoch, repeats itself, and never looks at the test."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, DATASETS, LOSSES, Interactions, Loss
from robustbench_rec.backbones import _graph
from robustbench_rec.data.preparation import load
from robustbench_rec.evaluation.ranking import evaluate
from robustbench_rec.kernels import scores as scoring
from robustbench_rec.running.compute import Compute, restored_libraries
from robustbench_rec.testing import toy_split
from robustbench_rec.training import fit as training
from robustbench_rec.training.config import TrainConfig
from robustbench_rec.training.fit import fit

MF = BACKBONES["mf"](dim=8)
BPR = LOSSES["bpr"]()
TRAINED = sorted(name for name in BACKBONES if BACKBONES[name].learns)
QUICK = TrainConfig(epochs=2, batch_size=64, lr=1e-2, eval_every=1)
N_BATCHES = -(-480 // 64)
"""The toy split has 480 training pairs."""


def same_bits(one, two) -> bool:
    return torch.equal(one.users, two.users) and torch.equal(one.items, two.items)


def test_training_learns_more_than_popularity():
    world = DATASETS["synthetic"](n_users=150, n_items=100, positives=25.0)
    split = load(world, Path(), 0)
    config = TrainConfig(epochs=20, batch_size=512, lr=2e-2, eval_every=2)
    model = fit(split, BACKBONES["mf"](dim=16), LOSSES["ccl"](n_negatives=32), config, 0)
    popular = split.train.item_counts[:, None].astype(np.float64)
    by_popularity = evaluate(
        torch.ones(split.n_users, 1, dtype=torch.float64),
        torch.from_numpy(popular),
        split.valid,
        split.seen,
        [20],
    )
    reached = max(value for _, value in model.history)
    assert reached > 2 * model.history[0][1]
    assert reached > 1.1 * by_popularity.per_user["ndcg@20"].mean()


@pytest.mark.parametrize("loss", ["bpr", "sl_at_k", "directau"])
def test_a_user_who_has_met_every_item_is_not_trained_on(loss):
    split = toy_split()
    everything = Interactions.of(
        np.zeros(40, dtype=int), np.arange(40), split.n_users, split.n_items
    )
    others = split.train[split.train.users != 0]
    model, without = (
        fit(replace(split, train=train), MF, small(loss), QUICK, seed=0)
        for train in (others + everything, others)
    )
    assert same_bits(model, without)


OURS = [name for name in LOSSES if LOSSES[name].__module__.startswith("robustbench_rec.losses.")]
SMALL = {"directau": {"n_negatives": 0}, "sl_at_k": {"n_negatives": 8, "k": 3}}


def small(loss: str) -> Loss:
    """Return a loss with few negatives."""
    return LOSSES[loss](**SMALL.get(loss, {"n_negatives": 8}))


@cache
def start_of(backbone: str, score: str) -> training.Fit:
    """Return a backbone that has hardly moved, the same for all losses of a score."""
    loss = LOSSES["bpr"](score=score)
    return fit(toy_split(), BACKBONES[backbone](dim=8), loss, replace(QUICK, lr=1e-12), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [name for name in OURS if name != "untrained"])
@pytest.mark.parametrize("backbone", TRAINED)
def test_every_loss_moves_every_backbone_to_finite_embeddings(loss, backbone):
    split, chosen = toy_split(), small(loss)
    first = start_of(backbone, chosen.score)
    last = fit(split, BACKBONES[backbone](dim=8), chosen, replace(QUICK, lr=1e-2), seed=0)
    for before, after, n in (
        (first.users, last.users, split.n_users),
        (first.items, last.items, split.n_items),
    ):
        assert after.shape == (n, 8)
        assert after.dtype == torch.float32
        assert after.isfinite().all()
        assert not torch.allclose(before, after)
    assert all(0 <= value <= 1 for _, value in last.history)


@pytest.mark.parametrize(("loss", "unit"), [("ccl", True), ("bpr", False)])
def test_embeddings_are_of_unit_length_where_the_loss_scores_by_cosine(loss, unit):
    model = fit(toy_split(), MF, LOSSES[loss](n_negatives=4), QUICK, seed=0)
    lengths = torch.cat([model.users.norm(dim=1), model.items.norm(dim=1)])
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-6) == unit


@pytest.mark.parametrize("backbone", ["mf", "lightgcn"])
def test_under_cosine_scores_scale_is_that_of_rate_and_epsilon(backbone):
    """So that suites of papers may start at a tenth of N(0, 1), beside losses that know scale."""
    config = replace(QUICK, lr=0.5, eps=1e-3)  # an epsilon that tells
    small = replace(config, lr=0.05, eps=1e-2)
    loss = LOSSES["softmax"](n_negatives=8)

    def trained(std, config):
        return fit(toy_split(), BACKBONES[backbone](dim=8, init_std=std), loss, config, seed=0)

    published, ours, other = (
        trained(std, how)
        for std, how in ((1.0, config), (0.1, small), (0.1, replace(small, eps=1e-3)))
    )
    torch.testing.assert_close(published.users, ours.users, atol=1e-4, rtol=0)
    torch.testing.assert_close(published.items, ours.items, atol=1e-4, rtol=0)
    assert not torch.allclose(published.items, other.items, atol=1e-2)


def test_the_model_is_given_without_gradients():
    for backbone, loss in ((MF, BPR), (BACKBONES["lightgcn"](dim=8), small("ccl"))):
        model = fit(toy_split(), backbone, loss, QUICK, seed=0)
        assert not model.users.requires_grad
        assert not model.items.requires_grad


def test_evaluations_come_every_so_often_and_after_the_last_epoch():
    model = fit(toy_split(), MF, BPR, replace(QUICK, epochs=7, eval_every=3), seed=0)
    assert [epoch for epoch, _ in model.history] == [3, 6, 7]


def test_the_model_is_that_of_the_best_epoch():
    split = toy_split()
    config = replace(QUICK, epochs=12, lr=0.3)
    model = fit(split, MF, BPR, config, seed=0)
    values = dict(model.history)
    assert model.best_epoch == max(values, key=values.__getitem__)
    assert model.best_epoch < 12, "choose another seed: the last epoch proves nothing"
    ranking = evaluate(model.users, model.items, split.valid, split.seen, [20])
    assert ranking.per_user["ndcg@20"].mean() == values[model.best_epoch]
    until_then = fit(split, MF, BPR, replace(config, epochs=model.best_epoch), seed=0)
    assert same_bits(model, until_then)


def test_of_equal_epochs_the_first_is_kept_and_patience_counts_from_it():
    still = replace(QUICK, epochs=9, lr=1e-12)
    model = fit(toy_split(), MF, BPR, still, seed=0)
    assert len({value for _, value in model.history}) == 1
    assert model.best_epoch == 1
    impatient = fit(toy_split(), MF, BPR, replace(still, patience=3), seed=0)
    assert [epoch for epoch, _ in impatient.history] == [1, 2, 3, 4]


def test_patience_starts_anew_at_each_new_best():
    config = replace(QUICK, epochs=30, lr=0.1)
    patient = fit(toy_split(), MF, BPR, config, seed=0)
    model = fit(toy_split(), MF, BPR, replace(config, patience=4), seed=0)
    values = [value for _, value in model.history]
    since_best = [len(seen) - 1 - int(np.argmax(seen)) for seen in cut(values)]
    assert since_best[-1] == 4
    assert max(since_best[:-1]) < 4
    assert 5 < len(values) < 30
    assert list(patient.history[: len(values)]) == list(model.history)


def cut(values: list[float]) -> list[list[float]]:
    return [values[:end] for end in range(1, len(values) + 1)]


@pytest.mark.parametrize("loss", ["softmax", "drrl", "sl_at_k", "advinfonce", "llpauc", "directau"])
def test_a_seed_gives_the_same_bits_and_another_seed_others(loss):
    chosen = small(loss)
    one, two, other = (fit(toy_split(), MF, chosen, QUICK, seed) for seed in (5, 5, 6))
    assert same_bits(one, two)
    assert (one.history, one.diagnostics) == (two.history, two.diagnostics)
    assert not same_bits(one, other)


def test_another_seed_starts_from_other_embeddings():
    still = replace(QUICK, epochs=1, lr=1e-12)
    one, other = (fit(toy_split(), MF, BPR, still, seed) for seed in (5, 6))
    assert not torch.allclose(one.users, other.users, atol=1e-3)


def test_the_test_pairs_have_no_influence():
    split = toy_split()
    blind = replace(split, test=split.test.none())
    assert same_bits(*(fit(one, MF, BPR, QUICK, seed=0) for one in (split, blind)))


def test_the_validation_pairs_choose_the_epoch_and_nothing_else():
    split = toy_split()
    some = split.valid[np.arange(len(split.valid)) % 2 == 0]
    once = replace(QUICK, epochs=1)
    models = [fit(one, MF, BPR, once, 0) for one in (split, replace(split, valid=some))]
    assert same_bits(*models)
    assert models[0].history != models[1].history


def test_contamination_reaches_the_training():
    split = toy_split()
    rated = replace(split, contamination=0.5)
    assert not same_bits(*(fit(one, MF, BPR, QUICK, seed=0) for one in (split, rated)))


@dataclass(frozen=True, kw_only=True)
class Watched(Loss):
    """BPR that notes what it is shown."""

    shown: list = field(default_factory=list, compare=False)

    def __call__(self, batch):
        if batch.user_vectors.requires_grad:  # the probe of the diagnostics is not trained on
            self.shown.append((batch.users, batch.pos.detach().clone(), tuple(batch.neg.shape)))
        return BPR(batch)


def test_losses_meet_the_same_batches_from_the_same_start_whatever_they_sample():
    few, many = Watched(n_negatives=1), Watched(n_negatives=9)
    for loss in (few, many):
        fit(toy_split(), MF, loss, QUICK, seed=0)
    assert len(few.shown) == len(many.shown) == QUICK.epochs * N_BATCHES
    for (users, _, _), (others, _, _) in zip(few.shown, many.shown, strict=True):
        assert torch.equal(users, others)
    assert torch.equal(few.shown[0][1], many.shown[0][1])
    assert (few.shown[0][2], many.shown[0][2]) == ((64, 1), (64, 9))


def test_an_epoch_is_a_pass_over_every_training_pair_in_an_order_of_its_own():
    loss = Watched()
    fit(toy_split(), MF, loss, QUICK, seed=0)
    first, second = (
        torch.cat([users for users, _, _ in loss.shown[at * N_BATCHES :][:N_BATCHES]])
        for at in range(2)
    )
    assert torch.equal(torch.bincount(first), torch.full((60,), 8))
    assert torch.equal(torch.bincount(second), torch.full((60,), 8))
    assert not torch.equal(first, second)


@dataclass(frozen=True, kw_only=True)
class Exploding(Loss):
    """BPR that is not a number from a step on."""

    step: int = 1
    value: float = float("nan")
    steps: list = field(default_factory=list, compare=False, metadata={"identity": False})

    def __post_init__(self):
        pass  # a bound that is not finite is meant

    def __call__(self, batch):
        trained = batch.user_vectors.requires_grad  # the probe of the diagnostics is no step
        self.steps.extend([1] * trained)
        return BPR(batch) * (self.value if len(self.steps) >= self.step else 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(("step", "epoch"), [(1, 1), (N_BATCHES, 1), (N_BATCHES + 1, 2)])
def test_a_loss_that_is_not_finite_is_named_with_epoch_and_step(value, step, epoch):
    where = f"in epoch {epoch}, step {(step - 1) % N_BATCHES + 1};"
    with pytest.raises(FloatingPointError, match=rf"^the loss of Exploding\(.* became .* {where}"):
        fit(toy_split(), MF, Exploding(step=step, value=value), QUICK, seed=0)


@dataclass(frozen=True, kw_only=True)
class Constant(Loss):
    """Finite whatever the scores are."""

    def __call__(self, batch):
        return (0 * batch.pos.clamp(-1, 1)).nan_to_num().mean()


def test_scores_that_are_not_finite_are_named_even_where_the_loss_is_finite():
    wild = BACKBONES["mf"](dim=8, init_std=1e30)
    with pytest.raises(FloatingPointError, match=r"the scores of Constant.* in epoch 1, step 1;"):
        fit(toy_split(), wild, Constant(), QUICK, seed=0)


LEARNING = ["bpr", "softmax", "drrl", "advinfonce", "sl_at_k", "llpauc"]


@pytest.mark.slow
@pytest.mark.parametrize("loss", LEARNING)
@pytest.mark.parametrize("backbone", TRAINED)
def test_the_path_of_an_accelerator_trains_as_the_compiled_one(loss, backbone, monkeypatch):
    arguments = (toy_split(), BACKBONES[backbone](dim=8), small(loss), QUICK, 0)
    compiled = fit(*arguments)
    monkeypatch.setattr(scoring, "_Compiled", ByTorch)
    monkeypatch.setattr(training, "rows_of", lambda objective: None)
    monkeypatch.setattr(_graph.Half, "compiled", _graph.Half.by_torch)
    by_torch = fit(*arguments)
    torch.testing.assert_close(by_torch.users, compiled.users, rtol=0, atol=1e-5)
    torch.testing.assert_close(by_torch.items, compiled.items, rtol=0, atol=1e-5)
    assert ByTorch.calls


class ByTorch:
    """Takes the place of the compiled scores."""

    calls: ClassVar[list] = []

    @classmethod
    def apply(cls, users, items, index, cosine):
        cls.calls.append(1)
        if cosine:
            users, items = (torch.nn.functional.normalize(part, dim=1) for part in (users, items))
        return scoring._Chunked.apply(users, items, index)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("loss", LEARNING)
@pytest.mark.parametrize("backbone", TRAINED)
def test_a_gpu_trains_as_the_cpu_does(loss, backbone):
    arguments = (toy_split(), BACKBONES[backbone](dim=8), small(loss), QUICK, 0)
    with restored_libraries():
        Compute(device="cuda").configure_libraries()
        here, there, again = (fit(*arguments, device=name) for name in ("cpu", "cuda", "cuda"))
    torch.testing.assert_close(there.users.cpu(), here.users, rtol=0, atol=1e-4)
    assert dict(there.history) == pytest.approx(dict(here.history), rel=0.05)
    assert torch.equal(again.users, there.users)


@pytest.mark.parametrize("part", ["train", "valid"])
def test_without_training_or_validation_pairs_there_is_no_training(part):
    split = replace(toy_split(), **{part: toy_split().train.none()})
    with pytest.raises(ValueError, match="at least one training and one validation pair"):
        fit(split, MF, BPR, QUICK, seed=0)


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("epochs", 0, ">= 1"),
        ("batch_size", 0, ">= 1"),
        ("lr", 0.0, "> 0"),
        ("lr", float("inf"), "finite and > 0"),
        ("weight_decay", -0.1, ">= 0"),
        ("eps", 0.0, "> 0"),
        ("eval_every", 0, ">= 1"),
        ("patience", -1, ">= 0"),
    ],
)
def test_a_training_setting_out_of_range_is_named_with_what_is_allowed(setting, value, allowed):
    with pytest.raises(ValueError, match=f"TrainConfig.{setting} is {value}; it must be {allowed}"):
        TrainConfig(**{setting: value})
