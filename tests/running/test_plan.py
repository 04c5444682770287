"""Plans: as many cells and trainings as the grid has, at a cost of its components."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from robustbench_rec import InputError
from robustbench_rec.components import settings
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.records.record import Record
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.plan import Plan, make_plan, manifest
from robustbench_rec.running.pool import Status

SUITE = """
name = "grid"
replicates = 250
floors = []
[[dataset]]
name = "synthetic"
n_users = 60
n_items = 50
positives = 20
[[backbone]]
name = "mf"
[[backbone]]
name = "lightgcn"
[[loss]]
name = "bpr"
[[loss]]
name = "softmax"
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.1, 0.2, 0.3, 0.4]
[[perturbation]]
name = "popularity_shift"
level = [0.0, 0.25, 0.5, 0.75, 1.0]
"""


def planned(folder: Path) -> Plan:
    (folder / "grid.toml").write_text(SUITE)
    return make_plan(
        load_suite(str(folder / "grid.toml"), folder), RunFolder(folder / "out"), folder
    )


def test_ten_thousand_cells_share_the_trainings_that_differ_in_the_test_alone(tmp_path):
    plan = planned(tmp_path)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells) == plan.suite.n_cells == 10_000
    # Of ten levels a clean training serves six: the two controls, and what changes the test.
    assert plan.n_trainings == len(plan.left) == 5_000
    assert sum(map(len, plan.left.values())) == 10_000


def test_components_are_printed_once_not_once_a_cell(tmp_path, monkeypatch):
    printed = []
    spec = settings.spec

    def counted(component, without=""):
        printed.append(component)
        return spec(component, without)

    for module in ("components.labels", "experiment.cell"):
        monkeypatch.setattr(f"robustbench_rec.{module}.spec", counted)
    plan = planned(tmp_path)
    described = manifest(plan, RunFolder(tmp_path / "out"), "command")
    assert len(described["cells"]) == described["suite_cells"] == 10_000
    assert len(printed) < 200
    assert json.dumps(described)


def test_trainings_left_cost_what_their_like_took_and_floors_nothing(tmp_path):
    text = SUITE.replace("replicates = 250", "replicates = 2").replace("floors = []\n", "")
    (tmp_path / "grid.toml").write_text(text)
    suite = load_suite(str(tmp_path / "grid.toml"), tmp_path)
    store = RunFolder(tmp_path / "out")
    fresh = make_plan(suite, store, tmp_path)
    assert set(fresh.costs.values()) == {0.0, 1.0}
    assert fresh.estimate(1) is None
    took = {("mf", "bpr"): (2.0, 4.0), ("lightgcn", "softmax"): (30.0,)}
    for (backbone, loss), seconds in took.items():
        alike = [
            cells[0]
            for cells in fresh.left.values()
            if (cells[0].backbone.name, cells[0].loss.name) == (backbone, loss)
        ]
        with store.locked():
            for cell, spent in zip(alike, seconds, strict=False):
                store.write(done(cell, spent), {})
    plan = make_plan(suite, store, tmp_path)
    assert len(plan.done) == 3
    expected = {("mf", "bpr"): 3.0, ("lightgcn", "softmax"): 30.0}
    for fit, cells in plan.left.items():
        kind = cells[0].backbone.name, cells[0].loss.name
        floor = not cells[0].backbone.learns
        assert plan.costs[fit] == (0.0 if floor else expected.get(kind, (3.0 + 30.0) / 2))
    n_left = dict.fromkeys(expected, 0) | {None: 0}
    for cells in plan.left.values():
        kind = cells[0].backbone.name, cells[0].loss.name
        n_left[kind if kind in expected else None] += cells[0].backbone.learns
    seconds = n_left["mf", "bpr"] * 3 + n_left["lightgcn", "softmax"] * 30 + n_left[None] * 16.5
    assert plan.estimate(2) == seconds / 2
    longer = SUITE.replace('"bpr"', '"bpr"\ntraining = { epochs = 400 }')
    (tmp_path / "grid.toml").write_text(longer)
    other = make_plan(load_suite(str(tmp_path / "grid.toml"), tmp_path), store, tmp_path)
    assert 3.0 not in other.costs.values()


def done(cell: Cell, seconds: float) -> dict[str, Any]:
    """Return the least record of a cell whose training took so long."""
    record = Record.failure(cell, InputError("none")).to_plain()
    return record | {"status": "done", "seconds": {"fit": seconds}}


def test_the_time_left_is_by_costs_where_they_are_known():
    status = Status(total=10, already=0, done=5, started=time.monotonic() - 60)
    assert status.seconds_left == pytest.approx(60, abs=1)
    status.costs = (10.0, 40.0)
    assert status.seconds_left == pytest.approx(240, abs=1)
    status.costs = (0.0, 50.0)  # floors alone are done: no pace is known
    assert status.seconds_left is None
    status.under_way = 10.0
    assert status.seconds_left == pytest.approx(240, abs=1)
