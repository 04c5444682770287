"""Merging: parts of a suite that were run apart come to what one run of it gives."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import runs

from robustbench_rec import InputError
from robustbench_rec.experiment.study import StudyOutcome
from robustbench_rec.records.frames import studies_of_tables
from robustbench_rec.records.manifest import PlannedCell, PlannedStudy
from robustbench_rec.records.merge import merge
from robustbench_rec.records.run import compact, read_run
from robustbench_rec.records.run_folder import RunFolder

MANIFEST = {"suite_cells": 4, "protocol": ["2"], "data": {"toy()": "f0"}}
EDGES = ("lr=1 is the largest that was tried", "k=2 the least")
NO_WARNING = runs.NoWarning()
PER_USER = {"users": np.arange(3), "ndcg@20": np.array([0.25, 0.5, 0.75])}


@pytest.fixture
def run(tmp_path):
    """Return a function that makes a run of (id, loss, level, value) cells."""

    def make(name, *cells, **manifest):
        folder = RunFolder(tmp_path / name)
        planned = {id: runs.cell(loss, level) for id, loss, level, _ in cells}
        with folder.locked():
            folder.begin(runs.manifest(cells=planned, **MANIFEST | manifest))
            for id, _, level, value in cells:
                if value is None:  # planned alone
                    continue
                history = [[5, {"kl": value}], [10, {"kl": 2 * value}]]
                measured = {"best_epoch": 5, "diagnostics_history": history}
                kept = runs.record(id, level=level, metrics={"ndcg@20": value}, **measured)
                folder.write(kept, PER_USER)
            compact(folder)
        return folder.folder

    return make


def named(*cells):
    """Return cells as a manifest names them."""
    return {id: PlannedCell(**called) for id, called in dict(cells).items()}


def tables_alone(folder):
    """Take the records from a run."""
    shutil.rmtree(folder / "cells")
    return folder


def values(folder) -> list[tuple]:
    frame = read_run(folder).results
    return list(frame[["loss", "level", "value"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("compacted", [(), (0,), (1,), (0, 1)])
def test_parts_come_to_what_one_run_gives(tmp_path, run, compacted):
    cells = [("a", "bpr", 0.0, 0.5), ("b", "bpr", 0.1, 0.4), ("c", "mse", 0.0, 0.25)]
    whole = run("whole", *cells)
    parts = [run("one", *cells[:2]), run("other", *cells[2:])]
    for at in compacted:
        tables_alone(parts[at])
    merge(parts, tmp_path / "out")
    for table in ("results.csv", "diagnostics.csv", "users.npz"):
        assert (tmp_path / "out" / table).read_bytes() == (whole / table).read_bytes()
    assert not (tmp_path / "out" / "tuning.csv").exists()
    merged = RunFolder(tmp_path / "out").manifest()
    assert merged.cells == RunFolder(whole).manifest().cells
    assert [part.cells for part in merged.parts] == [("a", "b"), ("c",)]
    assert read_run(tmp_path / "out", NO_WARNING).summary.done == 3


def test_of_a_cell_that_several_have_the_last_counts_in_the_place_of_the_first(tmp_path, run):
    one = run("one", ("a", "bpr", 0.0, 0.5), ("b", "mse", 0.0, 0.4), command="first")
    other = run("other", ("z", "bpr", 0.0, 0.75), command="second")
    merged = merge([one, other], tmp_path / "out", "merge one other")
    assert values(tmp_path / "out") == [("bpr", 0.0, 0.75), ("mse", 0.0, 0.4)]
    kl = read_run(tmp_path / "out").diagnostics
    assert kl["value"].tolist() == [0.75, 1.5, 0.4, 0.8]
    assert merged.cells == named(("z", runs.cell("bpr")), ("b", runs.cell("mse")))
    told = [(part.command, part.cells) for part in merged.parts]
    assert told == [("first", ("b",)), ("second", ("z",))]
    assert merged.command == "merge one other"


def test_what_a_later_run_has_only_planned_replaces_nothing(tmp_path, run):
    one = run("one", ("a", "bpr", 0.0, 0.5))
    other = run("other", ("z", "bpr", 0.0, None), ("y", "mse", 0.0, 0.25))
    merged = merge([one, other], tmp_path / "out")
    assert values(tmp_path / "out") == [("bpr", 0.0, 0.5), ("mse", 0.0, 0.25)]
    assert merged.cells == named(("a", runs.cell("bpr")), ("y", runs.cell("mse")))


def test_failed_cells_are_left_out_and_told(tmp_path, run):
    one, other = run("one", ("a", "bpr", 0.0, 0.5)), run("other", ("b", "mse", 0.0, 0.25))
    with RunFolder(other).locked():
        RunFolder(other).write(runs.record("b", status="failed", error="diverged"))
    heard = runs.Heard()
    merge([one, other], tmp_path / "out", events=heard)
    assert values(tmp_path / "out") == [("bpr", 0.0, 0.5)]
    assert heard.warnings == [f"{other}: 1 failed cell left out; run again to retry"]
    again = run("again", ("z", "mse", 0.0, 0.75))
    merge([one, again, other], tmp_path / "whole", events=NO_WARNING)
    assert values(tmp_path / "whole") == [("bpr", 0.0, 0.5), ("mse", 0.0, 0.75)]


def test_published_tables_grow_in_place_and_again_alike(tmp_path, run):
    published = tables_alone(run("published", ("a", "bpr", 0.0, 0.5), command="first"))
    more = run("more", ("b", "mse", 0.0, 0.25), command="second")
    merge([published, more], published)
    held = [(published / name).read_bytes() for name in ("results.csv", "diagnostics.csv")]
    merged = merge([published, more], published, "again")
    assert [(published / n).read_bytes() for n in ("results.csv", "diagnostics.csv")] == held
    told = [(part.command, part.cells) for part in merged.parts]
    assert told == [("first", ("a",)), ("second", ("b",))]
    assert values(more) == [("mse", 0.0, 0.25)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed = 7", "differ in seed: 7 and 0"),
        ("training = { epochs = 2 }", "differ in training: {'epochs': 2} and its default"),
        ('metrics = ["ndcg@10"]', r"differ in metrics: \['ndcg@10'\] and its default"),
        ('averaging = "all-users"', "differ in averaging: all-users and its default"),
        ('[[backbone]]\nname = "mf"', r"differ in backbone: \[{'name': 'mf'}\] and its default"),
        ('[[loss]]\nname = "mse"', ""),
    ],
)
def test_versions_of_a_suite_that_cannot_be_compared_are_refused(tmp_path, run, text, says):
    one = run("one", ("a", "bpr", 0.0, 0.5))
    other = run("other", ("b", "mse", 0.0, 0.5), suite_text=f"name = 's'\n{text}\n")
    if says:
        with pytest.raises(InputError, match=f"other and .*one are of suites that {says}"):
            merge([one, other], tmp_path / "out")
        assert not (tmp_path / "out").exists()
    else:
        merge([one, other], tmp_path / "out")


def test_what_was_merged_before_may_be_merged_again(tmp_path, run):
    one, other = run("one", ("a", "bpr", 0.0, 0.5)), run("other", ("b", "mse", 0.0, 0.25))
    merge([one, other], tmp_path / "out")
    merge([one, other], tmp_path / "out")
    with pytest.raises(InputError, match="out holds cells that these runs lack; name it first"):
        merge([one], tmp_path / "out")
    assert values(tmp_path / "out") == [("bpr", 0.0, 0.5), ("mse", 0.0, 0.25)]


def tuned(folder, study, loss, *validations):
    """Give a run a study whose best trial is the last."""
    held = RunFolder(folder)
    called = runs.cell(loss, perturbation="", budget=9, split="own")
    planned = PlannedStudy(**{key: called[key] for key in PlannedStudy.model_fields})
    held.begin(held.manifest().model_copy(update={"studies": {study: planned}}))
    put = [{"id": f"{study}{at}", "settings": {"lr": at}} for at in range(len(validations))]
    for one, validation in zip(put, validations, strict=True):
        spent = {"best_epoch": 5, "seconds": {"fit": 1.5}}
        held.write_tuning(runs.trial(one["id"], validation, **spent))
    outcome = StudyOutcome(
        id=study,
        status="done",
        trials=put,
        failed=validations.count(None),
        chosen=put[-1]["settings"],
        best=put[-1]["id"],
        validation=validations[-1],
        edges=EDGES,
    )
    held.write_tuning(outcome)
    compact(held)
    return folder


def test_trials_are_those_of_the_study_that_chose_last(tmp_path, run):
    one = tuned(run("one", ("a", "bpr", 0.0, 0.5)), "s", "bpr", 0.1, None, 0.25)
    other = tuned(run("other", ("b", "mse", 0.0, 0.25)), "t", "mse", 0.5)
    again = tuned(run("again", ("z", "bpr", 0.0, 0.75)), "u", "bpr", 0.125, 0.375)
    pd.testing.assert_frame_equal(
        read_run(one).trials,
        read_run(tables_alone(one)).trials,
        check_dtype=False,
        check_exact=True,
    )
    merged = merge([one, other, again], tmp_path / "out")
    table = read_run(tmp_path / "out").trials
    told = table[["loss", "settings", "validation", "chosen"]].to_numpy().tolist()
    assert told == [
        ["bpr", '{"lr": 0}', 0.125, False],
        ["bpr", '{"lr": 1}', 0.375, True],
        ["mse", '{"lr": 0}', 0.5, True],
    ]
    assert list(merged.studies) == ["u", "t"]
    tuning = read_run(tmp_path / "out", NO_WARNING).summary.tuning
    told = [(one.loss, one.chosen, one.validation) for one in tuning]
    assert told == [("bpr", {"lr": 1}, 0.375), ("mse", {"lr": 0}, 0.5)]
    assert [len(one.trials) for one in tuning] == [2, 1]
    assert [one.edges for one in tuning] == [EDGES, EDGES]


def test_what_was_chosen_is_told_alike_with_and_without_records(run):
    folder = tuned(run("one", ("a", "bpr", 0.0, 0.5)), "s", "bpr", 0.1, None, 0.25)
    keys = ["id", "loss", "status", "chosen", "validation", "failed", "budget", "edges", "error"]
    (before,) = read_run(folder, NO_WARNING).summary.tuning
    (after,) = read_run(tables_alone(folder), NO_WARNING).summary.tuning
    told, held = (one.model_dump(include=set(keys)) for one in (after, before))
    assert told == held
    assert len(after.trials) == len(before.trials) == 3


@pytest.mark.parametrize(("failed", "status"), [(False, "running"), (True, "failed")])
def test_a_study_that_chose_nothing_yet_is_not_one_whose_trials_all_failed(run, failed, status):
    folder = tuned(run("one", ("a", "bpr", 0.0, 0.5)), "s", "bpr", 0.1, None, 0.25)
    held = read_run(tables_alone(folder), NO_WARNING)
    trials = held.trials.assign(chosen=False)
    trials = trials.assign(status="failed") if failed else trials
    (study,) = studies_of_tables(held.manifest, trials)
    assert (study.status, study.error) == (status, "no trial succeeded" if failed else "")


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"suite": "t"}, "other is of suite 't', .*one of suite 's'"),
        ({"protocol": ["4, of each user"]}, "other is of protocol '4', .*one of protocol '2'"),
        ({"data": {"toy()": "f1"}}, r"other and .*one were run on different data for toy\(\)"),
    ],
)
def test_runs_that_are_not_parts_of_one_are_refused(tmp_path, run, manifest, says):
    runs = [run("one", ("a", "bpr", 0.0, 0.5)), run("other", ("b", "mse", 0.0, 0.5), **manifest)]
    with pytest.raises(InputError, match=says):
        merge(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_replaced_that_is_not_merged(tmp_path, run):
    one, other = run("one", ("a", "bpr", 0.0, 0.5)), run("other", ("b", "mse", 0.0, 0.5))
    with pytest.raises(InputError, match="one holds the records of a run, which tables would hide"):
        merge([one, other], one)
    tables_alone(one)
    with pytest.raises(InputError, match="one holds cells that these runs lack; name it first"):
        merge([other], one)
    with pytest.raises(InputError, match="absent: no run here"):
        merge([one, tmp_path / "absent"], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be made"):
        merge([one], tmp_path / "file")
    assert json.loads((one / "manifest.json").read_text())["cells"].keys() == {"a"}


def test_a_table_that_no_run_wrote_is_not_merged_over(tmp_path, run):
    one = run("one", ("a", "bpr", 0.0, 0.5))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("keep")
    with pytest.raises(InputError, match=r"out holds results\.csv, which no run wrote"):
        merge([one], tmp_path / "out")
    assert (tmp_path / "out" / "results.csv").read_text() == "keep"


def test_a_manifest_whose_suite_is_none_is_named(tmp_path, run):
    one, other = run("one", ("a", "bpr", 0.0, 0.5)), run("other", ("b", "mse", 0.0, 0.5))
    path = other / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"suite_text": "name"}))
    with pytest.raises(InputError, match=r"manifest\.json: suite_text is not TOML \("):
        merge([one, other], tmp_path / "out")
