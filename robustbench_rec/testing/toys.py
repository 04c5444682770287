"""The small split for contracts."""

from __future__ import annotations

import numpy as np

from robustbench_rec.interactions import Interactions, Split
from robustbench_rec.seeds import rng_for


def toy_split(n_users: int = 60, n_items: int = 40, seed: int = 0) -> Split:
    """Make a small split with every part filled, including a pool of false negatives.

    Each user holds 14 items, popular ones more often: 8 to train on, then 2 for each of the
    validation set, the test and the false negatives; 2 more are low-rated. Every pair has a rating
    of 1 to 5, below 3 if it is low, and a time, later in later parts.
    """
    rng = rng_for(seed, "toy split")
    keys = rng.random((n_users, n_items)) ** np.arange(1, n_items + 1)
    items = np.argsort(-keys, axis=1)[:, :16]
    rng.permuted(items[:, :14], axis=1, out=items[:, :14])
    ratings = rng.integers(3, 6, items.shape)
    ratings[:, 14:] = ratings[:, 14:] % 2 + 1
    times = np.arange(16) * 86400.0 + rng.uniform(0, 86400, items.shape)
    train, valid, test, held_out, low_rated = (
        Interactions.of(
            np.repeat(np.arange(n_users), part.stop - part.start),
            items[:, part].ravel(),
            n_users,
            n_items,
            timestamps=times[:, part].ravel(),
            ratings=ratings[:, part].ravel(),
        )
        for part in (slice(0, 8), slice(8, 10), slice(10, 12), slice(12, 14), slice(14, 16))
    )
    return Split.of(
        train,
        valid,
        test,
        seen=train + held_out,
        false_negatives=held_out,
        low_rated=low_rated,
    )
