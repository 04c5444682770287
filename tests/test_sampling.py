"""Negatives: uniform over what a user has not met, and contaminated at the rate that is asked."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from robustbench_rec import Interactions, Split
from robustbench_rec.sampling import NegativeSampler
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import toy_split

UNLIKELY = 1e-3
"""A fair sampler falls under it once in a thousand seeds; the seeds here are fixed."""


def split_of(met: dict[int, list[int]], n_users: int, n_items: int, **pools) -> Split:
    """Return a split of training pairs alone, with the pool of false negatives that is given."""
    train = pairs(met, n_users, n_items)
    pool = pairs(pools.get("pool", {}), n_users, n_items)
    split = Split.of(train, train.none(), train.none(), false_negatives=pool)
    return replace(split, contamination=pools.get("contamination", 0.0))


def pairs(by_user: dict[int, list[int]], n_users: int, n_items: int) -> Interactions:
    users = [user for user, items in by_user.items() for _ in items]
    items = [item for items in by_user.values() for item in items]
    return Interactions.of(users, items, n_users, n_items)


def draw(split: Split, user: int, n: int, seed: int = 0) -> np.ndarray:
    return NegativeSampler(split, rng_for(seed, "test")).draw(np.array([user]), n)[0]


@pytest.mark.parametrize("met", [[], [1, 5, 8, 12], list(range(11))])
def test_draws_are_uniform_over_the_items_not_met(met):
    split = split_of({1: met, 0: [3]}, n_users=2, n_items=13)
    counts = np.bincount(draw(split, user=1, n=20_000), minlength=13)
    unmet = np.setdiff1d(np.arange(13), met)
    assert counts[met].sum() == 0
    assert chisquare(counts[unmet]).pvalue > UNLIKELY


def test_training_items_are_never_drawn_for_any_user():
    split = toy_split()
    users = np.tile(np.arange(split.n_users), 20)
    drawn = NegativeSampler(split, rng_for(0)).draw(users, 50)
    assert drawn.shape == (1200, 50)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < split.n_items
    assert not split.train.holds(users[:, None], drawn).any()


def test_what_is_held_out_may_be_drawn_as_an_item_never_met():
    split = toy_split()
    users = np.arange(split.n_users)
    drawn = NegativeSampler(split, rng_for(0)).draw(users, 300)
    for part in (split.valid, split.test, split.false_negatives):
        assert np.isin(part.keys, users[:, None] * split.n_items + drawn).all()


@pytest.mark.parametrize("n_items", [1, 2, 7, 8, 9, 15, 16, 17])
def test_the_only_item_left_is_drawn_in_a_catalogue_of_any_size(n_items):
    for left in {0, n_items // 2, n_items - 1}:
        met = [item for item in range(n_items) if item != left]
        split = split_of({0: met}, n_users=1, n_items=n_items)
        assert (draw(split, user=0, n=20) == left).all()


def test_users_beyond_the_first_block_of_bits_have_their_own_items_excluded():
    n_users, n_items = 4099, 3
    split = split_of({user: [user % 3] for user in range(n_users)}, n_users, n_items)
    users = np.arange(n_users)
    drawn = NegativeSampler(split, rng_for(0)).draw(users, 8)
    assert not (drawn == users[:, None] % 3).any()


def test_one_negative_a_row():
    split = toy_split()
    users = np.arange(split.n_users)
    drawn = NegativeSampler(split, rng_for(0)).draw(users, 1)
    assert drawn.shape == (split.n_users, 1)
    assert not split.train.holds(users, drawn[:, 0]).any()


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_contamination_has_its_rate_and_is_uniform_over_the_pool(rate):
    own = [0, 3, 4, 9]
    split = split_of({0: own}, 1, 20, pool={0: own}, contamination=rate)
    drawn = draw(split, user=0, n=40_000)
    from_pool = np.isin(drawn, own)  # the items met come out in no other way
    assert abs(from_pool.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / drawn.size)
    counts = np.bincount(drawn[from_pool], minlength=20)[own]
    assert chisquare(counts).pvalue > UNLIKELY


def test_full_contamination_draws_from_the_users_own_pool_only():
    pool = {0: [1, 2], 1: [5], 2: [0, 7]}
    split = split_of({0: [0], 1: [0], 2: [1]}, 3, 8, pool=pool, contamination=1.0)
    drawn = NegativeSampler(split, rng_for(0)).draw(np.array([2, 0, 1]), 200)
    assert [set(row.tolist()) for row in drawn] == [{0, 7}, {1, 2}, {5}]


def test_a_user_without_a_pool_draws_ordinary_negatives():
    split = split_of({0: [0], 1: [0, 1, 2]}, 2, 11, pool={0: [0]}, contamination=1.0)
    counts = np.bincount(draw(split, user=1, n=20_000), minlength=11)
    assert counts[:3].sum() == 0
    assert chisquare(counts[3:]).pvalue > UNLIKELY


def test_a_higher_rate_contaminates_the_same_slots_and_more():
    own = [0, 3, 4, 9]
    clean, low, high = (
        draw(split_of({0: own}, 1, 20, pool={0: own}, contamination=rate), user=0, n=2000)
        for rate in (0.0, 0.2, 0.5)
    )
    assert np.all((low == clean) | np.isin(low, own))
    assert np.all(np.isin(high, own) | ~np.isin(low, own))


def test_draws_depend_on_the_generator_alone():
    split = replace(toy_split(), contamination=0.3)
    users = np.arange(split.n_users)
    one, two, other = (NegativeSampler(split, rng_for(seed)) for seed in (0, 0, 1))
    for _ in range(2):
        first, second = one.draw(users, 7), two.draw(users, 7)
        np.testing.assert_array_equal(first, second)
        assert (first != other.draw(users, 7)).any()


def test_a_user_who_has_met_every_item_is_named():
    split = split_of({0: [0], 3: [0, 1, 2]}, n_users=5, n_items=3)
    with pytest.raises(ValueError, match="user 3 has met every item"):
        NegativeSampler(split, rng_for(0))
