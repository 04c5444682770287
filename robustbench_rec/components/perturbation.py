"""The contract of a perturbation, and its checks."""

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
    """A kind of wrong data, at one severity.

    A subclass is a frozen dataclass of settings, registered under a name, that overrides `apply`.
    Level 0 is the identity. Levels nest under one generator: a higher level corrupts everything
    that a lower level corrupts. For that, draw the same random numbers at each level.
    """

    level: float = setting(0.0, "severity; 0 is the clean control", at_least=0)

    unit: ClassVar[str] = "level"
    """The quantity of the level, the axis label in figures."""
    acts_through: ClassVar[ActsThrough] = "training pairs"
    """The data that it changes: the training pairs, the drawn negatives, or the test. If it changes
    negatives, a loss that draws none has no cells."""
    max_level: ClassVar[float] = 1.0
    weighs_test: ClassVar[bool] = False
    """Whether it sets `Split.test_weights` above level 0; metrics that are not additive are then
    not computed."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        allowed = tuple(MAY_CHANGE)
        if "stage" in vars(cls) or cls.acts_through not in allowed:
            raise TypeError(
                f"{cls.__name__} must say acts_through, one of {', '.join(map(repr, allowed))}"
                + (", in place of stage" if "stage" in vars(cls) else "")
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
        """Return the perturbed split; the input does not change.

        Args:
            split: the clean split.
            rng: depends on suite seed, data set, perturbation and replicate; not on level or loss,
                so that all losses have the same corrupted data.

        Raises:
            InputError: the split lacks data for this perturbation, such as a pool of held-out
                positives; the message names the setting of the data set that provides them.

        """
        raise NotImplementedError(f"{type(self).__name__} must override apply")

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return the effect that was achieved, as opposed to the requested level.

        The first entry is the severity, in the unit of the level, which is stored with results. A
        level is marked as not reached if less than 80% of it was achieved. An entry
        `effective_users` below 200 is marked too.

        Args:
            clean: the input of the perturbation.
            perturbed: its output.

        """
        return {"level": self.level}


PERTURBATIONS: Registry[Perturbation] = Registry("perturbation", "robustbench_rec.perturbations")


def perturbation_rng(
    perturbation: Perturbation, dataset: Component | str, seed: int = 0, replicate: Replicate = 0
) -> np.random.Generator:
    """Return the generator of a perturbation in a suite: the same for every loss and level.

    Args:
        perturbation: the perturbation; its level does not matter.
        dataset: the data set, or any name for your own data.
        seed: the seed of the suite.
        replicate: the replicate, from 0, or "tuning".

    """
    called = dataset if isinstance(dataset, str) else spec(dataset)
    return rng_for(seed, called, perturbation.name, replicate, "perturbation")


def perturb(perturbation: Perturbation, split: Split, rng: np.random.Generator) -> Split:
    """Apply a perturbation and check its contract.

    Args:
        perturbation: the perturbation at its level; level 0 changes nothing.
        split: the clean split, which does not change.
        rng: its generator; `perturbation_rng` returns the one of a suite.

    Returns:
        The perturbed split.

    Raises:
        ValueError: it returned no Split, changed a field that it must not change, drew training
            noise from validation or test pairs, added test pairs, or set weights without
            `weighs_test`; the message names the perturbation.

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
                f"{name} changed Split.{field.name}; with acts_through = "
                f"{perturbation.acts_through!r} it may change only {' and '.join(allowed)}"
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
    """Raise ValueError if the test has new pairs, or weights without `weighs_test`."""
    name = type(perturbation).__name__
    if strange := len(perturbed.test.without(clean.test)):
        raise ValueError(
            f"{name} put {counted(strange, 'pair')} into Split.test that were not there"
        )
    weighs = not same_part(clean.test_weights, perturbed.test_weights)
    if weighs and not perturbation.weighs_test:
        raise ValueError(
            f"{name} set Split.test_weights; such a perturbation must set weighs_test = True"
        )


def same_part(before: object, after: object) -> bool:
    """Say whether a field of a Split, which may be an array, is equal in two splits."""
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return np.array_equal(before, after)
    if isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
        return False
    return before == after
