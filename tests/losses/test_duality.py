"""SL, DrRL and CCL are worst cases over distributions of negatives: primal against dual.

Let U be the even distribution over the N negatives of a row, f their scores, P another distribution
over them, and r = dP/dU = N P. The claim is that each loss is relu(1 - p), or -p, plus
sup { E_P[f] : D(P || U) <= rho } for some divergence D, up to constants, and that the weights it
implies, |d loss / d f|, are the P that attains it.

- KL, penalised: sup_P E_P[f] - tau KL(P || U) = tau log E_U exp(f / tau), at P ~ exp(f / tau).
- KL ball: sup { E_P[f] : KL(P || U) <= rho } = min over tau > 0 of tau rho + tau log E_U
  exp(f / tau), at the same P with the minimising tau; `softmax` at that tau trains under it.
- Renyi ball of order a > 1: D_a(P || U) = log E_U[r^a] / (a - 1), so that D_a <= rho says that
  ||r||_a <= c, with norms under U and c = exp(rho (a - 1) / a). With a* = a / (a - 1), for any m,
  E_P[f] - m = E_U[r (f - m)] <= E_U[r (f - m)+] <= ||r||_a ||(f - m)+||_a* <= c ||(f - m)+||_a*
  by Hoelder, and the least of these bounds is attained:
  sup { E_P[f] : D_a(P || U) <= rho } = min over m of m + c ||(f - m)+||_a*.
  Hoelder is an equality where r^a is in proportion to (f - m)+^a*: P ~ (f - m)+^(a* - 1).
  ||x||_a* under U is N^(-1/a*) times the plain norm: this is `drrl` with scale = c, its margin at
  the minimum, and eps = 0.
- Infinite order: D_inf <= rho says that P <= exp(rho) U. c = exp(rho), a* = 1: the mean of the
  largest share exp(-rho) of the scores, CVaR, P being even on them: `ccl` with weight = c, plus m.

What the code's eps > 0 changes: ||eps + c (f - m)+|| lies within eps above ||c (f - m)+||, so the
loss lies within eps above the worst case, and P ~ (eps + c (f - m)+)^(a* - 1) above the margin, a
little more even. Negatives under the margin have no weight, with eps or without.

What c = 1 means: rho = 0, where U alone is in the ball and the worst case is E_U[f]; its margin has
its minimum at minus infinity. A ball needs c > 1.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize, minimize_scalar

from robustbench_rec import LOSSES
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import batch_of
from robustbench_rec.training.diagnostics import slopes_of
from robustbench_rec.training.optimizers import Mover

POSITIVE = 0.35
EXAMPLES = [(4, 0), (5, 1), (6, 2), (8, 3), (8, 4)]
"""Numbers of negatives, and seeds of their scores."""

examples = pytest.mark.parametrize(("n", "seed"), EXAMPLES)


def scores_of(n, seed):
    """Return n scores in the range of a cosine."""
    return rng_for(seed, "duality").uniform(-0.8, 0.9, n)


def kl(shares):
    """Return KL(P || U) of shares (n,) in nats."""
    ratios = shares.size * shares
    return float(np.mean(ratios * np.log(ratios, where=ratios > 0, out=np.zeros_like(ratios))))


def renyi(shares, order):
    """Return D_order(P || U) of shares (n,) in nats."""
    return float(np.log(np.mean((shares.size * shares) ** order)) / (order - 1))


def worst_case(objective, scores, divergence=None, radius=math.inf):
    """Return a P within a radius of U at which `objective(P)` is large, by numerical search.

    That the search ended at the largest is not taken on trust: P is within the radius, so that its
    value is a lower bound, and the dual's an upper one, which the tests find to be equal. It starts
    from U shifted a little to the best scores, where divergences have a gradient.
    """
    n = scores.size
    start = np.full(n, 1 / n) + 1e-3 * (scores - scores.mean())
    bounded = [{"type": "eq", "fun": lambda p: p.sum() - 1}]
    if divergence:
        bounded.append({"type": "ineq", "fun": lambda p: radius - divergence(p)})
    found = minimize(
        lambda p: -objective(p),
        start,
        method="SLSQP",
        bounds=[(1e-12, 1)] * n,
        constraints=bounded,
        options={"ftol": 1e-13, "maxiter": 2000},
    )
    shares = found.x / found.x.sum()
    assert found.x.sum() == pytest.approx(1, abs=1e-8)
    assert divergence is None or divergence(shares) <= radius + 1e-7
    return shares


def value_of(loss, scores):
    """Return a loss of one row: the positive's score is POSITIVE."""
    neg = torch.tensor(scores).unsqueeze(0)
    batch = batch_of(torch.tensor([POSITIVE], dtype=torch.float64), neg)
    return loss.bind(1, 9)(batch).item()


def weights_of(loss, scores):
    """Return the implied weights of one row's negatives, as shares of their sum, and the sum."""
    neg = torch.tensor(scores).unsqueeze(0)
    pos = torch.tensor([POSITIVE], dtype=torch.float64)
    (weights,) = slopes_of(loss.bind(1, 9), batch_of(pos, neg)).weights
    return weights / weights.sum(), weights.sum()


def kl_dual(scores, tau):
    """Return tau log E_U exp(f / tau)."""
    top = scores.max()
    return tau * np.log(np.mean(np.exp((scores - top) / tau))) + top


def renyi_dual(scores, order, radius):
    """Return the margin and the value of min over m of m + c ||(f - m)+||_a*, with c."""
    dual, scale = order / (order - 1), math.exp(radius * (order - 1) / order)

    def bound(m):
        excess = (scores - m).clip(0)
        top = excess.max() or 1.0
        return m + scale * top * np.mean((excess / top) ** dual) ** (1 / dual)

    low = scores.max() - 4 * np.ptp(scores) * scale / (scale - 1)
    found = minimize_scalar(
        bound, bounds=(low, scores.max()), method="bounded", options={"xatol": 1e-12}
    )
    return found.x, bound(found.x), scale


@examples
@pytest.mark.parametrize("tau", [0.1, 0.2, 1.0])
def test_the_softmax_loss_is_the_worst_case_under_a_kl_penalty(n, seed, tau):
    scores = scores_of(n, seed)
    worst = worst_case(lambda p: p @ scores - tau * kl(p), scores)
    primal = worst @ scores - tau * kl(worst)
    assert kl_dual(scores, tau) == pytest.approx(primal, abs=1e-6)
    loss = LOSSES["softmax"](tau=tau)
    # tau (-p/tau + log SUM exp(f/tau)) = -p + tau log E_U exp(f/tau) + tau log N
    assert tau * value_of(loss, scores) == pytest.approx(
        -POSITIVE + primal + tau * math.log(n), abs=1e-6
    )
    weights, total = weights_of(loss, scores)
    assert weights == pytest.approx(worst, abs=1e-3)
    assert weights == pytest.approx(np.exp(scores / tau) / np.exp(scores / tau).sum(), abs=1e-6)
    assert total * tau == pytest.approx(1)


@examples
@pytest.mark.parametrize("radius", [0.05, 0.3, 0.8])
def test_the_softmax_loss_trains_under_the_worst_case_of_a_kl_ball(n, seed, radius):
    scores = scores_of(n, seed)
    worst = worst_case(lambda p: p @ scores, scores, kl, radius)
    found = minimize_scalar(
        lambda log_tau: math.exp(log_tau) * radius + kl_dual(scores, math.exp(log_tau)),
        bounds=(-7, 5),
        method="bounded",
        options={"xatol": 1e-12},
    )
    tau = math.exp(found.x)
    assert found.fun == pytest.approx(worst @ scores, abs=1e-5)
    weights, _ = weights_of(LOSSES["softmax"](tau=tau), scores)
    assert kl(weights) == pytest.approx(radius, abs=1e-4)  # the worst case is on the boundary
    assert weights == pytest.approx(worst, abs=2e-3)
    assert weights @ scores == pytest.approx(worst @ scores, abs=1e-5)


def drrl(order, scale, margin, eps=1e-9):
    return LOSSES["drrl"](order=order, scale=scale, margin=margin, eps=eps)


@examples
@pytest.mark.parametrize("order", [1.3, 2.0, 5.0])
@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_drrl_at_its_best_margin_is_the_worst_case_over_a_renyi_ball(n, seed, order, radius):
    scores = scores_of(n, seed)
    worst = worst_case(lambda p: p @ scores, scores, lambda p: renyi(p, order), radius)
    margin, dual, scale = renyi_dual(scores, order, radius)
    assert dual == pytest.approx(worst @ scores, abs=1e-4)
    loss = drrl(order, scale, margin)
    assert value_of(loss, scores) == pytest.approx(1 - POSITIVE + worst @ scores, abs=1e-4)
    weights, total = weights_of(loss, scores)
    assert weights == pytest.approx(worst, abs=5e-3)
    assert weights @ scores == pytest.approx(worst @ scores, abs=1e-4)
    assert renyi(weights, order) == pytest.approx(radius, abs=1e-3)
    # At the best margin the derivative by it, 1 less the sum of the weights, is 0.
    assert total == pytest.approx(1, abs=1e-4)


@examples
def test_at_any_other_margin_drrl_is_a_bound_from_above(n, seed):
    scores = scores_of(n, seed)
    best, dual, scale = renyi_dual(scores, 2.0, 0.3)
    for margin in (best - 0.5, best - 0.05, best + 0.05, best + 0.5):
        assert value_of(drrl(2.0, scale, margin), scores) > 1 - POSITIVE + dual


def test_the_margin_that_drrl_learns_descends_to_the_best_one():
    scores = scores_of(8, 3)
    best, _, scale = renyi_dual(scores, 2.0, 0.3)
    objective = drrl(2.0, scale, margin=0.7).bind(1, 9)
    batch = batch_of(torch.zeros(1), torch.tensor(scores, dtype=torch.float32).unsqueeze(0))
    (move,) = objective.moves
    mover = Mover(replace(move, lr=0.1), model_lr=1.0)
    for _ in range(1000):
        mover.step(torch.autograd.grad(objective(batch), mover.parameters), n_rows=1)
    assert objective.margins.item() == pytest.approx(best, abs=1e-3)


@examples
@pytest.mark.parametrize("eps", [0.01, 0.1])
def test_eps_adds_at_most_itself_and_makes_the_weights_above_the_margin_more_even(n, seed, eps):
    scores = scores_of(n, seed)
    margin, _, scale = renyi_dual(scores, 1.5, 0.4)
    ideal, with_eps = (drrl(1.5, scale, margin, e) for e in (1e-9, eps))
    added = value_of(with_eps, scores) - value_of(ideal, scores)
    assert 0 < added <= eps
    (one, _), (two, _) = (weights_of(loss, scores) for loss in (ideal, with_eps))
    above = scores > margin
    assert (two[~above] == 0).all()
    # In proportion to (eps + c (f - m))^(a* - 1), with a* = 3.
    powers = np.where(above, (eps + scale * (scores - margin)) ** 2, 0)
    assert two == pytest.approx(powers / powers.sum(), abs=1e-4)
    assert kl(two) <= kl(one)


@examples
def test_at_scale_1_the_ball_is_u_alone_and_the_margin_has_no_minimum(n, seed):
    """m + ||(f - m)+|| falls towards E_U[f] as m falls: radius 0."""
    scores = scores_of(n, seed)
    margins = [0.7, 0.0, -1.0, -10.0, -1000.0]
    values = [value_of(drrl(2.0, 1.0, margin), scores) for margin in margins]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(1 - POSITIVE + scores.mean(), abs=1e-3)
    weights, _ = weights_of(drrl(2.0, 1.0, -1000.0), scores)
    assert weights == pytest.approx(np.full(n, 1 / n), abs=1e-3)


@examples
def test_ccl_is_the_worst_case_over_the_ball_of_infinite_order(n, seed):
    """P <= exp(rho) U: the mean of the k largest scores where exp(rho) = N / k; CCL plus margin."""
    scores = scores_of(n, seed)
    k = 2
    solved = linprog(-scores, A_eq=np.ones((1, n)), b_eq=[1], bounds=(0, 1 / k))
    largest = np.sort(scores)[::-1]
    assert -solved.fun == pytest.approx(largest[:k].mean(), abs=1e-9)
    for margin in (largest[k], (largest[k] + largest[k - 1]) / 2, largest[k - 1]):
        loss = LOSSES["ccl"](margin=float(margin), weight=n / k)
        tail = value_of(loss, scores) + margin
        assert tail == pytest.approx(1 - POSITIVE - solved.fun, abs=1e-9)
    loss = LOSSES["ccl"](margin=float(largest[k]) + 1e-9, weight=n / k)
    weights, total = weights_of(loss, scores)
    assert weights == pytest.approx(solved.x, abs=1e-9)
    assert weights[weights > 0] == pytest.approx(np.full(k, 1 / k))
    assert total == pytest.approx(1)


@examples
def test_large_orders_tend_to_ccl_s_worst_case_and_orders_near_1_to_that_of_sl(n, seed):
    """D_a grows with a, so balls of one radius shrink: SL's holds DrRL's, DrRL's holds CCL's."""
    scores = scores_of(n, seed)
    radius = math.log(n / 3)
    found = minimize_scalar(
        lambda log_tau: math.exp(log_tau) * radius + kl_dual(scores, math.exp(log_tau)),
        bounds=(-9, 5),
        method="bounded",
        options={"xatol": 1e-12},
    )
    orders = [1.0005, 1.05, 1.5, 2.0, 5.0, 50.0, 1e5]
    at_best = [(order, *renyi_scale_and_margin(scores, order, radius)) for order in orders]
    duals = [value_of(drrl(*settings), scores) - (1 - POSITIVE) for settings in at_best]
    cvar = np.sort(scores)[-3:].mean()
    assert duals == sorted(duals, reverse=True)
    assert duals[0] == pytest.approx(found.fun, abs=2e-3)
    assert duals[-1] == pytest.approx(cvar, abs=1e-3)
    assert duals[0] <= found.fun + 1e-6
    assert duals[-1] >= cvar - 1e-6
    near_1, _ = weights_of(drrl(1.05, *renyi_scale_and_margin(scores, 1.05, radius)), scores)
    softmax, _ = weights_of(LOSSES["softmax"](tau=math.exp(found.x)), scores)
    assert near_1 == pytest.approx(softmax, abs=0.02)


def renyi_scale_and_margin(scores, order, radius):
    margin, _, scale = renyi_dual(scores, order, radius)
    return scale, margin
