"""What the losses are to each other, where their formulas say so: in value and in gradient."""

import math

import numpy as np
import pytest
import torch

from robustbench_rec import LOSSES
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import batch_of
from robustbench_rec.training.diagnostics import slopes_of, weight_diagnostics

ROWS, N = 4, 7


def scores(low=-0.9, high=0.9):
    """Return random scores (ROWS,) and (ROWS, N) in double precision."""
    rng = rng_for(0, "identities")
    pos, neg = rng.uniform(-0.9, 0.9, ROWS), rng.uniform(low, high, (ROWS, N))
    return torch.tensor(pos, requires_grad=True), torch.tensor(neg, requires_grad=True)


def evaluated(loss, users=None):
    """Return a loss's value, and its gradients by positives and by negatives, on one batch."""
    pos, neg = scores()
    value = loss.bind(ROWS, 9)(batch_of(pos, neg, users))
    return value, *torch.autograd.grad(value, (pos, neg))


def assert_equal(one, other, factor=1.0, constant=0.0):
    """Assert that one is `factor` times the other plus a constant, and its gradient likewise."""
    (value, *gradients), (other_value, *others) = one, other
    torch.testing.assert_close(value, factor * other_value + constant)
    for gradient, theirs in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, factor * theirs)


@pytest.mark.parametrize(("tau1", "tau2"), [(0.2, 0.2), (0.5, 0.2), (0.1, 0.3)])
def test_the_benchmark_s_bsl_is_a_multiple_of_the_softmax_at_tau2(tau1, tau2):
    bsl, softmax = LOSSES["bsl"](tau1=tau1, tau2=tau2), LOSSES["softmax"](tau=tau2)
    assert_equal(evaluated(bsl), evaluated(softmax), factor=tau2 / tau1)


def test_the_two_forms_of_bsl_meet_at_weight_1_where_every_user_has_one_row():
    authors = LOSSES["bsl"](tau1=0.3, tau2=1.0, variant="authors")
    benchmark = LOSSES["bsl"](tau1=0.3, tau2=0.3)
    assert_equal(evaluated(authors), evaluated(benchmark), constant=-math.log(N))


def test_the_authors_bsl_weighs_the_negatives_of_a_softmax_where_every_user_has_one_row():
    """It is tau2 (softmax(tau1) - log N) - (1 - tau2) MEAN p / tau1."""
    tau1, tau2 = 0.3, 0.6
    value, by_pos, by_neg = evaluated(LOSSES["bsl"](tau1=tau1, tau2=tau2, variant="authors"))
    softmax, softmax_by_pos, softmax_by_neg = evaluated(LOSSES["softmax"](tau=tau1))
    pos, _ = scores()
    rest = (1 - tau2) * pos.mean() / tau1
    torch.testing.assert_close(value, tau2 * (softmax - math.log(N)) - rest)
    torch.testing.assert_close(by_pos, softmax_by_pos)
    torch.testing.assert_close(by_neg, tau2 * softmax_by_neg)


def test_the_authors_bsl_is_another_loss_where_a_user_has_several_rows():
    loss = LOSSES["bsl"](tau1=0.3, tau2=0.6, variant="authors")
    alone, together = evaluated(loss), evaluated(loss, users=torch.tensor([0, 0, 1, 1]))
    assert together[0] < alone[0]  # log MEAN exp is at least the mean
    assert not torch.allclose(alone[1], together[1])
    torch.testing.assert_close(alone[2], together[2])


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_psl_with_exp_is_the_softmax_at_twice_its_tau(tau):
    psl = LOSSES["psl"](tau=tau, activation="exp")
    assert_equal(evaluated(psl), evaluated(LOSSES["softmax"](tau=2 * tau)))


@pytest.mark.parametrize("activation", ["tanh", "atan", "relu"])
def test_psl_tends_to_the_softmax_where_scores_are_close(activation):
    """1 + d is what the surrogates have in common with exp(d) at d = 0."""
    pos = torch.zeros(1).double()
    neg = torch.linspace(-1e-4, 1e-4, N).double().unsqueeze(0).requires_grad_()
    losses = LOSSES["psl"](tau=1e-5, activation=activation), LOSSES["softmax"](tau=2e-5)
    values = [loss(batch_of(pos, neg)) for loss in losses]
    psl, softmax = (torch.autograd.grad(value, [neg])[0] for value in values)
    torch.testing.assert_close(psl, softmax, rtol=2e-3, atol=0)


def test_the_softmax_with_the_positive_inside_is_a_softplus_of_the_one_without():
    pos, neg = scores()
    rows = [(p.unsqueeze(0), n.unsqueeze(0)) for p, n in zip(pos, neg, strict=True)]
    outside = torch.stack([LOSSES["softmax"](tau=0.2)(batch_of(*row)) for row in rows])
    value, by_pos, by_neg = evaluated(LOSSES["softmax"](tau=0.2, positive="inside"))
    torch.testing.assert_close(value, torch.log1p(outside.exp()).mean())
    # A row that is won already counts less: its gradient is the other's times 1 - the share of
    # the positive.
    _, other_by_pos, other_by_neg = evaluated(LOSSES["softmax"](tau=0.2))
    won = outside.sigmoid()
    torch.testing.assert_close(by_pos, won * other_by_pos)
    torch.testing.assert_close(by_neg, won.unsqueeze(1) * other_by_neg)


def test_bpr_is_the_softmax_of_one_negative_with_the_positive_inside_at_tau_1():
    pos, neg = scores()
    batch = batch_of(pos, neg[:, :1])
    inside = LOSSES["softmax"](tau=1.0, positive="inside")
    torch.testing.assert_close(LOSSES["bpr"]()(batch), inside(batch))


@pytest.mark.parametrize("factor", [1.0, 64.0])
def test_advinfonce_with_an_even_adversary_is_infonce_with_a_factor(factor):
    loss = LOSSES["advinfonce"](tau=0.2, weight=factor)
    pos, neg = scores()
    objective = loss.bind(ROWS, 9)
    torch.nn.init.zeros_(objective.users)
    value = objective(batch_of(pos, neg))
    ours = value, *torch.autograd.grad(value, (pos, neg))
    sums = factor * (neg / 0.2).exp().sum(dim=1)  # N of K N SUM_j delta_j is that of delta = 1 / N
    expected = -((pos / 0.2).exp() / ((pos / 0.2).exp() + sums)).log().mean()
    assert_equal(ours, (expected, *torch.autograd.grad(expected, (pos, neg))))
    if factor == 1:
        assert_equal(ours, evaluated(LOSSES["softmax"](tau=0.2, positive="inside")))


@pytest.mark.parametrize(
    ("loss", "tau"),
    [
        (LOSSES["softmax"](tau=0.2), 0.2),
        (LOSSES["bsl"](tau1=0.2, tau2=0.2), 0.2),
        (LOSSES["psl"](tau=0.1, activation="exp"), 0.2),
    ],
)
def test_a_sum_over_negatives_is_their_mean_and_the_constant_log_n(loss, tau):
    pos, neg = scores()
    mean = (-pos / tau + (neg / tau).exp().mean(dim=1).log()).mean()
    by_mean = torch.autograd.grad(mean, (pos, neg))
    assert_equal(evaluated(loss), (mean, *by_mean), constant=math.log(N))


def test_ccl_by_sum_is_ccl_by_mean_at_n_times_the_weight():
    pos, neg = scores()
    summed = ((1 - pos).relu() + 0.5 * (neg - 0.2).relu().sum(dim=1)).mean()
    by_sum = torch.autograd.grad(summed, (pos, neg))
    assert_equal(evaluated(LOSSES["ccl"](margin=0.2, weight=0.5 * N)), (summed, *by_sum))


def test_as_the_order_grows_drrl_becomes_ccl():
    """The dual tends to 1, the norm to a mean: relu(1 - p) + eps + c MEAN relu(n - m) + m."""
    drrl = LOSSES["drrl"](order=1e9, eps=0.1, scale=2.0, margin=0.25)
    ccl = LOSSES["ccl"](margin=0.25, weight=2.0)
    assert_equal(evaluated(drrl), evaluated(ccl), constant=0.1 + 0.25)


def weights_of(loss):
    """Return the implied weights of each row's negatives, which add up to 1."""
    weights = slopes_of(loss.bind(ROWS, 9), batch_of(*scores(low=-0.3))).weights
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("order", [1.2, 2.0, 50.0])
def test_drrl_weighs_a_negative_by_a_power_of_its_excess_and_drops_those_under_the_margin(order):
    """w_j is in proportion to (eps + c (n_j - m))^(a* - 1) above the margin m, 0 under it."""
    _, neg = scores(low=-0.3)
    excess = (neg - 0.125).detach().numpy()
    powers = np.where(excess > 0, 0.1 + 3 * excess.clip(0), 0) ** (1 / (order - 1))
    powers[excess <= 0] = 0
    got = weights_of(LOSSES["drrl"](order=order, eps=0.1, scale=3.0, margin=0.125))
    assert got == pytest.approx(powers / powers.sum(axis=1, keepdims=True), abs=1e-6)


def test_the_order_leads_from_truncation_to_concentration():
    """At a fixed margin: even weights above it for large orders, all on the hardest near 1.

    The weights at a* are those of one excess to the power a* - 1, so that their divergence from
    even ones grows with a*, that is as the order falls; from log(N / k), with k of N above the
    margin, to log N.
    """
    _, neg = scores(low=-0.3)
    above = (neg > 0.1).sum(dim=1).double()
    known = np.zeros((ROWS, N), dtype=bool)
    orders = [1e6, 20.0, 3.0, 2.0, 1.5, 1.2, 1.05, 1.0005]
    found = [
        weight_diagnostics(weights_of(LOSSES["drrl"](order=a, margin=0.1)), known) for a in orders
    ]
    for name in ("kl", "renyi_2"):
        values = [one[name] for one in found]
        assert values == sorted(values)
        assert values[0] == pytest.approx((N / above).log().mean().item(), abs=1e-4)
        assert values[-1] == pytest.approx(math.log(N), abs=1e-3)
    sizes = [one["effective_sample_size"] for one in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx((above / N).mean().item(), abs=1e-4)
    assert sizes[-1] == pytest.approx(1 / N, abs=1e-4)
    used = [one["utilisation"] for one in found]
    assert used[0] == pytest.approx((above / N).mean().item())
    assert used[-1] == pytest.approx(1 / N)


def test_ccl_s_weights_are_those_of_the_end_of_truncation():
    expected = weights_of(LOSSES["drrl"](order=1e9, margin=0.1))
    assert weights_of(LOSSES["ccl"](margin=0.1)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("tau", [0.2, 0.5])
def test_with_its_margin_far_below_drrl_near_order_1_weighs_like_the_softmax(tau):
    """Where the learned margin is m = -(a* - 1) tau, a power of the excess tends to an exponential.

    (n - m)^(a* - 1) is in proportion to (1 + n / ((a* - 1) tau))^(a* - 1), which tends to
    exp(n / tau) as a* grows. So SL is the other end of the family: a low order and a margin that
    went along, not a low order at a fixed margin, which leaves the hardest negative alone.
    """
    softmax = weights_of(LOSSES["softmax"](tau=tau))
    apart = []
    for power in (10.0, 100.0, 1000.0):  # a* - 1
        drrl = LOSSES["drrl"](order=1 + 1 / power, eps=1e-6, margin=-power * tau)
        apart.append(np.abs(weights_of(drrl) - softmax).max())
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 2e-3


def test_a_higher_score_multiplies_the_softmax_s_weight_but_adds_to_that_of_drrl():
    """How sensitive each is to a false negative that scores d above the others."""
    neg = torch.tensor([[0.3, 0.3 + 0.5]]).double()
    batch = batch_of(torch.zeros(1).double(), neg)
    ratios = {}
    for name, settings in (
        ("softmax", {"tau": 0.2}),
        ("drrl", {"order": 2.0, "eps": 0.1, "margin": 0.2}),
        ("ccl", {"margin": 0.2}),
    ):
        ((low, high),) = slopes_of(LOSSES[name](**settings).bind(1, 9), batch).weights
        ratios[name] = high / low
    # exp(.5 / .2); (.1 + .6) / (.1 + .1); 1.
    assert ratios == pytest.approx({"softmax": math.exp(2.5), "drrl": 3.5, "ccl": 1.0}, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "other"),
    [
        (LOSSES["gbce"](calibration=0.0), LOSSES["bce"]()),
        (LOSSES["t_ce"](drop=0.0), LOSSES["bce"]()),
        (LOSSES["r_ce"](power=0.0), LOSSES["bce"]()),
    ],
    ids=["gbce", "t_ce", "r_ce"],
)
def test_each_cross_entropy_has_a_setting_at_which_it_is_bce(loss, other):
    assert_equal(evaluated(loss), evaluated(other))


def test_sl_at_k_at_a_flat_weight_is_half_the_softmax():
    flat = LOSSES["sl_at_k"](tau_d=0.2, tau_w=1e12)
    assert_equal(evaluated(flat), evaluated(LOSSES["softmax"](tau=0.2)), factor=0.5)
