"""Compiled forms: each is its loss, and its slopes are the derivative, taken in doubles."""

import numpy as np
import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.components.loss import bound
from robustbench_rec.kernels.row_losses import RowLoss
from robustbench_rec.testing import batch_of

COMPILED = [
    ("bpr", {}),
    ("bce", {}),
    ("mse", {}),
    ("gbce", {}),
    ("ccl", {"margin": 0.2, "weight": 3.0}),
    ("drrl", {}),
    ("drrl", {"order": 1.01, "scale": 2.0}),
    ("drrl", {"order": 2.0, "eps": 0.01, "scale": 0.3}),
    ("drrl", {"scale": 1e4}),
    ("softmax", {}),
    ("softmax", {"tau": 0.02}),
    ("softmax", {"positive": "inside"}),
    ("bsl", {"tau1": 0.1, "tau2": 0.4}),
    ("psl", {}),
    ("psl", {"activation": "tanh"}),
    ("psl", {"activation": "exp"}),
    ("sl_at_k", {"k": 1}),
]
BY_CALL = [
    ("bsl", {"variant": "authors"}),
    ("psl", {"activation": "atan"}),
    ("psl", {"activation": "softplus"}),
    ("llpauc", {}),
    ("advinfonce", {"n_negatives": 7}),
    ("directau", {}),
    ("t_ce", {}),
    ("r_ce", {}),
]
USERS = 50


def objective_of(name, settings, n):
    """Bind a loss; each user's own number is drawn."""
    objective = bound(LOSSES[name](n_negatives=n, **settings), USERS, n_items=400, seed=0)
    if objective.rows.own is not None:
        with torch.no_grad():
            objective.rows.own.copy_(torch.empty(USERS).uniform_(0.1, 0.8, generator=seeded()))
        objective.rows.own.requires_grad_()
    return objective


def seeded():
    return torch.Generator().manual_seed(0)


def by_rows(objective, scores, users):
    """Return the compiled loss, and its derivatives by scores and by each row's own number."""
    own = torch.zeros(len(users)) if objective.rows.own is None else objective.rows.own[users]
    scores, own = (part.detach().clone().requires_grad_() for part in (scores, own))
    loss = RowLoss(objective.rows.function, np.array(objective.rows.settings, dtype=np.float64))
    value = loss.of_scores(scores, own)
    return value, *torch.autograd.grad(value, (scores, own))


def by_call(objective, scores, users):
    """Return the loss as it is defined, in double precision, and its derivatives."""
    scores = scores.double().requires_grad_()
    value = objective(batch_of(scores[:, 0], scores[:, 1:], users))
    own = objective.rows.own
    return value, *torch.autograd.grad(value, [scores] if own is None else [scores, own])


@pytest.mark.parametrize("n", [1, 2, 9, 200, 1000])
@pytest.mark.parametrize("reach", [1.0, 8.0])
@pytest.mark.parametrize(("name", "settings"), COMPILED)
def test_value_and_slopes_are_those_of_the_definition(name, settings, reach, n):
    objective = objective_of(name, settings, n)
    users = torch.arange(USERS)
    scores = torch.empty(USERS, 1 + n).uniform_(-reach, reach, generator=seeded())
    (value, *slopes), (expected, *derivatives) = (
        form(objective, scores, users) for form in (by_rows, by_call)
    )
    assert value.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-6)
    for slope, derivative in zip(slopes, derivatives, strict=False):
        away = (slope.double() - derivative).abs().max() / derivative.abs().max()
        assert away <= 1e-6


@pytest.mark.parametrize("reach", [1.0, 1e4])
@pytest.mark.parametrize(("name", "settings"), COMPILED)
def test_extreme_scores_leave_all_finite(name, settings, reach):
    objective = objective_of(name, settings, 3)
    for sign in (-1, 1):
        scores = torch.tensor([[-sign, *[sign] * 3]] * 2) * reach
        for found in by_rows(objective, scores, torch.tensor([0, 1])):
            assert found.isfinite().all()


@pytest.mark.parametrize("slot", [0, 2])
@pytest.mark.parametrize(("name", "settings"), COMPILED)
def test_a_score_that_is_not_a_number_gives_a_loss_that_is_none(name, settings, slot):
    scores = torch.zeros(2, 5)
    scores[1, slot] = float("nan")
    value, *_ = by_rows(objective_of(name, settings, 4), scores, torch.tensor([0, 1]))
    assert value.isnan()


@pytest.mark.parametrize(("name", "settings"), BY_CALL)
def test_what_has_no_compiled_form_says_so(name, settings):
    assert getattr(bound(LOSSES[name](**settings), 5, 9, 0), "rows", None) is None
