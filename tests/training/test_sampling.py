"""Negatives: uniform over what a user has not met, and contaminated at the rate that is asked."""

from dataclasses import replace

import numpy as np
import pytest
import threads
from scipy.stats import chisquare

from robustbench_rec import Interactions, Split
from robustbench_rec.seeds import rng_for, seed_for
from robustbench_rec.testing import toy_split
from robustbench_rec.training import sampling
from robustbench_rec.training.sampling import NegativeSampler, with_negatives

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
    """Return n negatives of a user's first training pair."""
    return NegativeSampler(split, seed).draw(1, split.train.starts[[user]], n)[0, 1:]


def draw_for_all(split: Split, n: int, seed: int = 0, epoch: int = 1) -> np.ndarray:
    """Return n negatives of every training pair: (len(train), n)."""
    return NegativeSampler(split, seed).draw(epoch, np.arange(len(split.train)), n)[:, 1:]


@pytest.mark.parametrize("met", [[4], [1, 5, 8, 12], list(range(11))])
def test_draws_are_uniform_over_the_items_not_met(met):
    split = split_of({1: met, 0: [3]}, n_users=2, n_items=13)
    counts = np.bincount(draw(split, user=1, n=20_000), minlength=13)
    unmet = np.setdiff1d(np.arange(13), met)
    assert counts[met].sum() == 0
    assert chisquare(counts[unmet]).pvalue > UNLIKELY


def test_the_positive_stands_first_and_training_items_are_never_drawn():
    split = toy_split()
    rows = np.arange(len(split.train))[::-1]
    drawn = NegativeSampler(split, 0).draw(1, rows, 50)
    assert drawn.shape == (len(split.train), 51)
    assert drawn.dtype == np.int32
    np.testing.assert_array_equal(drawn[:, 0], split.train.items[rows])
    assert drawn.min() >= 0
    assert drawn.max() < split.n_items
    assert not split.train.holds(split.train.users[rows][:, None], drawn[:, 1:]).any()


def test_what_is_held_out_may_be_drawn_as_an_item_never_met():
    split = toy_split()
    drawn = draw_for_all(split, 300)
    for part in (split.valid, split.test, split.false_negatives):
        assert np.isin(part.keys, split.train.users[:, None] * split.n_items + drawn).all()


@pytest.mark.parametrize("n_items", [2, 7, 8, 9, 63, 64, 65, 129])
def test_the_only_item_left_is_drawn_in_a_catalogue_of_any_size(n_items):
    for left in {0, n_items // 2, n_items - 1}:
        met = [item for item in range(n_items) if item != left]
        split = split_of({0: met}, n_users=1, n_items=n_items)
        assert (draw(split, user=0, n=20) == left).all()


def test_every_user_has_their_own_items_excluded_in_a_large_batch():
    n_users, n_items = 4099, 3
    split = split_of({user: [user % 3] for user in range(n_users)}, n_users, n_items)
    assert not (draw_for_all(split, 8) == np.arange(n_users)[:, None] % 3).any()


def test_draws_are_uniform_where_most_of_the_catalogue_was_met():
    met = [item for item in range(400) if item % 37]
    split = split_of({0: met}, n_users=1, n_items=400)
    counts = np.bincount(draw(split, user=0, n=20_000), minlength=400)
    assert counts[met].sum() == 0
    assert chisquare(counts[::37]).pvalue > UNLIKELY


def test_slots_rows_and_epochs_do_not_depend_on_each_other():
    split = split_of({user: [0] for user in range(200)}, n_users=200, n_items=11)
    first, second = (draw_for_all(split, 200, epoch=epoch) - 1 for epoch in (1, 2))
    for one, two in (
        (first, second),
        (first[:-1], first[1:]),
        (first[:, :-1], first[:, 1:]),
        (first[:, 0::2], first[:, 1::2]),
    ):
        together = np.bincount(10 * one.ravel() + two.ravel(), minlength=100)
        assert chisquare(together).pvalue > UNLIKELY


def test_one_negative_a_row():
    split = toy_split()
    drawn = draw_for_all(split, 1)
    assert drawn.shape == (len(split.train), 1)
    assert not split.train.holds(split.train.users, drawn[:, 0]).any()


def test_a_loss_that_wants_no_negatives_gets_the_positives_alone():
    index = NegativeSampler(toy_split(), 0).draw(1, np.arange(5), 0)
    assert index.tolist() == [[item] for item in toy_split().train.items[:5]]


def test_fewer_negatives_than_none_are_refused():
    with pytest.raises(ValueError, match="-1 negatives for each positive; at least 0"):
        NegativeSampler(toy_split(), 0).draw(1, np.arange(5), -1)


def test_no_row_draws_nothing():
    assert NegativeSampler(toy_split(), 0).draw(1, np.arange(0), 5).shape == (0, 6)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_contamination_has_its_rate_and_is_uniform_over_the_pool(rate):
    own = [0, 3, 4, 9]
    split = split_of({0: own}, 1, 20, pool={0: own}, contamination=rate)
    drawn = draw(split, user=0, n=40_000)
    from_pool = np.isin(drawn, own)  # the items met come out in no other way
    assert abs(from_pool.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / drawn.size)
    counts = np.bincount(drawn[from_pool], minlength=20)[own]
    assert chisquare(counts).pvalue > UNLIKELY
    others = np.setdiff1d(np.arange(20), own)  # which slots are chosen says nothing of the rest
    assert chisquare(np.bincount(drawn[~from_pool], minlength=20)[others]).pvalue > UNLIKELY


def test_full_contamination_draws_from_the_users_own_pool_only():
    pool = {0: [1, 2], 1: [5], 2: [0, 7]}
    split = split_of({0: [0], 1: [0], 2: [1]}, 3, 8, pool=pool, contamination=1.0)
    drawn = draw_for_all(split, 200)
    assert [set(row.tolist()) for row in drawn] == [{1, 2}, {5}, {0, 7}]


def test_a_user_without_a_pool_draws_ordinary_negatives():
    split = split_of({0: [0], 1: [0, 1, 2]}, 2, 11, pool={0: [0]}, contamination=1.0)
    counts = np.bincount(draw(split, user=1, n=20_000), minlength=11)
    assert counts[:3].sum() == 0
    assert chisquare(counts[3:]).pvalue > UNLIKELY


@pytest.mark.parametrize("place", range(4))
def test_a_spared_positive_is_never_drawn_and_the_others_are_as_likely(place):
    own = [0, 3, 4, 9]
    split = split_of({0: own}, 1, 20, pool={0: own}, contamination=0.5)
    split = replace(split, spares_positive=True)
    drawn = NegativeSampler(split, 0).draw(1, np.array([place]), 40_000)[0]
    assert drawn[0] == own[place]
    from_pool = np.isin(drawn[1:], own)
    assert abs(from_pool.mean() - 0.5) < 4 * np.sqrt(0.25 / 40_000)
    counts = np.bincount(drawn[1:][from_pool], minlength=20)[own]
    assert counts[place] == 0
    assert chisquare(np.delete(counts, place)).pvalue > UNLIKELY
    others = np.bincount(drawn[1:][~from_pool], minlength=20)
    assert chisquare(np.delete(others, own)).pvalue > UNLIKELY


def test_a_row_whose_pool_is_its_positive_alone_draws_ordinary_negatives():
    split = split_of({0: [5], 1: [2, 5]}, 2, 9, pool={0: [5], 1: [2, 5]}, contamination=1.0)
    drawn = draw_for_all(replace(split, spares_positive=True), 4000)
    assert 5 not in drawn[0]
    np.testing.assert_array_equal(
        drawn[0], draw_for_all(replace(split, contamination=0.0), 4000)[0]
    )
    assert set(drawn[1]) == {5}
    assert set(drawn[2]) == {2}


def test_sparing_the_positive_changes_nothing_where_no_pool_holds_it():
    split = replace(toy_split(), contamination=0.4)
    spared = draw_for_all(replace(split, spares_positive=True), 30)
    np.testing.assert_array_equal(spared, draw_for_all(split, 30))


def test_a_higher_rate_contaminates_the_same_slots_and_more():
    own = [0, 3, 4, 9]
    clean, low, high = (
        draw(split_of({0: own}, 1, 20, pool={0: own}, contamination=rate), user=0, n=2000)
        for rate in (0.0, 0.2, 0.5)
    )
    assert np.all((low == clean) | np.isin(low, own))
    assert np.all(np.isin(high, own) | ~np.isin(low, own))


def test_a_draw_depends_on_seed_epoch_row_and_slot_alone():
    split = replace(toy_split(), contamination=0.3)
    whole = draw_for_all(split, 9)
    rows = rng_for(0, "some rows").permutation(len(split.train))[:50]
    sampler = NegativeSampler(split, 0)
    sampler.draw(4, rows, 3)  # of no influence
    np.testing.assert_array_equal(sampler.draw(1, rows, 7)[:, 1:], whole[rows, :7])
    assert (draw_for_all(split, 9, seed=1) != whole).mean() > 0.5
    assert (draw_for_all(split, 9, epoch=2) != whole).mean() > 0.5


def test_any_number_of_threads_draws_the_same():
    split = replace(toy_split(), contamination=0.3)
    with threads.using(1):
        one = draw_for_all(split, 9)
    with threads.using(threads.MOST):
        np.testing.assert_array_equal(draw_for_all(split, 9), one)


def test_a_user_who_has_met_every_item_is_named():
    split = split_of({0: [0], 3: [0, 1, 2]}, n_users=5, n_items=3)
    with pytest.raises(ValueError, match="user 3 has met every item"):
        NegativeSampler(split, 0)


def test_pairs_without_a_negative_are_left_out():
    split = split_of({0: [0], 3: [0, 1, 2], 4: [1, 2]}, n_users=5, n_items=3)
    left = with_negatives(split)
    assert left.train == pairs({0: [0], 4: [1, 2]}, 5, 3)
    assert left.seen == split.seen
    assert with_negatives(left) is left
    with pytest.raises(ValueError, match="every user has met every item"):
        with_negatives(split_of({1: [0, 1]}, n_users=2, n_items=2))


MASK = 2**64 - 1
STEP, MIX = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def mixed(z: int) -> int:
    """Return SplitMix64's finaliser, in Python's integers."""
    for shift, factor in ((30, MIX[0]), (27, MIX[1])):
        z = (z ^ (z >> shift)) * factor & MASK
    return z ^ (z >> 31)


def below(bits: int, n: int) -> int:
    """Return an integer below n from 64 bits, from others where the first are one too many."""
    while ((bits >> 32) * n) % 2**32 < 2**32 % n:
        bits = mixed((bits + STEP) & MASK)
    return (bits >> 32) * n >> 32


def drawn_slowly(split: Split, seed: int, epoch: int, row: int, n: int) -> list[int]:
    """Return a row's negatives by the definition, slot by slot."""
    user = split.train.users[row]
    met = split.train.items[split.train.users == user].tolist()
    pool = split.false_negatives.items[split.false_negatives.users == user].tolist()
    if split.spares_positive:
        pool = [item for item in pool if item != split.train.items[row]]
    left = sorted(set(range(split.n_items)) - set(met))
    found = []
    for slot in range(1, n + 1):
        bits = _bits_of(seed, epoch, "negatives", row, slot)
        product = (bits >> 32) * split.n_items
        item = product >> 32
        if product % 2**32 < 2**32 % split.n_items or item in met:
            item = left[below(mixed((bits + STEP) & MASK), len(left))]
        bits = _bits_of(seed, epoch, "contamination", row, slot)
        if pool and (bits >> 11) * 2.0**-53 < split.contamination:
            item = pool[below(mixed((bits + STEP) & MASK), len(pool))]
        found.append(item)
    return found


def _bits_of(seed: int, epoch: int, what: str, row: int, slot: int) -> int:
    state = mixed(seed_for(seed, epoch, what) ^ mixed((row + STEP) & MASK))
    return mixed((state + slot * STEP) & MASK)


def mixed_world() -> Split:
    """Return users who have met little, some and nearly all of 200 items, with their pools."""
    met = {0: [7], 1: list(range(0, 200, 20)), 2: list(range(0, 200, 3)), 3: list(range(198))}
    pool = {0: [3, 9, 190], 2: [1, 4], 3: [198]}
    return split_of(met, n_users=4, n_items=200, pool=pool)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("contamination", [0.0, 1 / 3, 1.0])
@pytest.mark.parametrize("n", [1, 3, sampling.FEW, sampling.FEW + 1, 64, 700])
def test_every_way_to_draw_gives_what_is_defined(n, contamination, kept, monkeypatch):
    """Few and many negatives, users who met little and much, marks kept or not: the same."""
    if not kept:
        monkeypatch.setattr(sampling, "KEPT_BYTES", 0)
    split = replace(mixed_world(), contamination=contamination)
    rows = split.train.starts[:-1]
    drawn = NegativeSampler(split, 5).draw(2, rows, n)
    for row, found in zip(rows.tolist(), drawn, strict=True):
        assert found[1:].tolist() == drawn_slowly(split, 5, 2, row, n)


@pytest.mark.parametrize("spares", [True, False])
@pytest.mark.parametrize("n", [3, 64])
def test_a_pool_of_own_positives_is_drawn_from_as_is_defined(n, spares):
    world = mixed_world()
    split = replace(world, false_negatives=world.train, contamination=2 / 3, spares_positive=spares)
    rows = np.arange(0, len(split.train), 7)
    for row, found in zip(rows.tolist(), NegativeSampler(split, 5).draw(2, rows, n), strict=True):
        assert found[1:].tolist() == drawn_slowly(split, 5, 2, row, n)
