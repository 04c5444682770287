"""Random generators keyed by their purpose, so that no draw depends on any other."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Replicate = int | Literal["tuning"]
"""A replicate, from 0, or the draws of tuning."""


def seed_for(*names: str | int) -> int:
    """Return a 64-bit seed that depends on `names` alone.

    The names are the purpose of the randomness, as in `seed_for(0, "movielens-100k", "mf", 1)`.
        They are joined with their types and lengths, so that `("a", "b")` and `("ab",)` differ.
    """
    text = "".join(f"{type(name).__name__}:{len(str(name))}:{name};" for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def rng_for(*names: str | int) -> np.random.Generator:
    """Return a fresh generator that depends on `names` alone."""
    return np.random.default_rng(seed_for(*names))
