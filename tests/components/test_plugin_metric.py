"""A metric of one's own: one file, its contract, and a suite run, extended and mended."""

import json
from pathlib import Path

import numpy as np
import pytest
from plugins import clauses
from tiny import WORLD

from robustbench_rec.records.run import read_run

pytestmark = pytest.mark.slow

MINE = '''
"""Reciprocal ranks, all of them."""

from dataclasses import dataclass
from typing import ClassVar

from robustbench_rec import METRICS, Metric, Ranks


@METRICS.add("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Metric):
    """The sum of 1 / rank over the test items in the top k."""

    symbol: ClassVar[str] = "Mine"
    additive: ClassVar[bool] = True

    def __call__(self, found: Ranks, k: int):
        top = found.top(k)
        return top.sum(top.weights / top.ranks)
'''

SUITE = (
    """
name = "tiny"
baselines = ["popularity"]
metrics = ["ndcg@20", "recall@10"]
training = { epochs = 2, batch_size = 64, lr = 1e-2, eval_every = 1 }
"""
    + WORLD
    + """
[[perturbation]]
name = "hidden_positives"
level = [0, 0.3]
"""
)
ASKED = 'plugins = ["mine.py"]\n' + SUITE.replace('"recall@10"', '"recall@10", "mine@10"')
OUT = ("--out", "out", "--jobs", 1, "--no-figures")


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the plugin and the suite, and returns the suite's path."""

    def written(plugin: str = MINE, suite: str = ASKED) -> Path:
        (tmp_path / "mine.py").write_text(plugin)
        (tmp_path / "tiny.toml").write_text(suite)
        return tmp_path / "tiny.toml"

    return written


def records(folder: Path) -> dict[str, dict]:
    found = (json.loads(path.read_text()) for path in (folder / "cells").glob("*.json"))
    return {one["id"]: one for one in found}


def test_it_meets_the_contract(tmp_path, write):
    write()
    assert [clause.holds for clause in clauses(tmp_path / "mine.py")] == [True] * 7


@pytest.mark.parametrize("engine", ["serial", pytest.param("loky", marks=pytest.mark.faults)])
def test_a_suite_that_asks_for_it_runs_what_lacks_it(tmp_path, write, in_process, engine):
    first = in_process("run", write(suite=SUITE), *OUT)
    assert first.returncode == 0, first.stderr
    before = records(tmp_path / "out")
    assert not any("mine" in metric for one in before.values() for metric in one["metrics"])

    suite = write()
    line = "metric mine@10 is new or changed: 2 baselines are ranked again, 2 cells run again\n"
    assert line in in_process("run", suite, *OUT, "--dry-run").stdout
    added = in_process("run", suite, *OUT, "--engine", engine)  # a worker finds it too
    assert added.returncode == 0, added.stderr
    assert line in added.stdout
    assert "4 cells from 4 trainings, 0 done, 4 to run" in added.stdout
    after = records(tmp_path / "out")
    assert after.keys() == before.keys()  # it is in no id
    for id, record in after.items():
        kept = {name: record["metrics"][name] for name in before[id]["metrics"]}
        assert kept == before[id]["metrics"]
        assert record["metrics"].keys() - kept.keys() == {"mine@10", "mine@20"}
        assert record["metric_code"].keys() - before[id]["metric_code"].keys() == {"mine"}
        with np.load(tmp_path / "out" / "cells" / f"{id}.npz") as arrays:
            assert arrays["mine@10"].mean() == pytest.approx(record["metrics"]["mine@10"])
    frame = read_run(tmp_path / "out").results
    assert (frame["metric"] == "mine@10").sum() == 4

    again = in_process("run", suite, *OUT)
    assert "4 done, 0 to run" in again.stdout
    assert "new or changed" not in again.stdout

    write(MINE.replace("top.weights / top.ranks", "2 * top.weights / top.ranks"))
    mended = in_process("run", suite, *OUT)
    assert mended.returncode == 0, mended.stderr
    assert line in mended.stdout
    for id, record in records(tmp_path / "out").items():
        assert record["metrics"]["mine@10"] == pytest.approx(2 * after[id]["metrics"]["mine@10"])
    commented = "# What changes nothing.\n        return top"
    write(
        MINE.replace("top.weights / top.ranks", "2 * top.weights / top.ranks").replace(
            "return top", commented
        )
    )
    assert "4 done, 0 to run" in in_process("run", suite, *OUT).stdout


def test_what_reads_the_run_does_without_the_plugin(tmp_path, write, in_process):
    assert in_process("run", write(), *OUT).returncode == 0
    (tmp_path / "mine.py").unlink()
    for words in (["status"], ["figures"]):
        done = in_process(*words, "out")
        assert done.returncode == 0, done.stderr
    assert any("mine" in path.name for path in (tmp_path / "out" / "figures").iterdir())


def test_a_broken_one_that_nobody_asks_for_harms_nobody(write, in_process):
    broken = MINE.replace("return top.sum(top.weights / top.ranks)", "return 1 / 0")
    suite = write(broken, 'plugins = ["mine.py"]\n' + SUITE)
    done = in_process("run", suite, *OUT)
    assert done.returncode == 0, done.stderr


BROKEN = {
    "NaN": (
        "top.weights / top.ranks)",
        "top.weights / top.ranks) * float('nan')",
        "metric 'mine' returned NaN for user 0",
    ),
    "the wrong length": (
        "top.sum(top.weights / top.ranks)",
        "top.ranks[:3]",
        "metric 'mine' returned 3 values for 5 users",
    ),
    "an error": (
        "top.weights / top.ranks",
        "{}[k]",
        "metric 'mine' failed: KeyError: 10",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_goes_wrong_in_it_is_one_line_before_anything_runs(tmp_path, write, in_process, case):
    assert in_process("run", write(suite=SUITE), *OUT).returncode == 0
    kept = records(tmp_path / "out")
    old, new, reason = BROKEN[case]
    assert MINE.count(old) == 1
    done = in_process("run", write(MINE.replace(old, new)), *OUT)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert reason in line
    assert records(tmp_path / "out") == kept


def test_what_goes_wrong_on_the_data_alone_fails_the_cells_with_one_line(
    tmp_path, write, in_process
):
    old, new = (
        "top.weights / top.ranks)",
        "top.weights / (top.ranks if top.n_users < 6 else {}[k]))",
    )
    done = in_process("run", write(MINE.replace(old, new)), *OUT)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "4 failed" in done.stdout
    for record in records(tmp_path / "out").values():
        assert (
            record["error"] == "ValueError: metric 'mine' failed: KeyError: 10 (mine.py, line 20)"
        )
        assert record["error"] in done.stderr


REFUSED = {
    "a name that is taken": (
        ('add("mine")', 'add("ndcg")'),
        "plugin 'mine.py' could not be imported: ValueError: metric 'ndcg' is "
        "already taken by robustbench_rec.metrics.ndcg.NDCG; ",
    ),
    "a name that is none": (('add("mine")', 'add("mine@10")'), "metric name 'mine@10' must match"),
    "another name than is asked for": (
        ('add("mine")', 'add("mines")'),
        "no metric named 'mine'; did you mean 'mines'?",
    ),
    "a setting without a default": (
        ("    symbol:", "    p: float\n    symbol:"),
        "mine needs the setting 'p'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_metric_that_cannot_be_is_one_line_before_anything_runs(
    tmp_path, write, in_process, case
):
    (old, new), says = REFUSED[case]
    assert MINE.count(old) == 1
    done = in_process("run", write(MINE.replace(old, new)), *OUT)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says.replace("'mine.py'", repr(str(tmp_path / "mine.py"))) in line
    assert not (tmp_path / "out" / "cells").exists()
