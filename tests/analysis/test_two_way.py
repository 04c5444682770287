"""The variance over users and replicates: closed forms, limits, and what its intervals cover."""

import numpy as np
import pytest
from scipy import stats

from robustbench_rec.analysis.two_way import LEAST, variance


def crossed(rng, users, replicates, of_users, of_replicates, of_both, missing=0.0):
    """Draw (R, U) values around 0 of crossed effects with these deviations."""
    values = of_users * rng.standard_normal(users) + of_both * rng.standard_normal(
        (replicates, users)
    )
    values += of_replicates * rng.standard_normal((replicates, 1))
    values[rng.random(values.shape) < missing] = np.nan
    return values


def influence(values):
    """Return the influence of values on the mean over replicates of their means over users."""
    tested = ~np.isnan(values)
    weights = tested / tested.sum(axis=1, keepdims=True) / len(values)
    mean = np.nanmean(values, axis=1).mean()
    return np.where(tested, weights * (values - mean), np.nan), mean


def mean_squares(values):
    """Return MS of users, replicates and the rest, as textbooks have them."""
    replicates, users = values.shape
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = values - rows - columns + values.mean()
    return (
        replicates * columns.var(ddof=1),
        users * rows.var(ddof=1),
        float((rest**2).sum()) / ((users - 1) * (replicates - 1)),
    )


@pytest.mark.parametrize("spread", [(0.3, 0.1, 0.2), (0.3, 0.0, 0.05), (0.0, 0.2, 0.1), (0, 0, 1)])
@pytest.mark.parametrize("shape", [(40, 2), (40, 5), (3, 10)])
def test_balanced_values_have_the_two_way_analysis_of_variance(spread, shape):
    values = crossed(np.random.default_rng(sum(shape)), *shape, *spread)
    users, replicates, rest = mean_squares(values)
    found, n = variance(influence(values)[0]), values.size
    assert found.of_users == pytest.approx(users / n)
    assert found.of_replicates == pytest.approx(replicates / n)
    assert found.of_both == pytest.approx(rest / n)
    most = max(users + replicates - rest, users, replicates)
    assert found.total == pytest.approx(most / n)
    df = (shape[0] - 1, shape[1] - 1, (shape[0] - 1) * (shape[1] - 1))
    spent = sum(ms**2 / of for ms, of in zip((users, replicates, rest), df, strict=True))
    assert found.df == pytest.approx(most**2 / spent)
    low, high = found.interval(0.5)
    half = stats.t.ppf(0.975, most**2 / spent) * np.sqrt(most / n)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half))


def test_one_replicate_is_over_users_only():
    values = np.random.default_rng(0).random((1, 50))
    found = variance(influence(values)[0])
    assert found.total == pytest.approx(stats.sem(values[0]) ** 2)
    assert found.df == pytest.approx(49)
    assert np.isnan(found.of_replicates)


@pytest.mark.parametrize("replicates", [1, 2, 3, 8])
def test_one_user_is_over_replicates_only_from_three_on(replicates):
    values = np.random.default_rng(0).random((replicates, 1))
    found = variance(influence(values)[0])
    if replicates < LEAST:
        assert np.isnan([found.total, found.df, *found.interval(0.5)]).all()
    else:
        assert found.total == pytest.approx(stats.sem(values[:, 0]) ** 2)
        assert found.df == pytest.approx(replicates - 1)


def test_nothing_and_equal_values():
    assert np.isnan(variance(np.full((3, 4), np.nan)).total)
    flat = variance(np.zeros((3, 4)))
    assert (flat.total, flat.df) == (0.0, np.inf)
    assert flat.interval(0.25) == (0.25, 0.25)


def test_missing_users_are_left_out_and_a_user_or_replicate_without_values_changes_nothing():
    values = crossed(np.random.default_rng(1), 30, 4, 0.2, 0.1, 0.1, missing=0.3)
    found = variance(influence(values)[0])
    wider = np.full((5, 32), np.nan)
    wider[:4, :30] = influence(values)[0]
    assert variance(wider) == found


@pytest.mark.parametrize("missing", [0.0, 0.2, 0.6])
def test_the_rest_is_that_of_a_least_squares_fit_of_users_and_replicates(missing):
    values = crossed(np.random.default_rng(2), 25, 4, 0.2, 0.1, 0.3, missing)
    psi, _ = influence(values)
    rows, columns = np.nonzero(~np.isnan(psi))
    held = psi[rows, columns]
    design = np.hstack([np.eye(4)[rows], np.eye(25)[columns]])
    fit, _, rank, _ = np.linalg.lstsq(design, held, rcond=None)
    rest = ((held - design @ fit) ** 2).sum() / (held.size - rank)
    assert variance(psi).of_both == pytest.approx(held.size * rest, rel=1e-6)


def test_the_pigeonhole_bootstrap_agrees_up_to_its_known_bias():
    """Users and replicates drawn anew, apart, with replacement (Owen, 2007).

    Its variance of a mean is (1 - 1/R) (1 - 1/U) (of_replicates + of_users) + sum psi^2: too little
    of the replicates, and the rest about three times, which `total` counts once.
    """
    rng, n = np.random.default_rng(3), 20_000
    psi, _ = influence(crossed(rng, 60, 4, 0.2, 0.1, 0.3))
    replicates, users = (rng.multinomial(size, [1 / size] * size, n) for size in psi.shape)
    moved = np.square(np.einsum("nr,ru,nu->n", replicates, psi, users))
    found = variance(psi)
    expected = 3 / 4 * 59 / 60 * (found.of_replicates + found.of_users) + np.square(psi).sum()
    assert moved.mean() == pytest.approx(expected, abs=4 * moved.std() / np.sqrt(n))


@pytest.mark.simulation
@pytest.mark.parametrize("missing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("replicates", [3, 5, 10])
@pytest.mark.parametrize(
    "spread", [(0.25, 0.004, 0.15), (0.1, 0.002, 0.2), (0.02, 0.01, 0.1), (0.0, 0.01, 0.05)]
)
def test_intervals_cover(spread, replicates, missing):
    rng, n = np.random.default_rng(0), 2000
    hits = 0
    for _ in range(n):
        psi, mean = influence(crossed(rng, 300, replicates, *spread, missing))
        low, high = variance(psi).interval(mean)
        hits += low <= 0 <= high
    assert 0.93 - 2 * np.sqrt(0.05 * 0.95 / n) <= hits / n <= 0.985


@pytest.mark.parametrize("shape", [(5, 40), (2, 3), (1, 9), (4, 1)])
def test_a_user_whom_no_replicate_tests_changes_nothing(shape):
    psi = np.random.default_rng(3).standard_normal(shape)
    psi -= psi.mean()
    beside = variance(np.column_stack([psi, np.full(shape[0], np.nan)]))
    whole = variance(psi)
    for name in ("of_users", "of_replicates", "of_both"):
        assert getattr(whole, name) == pytest.approx(getattr(beside, name), rel=1e-12, nan_ok=True)
