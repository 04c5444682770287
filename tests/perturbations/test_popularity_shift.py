"""The shift is as asked: its formula, the law behind it, its bias, and what it leaves alone."""

from collections import defaultdict
from dataclasses import replace
from math import log, log2

import numpy as np
import pytest
import torch

from robustbench_rec import PERTURBATIONS, InputError, Interactions, Split, load_dataset
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.evaluation.ranking import evaluate, top_items
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import PerturbationContract, toy_split

SHIFT = PERTURBATIONS["popularity_shift"]
LEVELS = (0.0, 0.5, 1.0, 1.5, 2.0)
REAL = ("movielens-100k", "amazon2014-beauty", "amazon2014-health", "amazon2014-electronic")


class TestPopularityShift(PerturbationContract):
    perturbation = SHIFT
    levels = (0.1, 0.25, 0.5, 0.75)  # the toy has 60 users


def shifted(split: Split, level: float) -> Split:
    return perturb(SHIFT(level=level), split, rng_for(0))


def uneven_split(n_users: int = 400) -> Split:
    """Return a toy whose users have one test item or two."""
    split = toy_split(n_users)
    first = np.diff(split.test.users, prepend=-1) > 0
    return replace(split, test=split.test[first | (split.test.users % 3 > 0)])


def embeddings(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(5)
    return torch.tensor(rng.normal(size=(split.n_users, 4))), torch.tensor(
        rng.normal(size=(split.n_items, 4))
    )


def naive(split: Split, tables, level: float, k: int) -> tuple[float, float]:
    """Return NDCG@k and recall@k by the formula, pair after pair."""
    ndcg = recall = total = 0.0
    for user in range(split.n_users):
        items = split.test.items[split.test.users == user].tolist()
        if not items:
            continue
        listed = top_items(*tables, np.array([user]), split.seen, split.n_items)[0].tolist()
        w = {item: (split.seen.item_counts[item] + 1) ** -level for item in items}
        ranks = {item: listed.index(item) + 1 for item in items}
        d = {item: (rank <= k) / log2(1 + rank) for item, rank in ranks.items()}
        ideal = sum(1 / log2(1 + r) for r in range(1, min(k, len(items)) + 1))
        of_all = sum(w.values())
        v = of_all / len(items)
        total += v
        ndcg += v * len(items) * sum(w[i] * d[i] for i in items) / (of_all * ideal)
        recall += v * sum(w[i] * (ranks[i] <= k) for i in items) / of_all
    return ndcg / total, recall / total


def means(split: Split, tables, level: float, k: int, names=("ndcg", "recall")):
    perturbed = shifted(split, level)
    weights = perturbed.test_weights
    return evaluate(*tables, split.test, split.seen, [k], names, weights).means


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("k", [1, 5])
def test_metrics_are_those_of_the_formula(level, k):
    split = uneven_split()
    tables = embeddings(split)
    got = means(split, tables, level, k)
    assert list(got.values()) == pytest.approx(naive(split, tables, level, k), rel=1e-12)


def test_level_0_and_even_weights_are_the_plain_mean_with_the_same_bits():
    split = uneven_split()
    where = (*embeddings(split), split.test, split.seen, [3, 10])
    assert shifted(split, 0.0) is split
    plain = evaluate(*where)
    assert (
        plain.means
        == {name: float(values.mean()) for name, values in plain.per_user.items()} | plain.lists
    )
    even = SHIFT(level=0.0).apply(split, rng_for(0)).test_weights
    weighted = evaluate(*where, weights=even)
    assert weighted.means == {name: plain.means[name] for name in weighted.means}
    assert {name.partition("@")[0] for name in plain.means.keys() - weighted.means.keys()} == {
        "hit_rate",
        "mrr",
        "map",
    }


def rotations(n_items: int) -> list[torch.Tensor]:
    """Return item tables (n_items, 1), under which each item takes each place once."""
    ranks = torch.arange(n_items, dtype=torch.float64).unsqueeze(1)
    return [-ranks.roll(by, dims=0) for by in range(n_items)]


def test_what_does_not_know_popularity_keeps_all_at_every_level():
    split = toy_split(200)  # two test items a user
    unmasked = split.seen.none()
    users = torch.ones(split.n_users, 1, dtype=torch.float64)
    kept = defaultdict(list)
    for level in LEVELS:
        weights = shifted(split, level).test_weights
        for items in rotations(split.n_items):
            names = ("ndcg", "recall", "precision")
            found = evaluate(users, items, split.test, unmasked, [5], names, weights)
            kept[level].append(list(found.means.values()))
    clean = np.mean(kept[0.0], axis=0)
    for level in LEVELS:
        np.testing.assert_allclose(np.mean(kept[level], axis=0), clean, rtol=1e-12)


@pytest.mark.slow
def test_random_rankings_keep_all_within_their_standard_error():
    split = uneven_split()
    rng, n_rankings = np.random.default_rng(11), 200
    found = defaultdict(list)
    weights = {level: shifted(split, level).test_weights for level in LEVELS}
    for _ in range(n_rankings):
        tables = (
            torch.tensor(rng.normal(size=(split.n_users, 8))),
            torch.tensor(rng.normal(size=(split.n_items, 8))),
        )
        for level, of_level in weights.items():
            where = (*tables, split.test, split.seen.none(), [5], ["recall"])
            found[level].append(evaluate(*where, weights=of_level).means["recall@5"])
    clean = np.array(found[0.0])
    for level in LEVELS[1:]:
        lost = np.array(found[level]) - clean
        assert abs(lost.mean()) < 3 * lost.std(ddof=1) / np.sqrt(n_rankings)


def law_of(split: Split, level: float) -> dict[int, float]:
    """Return item -> chance in the law of a level, pair after pair."""
    counts, popularity = split.test.user_counts.tolist(), split.seen.item_counts.tolist()
    law = defaultdict(float)
    for user, item in zip(split.test.users.tolist(), split.test.items.tolist(), strict=True):
        law[item] += (popularity[item] + 1) ** -level / counts[user]
    total = sum(law.values())
    return {item: chance / total for item, chance in law.items()}


def fifth_of(split: Split, law: dict[int, float]) -> float:
    """Return the law's share on the most popular fifth, averaged over orders of tied items."""
    popularity, shares = split.seen.item_counts, []
    for seed in range(400):
        order = np.lexsort((np.random.default_rng(seed).random(split.n_items), -popularity))
        shares.append(sum(law.get(item, 0.0) for item in order[: split.n_items // 5].tolist()))
    return float(np.mean(shares))


def realised(split: Split, level: float) -> dict[str, float]:
    return SHIFT(level=level).realised(split, shifted(split, level))


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_realised_is_of_the_law_by_brute_force(level):
    split = uneven_split()
    even, law, got = law_of(split, 0.0), law_of(split, level), realised(split, level)
    assert list(got) == ["exponent", "kl", "effective_users", "popular_fifth"]
    assert got["exponent"] == level
    divergence = sum(chance * log(chance / even[item]) for item, chance in law.items())
    assert got["kl"] == pytest.approx(divergence, rel=1e-9, abs=1e-12)
    # 40 items, so that a fifth is whole; ties are met in a random order.
    assert got["popular_fifth"] == pytest.approx(fifth_of(split, law), abs=0.01)
    weights = shifted(split, level).test_weights
    weights = np.ones(len(split.test)) if weights is None else weights
    of_users = [
        weights[split.test.users == user].mean() for user in range(split.n_users)
    ]  # each has a test item
    assert got["effective_users"] == pytest.approx(
        sum(of_users) ** 2 / sum(v * v for v in of_users)
    )


def test_tied_items_share_what_is_left_of_the_fifth():
    train = Interactions.of([0, 1, 0, 1, 0], [0, 0, 1, 2, 3], 60, 10)  # a fifth: 0, and of 1, 2, 3
    test = Interactions.of(np.arange(2, 60), np.arange(2, 60) % 10, 60, 10)
    split = Split.of(train, train.none(), test)
    law = law_of(split, 1.0)
    expected = law[0] + (law[1] + law[2] + law[3]) / 3
    assert realised(split, 1.0)["popular_fifth"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", REAL)
def test_the_popular_fifth_of_real_data_has_the_share_that_the_law_asks_for(name, real_data):
    split = load_dataset(name, real_data)
    popularity = split.seen.item_counts
    fifth, cut = split.n_items / 5, np.sort(popularity)[::-1][int(split.n_items / 5)]
    beyond, tied = (popularity > cut).sum(), (popularity == cut).sum()
    shares = []
    for level in LEVELS:
        belongs = {
            item: 1.0 if popularity[item] > cut else (fifth - beyond) / tied
            for item in np.flatnonzero(popularity >= cut).tolist()
        }
        law = law_of(split, level)
        asked = sum(chance * belongs.get(item, 0.0) for item, chance in law.items())
        got = realised(split, level)
        assert got["popular_fifth"] == pytest.approx(asked, rel=1e-9)
        assert got["effective_users"] >= 200
        shares.append(got["popular_fifth"])
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < shares[0] / 4


GROUPS, EACH_GROUP, USERS, RUNS = 4, 15, 400, 600
"""A catalogue in groups; each user's test has an item of each group, so their number is fixed."""


@pytest.mark.slow
@pytest.mark.parametrize("level", [pytest.param(1.0, marks=pytest.mark.simulation), 2.0])
def test_under_a_known_law_the_bias_is_below_a_tenth_of_the_standard_error(level):
    """600 populations of 400 users, whose test items come with known chances at known ranks.

    Their mean is known to 1 / sqrt(600), 0.04, of the standard error of one.
    """
    rng = np.random.default_rng(3)
    n_items, n_users = GROUPS * EACH_GROUP, USERS * RUNS
    chances = rng.dirichlet(np.ones(EACH_GROUP), GROUPS)  # (GROUPS, EACH_GROUP)
    counts = 1 + (200 * chances.ravel() * rng.uniform(0.5, 2, n_items)).astype(int)
    ranks = 1 + rng.permutation(n_items)
    # Users beyond the populations give the items their training counts; they are not tested.
    holders = np.concatenate([np.arange(count) for count in counts]) + n_users
    total = n_users + int(counts.max())
    train = Interactions.of(holders, np.repeat(np.arange(n_items), counts), total, n_items)
    drawn = [
        group * EACH_GROUP + rng.choice(EACH_GROUP, n_users, p=chances[group])
        for group in range(GROUPS)
    ]
    users = np.repeat(np.arange(n_users), GROUPS)
    test = Interactions.of(users, np.stack(drawn, axis=1).ravel(), total, n_items)
    split = shifted(Split.of(train, train.none(), test), level)
    tables = torch.ones(total, 1), -torch.tensor(ranks, dtype=torch.float32).unsqueeze(1)
    where = (*tables, test, train, [20], ["ndcg", "recall"])
    ranking = evaluate(*where, weights=split.test_weights)
    of_users = ranking.user_weights.reshape(RUNS, USERS)
    w, even = (counts + 1.0) ** -level, chances.ravel() / GROUPS
    gains = {"recall@20": ranks <= 20, "ndcg@20": (ranks <= 20) / np.log2(1 + ranks)}
    best = {"recall@20": GROUPS, "ndcg@20": sum(1 / log2(1 + r) for r in range(1, GROUPS + 1))}
    for metric, gain in gains.items():
        truth = (even * w) @ gain * GROUPS / best[metric] / (even @ w)
        values = ranking.per_user[metric].reshape(RUNS, USERS)
        estimates = (of_users * values).sum(axis=1) / of_users.sum(axis=1)
        error = estimates.std(ddof=1)
        assert abs(estimates.mean() - truth) < 0.1 * error


def test_too_few_effective_users_are_refused_with_what_would_do():
    with pytest.raises(InputError) as refusal:
        shifted(toy_split(), 2.0)
    assert str(refusal.value) == (
        "popularity_shift at level 2 rests on 20.0 effective test users, and at least 50 are "
        "needed; ask for a lower level, or take data with more test users"
    )


@pytest.mark.parametrize("n_test", [0, 1])
def test_one_test_user_or_none_is_refused(n_test):
    split = toy_split()
    with pytest.raises(InputError, match=rf"rests on {n_test}.0 effective test users"):
        shifted(replace(split, test=split.test[np.arange(n_test)]), 0.5)
