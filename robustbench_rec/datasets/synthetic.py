"""A synthetic world with known truth: what each user likes, and what each user was shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robustbench_rec import DATASETS, Dataset, IntArray, Raw, Table, rng_for, setting

GENERATOR = "1"
"""Raise it when the same settings would give another world."""

BLOCK = 2**19
"""Cells of the preference matrix that are held at once."""

SAMPLED = 2**18
"""Cells that the bias is found on."""

FloatArray = NDArray[np.float64]


@DATASETS.add("synthetic")
@dataclass(frozen=True, kw_only=True)
class Synthetic(Dataset):
    """A generated world with power-law exposure, known preferences and known missing positives.

    User u likes item i with probability sigmoid(sharpness * (p_u . q_i) / sqrt(dim_true) + b),
    with factors p, q from N(0, 1) and b such that `positives` items are liked on average. A liked
    item is observed with probability e_i = min(1, c * rank_i^-exponent) for every user, with c
    such that `observed` is their mean over the items. So the observed popularity follows a power
    law, and every liked item that was not observed is known.
    """

    source: ClassVar[str] = (
        "ours; observation by propensity as in T. Schnabel et al., Recommendations as Treatments, "
        "ICML 2016"
    )
    licence: ClassVar[str] = "Apache-2.0, as the program"
    how_to_get: ClassVar[str] = "built in: generated from its settings"

    n_users: int = setting(600, "users", at_least=2)
    n_items: int = setting(400, "items", at_least=2)
    dim_true: int = setting(8, "dimension of the true factors", at_least=1)
    positives: float = setting(60.0, "liked items of a user, on average", above=0)
    sharpness: float = setting(5.0, "how far factors, not chance, decide what is liked", at_least=0)
    exponent: float = setting(1.0, "of the power law of exposure; 0 is even", at_least=0)
    observed: float = setting(0.4, "share of liked items observed, on average", above=0, at_most=1)
    world_seed: int = setting(0, "which world; the suite's seed does not change it", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positives >= self.n_items:
            raise ValueError(
                f"Synthetic.positives is {self.positives:g}; it must be below n_items, "
                f"{self.n_items}"
            )

    def read(self, data_dir: Path) -> Raw:
        """Generate the observed log and the positives that were never observed."""
        made = world(self)
        return Raw(made.observed, unobserved=made.unobserved)

    def fingerprint(self, data_dir: Path) -> str:
        """Return a digest of the generator's version and settings."""
        return hashlib.sha256(f"{GENERATOR}:{_own(self)}".encode()).hexdigest()[:16]


def _own(settings: Synthetic) -> str:
    shared = {field.name for field in fields(Dataset)}
    own = (field.name for field in fields(settings) if field.name not in shared)
    return " ".join(f"{name}={getattr(settings, name)!r}" for name in own)


@dataclass(frozen=True, eq=False)
class World:
    """The truth behind a synthetic data set.

    Attributes:
        user_factors: (n_users, dim_true) float64.
        item_factors: (n_items, dim_true) float64, scaled by sharpness / sqrt(dim_true).
        bias: the same for all pairs.
        exposure: (n_items,) float64, probability that a liked item is observed.
        observed, unobserved: the liked pairs, by row numbers of the factors; together all.

    """

    user_factors: FloatArray
    item_factors: FloatArray
    bias: float
    exposure: FloatArray
    observed: Table
    unobserved: Table

    def preference(self, users: IntArray) -> FloatArray:
        """Return the probability (B, n_items) that each of the users (B,) likes each item."""
        return _sigmoid(self.user_factors[users] @ self.item_factors.T + self.bias)


def world(settings: Synthetic) -> World:
    """Generate the world of the given settings; memory is proportional to its pairs."""

    def rng(purpose: str) -> np.random.Generator:
        return rng_for(settings.world_seed, "synthetic", purpose)

    users = rng("users").standard_normal((settings.n_users, settings.dim_true))
    items = rng("items").standard_normal((settings.n_items, settings.dim_true))
    items *= settings.sharpness / np.sqrt(settings.dim_true)
    bias = _bias(users, items, settings.positives / settings.n_items, rng("bias"))
    exposure = rng("exposure").permutation(_exposure(settings))
    blocks = list(_liked(users, items, bias, rng("liked")))
    liked_by, liked = (np.concatenate(part) for part in zip(*blocks, strict=True))
    shown = rng("shown").random(liked.size) < exposure[liked]
    return World(
        users,
        items,
        bias,
        exposure,
        observed=Table(liked_by[shown], liked[shown]),
        unobserved=Table(liked_by[~shown], liked[~shown]),
    )


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))))


def _bias(users: FloatArray, items: FloatArray, share: float, rng: np.random.Generator) -> float:
    """Find b such that the mean of sigmoid(users . items + b) is `share`, on a sample of pairs."""
    u, i = rng.integers(len(users), size=SAMPLED), rng.integers(len(items), size=SAMPLED)
    scores = np.einsum("nd,nd->n", users[u], items[i])  # (SAMPLED,)
    return _root(lambda b: float(_sigmoid(scores + b).mean()) - share, -100.0, 100.0)


def _exposure(settings: Synthetic) -> FloatArray:
    """Return (n_items,) min(1, c * rank^-exponent), most exposed first, of mean `observed`."""
    power = np.arange(1, settings.n_items + 1, dtype=np.float64) ** -settings.exponent
    most = 1 / power[-1]  # every item is exposed for certain
    c = _root(lambda c: float(np.minimum(c * power, 1).mean()) - settings.observed, 0.0, most)
    return np.asarray(np.minimum(c * power, 1))


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Find the zero of a rising function by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) >= 0 else (middle, high)
    return high


def _liked(
    users: FloatArray, items: FloatArray, bias: float, rng: np.random.Generator
) -> Iterator[tuple[IntArray, IntArray]]:
    """Draw the liked pairs, a block of users at a time; the block size has no effect on them."""
    step = max(BLOCK // len(items), 1)
    for first in range(0, len(users), step):
        likes = _sigmoid(users[first : first + step] @ items.T + bias)  # (step, n_items)
        row, item = np.nonzero(rng.random(likes.shape) < likes)
        yield row + first, item
