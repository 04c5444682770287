"""Estimates: what they are, and that their influence is their slope in each user's value."""

import numpy as np
import pytest

from robustbench_rec.analysis.estimate import Estimate, Values, estimates, in_common
from robustbench_rec.analysis.measures import MEASURES, Curve, measured


def values(rng, low, weights=None, replicates=(0, 1, 2), users=20):
    """Draw values of users, weighed or not."""
    drawn = low + 0.2 * rng.random((len(replicates), users))
    return of(drawn, weights, replicates)


def of(drawn, weights=None, replicates=(0, 1, 2)):
    weights = np.ones_like(drawn) if weights is None else weights
    weights = weights / weights.sum(axis=1, keepdims=True)
    means = (weights * drawn).sum(axis=1)
    return Values(replicates, means, weights, drawn - means[:, None])


@pytest.mark.parametrize("name", ["value", "retention", "excess", "kept", "excess_kept"])
@pytest.mark.parametrize("weighted", [False, True])
def test_influence_is_the_slope_in_the_weight_of_a_user(name, weighted):
    """The infinitesimal jackknife: weigh a user of a replicate by 1 + h, and see what moves."""
    rng = np.random.default_rng(0)
    shape, levels = (3, 20), (0.0, 0.1, 0.5)
    weights = rng.random(shape) + 0.5 if weighted else np.ones(shape)
    drawn = {level: 0.4 - 0.3 * level + 0.2 * rng.random(shape) for level in levels}
    baseline = {level: 0.1 - 0.1 * level + 0.05 * rng.random(shape) for level in levels}

    def estimate(more):
        """Weigh users by `more` in each replicate, and replicates by what their users weigh."""
        of_replicate = (weights * more).sum(axis=1) / weights.sum(axis=1)
        of_replicate = of_replicate / of_replicate.sum()
        own = weights * more / (weights * more).sum(axis=1, keepdims=True)
        at = {x: float(of_replicate @ (own * one).sum(axis=1)) for x, one in drawn.items()}
        base = {x: float(of_replicate @ (own * one).sum(axis=1)) for x, one in baseline.items()}
        if name == "value":
            return at[0.5]
        if name in ("retention", "kept"):
            height = [at[x] / at[0.0] for x in levels]
        else:
            height = [(at[x] - base[x]) / (at[0.0] - base[0.0]) for x in levels]
        if "kept" not in name:
            return height[-1]
        return (0.1 * (height[0] + height[1]) / 2 + 0.4 * (height[1] + height[2]) / 2) / 0.5

    curve = Curve(
        {level: of(one, weights) for level, one in drawn.items()},
        {level: of(one, weights) for level, one in baseline.items()},
    )
    (found,) = measured(MEASURES[name], [curve], levels)
    assert found.value == pytest.approx(estimate(np.ones(shape)))
    assert np.nansum(found.influence) == pytest.approx(0, abs=1e-12)
    for replicate, user in ((0, 0), (1, 7), (2, 19)):
        more = np.ones(shape)
        more[replicate, user] += 1e-6
        slope = (estimate(more) - estimate(np.ones(shape))) / 1e-6
        assert found.influence[replicate, user] == pytest.approx(slope, rel=1e-3, abs=1e-9)


def test_sums_differences_products_and_quotients():
    rng = np.random.default_rng(1)
    one, other = (values(rng, low).estimate((0, 1, 2)) for low in (0.2, 0.5))
    for found, value, mine, its in (
        (one + other, one.value + other.value, 1, 1),
        (one - other, one.value - other.value, 1, -1),
        (one * other, one.value * other.value, other.value, one.value),
        (one / other, one.value / other.value, 1 / other.value, -one.value / other.value**2),
        (one * 2.0, one.value * 2, 2, 0),
        (one / 4.0, one.value / 4, 0.25, 0),
        (one - 0.1, one.value - 0.1, 1, 0),
    ):
        assert found.value == pytest.approx(value)
        expected = mine * one.influence + its * other.influence
        np.testing.assert_allclose(found.influence, expected, rtol=1e-12)


def test_a_quotient_of_zero_is_not_defined():
    zero = Estimate(0.0, np.zeros((3, 4)))
    found = Estimate(0.5, np.zeros((3, 4))) / zero
    assert np.isnan(found.value)
    assert np.isnan(found.interval).all()


def test_a_user_whom_one_of_two_lacks_counts_where_he_is():
    one = Estimate(0.5, np.array([[1.0, np.nan, np.nan]]))
    other = Estimate(0.25, np.array([[1.0, 2.0, np.nan]]))
    np.testing.assert_array_equal((one - other).influence, [[0.0, -2.0, np.nan]])


def test_estimates_are_over_the_replicates_that_all_have():
    rng = np.random.default_rng(2)
    one = values(rng, 0.2, replicates=(0, 2, 3))
    other = values(rng, 0.2, replicates=(2, 3, 4))
    assert in_common([one, other]) == (2, 3)
    first, second = estimates(one, other)
    assert first.value == pytest.approx(one.means[1:].mean())
    assert second.value == pytest.approx(other.means[:2].mean())
    assert first.n_replicates == second.n_replicates == 2


def test_a_measure_needs_its_levels_and_its_baseline():
    rng = np.random.default_rng(3)
    whole = {level: values(rng, 0.2) for level in (0.0, 0.5)}
    assert measured(MEASURES["retention"], [Curve({0.5: whole[0.5]})], (0.5,)) is None
    assert measured(MEASURES["value"], [Curve({0.5: whole[0.5]})], (0.5,)) is not None
    assert measured(MEASURES["excess"], [Curve(whole)], (0.5,)) is None
    assert measured(MEASURES["excess"], [Curve(whole, whole)], (0.5,)) is not None
    other = {level: values(rng, 0.2, replicates=(7, 8, 9)) for level in (0.0, 0.5)}
    assert measured(MEASURES["kept"], [Curve(whole), Curve(other)], (0.0, 0.5)) is None
