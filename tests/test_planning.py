"""Plans: as many cells and trainings as the grid has, at a cost of its components."""

import json
from pathlib import Path

from robustbench_rec import settings
from robustbench_rec.planning import Plan, make_plan, manifest
from robustbench_rec.store import Store
from robustbench_rec.suite import Suite

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
    return make_plan(Suite.load(str(folder / "grid.toml"), folder), Store(folder / "out"), folder)


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

    for module in ("labels", "cell"):
        monkeypatch.setattr(f"robustbench_rec.{module}.spec", counted)
    plan = planned(tmp_path)
    described = manifest(plan, Store(tmp_path / "out"), "command")
    assert len(described["cells"]) == described["suite_cells"] == 10_000
    assert len(printed) < 200
    assert json.dumps(described)
