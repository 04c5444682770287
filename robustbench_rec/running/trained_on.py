"""What a training trains on and is selected by, and what its test masks."""

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
        split: what is trained on and selected by; clean where the perturbation is of the test.
        met: what the perturbation met.
        made: what it made of it.
        masked: the pairs that the test does not rank: what was observed, less the validation.

    """

    split: Split
    met: Split
    made: Split
    masked: Interactions


def trained_on(cell: Cell, clean: Split) -> TrainedOn:
    """Return what a cell's training trains on.

    Raises:
        InputError: as the perturbation does, or no validation pair can be carved from what it left.

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
    """Return a training whose validation pairs are perturbed as its training pairs are.

    The perturbation meets training and validation pairs alike, as where all that was observed is
    noisy; of what it leaves, each user's validation is as large a share as before, one pair at
    least, though one stays to train on. What is held out stays masked.

    Args:
        clean: not perturbed.
        perturbation: of training pairs.
        rng: of the perturbation.
        carve: draws the validation pairs.

    Raises:
        InputError: as `trained_on`.

    """
    observed = clean.seen + clean.valid
    met = replace(clean, train=clean.train + clean.valid, seen=observed, valid=clean.valid.none())
    made = perturb(perturbation, met, rng)
    left, wanted = made.train.user_counts, clean.valid.user_counts
    share = wanted / np.maximum(met.train.user_counts, 1)
    counts = np.maximum(np.floor(share * left + 1e-9).astype(np.int64), np.minimum(wanted, 1))
    counts = np.minimum(counts, np.maximum(left - 1, 0))
    chosen = made.train.drawn(counts, carve)
    if not chosen.any():
        raise InputError(
            f'selection = "noisy" has nothing to carve validation pairs from: {perturbation} '
            'leaves no user two training pairs; choose selection = "clean", or a lower level'
        )
    train, valid = made.train[~chosen], made.train[chosen]
    held_out = clean.seen.without(clean.train).without(made.train)
    split = replace(made, train=train, valid=valid, seen=train + held_out)
    return TrainedOn(split, met, made, observed.without(valid))
