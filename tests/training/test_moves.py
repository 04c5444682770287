"""What a loss learns or estimates beside the model: by which steps, when, and within what."""

import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, LOSSES, Estimate, Loss, Move
from robustbench_rec.testing import toy_split
from robustbench_rec.training.fit import TrainConfig, Trainer, fit

MF = BACKBONES["mf"](dim=8)
BPR = LOSSES["bpr"]()
QUICK = TrainConfig(epochs=2, batch_size=64, lr=1e-2, eval_every=1)
N_BATCHES = -(-480 // 64)
"""The toy split has 480 training pairs."""
LAST = 480 - 7 * 64
"""Rows of the last batch of a pass."""


@dataclass(frozen=True, kw_only=True)
class ByCall(Loss):
    """BPR without its compiled form, whose last bits differ."""

    def __call__(self, batch):
        return BPR(batch)


@dataclass(frozen=True, kw_only=True)
class Pulled(Loss):
    """BPR plus (theta - 3)^2 / 2, with theta learned from 0; gives out what it is bound to.

    `how` goes to the Move.
    """

    how: dict = field(default_factory=dict)
    bound: list = field(default_factory=list, compare=False)

    def bind(self, n_users, n_items):
        self.bound.append(PulledBPR(self))
        return self.bound[-1]


@dataclass
class Call:
    """What a call of the objective met."""

    theta: float
    learns: bool
    batch: object


class PulledBPR:
    def __init__(self, loss):
        self.theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
        self.moves = [Move([self.theta], **{"lr": 0.1} | loss.how)]
        self.calls = []

    def __call__(self, batch):
        if len(batch.pos) <= QUICK.batch_size:  # the probe of the diagnostics is larger
            self.calls.append(Call(self.theta.item(), batch.pos.requires_grad, batch))
        return BPR(batch) + 0.5 * (self.theta - 3) ** 2


def pulled(config=QUICK, **how):
    """Train by such a loss; return what it was bound to, and the model."""
    loss = Pulled(how=how)
    model = fit(toy_split(), MF, loss, config, seed=0)
    return loss.bound[0], model


def same_bits(one, two) -> bool:
    return torch.equal(one.users, two.users) and torch.equal(one.items, two.items)


@pytest.mark.parametrize("when", ["before", "with", "apart"])
@pytest.mark.parametrize("ascend", [False, True])
def test_a_part_takes_one_plain_step_a_batch(when, ascend):
    bound, _ = pulled(when=when, ascend=ascend)
    factor = 1.1 if ascend else 0.9  # each step takes theta that much nearer to 3, or further off
    expected = 3 - 3 * factor ** (QUICK.epochs * N_BATCHES)
    assert bound.theta.item() == pytest.approx(expected, rel=1e-9)
    assert bound.theta.grad is None


@pytest.mark.parametrize("when", ["before", "with", "apart"])
def test_a_part_may_follow_the_sum_over_the_rows(when):
    bound, _ = pulled(replace(QUICK, epochs=1), when=when, lr=1e-3, rows="sum")
    expected = 3 - 3 * (1 - 0.064) ** 7 * (1 - 1e-3 * LAST)
    assert bound.theta.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("when", ["before", "with", "apart"])
def test_a_part_s_rate_may_be_a_multiple_of_the_model_s(when):
    bound, _ = pulled(replace(QUICK, lr=0.02), when=when, lr=3.0, of_model=True)
    assert bound.theta.item() == pytest.approx(3 - 3 * 0.94 ** (2 * N_BATCHES), rel=1e-9)


@pytest.mark.parametrize("ascend", [False, True])
def test_adam_moves_a_part_without_the_model_s_weight_decay(ascend):
    config = replace(QUICK, weight_decay=0.5)
    bound, _ = pulled(config, when="with", optimizer="adam", ascend=ascend)
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([theta], lr=0.1, maximize=ascend)
    for _ in range(QUICK.epochs * N_BATCHES):
        theta.grad = (theta - 3).detach()
        adam.step()
    assert bound.theta.item() == pytest.approx(theta.item(), rel=1e-9)
    assert (bound.theta.item() < 0) == ascend


@pytest.mark.parametrize(("bounds", "rests"), [({"high": 0.5}, 0.5), ({"low": 3.5}, 3.5)])
def test_a_part_is_clamped_after_each_step(bounds, rests):
    bound, _ = pulled(**bounds)
    seen = [call.theta for call in bound.calls if call.learns]
    assert bound.theta.item() == rests
    if "low" in bounds:
        assert set(seen) == {3.5}
    else:  # 3 (1 - .9) = .3, then .57, were it not for the bound
        assert seen[:3] == pytest.approx([0.3, 0.5, 0.5])


def test_before_means_a_step_on_held_scores_and_then_the_model_s_with_the_part_held():
    bound, _ = pulled(replace(QUICK, epochs=1), when="before")
    assert [call.learns for call in bound.calls] == [False, True] * N_BATCHES
    thetas = [3 - 3 * 0.9**step for step in range(N_BATCHES + 1)]
    met = [theta for pair in itertools.pairwise(thetas) for theta in pair]
    assert [call.theta for call in bound.calls] == pytest.approx(met)
    held, learning = (bound.calls[at].batch for at in (0, 1))
    assert torch.equal(held.pos, learning.pos)
    assert torch.equal(held.neg, learning.neg)
    assert torch.equal(held.negatives, learning.negatives)
    assert not held.user_vectors.requires_grad
    assert not held.item_vectors.requires_grad


def test_with_means_the_very_gradient_of_the_model_s_step():
    bound, _ = pulled(replace(QUICK, epochs=1), when="with")
    assert all(call.learns for call in bound.calls)
    assert [call.theta for call in bound.calls] == pytest.approx(
        [3 - 3 * 0.9**step for step in range(N_BATCHES)]
    )


def test_apart_means_a_pass_after_the_epoch_over_the_same_pairs_and_other_negatives():
    bound, _ = pulled(replace(QUICK, epochs=1), when="apart")
    assert [call.learns for call in bound.calls] == [True] * N_BATCHES + [False] * N_BATCHES
    steps, passed = bound.calls[:N_BATCHES], bound.calls[N_BATCHES:]
    assert {call.theta for call in steps} == {0.0}
    for one, other in zip(steps, passed, strict=True):
        assert torch.equal(one.batch.users, other.batch.users)
        assert torch.equal(one.batch.items, other.batch.items)
        assert not torch.equal(one.batch.negatives, other.batch.negatives)
        assert not torch.equal(one.batch.pos, other.batch.pos)  # the model moved on meanwhile


@pytest.mark.parametrize(
    ("every", "passes", "due"),
    [
        (1, math.inf, [1, 2, 3, 4, 5, 6, 7]),
        (3, math.inf, [3, 6]),
        (1, 2, [1, 2]),
        (2, 2, [2, 4]),
        (5, 0, []),
    ],
)
def test_passes_apart_come_every_so_often_and_no_more_than_so_many(every, passes, due):
    loss = Pulled(how={"when": "apart", "every": every, "passes": passes})
    module = MF.build(toy_split().train, torch.Generator().manual_seed(0))
    trainer = Trainer(module, toy_split(), loss, QUICK, seed=0)
    thetas = [0.0]
    for epoch in range(1, 8):
        trainer.run_epoch(epoch)
        thetas.append(loss.bound[0].theta.item())
    assert [epoch for epoch in range(1, 8) if thetas[epoch] != thetas[epoch - 1]] == due


@pytest.mark.parametrize("how", [{"when": "before"}, {"when": "with"}, {"when": "apart"}])
def test_a_part_that_the_scores_do_not_feel_leaves_the_model_alone(how):
    _, model = pulled(**how)
    assert same_bits(model, fit(toy_split(), MF, ByCall(), QUICK, seed=0))


class TwoParts:
    """Parts that move apart from each other: x before, to 1; y with the model, to x."""

    def __init__(self):
        self.x, self.y = (torch.zeros((), requires_grad=True) for _ in range(2))
        self.moves = [Move([self.x], 0.5), Move([self.y], 0.5, when="with")]

    def __call__(self, batch):
        return BPR(batch) + 0.5 * (self.x - 1) ** 2 + 0.5 * (self.y - self.x.detach()) ** 2


@dataclass(frozen=True, kw_only=True)
class Two(Loss):
    """A loss with two parts; gives out what it is bound to."""

    bound: list = field(default_factory=list, compare=False)

    def bind(self, n_users, n_items):
        self.bound.append(TwoParts())
        return self.bound[-1]


def test_parts_of_one_loss_move_each_in_its_own_way():
    loss = Two()
    fit(toy_split(), MF, loss, replace(QUICK, epochs=1, batch_size=160), seed=0)
    # Three steps. x: .5, .75, .875; y is pulled half way to each: .25, .5, .6875.
    assert loss.bound[0].x.item() == pytest.approx(0.875)
    assert loss.bound[0].y.item() == pytest.approx(0.6875)


@dataclass(frozen=True, kw_only=True)
class Looking(Loss):
    """BPR or its like by cosine, that looks at the model every so often and keeps what it saw."""

    every: int = 1
    n_negatives: int = 3
    seen: list = field(default_factory=list, compare=False)
    steps: list = field(default_factory=list, compare=False)

    def bind(self, n_users, n_items):
        return Looked(self)


class Looked:
    def __init__(self, loss):
        self.loss = loss
        self.estimates = [Estimate(self.look, loss.every)]

    def look(self, view):
        rows = np.array([5, 3, 100, *range(200, 270)])
        found = view.scores(view.train.users, view.train.items), list(view.batches(rows))
        self.loss.seen.append((len(self.loss.steps), view.train, *found))

    def __call__(self, batch):
        if batch.user_vectors.requires_grad:  # the probe of the diagnostics is no step
            self.loss.steps.append(batch)
        return BPR(batch)


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4, 5]), (2, [1, 3, 5]), (9, [1])])
def test_estimates_come_before_the_first_epoch_and_every_so_often(every, epochs):
    loss = Looking(every=every)
    fit(toy_split(), MF, loss, replace(QUICK, epochs=5), seed=0)
    assert [taken for taken, *_ in loss.seen] == [N_BATCHES * (epoch - 1) for epoch in epochs]


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_a_view_scores_pairs_by_the_model_as_it_stands_without_gradients(score):
    split, loss = toy_split(), Looking(score=score)
    module = MF.build(split.train, torch.Generator().manual_seed(0))
    trainer = Trainer(module, split, loss, QUICK, seed=0)
    for epoch in (1, 2):
        users, items = (table.detach().clone() for table in module())
        if score == "cosine":
            users, items = (torch.nn.functional.normalize(part, dim=1) for part in (users, items))
        trainer.run_epoch(epoch)
        _, train, scores, batches = loss.seen[-1]
        assert train is split.train
        assert not scores.requires_grad
        expected = torch.stack(
            [users[u] @ items[i] for u, i in zip(train.users, train.items, strict=True)]
        )
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)
        for batch in batches:
            assert not (batch.neg.requires_grad)
            assert not (batch.user_vectors.requires_grad)
            torch.testing.assert_close(batch.user_vectors, users[batch.users])
            liked = (users[batch.users] * items[batch.items]).sum(dim=1)
            torch.testing.assert_close(batch.pos, liked, rtol=1e-4, atol=1e-6)


def test_a_view_scores_many_pairs_part_by_part(monkeypatch):
    train, scores, asked = toy_split().train, [], []
    made = torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda ids, **rest: asked.append(ids) or made(ids, **rest))
    for at_once in (1 << 16, 7):
        monkeypatch.setattr("robustbench_rec.training.fit.PAIRS_AT_ONCE", at_once)
        fit(toy_split(), MF, loss := Looking(), replace(QUICK, epochs=1), seed=0)
        scores.append(loss.seen[-1][2])
    parts = [len(ids) for ids in asked if np.size(ids) > 1]
    assert parts[:3] == [len(train), len(train), 7]
    assert max(parts[2:]) == 7
    torch.testing.assert_close(*scores, rtol=0, atol=0)


def test_a_view_yields_the_rows_asked_for_in_their_order_with_negatives():
    loss, train = Looking(), toy_split().train
    fit(toy_split(), MF, loss, replace(QUICK, epochs=2), seed=0)
    rows = np.array([5, 3, 100, *range(200, 270)])
    for *_, batches in loss.seen:
        assert [len(batch.users) for batch in batches] == [64, 9]
        assert torch.cat([batch.users for batch in batches]).tolist() == train.users[rows].tolist()
        assert torch.cat([batch.items for batch in batches]).tolist() == train.items[rows].tolist()
        assert all(batch.neg.shape == (len(batch.users), 3) for batch in batches)
    first, second = (batches[0].negatives for *_, batches in loss.seen)
    assert not torch.equal(first, second)


def test_looking_at_the_model_changes_no_bit_of_it():
    plain = fit(toy_split(), MF, ByCall(n_negatives=3), QUICK, seed=0)
    assert same_bits(plain, fit(toy_split(), MF, Looking(), QUICK, seed=0))


def test_batches_count_the_model_s_steps():
    loss = Looking()
    fit(toy_split(), MF, loss, QUICK, seed=0)
    assert [batch.step for batch in loss.steps] == list(range(2 * N_BATCHES))


DrRL = LOSSES["drrl"]


@dataclass(frozen=True, kw_only=True)
class OpenDrRL(DrRL):
    """DrRL that gives out what it is bound to."""

    bound: list = field(default_factory=list, compare=False)

    def bind(self, n_users, n_items):
        self.bound.append(super().bind(n_users, n_items))
        return self.bound[-1]


def test_the_margins_of_drrl_move_for_the_users_who_train():
    split = toy_split()
    idle = replace(split, train=split.train[split.train.users != 7])
    loss = OpenDrRL(n_negatives=8, margin_lr=0.01)
    fit(idle, MF, loss, QUICK, seed=0)
    (bound,) = loss.bound
    moved = bound.margins.detach() != loss.margin
    assert moved.tolist() == [user != 7 for user in range(split.n_users)]
    assert bound.margins.isfinite().all()


AdvInfoNCE = LOSSES["advinfonce"]


@dataclass(frozen=True, kw_only=True)
class OpenAdvInfoNCE(AdvInfoNCE):
    """AdvInfoNCE that gives out what it is bound to."""

    bound: list = field(default_factory=list, compare=False)

    def bind(self, n_users, n_items):
        self.bound.append(super().bind(n_users, n_items))
        return self.bound[-1]


def test_the_adversary_of_advinfonce_climbs_in_its_passes_and_rests_in_between():
    split = toy_split()
    loss = OpenAdvInfoNCE(n_negatives=8, every=2, passes=1, adversary_lr=0.05)
    module = MF.build(split.train, torch.Generator().manual_seed(0))
    trainer = Trainer(module, split, loss, QUICK, seed=0)
    (adversary,) = loss.bound
    tables = [adversary.items.detach().clone()]
    for epoch in range(1, 5):
        trainer.run_epoch(epoch)
        tables.append(adversary.items.detach().clone())
    same = [torch.equal(one, two) for one, two in itertools.pairwise(tables)]
    assert same == [True, False, True, True]
    batch = trainer.batch(9, np.arange(480), trainer.embeddings(), 8, False)
    opposed = adversary(batch)
    with torch.no_grad():
        adversary.items.copy_(tables[0])
    assert opposed > adversary(batch)


def test_the_adversary_of_advinfonce_moves_by_its_own_rate():
    """Adam's first step is its rate, whatever the gradient."""
    split = toy_split()
    loss = OpenAdvInfoNCE(n_negatives=8, every=1, passes=1, adversary_lr=0.003)
    module = MF.build(split.train, torch.Generator().manual_seed(0))
    trainer = Trainer(module, split, loss, replace(QUICK, batch_size=len(split.train)), seed=0)
    (adversary,) = loss.bound
    before = adversary.items.detach().clone()
    trainer.run_epoch(1)
    steps = (adversary.items.detach() - before).abs()
    assert steps.median().item() == pytest.approx(0.003, rel=0.02)
    assert steps.max().item() <= 0.003 * 1.001


@pytest.mark.parametrize("when", ["before", "with", "apart"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_part_that_is_not_finite_is_named_with_the_epoch(when, value):
    split = toy_split()
    module = MF.build(split.train, torch.Generator().manual_seed(0))
    trainer = Trainer(module, split, Pulled(how={"when": when, "lr": 0.1}), QUICK, seed=0)
    (mover,) = trainer.movers
    mover.optimizer.lr = value
    with pytest.raises(
        FloatingPointError,
        match=r"^the learned part of Pulled\(.*\) became .* in epoch 1; try a lower rate",
    ):
        trainer.run_epoch(1)


@pytest.mark.parametrize("parts", ["declared", "not declared"])
def test_an_estimate_that_is_not_finite_is_told_and_else_met_in_the_loss(parts):
    loss = LOSSES["sl_at_k"](n_negatives=8, k=3)
    module = MF.build(toy_split().train, torch.Generator().manual_seed(0))
    trainer = Trainer(module, toy_split(), loss, QUICK, seed=0)
    quantiles = trainer.objective.quantiles
    declared = [quantiles] if parts == "declared" else []
    trainer.estimates = [Estimate(lambda view: quantiles.fill_(math.nan), parts=declared)]
    says = {
        "declared": r"^the learned part of sl_at_k.* became .* in epoch 1$",
        "not declared": r"^the loss of sl_at_k.* in epoch 1, step 1;",
    }
    with pytest.raises(FloatingPointError, match=says[parts]):
        trainer.run_epoch(1)


def test_a_move_over_what_takes_no_gradient_is_refused():
    with pytest.raises(ValueError, match="not a leaf with requires_grad"):
        Move([torch.zeros(3)], 0.1)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"when": "sometimes"}, r"Move\.when is 'sometimes'; it must be in \('before', "),
        ({"optimizer": "lbfgs"}, r"Move\.optimizer is 'lbfgs'"),
        ({"rows": "max"}, r"Move\.rows is 'max'"),
        ({"every": 0}, "every must be at least 1"),
        ({"low": 1.0, "high": 0.0}, "low below high"),
    ],
)
def test_a_move_that_says_what_none_can_do_is_refused(how, says):
    with pytest.raises(ValueError, match=says):
        Move([torch.zeros(3, requires_grad=True)], 0.1, **how)
