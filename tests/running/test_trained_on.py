"""What a training trains on and is selected by, under clean and under noisy selection."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustbench_rec import PERTURBATIONS, InputError, Interactions, Split, load_dataset
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.running.execution import train_and_test
from robustbench_rec.running.trained_on import trained_on, with_noisy_validation
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import toy_split


@pytest.fixture
def cells():
    """Return a function that finds a cell of `smoke`, of replicate 0, by perturbation and level."""
    suite = load_suite("smoke")
    made = suite.cells({suite.datasets[0]: suite.datasets[0].fingerprint(Path())})

    def find(name, level, **changes):
        found = (one for one in made if one.perturbation.name == name and one.replicate == 0)
        return replace(next(one for one in found if one.perturbation.level == level), **changes)

    return find


def test_under_clean_selection_validation_stays_clean(cells):
    clean = toy_split()
    data = trained_on(cells("false_positives", 0.3), clean)
    assert data.split.valid == clean.valid
    assert data.masked == clean.seen
    assert len(data.split.train) > len(clean.train)


@pytest.mark.parametrize("name", ["negative_contamination", "popularity_shift"])
def test_noisy_selection_is_clean_where_training_pairs_are(cells, name):
    clean = toy_split()
    level = 0.3 if name == "negative_contamination" else 1.0
    data = trained_on(cells(name, level, selection="noisy"), clean)
    assert data.split.valid == clean.valid


@pytest.mark.parametrize("name", ["false_positives", "hidden_positives"])
def test_the_test_masks_what_was_observed_but_the_validation_pairs(cells, name):
    clean = toy_split()
    data = trained_on(cells(name, 0.3, selection="noisy"), clean)
    assert data.split.valid != clean.valid
    observed = clean.seen + clean.valid
    assert data.masked == observed.without(data.split.valid)
    assert not data.masked.holds(clean.test.users, clean.test.items).any()


def test_severity_is_that_of_what_the_perturbation_met(cells):
    data = trained_on(cells("false_positives", 0.3, selection="noisy"), toy_split())
    chosen = PERTURBATIONS["false_positives"](level=0.3)
    assert chosen.realised(data.met, data.made)["added"] == pytest.approx(0.3, abs=0.05)


def test_a_cell_selected_on_noisy_pairs_says_so_and_another_epoch_may_be_best(cells):
    short = replace(cells("false_positives", 0.3).training, epochs=6, patience=0)
    found = {}
    for selection in ("clean", "noisy"):
        cell = cells("false_positives", 0.3, selection=selection, training=short)
        ((record, beside),) = train_and_test([cell], Path())
        assert record.status == "done", record.error
        assert beside is not None
        found[record.selection] = record
    assert found["clean"].history != found["noisy"].history


def test_where_nothing_can_be_carved_it_says_what_to_choose():
    """Each user has one pair, which stays to train on."""
    ids = np.arange(60)
    single, test = (Interactions.of(ids, (ids + more) % 40, 60, 40) for more in (0, 1))
    clean = Split.of(single, single.none(), test)
    hidden = PERTURBATIONS["hidden_positives"](level=0.5)
    with pytest.raises(InputError, match=r'selection = "noisy" cannot draw .* choose sel'):
        with_noisy_validation(clean, hidden, rng_for(0), rng_for(1))


# Of few pairs that are left, one at least validates.
@pytest.mark.parametrize(
    ("name", "within"), [("false_positives", 0.003), ("hidden_positives", 0.02)]
)
def test_noisy_selection_has_as_many_clean_pairs_to_train_on_as_clean_selection(
    cells, name, within
):
    """Rounded down, false positives would leave 2% more."""
    clean = load_dataset("synthetic", replicate=0, n_users=2000, n_items=150, hold_out=0.1)
    observed, left = clean.seen + clean.valid, []
    for selection in ("clean", "noisy"):
        split = trained_on(cells(name, 0.3, selection=selection), clean).split
        left.append(observed.holds(split.train.users, split.train.items).sum())
    assert left[1] == pytest.approx(left[0], rel=within)
