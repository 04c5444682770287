"""The split that contracts are tried on."""

from __future__ import annotations

import numpy as np

from robustbench_rec.interactions import Interactions, Split
from robustbench_rec.seeds import rng_for


def toy_split(n_users: int = 60, n_items: int = 40, seed: int = 0) -> Split:
    """Make a small split with every part filled, a pool of false negatives among them.

    Each user holds 14 items, popular ones more often: 8 to train on, then 2 for each of the
    validation set, the test and the false negatives. Every pair has a rating of 1 to 5, and a time
    that is later from part to part.
    """
    rng = rng_for(seed, "toy split")
    keys = rng.random((n_users, n_items)) ** np.arange(1, n_items + 1)
    items = np.argsort(-keys, axis=1)[:, :14]
    rng.permuted(items, axis=1, out=items)
    ratings = rng.integers(1, 6, items.shape)
    times = np.arange(14) * 86400.0 + rng.uniform(0, 86400, items.shape)
    train, valid, test, held_out = (
        Interactions.of(
            np.repeat(np.arange(n_users), part.stop - part.start),
            items[:, part].ravel(),
            n_users,
            n_items,
            timestamps=times[:, part].ravel(),
            ratings=ratings[:, part].ravel(),
        )
        for part in (slice(0, 8), slice(8, 10), slice(10, 12), slice(12, 14))
    )
    return Split.of(train, valid, test, seen=train + held_out, false_negatives=held_out)
