"""The preflight: what a worker lacks is said in one line, without a cluster."""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import WORLD

from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running import preflight
from robustbench_rec.running.compute import COMPUTE
from robustbench_rec.running.preflight import unfit, wanted
from robustbench_rec.running.returned import returned, take
from robustbench_rec.running.session import open_session

OWN = """
[[dataset]]
name = "mine"
path = "mine.csv"
"""


@pytest.fixture
def asked(tmp_path):
    """Return what a run with data of the user and a results folder wants of workers."""
    pairs = (f"u{user},i{item % 7}" for user in range(9) for item in range(user, user + 5))
    (tmp_path / "mine.csv").write_text("user,item\n" + "\n".join(pairs))
    (tmp_path / "suite.toml").write_text('name = "flown"\n' + WORLD + OWN)
    session = open_session(tmp_path / "suite.toml", tmp_path / "out", data_dir=tmp_path)
    with ExitStack() as stack:
        stack.enter_context(session.folder.locked())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(tmp_path)
        for name, value in COMPUTE.environment().items():  # `unfit` sets them, for a worker's life
            patch.setenv(name, value)
        what = (session.plan(), COMPUTE, tmp_path, session.folder, True)
        yield stack.enter_context(wanted(*what))


def test_a_worker_that_has_all_is_fit_and_leaves_nothing(asked, tmp_path):
    before = set((tmp_path / "out").rglob("*"))
    assert unfit(asked) == (os.getpid(), "")
    assert set((tmp_path / "out").rglob("*")) == before
    assert len(asked.cells) == 4  # of two data sets; of a loss and of baselines


def test_versions_code_and_plugins_must_be_those_of_the_run(asked):
    def told(**changes) -> str:
        return unfit(replace(asked, **changes))[1]

    here = asked.versions["torch"]
    assert told(versions=asked.versions | {"torch": "1.0"}) == f"has torch {here}, not 1.0"
    other = told(codes=asked.codes | {("loss", "bpr"): "x"})
    assert other.startswith("has other code of loss 'bpr': ")
    assert told(metrics=asked.metrics | {"ndcg": "x"}) == "has other code of the metrics"
    lost = told(plugins=("lost.py",))
    assert lost == "plugin 'lost.py' could not be imported: no such file"


def test_code_that_changed_after_its_import_is_not_what_runs(asked, monkeypatch):
    monkeypatch.setattr(preflight, "STARTED", 0.0)
    monkeypatch.setattr(preflight, "LOADED", {})
    assert "as it was before" in unfit(asked)[1]


def test_data_must_be_there_with_the_same_content(asked, tmp_path):
    with (tmp_path / "mine.csv").open("a") as file:
        file.write("\nu1,i6")
    assert unfit(asked)[1].startswith("has other data of 'mine' in ")
    (tmp_path / "mine.csv").unlink()
    assert "mine.csv" in unfit(asked)[1]


def test_the_results_folder_must_be_the_same_folder(asked, tmp_path):
    told = f"cannot write to {tmp_path / 'out'}; put the results on a folder that all machines "
    assert unfit(replace(asked, token=(asked.token[0], "another text")))[1].startswith(told)
    Path(asked.token[0]).unlink()
    assert unfit(asked)[1].startswith(told)
    assert unfit(replace(asked, token=None))[1] == ""


def test_what_is_returned_is_what_would_have_been_written(tmp_path):
    def work(folder: str, word: str) -> str:
        held = RunFolder(Path(folder))
        held.marks.start("1" * 20)
        (held.cells / "a.json").write_text(word)
        (held.cells / "a.npz").write_text("values")
        return word

    result, files = returned(work, "nowhere", "done")
    assert (result, list(files)) == ("done", ["cells/a.npz", "cells/a.json"])
    take(RunFolder(tmp_path), files)
    assert (tmp_path / "cells" / "a.json").read_text() == "done"
