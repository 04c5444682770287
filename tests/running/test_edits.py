"""Edits while a process lives: of data and plugins, between runs and in the middle of one."""

import importlib
import sys
from pathlib import Path

import numpy as np
import plugins
import pytest
import runs
from tiny import WORLD

from robustbench_rec import LOSSES
from robustbench_rec.components.registry import code_of, load_plugins
from robustbench_rec.errors import InputError
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.records.run import read_run
from robustbench_rec.running.session import run

HEAD = """\
name = "edited"
baselines = []
training = { epochs = 3, batch_size = 512 }
"""
LOG = """\
[[dataset]]
name = "log"
path = "log.csv"
[[backbone]]
name = "mf"
dim = 4
"""
BPR = '[[loss]]\nname = "bpr"\n'
TUNED = '[tune]\ntrials = 2\n[[loss]]\nname = "bpr"\ntune = { lr = [1e-3, 1e-2] }\n'
NOISE = '[[perturbation]]\nname = "false_positives"\nlevel = [0.0, 0.3]\n'
SCALED = """
from dataclasses import dataclass
from robustbench_rec import LOSSES, Loss

@LOSSES.add("{name}")
@dataclass(frozen=True)
class {name}(Loss):
    "A hinge, scaled."
    def __call__(self, batch, state=None):
        return ((1 - batch.pos[:, None] + batch.neg).clamp(min=0) * FACTOR).mean()
"""
PLUGIN = "FACTOR = 1\n" + SCALED.format(name="one") + SCALED.format(name="other")


def write_log(folder: Path, seed: int) -> None:
    """Write pairs drawn by a seed."""
    rng = np.random.default_rng(seed)
    pairs = [f"{user},{item}" for user in range(60) for item in rng.permutation(40)[:12]]
    (folder / "log.csv").write_text("\n".join(["user,item", *pairs]))


def write_suite(folder: Path, *parts: str) -> Path:
    path = folder / "edited.toml"
    path.write_text(HEAD + "".join(parts))
    return path


class Editing(runs.Heard):
    """Calls something once, at the plan or when so many of a kind are done."""

    def __init__(self, edit, counting: str = "", done: int = 0) -> None:
        super().__init__()
        self.edit, self.counting, self.done = edit, counting, done

    def plan(self, plan, session) -> None:
        if not self.counting:
            self.edit()

    def progress(self, status) -> None:
        if status.counting == self.counting and status.done >= self.done:
            self.edit()
            self.counting = ""


def test_data_that_changed_since_an_earlier_run_of_this_process_are_read_anew(tmp_path):
    suite, values = write_suite(tmp_path, LOG, BPR, NOISE), []
    for seed in (0, 1):
        write_log(tmp_path, seed)
        done = run(suite, tmp_path / f"{seed}", engine="serial")
        values.append(done.results["value"].tolist())
    assert values[0] != values[1]


def test_data_that_change_after_the_plan_fail_the_cells_by_name(tmp_path):
    suite, out = write_suite(tmp_path, LOG, BPR, NOISE), tmp_path / "out"
    write_log(tmp_path, 0)
    done = run(suite, out, engine="serial", events=Editing(lambda: write_log(tmp_path, 1)))
    assert {why for _, why in done.summary.failed.values()} == {
        "data set log changed after the run was planned; run again"
    }
    assert not run(suite, out, engine="serial").summary.failed


def test_data_that_change_while_losses_are_tuned_end_the_run(tmp_path):
    suite, out = write_suite(tmp_path, TUNED, LOG, NOISE), tmp_path / "out"
    write_log(tmp_path, 0)
    editing = Editing(lambda: write_log(tmp_path, 1), "trials", 1)
    with pytest.raises(InputError, match="the data changed while losses were tuned; run again"):
        run(suite, out, engine="serial", events=editing)
    assert not list((out / "cells").iterdir())
    assert not run(suite, out, engine="serial").summary.failed


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Return the file of a plugin with two losses, forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "scaled.py"
    path.write_text(PLUGIN)
    with plugins.forgotten():
        yield path


def edit(path: Path) -> None:
    path.write_text(PLUGIN.replace("FACTOR = 1", "FACTOR = 20"))


SUITE = 'plugins = ["scaled.py"]\n', WORLD, '[[loss]]\nname = "one"\n', NOISE


def test_a_suite_that_was_read_before_its_plugin_changed_is_refused(tmp_path, plugin):
    suite = load_suite(write_suite(tmp_path, *SUITE))
    edit(plugin)
    with pytest.raises(InputError, match=r"scaled.py' changed after this process imported it; re"):
        run(suite, tmp_path / "out", engine="serial")


def test_the_digest_is_of_the_code_that_was_imported(plugin):
    digests = []
    for change in (lambda _: None, edit):
        with plugins.forgotten():
            load_plugins(["scaled.py"], as_imported=True)  # which asks for no digest itself
            change(plugin)
            digests.append(code_of(LOSSES["one"]))
    assert digests[0] == digests[1]


@pytest.mark.faults
def test_an_edit_in_the_middle_of_a_run_does_not_end_it(tmp_path, plugin):
    suite = write_suite(tmp_path, *SUITE[:-1], '[[loss]]\nname = "other"\n', NOISE)
    editing = Editing(lambda: edit(plugin), "cells", 1)
    done = run(suite, tmp_path / "out", engine="loky", jobs=1, events=editing)
    assert not editing.counting  # it was edited
    assert (done.summary.failed, done.summary.left) == ({}, 0)
    plugin.write_text(PLUGIN)
    run(suite, tmp_path / "again", engine="serial")
    results = [read_run(tmp_path / out).results for out in ("out", "again")]
    assert results[0].equals(results[1])


@pytest.mark.parametrize("asked", ["scaled.py", "scaled", "pack"])
def test_a_plugin_is_refused_where_the_code_of_its_components_changed(
    tmp_path, plugin, monkeypatch, asked
):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("scaled", "pack", "pack.inner"):  # forget them at the end
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    if asked == "pack":
        (tmp_path / "pack").mkdir()
        (tmp_path / "pack" / "__init__.py").write_text("from pack import inner")
        plugin = plugin.rename(tmp_path / "pack" / "inner.py")
    load_plugins([asked])
    plugin.write_text(PLUGIN + "# a comment")
    load_plugins([asked])
    for broken in (edit, lambda path: path.write_text("def")):
        broken(plugin)
        with pytest.raises(InputError, match="changed after this process imported it"):
            load_plugins([asked])
        load_plugins([asked], as_imported=True)
    plugin.unlink()  # as an editor does for a moment
    load_plugins([asked])


def test_a_module_that_was_loaded_again_is_taken(tmp_path, plugin, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    load_plugins(["scaled"])
    edit(plugin)
    importlib.reload(sys.modules["scaled"])
    load_plugins(["scaled"])
    del sys.modules["scaled"]


def test_a_module_without_a_file_is_no_fault():
    load_plugins(["sys"])
