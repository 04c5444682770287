"""What a cell means: when these values change, raise `PROTOCOL`, so that old records rerun."""

import dataclasses
from pathlib import Path

import pytest

from robustbench_rec import PERTURBATIONS
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.running.execution import train_and_test
from robustbench_rec.training.config import PROTOCOL

EXPECTED = {
    "5": {
        "bpr negative_contamination 0": 0.1105,
        "bpr hidden_positives 0": 0.1105,
        "bpr false_positives 0": 0.1105,
        "bpr popularity_shift 0": 0.1105,
        "bpr popularity_shift 0.5": 0.1076,
        "bpr popularity_shift 1": 0.1044,
        "bpr negative_contamination 0.3": 0.0973,
        "bpr hidden_positives 0.3": 0.101,
        "bpr false_positives 0.3": 0.1132,
        "softmax negative_contamination 0": 0.1469,
        "softmax hidden_positives 0": 0.1469,
        "softmax false_positives 0": 0.1469,
        "softmax popularity_shift 0": 0.1469,
        "softmax popularity_shift 0.5": 0.1283,
        "softmax popularity_shift 1": 0.1103,
        "softmax negative_contamination 0.3": 0.1132,
        "softmax hidden_positives 0.3": 0.112,
        "softmax false_positives 0.3": 0.1231,
    }
}


@pytest.fixture(scope="module")
def records():
    suite = load_suite("smoke")
    cells = suite.cells({suite.datasets[0]: suite.datasets[0].fingerprint(Path())})
    groups = {}
    for cell in cells:
        if cell.replicate == 0 and cell.backbone.learns:
            short = dataclasses.replace(cell, training=dataclasses.replace(cell.training, epochs=2))
            groups.setdefault(short.fit_id, []).append(short)
    return [record for group in groups.values() for record, _ in train_and_test(group, Path())]


def test_smoke_gives_what_it_gave_under_this_protocol(records):
    got = {
        f"{r.loss.name} {r.perturbation.name} {r.perturbation.level:g}": r.metrics["ndcg@20"]
        for r in records
    }
    # Sums may round otherwise elsewhere, and then two ranks may swap; a change of what is drawn
    # or computed moves these by far more.
    assert got == pytest.approx(EXPECTED[PROTOCOL], rel=0.02)


@pytest.fixture
def cell():
    suite = load_suite("smoke")
    cells = suite.cells({suite.datasets[0]: suite.datasets[0].fingerprint(Path())})
    found = (one for one in cells if one.perturbation.name == "false_positives")
    return next(one for one in found if one.perturbation.level > 0)


CHANGES = [
    {"replicate": 1},
    {"replicate": "tuning"},
    {"seed": 7},
    {"replicates_vary": "training"},
    {"selection": "noisy"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_tells_experiments_apart_changes_their_ids(cell, change):
    other = dataclasses.replace(cell, **change)
    assert other.id != cell.id
    assert other.fit_id != cell.fit_id


def test_the_protocol_tells_experiments_apart(cell, monkeypatch):
    ids = cell.id, cell.fit_id
    monkeypatch.setattr("robustbench_rec.experiment.cell.PROTOCOL", "another")
    again = dataclasses.replace(cell)
    assert not {again.id, again.fit_id} & {*ids}


def test_selection_changes_only_what_is_selected_on_noisy_pairs(cell):
    """The clean control and contaminated negatives have clean pairs to choose by."""
    control = dataclasses.replace(
        cell, perturbation=dataclasses.replace(cell.perturbation, level=0.0)
    )
    contaminated = PERTURBATIONS["negative_contamination"](level=0.3)
    others = [control, dataclasses.replace(cell, perturbation=contaminated)]
    for one in others:
        noisy = dataclasses.replace(one, selection="noisy")
        assert (noisy.id, noisy.selected_on) == (one.id, "clean")


def test_a_cell_comes_back_from_plain_data(cell):
    for change in CHANGES:
        changed = dataclasses.replace(cell, **change)
        assert Cell.from_plain(changed.to_plain(), Path()).id == changed.id
