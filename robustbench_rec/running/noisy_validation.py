"""Noisy validation: what a trial trains on and is selected by, where its data are perturbed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustbench_rec.components.perturbation import Perturbation, perturb
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.interactions import Split


def trial_split(cell: Cell, clean: Split) -> Split:
    """Return what a trial trains on and is selected by.

    Neither looks at the test pairs, which only say what no noise may be drawn from.
    """
    if cell.trains_clean:
        return clean
    if not cell.carves_validation:
        return perturb(cell.perturbation, clean, cell.perturbation_rng())
    rngs = cell.perturbation_rng(), cell.noisy_validation_rng()
    return with_noisy_validation(clean, cell.perturbation, *rngs)


def with_noisy_validation(
    split: Split, perturbation: Perturbation, rng: np.random.Generator, carve: np.random.Generator
) -> Split:
    """Return a split whose validation pairs are perturbed as its training pairs are.

    The perturbation meets training and validation pairs alike, as where all that was observed is
    noisy; of what it leaves, each user's validation is as large as before, though one pair stays
    to train on. What is held out stays masked. `test` stays as it is, and says, as for every
    training, what no noise may be drawn from.

    Args:
        split: clean.
        perturbation: of stage "train".
        rng: of the perturbation.
        carve: draws the validation pairs.

    """
    nothing = split.valid.none()
    seen = split.seen + split.valid
    observed = replace(split, train=split.train + split.valid, seen=seen, valid=nothing)
    perturbed = perturb(perturbation, observed, rng)
    left = perturbed.train
    counts = np.minimum(split.valid.user_counts, np.maximum(left.user_counts - 1, 0))
    chosen = left.drawn(counts, carve)
    held_out = split.seen.without(split.train).without(left)
    train = left[~chosen]
    return replace(perturbed, train=train, valid=left[chosen], seen=train + held_out)
