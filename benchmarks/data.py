"""Data that are drawn at random, at Amazon-Electronic's size: nothing needs the published data."""

from __future__ import annotations

import numpy as np

from robustbench_rec import Interactions, Split
from robustbench_rec.seeds import rng_for

USERS, ITEMS, PAIRS = 13_455, 8_360, 165_000


def random_split(n_users: int = USERS, n_items: int = ITEMS, n_pairs: int = PAIRS) -> Split:
    """Return training pairs at random, two a user for validation, popularity by a power law."""
    rng = rng_for(0, "benchmark")
    users = np.concatenate([np.arange(n_users), rng.integers(n_users, size=n_pairs)])
    items = (n_items * rng.random(users.size) ** 2).astype(np.int64)
    keys = np.unique(users * n_items + items)
    rng.shuffle(keys)
    kept = np.sort(keys[: n_pairs + n_users])
    pairs = Interactions.of(kept // n_items, kept % n_items, n_users, n_items)
    is_valid = rng.random(len(pairs)) < n_users / len(pairs)
    is_valid &= pairs.user_counts[pairs.users] > 3
    train, valid = pairs[~is_valid], pairs[is_valid]
    return Split.of(train, valid, train.none())
