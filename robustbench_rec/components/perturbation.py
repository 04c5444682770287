"""What a perturbation is, and what it may not do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal

import numpy as np

from robustbench_rec.components.registry import Registry
from robustbench_rec.components.settings import Component, setting, spec
from robustbench_rec.errors import InputError, counted
from robustbench_rec.interactions import Interactions, Split
from robustbench_rec.seeds import Replicate, rng_for

ActsThrough = Literal["training pairs", "negatives", "test"]

MAY_CHANGE: dict[ActsThrough, tuple[str, ...]] = {
    "training pairs": ("train", "false_negatives"),
    "negatives": ("false_negatives", "contamination", "spares_positive"),
    "test": ("test", "test_weights"),
}
"""The fields of a Split that a perturbation may change, by what it acts through."""


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
    acts_through: ClassVar[ActsThrough] = "training pairs"
    """What it reaches a loss through: the training pairs, the drawn negatives, or the test. A loss
    that draws no negatives takes no part where they are contaminated."""
    max_level: ClassVar[float] = 1.0
    weighs_test: ClassVar[bool] = False
    """Whether it sets `Split.test_weights` above level 0; metrics that are not additive are then
    left out."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        allowed = tuple(MAY_CHANGE)
        if "stage" in vars(cls) or cls.acts_through not in allowed:
            raise TypeError(
                f"{cls.__name__} must say acts_through, one of {', '.join(map(repr, allowed))}"
                + (", in the place of stage" if "stage" in vars(cls) else "")
            )

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
        """Say what was achieved, not what was asked.

        The first entry is the severity, in the unit of the level: results stand beside it, and a
        level of which less than 80% was achieved is marked as not reached. Where there is an entry
        `effective_users`, one under 200 is marked too.

        Args:
            clean: what the perturbation met.
            perturbed: what it made of it.

        """
        return {"level": self.level}


PERTURBATIONS: Registry[Perturbation] = Registry("perturbation", "robustbench_rec.perturbations")


def perturbation_rng(
    perturbation: Perturbation, dataset: Component | str, seed: int = 0, replicate: Replicate = 0
) -> np.random.Generator:
    """Return the generator that a suite perturbs by: the same for every loss and every level.

    Args:
        perturbation: what is applied; its level does not matter.
        dataset: what it is applied to, or any name for data of one's own.
        seed: of the suite.
        replicate: which repetition, from 0, or "tuning".

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
        ValueError: it returned no Split, changed what it may not, drew training noise from the
            validation or test pairs, tests on pairs that are no test pairs, or weighs these without
            saying so (`weighs_test`); the message names the perturbation.

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
    allowed = MAY_CHANGE[perturbation.acts_through]
    for field in dataclasses.fields(Split):
        before, after = getattr(split, field.name), getattr(perturbed, field.name)
        if field.name not in allowed and not same_part(before, after):
            raise ValueError(
                f"{name} changed Split.{field.name}; one that acts through "
                f"{perturbation.acts_through!r} may change {' and '.join(allowed)} only"
            )
    for held, part in product(("valid", "test"), ("train", "false_negatives")):
        pairs: Interactions = getattr(split, held)
        leaked = getattr(perturbed, part).holds(pairs.users, pairs.items).sum()
        if leaked:
            raise ValueError(f"{name} put {leaked} pairs of Split.{held} into Split.{part}")
    if not len(perturbed.train):
        raise ValueError(f"{name} left no training pair")
    _check_test(perturbation, split, perturbed)
    return perturbed


def _check_test(perturbation: Perturbation, clean: Split, perturbed: Split) -> None:
    """Raise ValueError where the test is no part of the clean one, or is weighted unsaid."""
    name = type(perturbation).__name__
    if strange := len(perturbed.test.without(clean.test)):
        raise ValueError(
            f"{name} put {counted(strange, 'pair')} into Split.test that it did not hold"
        )
    weighs = not same_part(clean.test_weights, perturbed.test_weights)
    if weighs and not perturbation.weighs_test:
        raise ValueError(
            f"{name} set Split.test_weights; a perturbation that does says weighs_test"
        )


def same_part(before: object, after: object) -> bool:
    """Say whether a field of a Split, which may be an array, is the same in two."""
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return np.array_equal(before, after)
    if isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
        return False
    return before == after
