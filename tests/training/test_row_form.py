"""The compiled form of a loss in a training: it is used, it is held to the loss, or dropped."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, LOSSES, Estimate, Loss, Move, Rows
from robustbench_rec.components.loss import rows_of
from robustbench_rec.rows import row_function, softplus
from robustbench_rec.testing import toy_split
from robustbench_rec.training.config import TrainConfig
from robustbench_rec.training.fit import Trainer, fit

MF = BACKBONES["mf"](dim=8)
QUICK = TrainConfig(epochs=3, batch_size=64, lr=1e-2, eval_every=1)


@row_function
def linear(scores, slopes, settings, own):
    """Return w (the mean of n_j - p), its slopes weighed by another setting."""
    share = np.float32(settings[0]) / np.float32(scores.size - 1)
    told = np.float32(settings[1]) / np.float32(scores.size - 1)
    value = np.float32(0)
    for n in range(1, scores.size):
        value += share * (scores[n] - scores[0])
        slopes[n] = told
    slopes[0] = -np.float32(settings[1])
    return value, np.float32(0)


@dataclass(frozen=True, kw_only=True)
class Linear(Loss):
    """The mean of n_j - p, as torch has it; the compiled form as it is set."""

    weight: float = 1.0
    slope: float = 1.0
    calls: ClassVar[list] = []

    def __call__(self, batch):
        self.calls.append(batch)
        return (batch.neg - batch.pos.unsqueeze(1)).mean()

    @property
    def rows(self):
        return Rows(linear, (self.weight, self.slope))


def test_the_call_is_asked_before_training_and_at_each_evaluation_and_rows_train():
    Linear.calls.clear()
    model = fit(toy_split(), MF, Linear(), replace(QUICK, epochs=2), seed=0)
    # Each time on the batch and on made-up scores; then the diagnostics, of 500 negatives and of 1.
    shapes = [tuple(batch.neg.shape) for batch in Linear.calls]
    diagnosed = [(480, 500), (480 * 16, 1)]
    assert len(shapes) == 2 + 2 * (2 + 2)
    assert shapes[4:6] == shapes[8:] == diagnosed
    assert model.history


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"weight": 2.0}, r"its compiled form \(rows\) gives a loss of .* where its call gives "),
        ({"slope": 1.01}, r"the slopes of its compiled form \(rows\) by scores differ by 1% from "),
        (
            {"slope": 1e38},
            r"the slopes of its compiled form \(rows\) by scores differ by 1e\+40% from ",
        ),
    ],
)
def test_a_form_that_is_not_the_loss_is_refused_before_it_trains(wrong, says):
    with pytest.raises(ValueError, match=rf"^Linear\(.*\): {says}"):
        fit(toy_split(), BACKBONES["mf"](dim=8, init_std=1.0), Linear(**wrong), QUICK, seed=0)


@row_function
def wrong_own(scores, slopes, settings, own):
    slopes[:] = 0
    return own, np.float32(0.5)


class OwnObjective:
    def __init__(self):
        self.numbers = torch.zeros(60, requires_grad=True)
        self.rows = Rows(wrong_own, own=self.numbers)

    def __call__(self, batch):
        return (self.numbers[batch.users] + 0 * batch.pos + 0 * batch.neg.sum(dim=1)).mean()


@dataclass(frozen=True, kw_only=True)
class Own(Loss):
    """A loss of one learned number a user, whose slope its compiled form has wrong."""

    def bind(self, n_users, n_items):
        return OwnObjective()


def test_slopes_by_what_it_learns_are_held_to_the_loss_too():
    with pytest.raises(ValueError, match=r"by the numbers that it learns differ by 50% from"):
        fit(toy_split(), MF, Own(), QUICK, seed=0)


class TwoParts:
    """Softmax at a temperature that it learns, of which its compiled form knows nothing."""

    def __init__(self, loss):
        self.loss, self.rows = loss, loss.rows
        self.log_tau = torch.zeros((), requires_grad=True)
        self.moves = [Move([self.log_tau], 0.1, when=loss.when)]

    def __call__(self, batch):
        scale = self.log_tau.exp()
        return self.loss(replace(batch, pos=batch.pos / scale, neg=batch.neg / scale))


@dataclass(frozen=True, kw_only=True)
class LearnedTau(type(LOSSES["softmax"]())):
    """The loss of `TwoParts`."""

    when: str = "before"

    def bind(self, n_users, n_items):
        return TwoParts(self)


@pytest.mark.parametrize("when", ["before", "with", "apart"])
def test_what_it_learns_besides_trains_by_the_call(when):
    loss, split = LearnedTau(n_negatives=4, when=when), toy_split()
    module = MF.build(split.train, torch.Generator().manual_seed(0))
    trainer = Trainer(module, split, loss, QUICK, seed=0)
    assert trainer.form is None
    trainer.run_epoch(1)
    assert trainer.objective.log_tau.item() != 0


@dataclass(frozen=True, kw_only=True)
class Doubled(type(LOSSES["softmax"]())):
    """A loss made of one of ours: it overrides the call, and inherits no compiled form."""

    def __call__(self, batch):
        return 2 * super().__call__(batch)


class Tripled:
    """A mixin with a call of its own."""

    def __call__(self, batch):
        return 3 * (batch.neg - batch.pos.unsqueeze(1)).mean()


@dataclass(frozen=True, kw_only=True)
class Mixed(Tripled, type(LOSSES["bpr"]())):
    """BPR by name, another loss by its call."""


@pytest.mark.parametrize("loss", [Doubled(n_negatives=4), Mixed()])
def test_who_overrides_the_call_drops_the_compiled_form_of_it(loss):
    assert rows_of(LOSSES["softmax"]()) is not None
    assert rows_of(loss) is None
    assert fit(toy_split(), MF, loss, QUICK, seed=0).history


@dataclass(frozen=True, kw_only=True)
class Undefined(Linear):
    """A call that is no number at all, or has no derivative, beside a form that is finite."""

    what: str = "loss"

    def __call__(self, batch):
        value = super().__call__(batch)
        return value * math.nan if self.what == "loss" else value + (value * 0).sqrt()

    @property
    def rows(self):
        return Rows(linear, (1.0, 1.0))


@pytest.mark.parametrize("what", ["loss", "slopes"])
def test_a_call_that_is_not_finite_is_no_excuse_for_a_form_that_is(what):
    with pytest.raises(ValueError, match=r"^Undefined\(.*\): .*\(rows\)"):
        fit(toy_split(), MF, Undefined(what=what), QUICK, seed=0)


@row_function
def half(scores, slopes, settings, own):
    """Return the mean of n_j - p with the slopes of BPR at equal scores."""
    slopes[0], slopes[1] = -0.5, 0.5
    x = scores[1] - scores[0]
    return softplus(x), np.float32(0)


@dataclass(frozen=True, kw_only=True)
class Half(Loss):
    """BPR, of which the compiled form is right near 0 alone."""

    def __call__(self, batch):
        return LOSSES["bpr"]()(batch)

    @property
    def rows(self):
        return Rows(half)


def test_a_form_that_is_right_for_a_model_that_knows_nothing_is_not_enough():
    with pytest.raises(ValueError, match=r"^Half\(.*\): the slopes of its compiled form"):
        fit(toy_split(), BACKBONES["mf"](dim=8, init_std=0.001), Half(), QUICK, seed=0)


@dataclass(frozen=True, kw_only=True)
class Told(Loss):
    """BPR, with something for `rows`."""

    given: object = field(default=None, metadata={"identity": False})

    def __post_init__(self):
        pass  # `given` is anything

    def __call__(self, batch):
        return LOSSES["bpr"]()(batch)

    @property
    def rows(self):
        return self.given()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda: (linear, (1.0,)), "rows is .*; it must be a Rows, or None"),
        (lambda: {}["x"], "KeyError"),
        (lambda: LOSSES.misspelt, "AttributeError"),
        (lambda: Rows(linear, ("one",)), "Rows.settings is .*; it must be a sequence of numbers"),
        (lambda: Rows(linear, [[1.0]]), "Rows.settings is .*; it must be a sequence of numbers"),
        (lambda: Rows(linear, (1.0,), torch.zeros(60, 1)), r"Rows.own is .* of shape \(60, 1\)"),
        (lambda: Rows(linear, (1.0,), torch.zeros(60).double()), "Rows.own is torch.float64"),
        (lambda: Rows(linear, (1.0,), torch.zeros(7)), "has 7 numbers; there are 60 users"),
    ],
)
def test_what_is_no_compiled_form_is_told_with_the_name_of_the_loss(given, says):
    with pytest.raises(ValueError, match=rf"^Told.*\(rows\) cannot be used: .*{says}"):
        fit(toy_split(), MF, Told(given=given), QUICK, seed=0)


class Estimating(OwnObjective):
    """An objective that estimates something and does not say what."""

    def __init__(self):
        super().__init__()
        self.estimates = [Estimate(lambda view: None)]


def test_an_estimate_that_names_no_parts_trains_by_the_call(monkeypatch):
    monkeypatch.setattr(Own, "bind", lambda self, n_users, n_items: Estimating())
    module = MF.build(toy_split().train, torch.Generator().manual_seed(0))
    assert Trainer(module, toy_split(), Own(), QUICK, seed=0).form is None


def test_embeddings_of_64_bits_train_by_the_call():
    module = MF.build(toy_split().train, torch.Generator().manual_seed(0)).double()
    trainer = Trainer(module, toy_split(), LOSSES["bpr"](), QUICK, seed=0)
    trainer.run_epoch(1)
    assert trainer.form is None
    assert trainer.embeddings()[0].dtype == torch.float64


@pytest.mark.parametrize("name", ["bpr", "softmax", "drrl", "ccl", "sl_at_k"])
@pytest.mark.parametrize("backbone", ["mf", "xsimgcl"])
def test_it_trains_to_what_the_call_trains_to(name, backbone):
    split, loss = toy_split(), LOSSES[name](**({"k": 3} if name == "sl_at_k" else {}))
    loss = replace(loss, n_negatives=8)
    trained = []
    for by_call in (False, True):
        module = BACKBONES[backbone](dim=8).build(split.train, torch.Generator().manual_seed(0))
        trainer = Trainer(module, split, loss, QUICK, seed=0)
        trainer.form = None if by_call else trainer.form
        for epoch in (1, 2, 3):
            trainer.run_epoch(epoch)
        trained.append((trainer.embeddings(), [mover.parameters for mover in trainer.movers]))
    ((one, own), (other, others)) = trained
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    torch.testing.assert_close(own, others, rtol=0, atol=1e-5)
