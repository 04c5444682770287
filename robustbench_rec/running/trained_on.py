"""The data of a training: training and validation pairs, and the pairs masked in its test."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from robustbench_rec.components.perturbation import Perturbation, perturb
from robustbench_rec.errors import InputError
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.interactions import Interactions, Split


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """The data of one training.

    Attributes:
        split: the pairs for training and selection; clean if the perturbation is of the test.
        met: the input of the perturbation.
        made: the output of the perturbation.
        masked: the pairs that the test does not rank: all observed pairs except validation.

    """

    split: Split
    met: Split
    made: Split
    masked: Interactions


def trained_on(cell: Cell, clean: Split) -> TrainedOn:
    """Return the data of a cell's training.

    Raises:
        InputError: as the perturbation, or no validation pair can be drawn from its output.

    """
    if cell.trains_clean:
        return TrainedOn(clean, clean, clean, clean.seen)
    if cell.selected_on == "noisy":
        rngs = cell.perturbation_rng(), cell.noisy_validation_rng()
        return with_noisy_validation(clean, cell.perturbation, *rngs)
    made = perturb(cell.perturbation, clean, cell.perturbation_rng())
    return TrainedOn(made, clean, made, clean.seen)


def with_noisy_validation(
    clean: Split, perturbation: Perturbation, rng: np.random.Generator, carve: np.random.Generator
) -> TrainedOn:
    """Return a training whose validation pairs are perturbed like its training pairs.

    The perturbation applies to training and validation pairs together, as if all observed pairs
    were noisy. From its output each user's validation is drawn, the same share as before and at
    least one pair, but one pair stays for training. A share between two numbers of pairs is rounded
    up or down at random, its mean exact: rounded down, it would leave more clean pairs for training
    than clean selection does, and their difference would not be that of selection. Held-out pairs
    stay masked.

    Args:
        clean: the clean split.
        perturbation: a perturbation of training pairs.
        rng: the generator of the perturbation.
        carve: draws the validation pairs.

    Raises:
        InputError: as `trained_on`.

    """
    observed = clean.seen + clean.valid
    met = replace(clean, train=clean.train + clean.valid, seen=observed, valid=clean.valid.none())
    made = perturb(perturbation, met, rng)
    left, wanted = made.train.user_counts, clean.valid.user_counts
    share = wanted / np.maximum(met.train.user_counts, 1)
    rounded = np.floor(np.round(share * left, 9) + carve.random(left.size)).astype(np.int64)
    counts = np.maximum(rounded, np.minimum(wanted, 1))
    counts = np.minimum(counts, np.maximum(left - 1, 0))
    chosen = made.train.drawn(counts, carve)
    if not chosen.any():
        raise InputError(
            f'selection = "noisy" cannot draw validation pairs: {perturbation} '
            'leaves no user two training pairs; choose selection = "clean", or a lower level'
        )
    train, valid = made.train[~chosen], made.train[chosen]
    held_out = clean.seen.without(clean.train).without(made.train)
    split = replace(made, train=train, valid=valid, seen=train + held_out)
    return TrainedOn(split, met, made, observed.without(valid))
