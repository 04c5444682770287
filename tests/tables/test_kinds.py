import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import runs
from tables_by_hand import marks, run_of, texts

from robustbench_rec import InputError, load_dataset
from robustbench_rec.analysis.contrasts import contrasts
from robustbench_rec.analysis.degradation import curves
from robustbench_rec.experiment.study import StudyOutcome, TriedSettings
from robustbench_rec.records.run import compact, read_run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.tables.datasets import gini
from robustbench_rec.tables.kind import Asked
from robustbench_rec.tables.kinds import KINDS, kind_of
from robustbench_rec.tables.table import ABSENT
from robustbench_rec.tables.written import FORMATS, written

LOSSES = {"bpr": 0.2, "softmax": 0.3, "ccl": 0.1}
LEVELS = {0.0: 1.0, 0.5: 0.8, 1.0: 0.5}


def grid(losses=LOSSES, levels=LEVELS, replicates=3):
    """Return what each loss reaches at each level, with something for each replicate."""
    return {
        (loss, level, replicate): value * share + 0.01 * replicate + 0.001 * at * replicate**2
        for at, (loss, value) in enumerate(losses.items())
        for level, share in levels.items()
        for replicate in range(replicates)
    }


def made(run, name, **asked):
    return kind_of(name).of(run, Asked(**asked), name)


def one(run, name, **asked):
    (table,) = made(run, name, **asked)
    return table


def refused(run, name, **asked):
    with pytest.raises(InputError) as caught:
        made(run, name, **asked)
    return str(caught.value)


def without_records(run):
    """Compact a run, take its records, and open what is left."""
    compact(RunFolder(run.folder))
    shutil.rmtree(run.folder / "cells")
    return read_run(run.folder, runs.NoWarning())


# main


def test_main_has_a_block_a_backbone_and_a_column_a_data_set_and_metric(tmp_path):
    held = grid(levels={0.0: 1.0}, replicates=1)
    held |= {("untrained", 0.0, 0): 0.05, ("bpr", 0.0, 7): 0.4}
    apart = {("untrained", 0.0, 0): {"backbone": "random"}, ("bpr", 0.0, 7): {"backbone": "gcn"}}
    run = run_of(tmp_path, held, metrics=("ndcg@20", "recall@20"), elsewhere=apart)
    table = one(run, "main")
    assert table.columns == [("toy", "NDCG@20"), ("toy", "Recall@20")]
    assert texts(table) == {
        "mf bpr": ["0.2000", "0.4000"],
        "mf softmax": ["0.3000", "0.6000"],
        "mf ccl": ["0.1000", "0.2000"],
        "mf Improvement": ["+50.0%", "+50.0%"],
        "gcn bpr": ["0.4000", "0.8000"],
        "Baseline random": ["0.0500", "0.1000"],
    }
    assert marks(table)["mf softmax"] == ["best", "best"]
    assert marks(table)["mf bpr"] == ["second", "second"]
    assert marks(table)["gcn bpr"] == marks(table)["Baseline random"] == ["", ""]
    assert "No stars: a test needs more than one replicate." in table.notes
    assert "Improvement: of the best over the best other loss." in table.notes


def test_names_that_a_table_uses_itself_are_losses_and_backbones_like_others(tmp_path):
    values = {("improvement", 0.0, 0): 0.4, ("bpr", 0.0, 0): 0.2}
    apart = {cell: {"backbone": "baseline"} for cell in values}
    table = one(run_of(tmp_path, values, elsewhere=apart), "main")
    assert texts(table) == {
        "baseline improvement": ["0.4000"],
        "baseline bpr": ["0.2000"],
        "baseline Improvement": ["+100.0%"],
    }
    assert marks(table)["baseline improvement"] == ["best"]


def test_main_tests_the_best_as_compare_does(tmp_path):
    run = run_of(tmp_path, grid(), users=True)
    found = contrasts(run, "bpr")
    row = found[(found["loss"] == "softmax") & (found["level"] == 0)].iloc[0]
    table = one(run, "main")
    assert texts(table)["mf softmax"] == ["0.3117***"]
    assert table.entry(("mf", "softmax"), ("toy", "NDCG@20")).value == pytest.approx(
        row["difference"] + 0.21
    )
    assert row["p"] <= 0.01  # of a family of three rows, with two tests each
    assert texts(one(without_records(run), "main")) == texts(table)


def test_main_holds_a_loss_of_ours_against_the_best_rival(tmp_path):
    run = run_of(tmp_path, grid(levels={0.0: 1.0}, replicates=1))
    table = one(run, "main", ours="bpr")
    assert texts(table)["mf Improvement"] == ["-33.3%"]
    assert "Improvement: of BPR over the best other loss." in table.notes
    assert refused(run, "main", ours="brp").startswith("loss 'brp' was not run; did you mean 'bpr'")


def test_main_of_one_loss_compares_nothing(tmp_path):
    table = one(run_of(tmp_path, grid({"bpr": 0.2}, {0.0: 1.0}, 1)), "main")
    assert texts(table) == {"mf bpr": ["0.2000"]}
    assert "Nothing is marked: no block has two losses that can be ranked." in table.notes


def test_a_failed_loss_and_one_to_come_are_told(tmp_path):
    values = grid({"bpr": 0.2, "softmax": 0.3}, {0.0: 1.0}, 2) | {("ccl", 0.0, 0): None}
    run = run_of(tmp_path, values, to_come=[("psl", 0.0, 0), ("psl", 0.0, 1)])
    table = one(run, "main")
    assert texts(table)["mf ccl"] == ["failed"]
    assert texts(table)["mf psl"] == [ABSENT]
    assert f"{ABSENT}: no value was recorded." in table.notes
    assert "Not finished: 4 of 7 cells done." in table.notes
    assert "1 cell failed." in table.notes


def test_a_loss_that_is_not_as_far_is_not_ranked(tmp_path):
    values = {("bpr", 0.0, 0): 0.2, ("bpr", 0.0, 1): 0.2, ("ccl", 0.0, 0): 0.9}
    run = run_of(tmp_path, values | {("mse", 0.0, 0): 0.1, ("mse", 0.0, 1): 0.1})
    table = one(run, "main")
    assert texts(table)["mf ccl"] == ["0.9000†"]
    assert marks(table)["mf bpr"] == ["best"]
    assert texts(table)["mf Improvement"] == ["+100.0%"]
    assert texts(one(run, "main", ours="ccl")).keys() == {"mf bpr", "mf ccl", "mf mse"}


def test_a_metric_that_is_missing_for_some_cells_is_missing_there(tmp_path):
    run = run_of(tmp_path, grid(levels={0.0: 1.0}, replicates=1), metrics=("ndcg@20", "hr@20"))
    path = run.folder / "cells" / "a1.json"
    record = json.loads(path.read_text())
    del record["metrics"]["hr@20"]
    path.write_text(json.dumps(record | {"checksum": ""}))
    folder = RunFolder(run.folder)
    with folder.locked():
        folder.write(runs.Record.model_validate(record))
    table = one(read_run(run.folder), "main")
    assert texts(table)["mf softmax"] == ["0.3000", ABSENT]
    assert texts(table)["mf Improvement"] == ["+50.0%", "+100.0%"]


def test_a_data_set_of_which_nothing_is_done_has_no_column(tmp_path):
    values = grid(levels={0.0: 1.0}, replicates=1)
    later = ("bpr", 0.0, 9)
    run = run_of(tmp_path, values, to_come=[later], elsewhere={later: {"dataset": "later"}})
    table = one(run, "main")
    assert table.columns == [("toy", "NDCG@20")]
    assert "Nothing is finished on later." in table.notes


def test_no_finished_cell_is_refused(tmp_path):
    run = run_of(tmp_path, {("bpr", 0.0, 0): None})
    for name in ("main", "robustness", "k"):
        assert refused(run, name) == (
            f"{run.folder}: no finished cell to make a table of; see robustbench-rec status "
            f"{run.folder}"
        )


def test_main_without_level_0_is_refused(tmp_path):
    told = refused(run_of(tmp_path, grid(levels={0.5: 1.0})), "main")
    assert "no finished cell of level 0 has ndcg@20" in told
    assert told.endswith("see table robustness")


def test_a_metric_of_all_lists_has_no_best(tmp_path):
    run = run_of(tmp_path, grid(levels={0.0: 1.0}, replicates=1), metrics=("gini@20",))
    table = one(run, "main")
    assert {mark for row in marks(table).values() for mark in row} == {""}
    assert "mf Improvement" not in texts(table)


# robustness


def test_robustness_has_value_and_retention_at_each_level(tmp_path):
    run = run_of(tmp_path, grid(replicates=1))
    table = one(run, "robustness")
    assert table.columns == [
        ("level 0", "NDCG@20"),
        ("level 0.5", "NDCG@20"),
        ("level 0.5", "retained"),
        ("level 1", "NDCG@20"),
        ("level 1", "retained"),
    ]
    assert texts(table)["mf bpr"] == ["0.2000", "0.1600", "0.800", "0.1000", "0.500"]
    assert marks(table)["mf softmax"] == ["best"] * 5
    assert table.of == {"perturbation": "noise", "metric": "ndcg@20", "dataset": "toy"}
    assert table.title.endswith(": NDCG@20 under noise on toy")
    assert "Values: one replicate." in table.notes
    assert "Levels: share." in table.notes


def test_robustness_tells_the_interval_of_what_is_retained(tmp_path):
    run = run_of(tmp_path, grid(), users=True)
    table = one(run, "robustness")
    found = curves(run).set_index(["loss", "level"]).loc[("bpr", 0.5)]
    entry, hardest = (table.entry(("mf", "bpr"), (f"level {at:g}", "retained")) for at in (0.5, 1))
    assert entry.ends == (found["retention_low"], found["retention_high"])
    assert hardest.interval == f"[{hardest.ends[0]:.3f}, {hardest.ends[1]:.3f}]"
    assert "In brackets, at the hardest level: 95% interval over " in table.caption
    assert entry.interval == table.entry(("mf", "bpr"), ("level 1", "NDCG@20")).interval == ""
    single = one(run_of(tmp_path / "one", grid(replicates=1)), "robustness")
    assert "In brackets" not in single.caption


def test_robustness_of_some_levels(tmp_path):
    run = run_of(tmp_path, grid(replicates=1))
    shown = one(run, "robustness", level=(1.0,)).columns
    assert [column[0] for column in shown] == ["level 0", "level 1", "level 1"]
    assert refused(run, "robustness", level=(0.7,)) == (
        "--level 0.7: not a level of this run (its levels: 0, 0.5, 1)"
    )


def test_components_have_their_printed_names_and_those_that_the_suite_gives(tmp_path):
    suite = '[[loss]]\nname = "ccl"\nlabel = "Ours & theirs"\n[[dataset]]\nname = "toy"\n'
    named = {"loss": {"ccl": "ccl(margin=0.9)"}}
    run = run_of(tmp_path, grid(replicates=1), suite_text=suite, specs=named)
    text = written([one(run, "main")], "latex", "x")
    assert "MF & BPR &" in text
    assert " & Ours \\& theirs &" in text
    assert "\nmf,ccl,0.1" in written([one(run, "main")], "csv", "x")


def test_robustness_has_a_table_a_perturbation(tmp_path):
    values = grid(replicates=1)
    apart = {cell: {"perturbation": "shift"} for cell in values if cell[0] == "ccl"}
    shown = made(run_of(tmp_path, values, elsewhere=apart), "robustness")
    assert [table.of["perturbation"] for table in shown] == ["noise", "shift"]
    assert texts(shown[1]).keys() == {"mf ccl"}
    head = written(shown, "csv", "x").splitlines()[0].split(",")
    assert head[:5] == ["perturbation", "metric", "dataset", "backbone", "loss"]


def test_robustness_on_two_data_sets_names_them_in_its_rows(tmp_path):
    values = grid(replicates=1)
    apart = {cell: {"dataset": "other"} for cell in values if cell[0] == "ccl"}
    table = one(run_of(tmp_path, values, elsewhere=apart), "robustness")
    assert texts(table).keys() == {"toy mf bpr", "toy mf softmax", "other mf ccl"}
    assert table.head == ("dataset", "backbone", "loss")


def test_robustness_without_level_0_knows_no_retention(tmp_path):
    table = one(run_of(tmp_path, grid(levels={0.5: 1.0}, replicates=1)), "robustness")
    assert table.columns == [("level 0.5", "NDCG@20")]
    told = "Level 0 was not run, so retention is not known."
    assert told in table.notes


def test_robustness_of_level_0_alone_is_refused(tmp_path):
    told = refused(run_of(tmp_path, grid(levels={0.0: 1.0})), "robustness")
    assert "no finished cell above level 0 in ndcg@20" in told
    assert told.endswith("see table main")


def test_robustness_names_what_takes_no_part_and_what_failed(tmp_path):
    values = grid(replicates=1)
    apart = {cell: {"perturbation": "shift"} for cell in values if cell[0] == "ccl"}
    values["softmax", 1.0, 0] = None
    run = run_of(
        tmp_path, values, elsewhere=apart, not_applicable=(("ccl", "noise"), ("x", "noise"))
    )
    table = made(run, "robustness")[0]
    assert texts(table)["mf ccl"] == ["n/a"] * 5
    assert texts(table)["mf softmax"][3:] == ["failed"] * 2
    assert "CCL draws no negatives, so it has no cells here." in table.notes
    assert "x draws no negatives, so it has no cells here." in table.notes


def test_robustness_takes_a_metric_that_was_recorded(tmp_path):
    run = run_of(tmp_path, grid(replicates=1), metrics=("ndcg@20", "recall@20"))
    assert one(run, "robustness", metric="recall@20").columns[0] == ("level 0", "Recall@20")
    assert refused(run, "robustness", metric="recal@20").startswith(
        "metric 'recal@20' was not recorded; did you mean 'recall@20'? (recorded: ndcg@20,"
    )


# k


def test_k_has_a_column_for_each_k_in_order(tmp_path):
    run = run_of(
        tmp_path, grid(levels={0.0: 1.0}, replicates=1), metrics=("ndcg@20", "hr@1", "ndcg@5")
    )
    table = one(run, "k")
    assert table.columns == [("toy", "K = 5"), ("toy", "K = 20")]
    assert texts(table)["mf bpr"] == ["0.8000", "0.2000"]
    assert one(run, "k", metric="hr").columns == [("toy", "K = 1")]
    assert one(run, "k", metric="hr@1").title.endswith("at the only recorded K")
    assert refused(run, "k", metric="ndgc").startswith(
        "metric 'ndgc' was not recorded; did you mean 'ndcg'? (recorded: ndcg, hr)"
    )


# datasets


SUITE = 'seed = 3\n[[dataset]]\nname = "synthetic"\nn_users = 60\nn_items = 80\n'


def on_synthetic(tmp_path, text=SUITE, data=None):
    cell = ("bpr", 0.0, 0)
    names = {cell: {"dataset": "synthetic"}}
    from robustbench_rec import DATASETS

    print_of = DATASETS["synthetic"](n_users=60, n_items=80).fingerprint(tmp_path)
    given = {"synthetic": print_of} if data is None else data
    return run_of(tmp_path / "run", {cell: 0.2}, elsewhere=names, suite_text=text, data=given)


def test_datasets_are_read_anew(tmp_path):
    table = one(on_synthetic(tmp_path), "datasets")
    split = load_dataset("synthetic", n_users=60, n_items=80, seed=3)
    n = len(split.seen) + len(split.valid) + len(split.test)
    users, items = split.n_users, split.n_items
    assert texts(table)["synthetic"][:4] == [
        *(f"{one:,}" for one in (users, items, n)),
        f"{n / users / items:.2%}",
    ]
    assert 0 < float(texts(table)["synthetic"][4]) < 1


@pytest.mark.parametrize(
    ("text", "data", "why"),
    [
        (SUITE, {"synthetic": "0"}, "these data differ from the data of the run"),
        ("", None, "the suite file of the run does not name this data set"),
        (SUITE.replace("n_items", "n_itms"), None, "has no setting 'n_itms'"),
    ],
)
def test_what_cannot_be_read_of_a_data_set_is_told(tmp_path, text, data, why):
    table = one(on_synthetic(tmp_path, text, data), "datasets")
    assert texts(table) == {"synthetic": [ABSENT] * 5}
    assert any(note.startswith("Not read: synthetic (") and why in note for note in table.notes)


def test_a_suite_text_that_is_no_suite_is_refused(tmp_path):
    told = refused(on_synthetic(tmp_path, "= ="), "datasets")
    assert told.startswith(f"{tmp_path / 'run' / 'manifest.json'}: suite_text is not TOML (")


def test_gini_of_counts_by_hand():
    assert gini(np.array([5, 5, 5])) == 0
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4)
    assert gini(np.array([3, 1])) == pytest.approx(1 / 4)


# hyperparameters


STUDY = {"dataset": "toy", "backbone": "mf", "perturbation": "", "level": 0.0, "budget": 4}


def tuned(tmp_path, **outcome):
    run = run_of(
        tmp_path,
        grid({"bpr": 0.2, "softmax": 0.3, "mse": 0.3}, {0.0: 1.0}, 1),
        studies={"s1": STUDY | {"loss": "bpr"}},
        specs={
            "loss": {
                "bpr": "bpr(n_negatives=1, lr=[0.1|0.2], epochs=9)",
                "softmax": "softmax(tau=0.3, lr=0.1, epochs=9)",
                "mse": "mse(lr=0.1, epochs=9)",
            }
        },
    )
    if outcome:
        RunFolder(run.folder).write_tuning(StudyOutcome(id="s1", **outcome))
    return read_run(run.folder, runs.NoWarning())


CHOSEN = {
    "status": "done",
    "space": {"lr": [0.2, 0.1], "tau": {"low": 0.01, "high": 1.0, "log": True}, "pool": ["a", "b"]},
    "trials": (TriedSettings(id="t1", settings={"lr": 0.2, "tau": 0.5, "pool": "a"}),),
    "chosen": {"lr": 0.2, "tau": 0.5, "pool": "a"},
    "best": "t1",
    "validation": 0.5,
    "edges": ("lr=0.2 is the largest candidate",),
}


def test_hyperparameters_say_what_was_searched_and_chosen(tmp_path):
    table = one(tuned(tmp_path, **CHOSEN), "hyperparameters")
    assert texts(table) == {
        "toy mf bpr lr": ["0.1, 0.2", "0.2", "the largest candidate"],
        "toy mf bpr tau": ["0.01 to 1, log", "0.5", "no"],
        "toy mf bpr pool": ["a, b", "a", "no"],
        "all all softmax tau": ["no", "0.3", ABSENT],
        "all all softmax lr": ["no", "0.1", ABSENT],
        "all all mse lr": ["no", "0.1", ABSENT],
    }
    assert "All losses: epochs=9." in table.notes
    assert "A value at an edge: the optimum may be beyond it." in table.notes


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (CHOSEN | {"status": "running", "chosen": None, "edges": ()}, "not yet"),
        (CHOSEN | {"status": "failed", "chosen": None, "edges": ()}, "failed"),
        ({}, "not yet"),
    ],
)
def test_a_study_that_chose_nothing_is_told(tmp_path, outcome, word):
    found = texts(one(tuned(tmp_path, **outcome), "hyperparameters"))
    assert {row[1] for name, row in found.items() if " bpr " in name} == {word}


def test_studies_of_one_loss_are_told_apart(tmp_path):
    kinds = [
        {"split": "own"},
        {"split": "replicate 0"},
        {"split": "replicate 1"},
        {"perturbation": "noise", "level": 0.5},
    ]
    studies = {f"s{at}": STUDY | {"loss": "bpr"} | one for at, one in enumerate(kinds)}
    run = run_of(tmp_path, grid({"bpr": 0.2}, {0.0: 1.0}, 1), studies=studies)
    for id in studies:
        RunFolder(run.folder).write_tuning(StudyOutcome(id=id, **CHOSEN))
    table = one(read_run(run.folder, runs.NoWarning()), "hyperparameters")
    losses = dict.fromkeys(row[2] for row in table.rows)
    assert [*losses] == ["bpr", "bpr, replicate 0", "bpr, replicate 1", "bpr under noise 0.5"]
    assert table.called(tuple(losses))[1:] == tuple(f"BPR{one[3:]}" for one in losses)[1:]
    assert len(table.rows) == 4 * 3


def test_nothing_tuned_is_told(tmp_path):
    run = run_of(tmp_path, grid(levels={0.0: 1.0}), specs={"loss": {"bpr": "bpr(lr=0.1)"}})
    table = one(run, "hyperparameters")
    assert texts(table) == {
        "all all bpr lr": ["no", "0.1", ABSENT],
        f"all all softmax {ABSENT}": ["no", ABSENT, ABSENT],
        f"all all ccl {ABSENT}": ["no", ABSENT, ABSENT],
    }
    assert "Nothing was tuned." in table.notes


def test_settings_of_baselines_alone_are_refused(tmp_path):
    run = run_of(tmp_path, {("untrained", 0.0, 0): 0.1})
    assert refused(run, "hyperparameters").endswith("no loss was trained, so there are no settings")


def test_what_is_to_be_taken_with_care_is_told(tmp_path):
    values = grid({"bpr": 0.1}, {0.0: 1.0, 0.5: 1.0}, 1) | {("untrained", 0.0, 0): 0.2}
    apart = {("untrained", 0.0, 0): {"backbone": "random"}}
    care = {"capped": True, "realised": {"share": 0.1, "effective_users": 5.0}}
    table = one(run_of(tmp_path, values, elsewhere=apart, records=care), "main")
    assert table.notes[-1] == (
        "Caution, see robustbench-rec status: 2 trainings best in the last tenth of the allowed "
        "epochs; 1 level not reached; 3 cells with fewer than 200 test users in effect; "
        "1 curve below the random baseline."
    )


# time


def test_time_counts_training_alone_and_each_training_once(tmp_path):
    records = {
        "seconds": {"fit": 10.0, "validation": 3.0, "diagnostics": 1.0},
        "history": ((5, 0.1), (12, 0.2)),
        "peak_memory": 3 * 2**20,
        "threads": 2,
        "device": "cpu",
    }
    run = run_of(tmp_path, grid({"bpr": 0.2}, {0.0: 1.0, 0.5: 1.0}, 1), records=records)
    table = one(run, "time")
    assert [name for (name,) in table.columns] == [
        "trainings",
        "epochs",
        "seconds an epoch",
        "seconds a training",
        "peak memory (MiB)",
    ]
    assert texts(table) == {"toy mf bpr": ["2", "12", "0.500", "10.0", "3"]}
    assert any("on cpu with 2 threads" in note for note in table.notes)


def test_time_that_is_not_recorded_is_absent(tmp_path):
    run = run_of(tmp_path, grid({"bpr": 0.2}, {0.0: 1.0}, 1))
    assert texts(one(run, "time")) == {"toy mf bpr": ["1", "0", ABSENT, "1.0", ABSENT]}


def test_time_of_tables_alone_is_that_of_trials_or_none(tmp_path, checkout):
    told = refused(without_records(run_of(tmp_path, grid())), "time")
    assert "no time is recorded" in told
    assert "make this table in the folder of the original run" in told
    table = one(read_run(checkout / "results" / "reference" / "psl-electronic"), "time")
    assert texts(table)["amazon2014-electronic mf bpr"] == ["2", "32", "58.2"]
    assert any("Seconds per epoch and peak memory need the records" in n for n in table.notes)


# published


def test_published_values_stand_beside_ours(checkout):
    table = one(read_run(checkout / "results" / "reference" / "psl-electronic"), "published")
    row = texts(table)["amazon2014-electronic mf clean 0 sl_at_k [2]"]
    assert row == ["0.0901", "0.0904", "+0.4%", "0.0590", "0.0592", "+0.4%"]
    assert "[2] Yang et al., SL@K, KDD 2025." in table.notes
    assert texts(table)["amazon2014-electronic xsimgcl clean 0 bpr [1]"][1:3] == [ABSENT] * 2


def test_published_values_off_a_figure_and_beyond_tolerance_are_told(checkout):
    table = one(read_run(checkout / "results" / "reference" / "psl-false-negatives"), "published")
    name = "amazon2014-electronic mf negative_contamination 0.05 softmax [1]"
    assert texts(table)[name] == ["~0.0403", "0.0381", "-5.3%!"]
    assert {"!: beyond it.", "~: read off a figure."} <= set(table.notes)
    blocks = [row[:4] for row in table.rows]
    assert blocks == sorted(blocks, key=blocks.index)


def test_published_values_that_a_suite_does_not_have_are_refused(tmp_path):
    assert "has no published value" in refused(run_of(tmp_path, grid()), "published")


# all of them


def test_an_option_that_means_nothing_is_refused(tmp_path):
    run = run_of(tmp_path, grid())
    assert refused(run, "published", ours="bpr") == (
        "--ours does not apply to table published; it takes no such option"
    )
    assert refused(run, "k", data_dir=Path("x")) == (
        "--data-dir does not apply to table k; it takes --metric, --ours"
    )


def test_a_kind_that_is_not_known_gets_the_nearest():
    with pytest.raises(InputError, match="no table named 'mian'; did you mean 'main'"):
        kind_of("mian")


HOSTILE = "a_b & <b>|$x$ \\ {y}\n=1"


@pytest.mark.parametrize("name", ["main", "robustness", "k", "time", "hyperparameters"])
@pytest.mark.parametrize("form", FORMATS)
def test_hostile_labels_stand_in_no_table_as_they_are(tmp_path, name, form):
    names = {"dataset": HOSTILE, "backbone": f"={HOSTILE}", "perturbation": f"@{HOSTILE}"}
    values = {
        (f"{loss}{HOSTILE}", level, 0): value for loss, value in LOSSES.items() for level in LEVELS
    }
    run = run_of(
        tmp_path,
        values,
        elsewhere=dict.fromkeys(values, names),
        suite=f"../../{HOSTILE}",
        specs={"loss": {f"bpr{HOSTILE}": f"bpr(x={HOSTILE})", f"ccl{HOSTILE}": "ccl(y=1)"}},
    )
    text = written(made(run, name), form, f"{run.manifest.suite}-{name}")
    assert "a_b & <b>|$x$ \\ {y}" not in text or form == "csv"
    assert not re.search(r"(^|,)\"?[=@]", text)


def test_every_kind_says_what_it_shows():
    assert all(kind.about and len(kind.about) < 90 for kind in KINDS.values())
