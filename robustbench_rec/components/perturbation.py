"""What a perturbation is, and what it may not do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal

import numpy as np

from robustbench_rec.components.registry import Registry
from robustbench_rec.components.settings import Component, setting, spec
from robustbench_rec.errors import InputError
from robustbench_rec.interactions import Interactions, Split
from robustbench_rec.seeds import rng_for

Stage = Literal["train", "negatives", "test"]

MAY_CHANGE: dict[Stage, tuple[str, ...]] = {
    "train": ("train", "false_negatives"),
    "negatives": ("false_negatives", "contamination", "spares_positive"),
    "test": ("test",),
}
"""The fields of a Split that a perturbation of each stage may change."""


@dataclass(frozen=True, kw_only=True)
class Perturbation(Component):
    """A way in which data lie, at one severity.

    A subclass is a frozen dataclass of settings, registered under a name, that overrides `apply`.
    Level 0 is the identity; under one generator levels nest, so that what a low level corrupts a
    higher one corrupts too. To nest, draw the same random numbers whatever the level is.
    """

    level: float = setting(0.0, "severity; 0 is the clean control", at_least=0)

    unit: ClassVar[str] = "level"
    """What the level measures: the axis label of every figure."""
    stage: ClassVar[Stage] = "train"
    """What it touches: the training pairs, the drawn negatives, or the test pairs."""
    max_level: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level > self.max_level:
            raise InputError(
                f"{type(self).__name__}.level is {self.level:g}; "
                f"it must lie in [0, {self.max_level:g}]",
                ("level",),
            )

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Return the perturbed split; the input stays as it is.

        Args:
            split: the clean split.
            rng: keyed by suite seed, data set, perturbation and replicate; not by the level, nor
                by the loss, so that all losses meet the same corrupted data.

        Raises:
            InputError: the split lacks what this perturbation needs, as in a pool of held-out
                positives; the message says which setting of the data set gives it.

        """
        raise NotImplementedError(f"{type(self).__name__} must override apply")

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Say what was achieved, not what was asked; the first entry is the severity."""
        return {"level": self.level}


PERTURBATIONS: Registry[Perturbation] = Registry("perturbation", "robustbench_rec.perturbations")


def perturbation_rng(
    perturbation: Perturbation, dataset: Component | str, seed: int = 0, replicate: int = 0
) -> np.random.Generator:
    """Return the generator that a suite perturbs by: the same for every loss and every level.

    Args:
        perturbation: what is applied; its level does not matter.
        dataset: what it is applied to, or any name for data of one's own.
        seed: of the suite.
        replicate: which repetition, from 0.

    """
    called = dataset if isinstance(dataset, str) else spec(dataset)
    return rng_for(seed, called, perturbation.name, replicate, "perturbation")


def perturb(perturbation: Perturbation, split: Split, rng: np.random.Generator) -> Split:
    """Apply a perturbation and hold it to its contract.

    Args:
        perturbation: at its level; level 0 changes nothing.
        split: the clean split, which stays as it is.
        rng: its generator; `perturbation_rng` gives the one that a suite uses.

    Returns:
        The perturbed split.

    Raises:
        ValueError: it returned no Split, changed what its stage may not, or drew training noise
            from the validation or test pairs; the message names the perturbation.

    """
    if perturbation.level == 0:
        return split
    name = type(perturbation).__name__
    try:
        perturbed = perturbation.apply(split, rng)
    except InputError:
        raise
    except ValueError as error:
        raise ValueError(f"{name}.apply: {error}") from error
    if not isinstance(perturbed, Split):
        raise ValueError(f"{name}.apply returned {type(perturbed).__name__}, not a Split")
    allowed = MAY_CHANGE[perturbation.stage]
    for field in dataclasses.fields(Split):
        before, after = getattr(split, field.name), getattr(perturbed, field.name)
        if field.name not in allowed and not _equal(before, after):
            raise ValueError(
                f"{name} changed Split.{field.name}; a perturbation of stage "
                f"{perturbation.stage!r} may change {' and '.join(allowed)} only"
            )
    for held, part in product(("valid", "test_pool"), ("train", "false_negatives")):
        pairs: Interactions = getattr(split, held)
        leaked = getattr(perturbed, part).holds(pairs.users, pairs.items).sum()
        if leaked:
            raise ValueError(f"{name} put {leaked} pairs of Split.{held} into Split.{part}")
    if not len(perturbed.train):
        raise ValueError(f"{name} left no training pair")
    return perturbed


def _equal(before: object, after: object) -> bool:
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return np.array_equal(before, after)
    if isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
        return False
    return before == after
