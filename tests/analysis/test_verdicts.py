"""Verdicts: what they say, that a family has one error rate, and what would decide."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from robustbench_rec.analysis.estimate import Estimate
from robustbench_rec.analysis.verdicts import (
    ALPHA,
    SOME_USERS,
    holm,
    judged,
    p_different,
    p_equivalent,
    smallest_region,
)


def estimate(values):
    """Return the mean over (R, U) values, all there."""
    mean = values.mean()
    return Estimate(float(mean), (values - mean) / values.size)


def drawn(rng, of_users=0.1, of_replicates=0.01, of_both=0.1, shape=(5, 200), mean=0.0):
    values = of_users * rng.standard_normal(shape[1]) + of_both * rng.standard_normal(shape)
    return values + of_replicates * rng.standard_normal((shape[0], 1)) + mean


def test_holm_by_hand():
    # .01 x 4, .02 x 3, then .03 x 2 raised to .06, and .5 alone.
    assert holm([0.02, 0.5, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.9, float("nan")]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("n", [1, 2, 7, 200])
def test_holm_is_that_of_statsmodels(n):
    p = np.random.default_rng(n).random(n).round(2) ** 3  # some are equal, some 0
    assert holm(p).tolist() == pytest.approx(multipletests(p, method="holm")[1].tolist())


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
def test_equivalence_is_the_paired_test_of_statsmodels(margin):
    one, other = np.random.default_rng(4).normal([0.30, 0.31], 0.02, (8, 2)).T
    expected, _, _ = ttost_paired(one, other, -margin, margin)
    found = estimate(one[:, None]) - estimate(other[:, None])
    assert p_equivalent(found, margin) == pytest.approx(expected)


def test_p_values_are_those_of_t_tests():
    values = np.array([[0.1], [0.2], [0.15], [0.3], [0.05]])
    one, flat = estimate(values), values[:, 0]
    assert p_different(one) == pytest.approx(stats.ttest_1samp(flat, 0).pvalue)
    upper = stats.ttest_1samp(flat, 0.5, alternative="less").pvalue
    assert p_equivalent(one, 0.5) == pytest.approx(upper)
    assert p_equivalent(one, 0.1) > 0.5  # the difference itself lies beyond
    low, high = stats.t.interval(0.9, 4, flat.mean(), stats.sem(flat))
    assert smallest_region(one) == pytest.approx(max(abs(low), abs(high)))
    assert p_equivalent(one, smallest_region(one)) == pytest.approx(ALPHA)


def test_the_four_words():
    rng = np.random.default_rng(0)
    worlds = [
        drawn(rng, mean=0.2),
        drawn(rng, mean=-0.2),
        drawn(rng, 0.001, 0.0001, 0.001, mean=0.005),
        drawn(rng, mean=0.003),
    ]
    found = judged([estimate(one) for one in worlds], [0.4] * 4)
    assert [one.word for one in found] == ["higher", "lower", "equivalent", "undecided"]
    assert found[2].p < ALPHA  # the difference is there too: equivalence wins
    assert [bool(one.decides) for one in found] == [False, False, False, True]


def test_without_spread_nothing_is_decided_but_that_equals_are_equal():
    flat = np.zeros((3, 4))
    same, other, unknown = Estimate(0.0, flat), Estimate(0.1, flat), Estimate(0.1, flat[:1, :1])
    found = judged([same, other, unknown], [0.4] * 3)
    assert [one.word for one in found] == ["equivalent", "undecided", "undecided"]
    assert found[0].equal_within == 0
    assert found[2].decides == "3 replicates at least, to see their spread"


def test_users_may_decide_where_no_number_of_replicates_does():
    rng = np.random.default_rng(1)
    users = drawn(rng, of_users=0.3, of_replicates=0.0, of_both=0.01, mean=0.02)
    (found,) = judged([estimate(users)], [0.0])
    assert (found.word, found.decides) == ("undecided", SOME_USERS)


def test_so_many_replicates_as_are_said_decide():
    """Where replicates are all the spread, it is the number of a t test at the family's level."""
    rng = np.random.default_rng(2)
    values = np.repeat(rng.standard_normal((6, 1)) * 0.1 + 0.05, 50, axis=1)
    one = estimate(values)
    (found,) = judged([one], [0.0])
    needed = int(found.decides.split()[1])
    spread = values[:, 0].std(ddof=1)

    def p_of(n):
        return 2 * stats.t.sf(one.value / (spread / np.sqrt(n)), n - 1)

    assert p_of(needed) <= ALPHA / 2 < p_of(needed - 1)


def test_where_users_are_all_the_spread_p_values_are_those_of_a_t_test_over_users():
    rng = np.random.default_rng(3)
    users = np.repeat(0.3 * rng.standard_normal((1, 80)) + 0.05, 4, axis=0)
    expected = stats.ttest_1samp(users[0], 0).pvalue
    assert p_different(estimate(users)) == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def words_alone(monkeypatch) -> None:
    """Let no verdict say what would decide it, or what region, which takes far longer."""
    monkeypatch.setattr("robustbench_rec.analysis.verdicts.what_decides", lambda *_: "")
    monkeypatch.setattr("robustbench_rec.analysis.verdicts.smallest_region", lambda _: 0.0)


@pytest.mark.simulation
@pytest.mark.usefixtures("words_alone")
@pytest.mark.parametrize("replicates", [2, 3, 5])
@pytest.mark.parametrize("of_replicates", [0.004, 0.02, 0.2])
def test_families_keep_their_error_whatever_share_of_the_spread_replicates_have(
    replicates, of_replicates
):
    """Seventy differences that are independent nulls, of 100 users."""
    rng, families, wrong = np.random.default_rng(0), 200, 0
    for _ in range(families):
        nulls = [drawn(rng, 0.05, of_replicates, 0.1, (replicates, 100)) for _ in range(70)]
        told = judged([estimate(one) for one in nulls], [0.0] * 70)
        wrong += any(one.word in ("higher", "lower") for one in told)
    assert wrong / families <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / families), wrong / families


@pytest.mark.simulation
@pytest.mark.usefixtures("words_alone")
@pytest.mark.parametrize("replicates", [3, 5, 10])
def test_null_worlds_have_a_false_verdict_at_most_as_often_as_said(replicates):
    """15 losses under 5 perturbations, all alike: each less the first, at 0, at the end, kept."""
    rng, worlds, wrong = np.random.default_rng(0), 1000, 0
    for _ in range(worlds):
        easy = 0.25 * rng.standard_normal(150)
        losses = [easy + drawn(rng, 0.05, 0.004, 0.1, (replicates, 150)) for _ in range(15)]
        found = []
        for _ in range(5):
            harmed = [one + drawn(rng, 0.05, 0.004, 0.1, one.shape) for one in losses]
            found += [estimate(one - harmed[0]) for one in harmed[1:]]
        found += [estimate(one - losses[0]) for one in losses[1:]]
        told = judged(found, [0.0] * len(found))
        wrong += any(one.word in ("higher", "lower") for one in told)
    assert wrong / worlds <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / worlds)


@pytest.mark.simulation
@pytest.mark.usefixtures("words_alone")
def test_differences_at_the_edge_of_the_region_are_called_equivalent_at_most_as_often_as_said():
    rng, worlds, wrong = np.random.default_rng(0), 1000, 0
    for _ in range(worlds):
        found = [estimate(drawn(rng, 0.02, 0.001, 0.02, mean=0.008)) for _ in range(14)]
        wrong += any(one.word == "equivalent" for one in judged(found, [0.4] * 14))
    assert wrong / worlds <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / worlds)
