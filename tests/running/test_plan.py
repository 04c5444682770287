"""Plans: as many cells and trainings as the grid has, at a cost of its components."""

import time
from pathlib import Path

import pytest
import runs

from robustbench_rec import InputError
from robustbench_rec.components import settings
from robustbench_rec.evaluation.metrics import recorded
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.selection import Shard, select
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.records.record import Record
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.manifest import manifest_of
from robustbench_rec.running.plan import Plan, make_plan
from robustbench_rec.running.pool import Status
from robustbench_rec.training.config import PROTOCOL

SUITE = """
name = "grid"
replicates = 250
baselines = []
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
    described = manifest_of(plan, "command")
    assert len(described.cells) == described.suite_cells == 10_000
    assert len(printed) < 200
    assert described.model_dump_json()


def test_trainings_left_cost_what_their_like_took_and_baselines_nothing(tmp_path):
    text = SUITE.replace("replicates = 250", "replicates = 2").replace("baselines = []\n", "")
    (tmp_path / "grid.toml").write_text(text)
    suite = load_suite(str(tmp_path / "grid.toml"), tmp_path)
    folder = RunFolder(tmp_path / "out")
    fresh = make_plan(suite, folder, tmp_path)
    assert set(fresh.costs.values()) == {0.0, 1.0}
    assert fresh.estimate(1) is None
    took = {("mf", "bpr"): (2.0, 4.0), ("lightgcn", "softmax"): (30.0,)}
    for (backbone, loss), seconds in took.items():
        alike = [
            cells[0]
            for cells in fresh.left.values()
            if (cells[0].backbone.name, cells[0].loss.name) == (backbone, loss)
        ]
        with folder.locked():
            for cell, spent in zip(alike, seconds, strict=False):
                folder.write(done(cell, spent), {})
    plan = make_plan(suite, folder, tmp_path)
    assert len(plan.done) == 3
    expected = {("mf", "bpr"): 3.0, ("lightgcn", "softmax"): 30.0}
    for fit, cells in plan.left.items():
        kind = cells[0].backbone.name, cells[0].loss.name
        baseline = not cells[0].backbone.learns
        assert plan.costs[fit] == (0.0 if baseline else expected.get(kind, (3.0 + 30.0) / 2))
    n_left = dict.fromkeys(expected, 0) | {None: 0}
    for cells in plan.left.values():
        kind = cells[0].backbone.name, cells[0].loss.name
        n_left[kind if kind in expected else None] += cells[0].backbone.learns
    seconds = n_left["mf", "bpr"] * 3 + n_left["lightgcn", "softmax"] * 30 + n_left[None] * 16.5
    assert plan.estimate(2) == seconds / 2
    longer = SUITE.replace('"bpr"', '"bpr"\ntraining = { epochs = 400 }')
    (tmp_path / "grid.toml").write_text(longer)
    other = make_plan(load_suite(str(tmp_path / "grid.toml"), tmp_path), folder, tmp_path)
    assert 3.0 not in other.costs.values()


def done(cell: Cell, seconds: float) -> Record:
    """Return the least record of a cell whose training took so long."""
    record = Record.failure(cell, InputError("none"))
    spent = {"status": "done", "seconds": {"fit": seconds}}
    values = {"ndcg@20": 0.5, "recall@20": 0.5}
    measured = {"metrics": values, "metric_code": recorded(values)}
    return record.model_copy(update=spent | measured | {"users": {"evaluated": 1, "all": 1}})


def test_the_time_left_is_by_costs_where_they_are_known():
    status = Status(total=10, already=0, done=5, started=time.monotonic() - 60)
    assert status.seconds_left == pytest.approx(60, abs=1)
    status.costs = (10.0, 40.0)
    assert status.seconds_left == pytest.approx(240, abs=1)
    status.costs = (0.0, 50.0)  # baselines alone are done: no pace is known
    assert status.seconds_left is None
    status.under_way = 10.0
    assert status.seconds_left == pytest.approx(240, abs=1)


def test_what_an_earlier_protocol_recorded_is_said_to_run_anew(tmp_path):
    plan = planned(tmp_path)
    assert plan.of_old == ""
    folder = RunFolder(tmp_path / "out")
    with folder.locked():
        old = {"a1": runs.cell()}
        folder.begin(runs.manifest(protocol=["2", "2, of each user"], suite_text=SUITE, cells=old))
        told = planned(tmp_path).of_old
        assert "a1" not in manifest_of(planned(tmp_path)).cells
        assert "the records here are of protocol 2" in told
        assert f"all cells run again under protocol {PROTOCOL}" in told
        folder.begin(manifest_of(plan))
        assert planned(tmp_path).of_old == ""


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ([("los", "bpr")], "no axis 'los'; did you mean 'loss'"),
        ([("loss", "bprr")], "suite 'grid' has no such loss; did you mean 'bpr'"),
        ([("level", "0.15")], "suite 'grid' has no such level"),
        ([("replicate", "250")], "has no such replicate"),
        ([("backbone", "popularity")], "has no such backbone"),
    ],
)
def test_a_part_that_the_suite_does_not_have_is_refused(tmp_path, only, says):
    suite = planned(tmp_path).suite
    with pytest.raises(InputError, match=says):
        select(suite, only)


def test_a_part_keeps_all_that_its_names_mean_and_baselines(tmp_path):
    (tmp_path / "grid.toml").write_text(SUITE.replace("baselines = []\n", ""))
    suite = load_suite(str(tmp_path / "grid.toml"), tmp_path)
    cells = suite.cells(dict.fromkeys(suite.datasets, "any"))
    only = [("loss", "bpr"), ("level", "0.10"), ("level", ".5"), ("replicate", "7")]
    kept = select(suite, only).of(cells)
    assert {cell.loss.name for cell in kept} == {"bpr", "untrained"}
    assert {cell.perturbation.level for cell in kept} == {0.1, 0.5}
    assert {cell.replicate for cell in kept} == {7}
    assert len(kept) == (2 + 2) * 2


def test_shares_have_each_cell_once_and_each_curve_of_a_replicate_whole(tmp_path):
    (tmp_path / "grid.toml").write_text(SUITE.replace("baselines = []\n", ""))
    suite = load_suite(str(tmp_path / "grid.toml"), tmp_path)
    cells = suite.cells(dict.fromkeys(suite.datasets, "any"))
    shares = [select(suite, shard=Shard(at, 3)).of(cells) for at in (1, 2, 3)]
    assert sorted(cell.id for share in shares for cell in share) == sorted(c.id for c in cells)
    curves = [
        {(str(one.backbone), str(one.loss), one.replicate) for one in share} for share in shares
    ]
    assert not curves[0] & curves[1] | curves[1] & curves[2] | curves[0] & curves[2]
    assert max(map(len, curves)) - min(map(len, curves)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "-1/3", "1/3/5", "a/b", "", "1.0/3"])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(InputError, match=r"^--shard is '.*'; it must be K/N with K from 1 to N"):
        Shard.parsed(text)
    assert Shard.parsed("3/16") == (3, 16)
