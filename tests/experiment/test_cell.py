"""What a cell means: when these values change, raise `PROTOCOL`, so that old records rerun.

Where they change for data sets alone that hold positives out, `HOLDING_OUT` will do.
"""

import dataclasses
from pathlib import Path

import pytest

from robustbench_rec.experiment.cell import HOLDING_OUT
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.running.execution import train_and_test
from robustbench_rec.training.config import PROTOCOL

EXPECTED = {
    "4, of each user": {
        "bpr negative_contamination 0": 0.09486,
        "bpr hidden_positives 0": 0.09486,
        "bpr false_positives 0": 0.09486,
        "bpr popularity_shift 0": 0.09486,
        "bpr popularity_shift 0.5": 0.09171,
        "bpr popularity_shift 1": 0.08859,
        "bpr negative_contamination 0.3": 0.0939,
        "bpr hidden_positives 0.3": 0.09598,
        "bpr false_positives 0.3": 0.09257,
        "softmax negative_contamination 0": 0.08711,
        "softmax hidden_positives 0": 0.08711,
        "softmax false_positives 0": 0.08711,
        "softmax popularity_shift 0": 0.08711,
        "softmax popularity_shift 0.5": 0.08565,
        "softmax popularity_shift 1": 0.0845,
        "softmax negative_contamination 0.3": 0.09013,
        "softmax hidden_positives 0.3": 0.08741,
        "softmax false_positives 0.3": 0.08339,
    }
}


@pytest.fixture(scope="module")
def records():
    suite = load_suite("smoke")
    cells = suite.cells({suite.datasets[0]: "any"})
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
    assert got == pytest.approx(EXPECTED[HOLDING_OUT], rel=0.02)


@pytest.mark.parametrize(("hold_out", "protocol"), [(0.0, PROTOCOL), (0.1, HOLDING_OUT)])
def test_a_cell_is_of_the_protocol_that_its_data_set_was_prepared_by(
    hold_out, protocol, monkeypatch
):
    suite = load_suite("smoke")
    dataset = dataclasses.replace(suite.datasets[0], hold_out=hold_out)
    cell = dataclasses.replace(suite.cells({suite.datasets[0]: "any"})[0], dataset=dataset)
    assert cell.protocol == protocol
    ids = cell.id, cell.fit_id
    for name, changed in (("PROTOCOL", not hold_out), ("HOLDING_OUT", bool(hold_out))):
        with monkeypatch.context() as patch:
            patch.setattr(f"robustbench_rec.experiment.cell.{name}", "another")
            again = dataclasses.replace(cell)
            assert ((again.id, again.fit_id) != ids) == changed
