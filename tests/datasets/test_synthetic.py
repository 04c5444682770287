"""The generated world: what is known about it holds, and it can be learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustbench_rec import DATASETS, InputError
from robustbench_rec.data.preparation import load
from robustbench_rec.datasets import synthetic
from robustbench_rec.datasets.synthetic import Synthetic, world

DEFAULT = Synthetic()


def keys(table, settings):
    return set((table.users * settings.n_items + table.items).tolist())


def test_it_is_registered_and_needs_no_file():
    assert DATASETS["synthetic"] is Synthetic
    split = load(DEFAULT, Path("nowhere"), seed=0)
    assert split.n_users == 600
    assert len(split.false_negatives) > len(split.train)


def test_numbers_are_as_asked_for():
    made = world(DEFAULT)
    liked = len(made.observed.users) + len(made.unobserved.users)
    assert liked / DEFAULT.n_users == pytest.approx(DEFAULT.positives, rel=0.05)
    assert made.exposure.mean() == pytest.approx(DEFAULT.observed)
    assert len(made.observed.users) / liked == pytest.approx(DEFAULT.observed, rel=0.1)
    assert np.mean(np.bincount(made.observed.users, minlength=600) >= 10) > 0.9


def test_exposure_is_a_power_law_up_to_certainty():
    ordered = np.sort(world(DEFAULT).exposure)[::-1]
    tail = ordered[ordered < 1]
    ranks = np.arange(1, 401)[ordered < 1]
    assert np.polyfit(np.log(ranks), np.log(tail), 1)[0] == pytest.approx(-DEFAULT.exponent)


def test_observed_and_unobserved_are_the_likes_apart():
    made = world(DEFAULT)
    assert not keys(made.observed, DEFAULT) & keys(made.unobserved, DEFAULT)
    liked = np.zeros((600, 400), dtype=bool)
    for table in (made.observed, made.unobserved):
        liked[table.users, table.items] = True
    preference = made.preference(np.arange(600))
    assert preference[liked].mean() > 3 * preference[~liked].mean()
    expected = preference.mean(axis=0)
    assert np.corrcoef(liked.mean(axis=0), expected)[0, 1] > 0.95


def test_unobserved_positives_become_false_negatives_and_are_never_seen():
    split = load(DEFAULT, Path(), seed=0)
    missing = split.false_negatives
    for part in (split.seen, split.valid, split.test):
        assert not part.holds(missing.users, missing.items).any()
    unobserved = keys(world(DEFAULT).unobserved, DEFAULT)
    original = split.user_ids[missing.users] * 400 + split.item_ids[missing.items]
    assert set(original.tolist()) <= unobserved


def test_the_size_of_blocks_changes_nothing(monkeypatch):
    whole = world(DEFAULT)
    monkeypatch.setattr(synthetic, "BLOCK", 7 * DEFAULT.n_items)
    parts = world(DEFAULT)
    assert keys(whole.observed, DEFAULT) == keys(parts.observed, DEFAULT)
    assert keys(whole.unobserved, DEFAULT) == keys(parts.unobserved, DEFAULT)


def test_worlds_differ_by_seed_and_by_settings_alone():
    again, other = world(DEFAULT), world(replace(DEFAULT, world_seed=1))
    assert keys(again.observed, DEFAULT) == keys(world(DEFAULT).observed, DEFAULT)
    assert keys(again.observed, DEFAULT) != keys(other.observed, DEFAULT)


def test_the_fingerprint_follows_the_world_not_its_preparation():
    print_of = Synthetic.fingerprint
    assert print_of(DEFAULT, Path("a")) == print_of(replace(DEFAULT, k_core=5), Path("b"))
    assert print_of(DEFAULT, Path()) != print_of(replace(DEFAULT, sharpness=4.0), Path())
    assert len(print_of(DEFAULT, Path())) == 16


def test_too_many_positives_are_refused():
    with pytest.raises(InputError, match=r"positives is 60; it must be below n_items, 50"):
        DATASETS.build({"name": "synthetic", "n_items": 50})


def test_it_can_be_learned_beyond_popularity():
    """A truncated SVD of the training matrix, a model with few degrees of freedom."""
    split = load(DEFAULT, Path(), seed=0)
    train = np.zeros((split.n_users, split.n_items))
    train[split.train.users, split.train.items] = 1
    u, s, v = np.linalg.svd(train / np.sqrt(split.train.item_counts + 1), full_matrices=False)
    popular = np.tile(split.train.item_counts, (split.n_users, 1)).astype(float)
    assert recall((u[:, :9] * s[:9]) @ v[:9], split) > 1.5 * recall(popular, split)


def recall(scores, split, k=20):
    scores[split.seen.users, split.seen.items] = -np.inf
    top = np.argsort(-scores, axis=1)[:, :k]  # (n_users, k)
    hits = split.test.holds(np.arange(split.n_users)[:, None], top).sum(axis=1)
    return np.mean(hits / np.maximum(split.test.user_counts, 1))
