import json
import shutil

import numpy as np
import pandas as pd
import pytest

from robustbench_rec import InputError
from robustbench_rec.records.frames import (
    COLUMNS,
    TRAINING,
    averaged,
    compact,
    diagnostics,
    read,
    summary,
    unsettled,
)
from robustbench_rec.records.run_folder import RunFolder

RECORD = {
    "id": "a1",
    "fit_id": "f1",
    "status": "done",
    "dataset": {"name": "toy", "spec": "toy(k=1)"},
    "backbone": {"name": "mf", "spec": "mf(dim=4)"},
    "loss": {"name": "softmax", "spec": "softmax(tau=0.1, n_negatives=5)"},
    "perturbation": {"name": "noise", "spec": "noise()", "unit": "share", "level": 0.0},
    "replicate": 0,
    "metrics": {"ndcg@20": 0.5, "coverage@20": 0.25},
    "users": {"evaluated": 3, "all": 4},
    "seconds": {"fit": 1.5},
    "error": "",
}
CALLED = {"dataset": "toy", "backbone": "mf", "perturbation": "noise", "level": 0, "replicate": 0}
MANIFEST = {
    **dict.fromkeys(("suite_text", "data", "process"), ""),
    "metrics": ["ndcg@20"],
    "suite": "s",
    "suite_cells": 2,
    "averaging": "test-users",
    "cells": {"a1": CALLED | {"loss": "softmax"}, "a2": CALLED | {"loss": "bpr"}},
}
HISTORY = [
    [2, {"kl": 0.123456789, "active_rows": 1.0}],
    [4, {"active_rows": 0.0}],
]
PER_USER = {"users": np.arange(3), "ndcg@20": np.array([0.25, 0.5, 0.75])}


@pytest.fixture
def store(tmp_path):
    held = RunFolder(tmp_path / "run")
    with held.locked():
        held.begin(MANIFEST)
        held.write(RECORD, PER_USER)
        held.write(RECORD | {"id": "a2", "loss": {"name": "bpr", "spec": "bpr()"}}, PER_USER)
    return held


def no_warning(message):
    pytest.fail(message)


def test_a_record_comes_back_with_its_per_user_metrics(store):
    records = store.records(["a1", "absent"], no_warning)
    assert records.keys() == {"a1"}
    assert records["a1"]["metrics"] == RECORD["metrics"]
    np.testing.assert_array_equal(store.per_user("a1")["ndcg@20"], PER_USER["ndcg@20"])


def test_read_gives_the_tidy_frame_in_the_suite_s_order(store):
    frame = read(store.folder)
    assert tuple(frame.columns) == COLUMNS
    assert frame["loss"].tolist() == ["softmax", "softmax", "bpr", "bpr"]
    assert frame.loc[0, "value"] == 0.5


def test_a_compacted_run_reads_the_same(store):
    before = read(store.folder)
    compact(store.folder)
    shutil.rmtree(store.cells)
    pd.testing.assert_frame_equal(read(store.folder), before, check_exact=True, check_dtype=False)


def test_a_compacted_run_keeps_an_empty_unit_and_a_name_that_reads_like_nothing(store):
    store.begin(
        MANIFEST | {"cells": {"a1": MANIFEST["cells"]["a1"] | {"loss": "None", "backbone": "1"}}}
    )
    store.write(
        RECORD
        | {"perturbation": RECORD["perturbation"] | {"unit": ""}}
        | {"best_epoch": 2, "diagnostics_history": HISTORY},
        PER_USER,
    )
    compact(store.folder)
    shutil.rmtree(store.cells)
    for frame in (read(store.folder), diagnostics(store.folder)):
        assert set(frame["unit"]) == {""}
        assert set(frame["loss"]) == {"None"}
        assert set(frame["backbone"]) == {"1"}


@pytest.fixture
def measured(store):
    """Return a store of one cell whose loss was measured, and one whose was not."""
    store.write(RECORD | {"best_epoch": 2, "diagnostics_history": HISTORY}, PER_USER)
    return store


def test_diagnostics_have_a_row_each_that_is_defined_and_say_which_epoch_was_kept(measured):
    frame = diagnostics(measured.folder)
    assert tuple(frame.columns) == (*TRAINING, "diagnostic", "value")
    assert frame[["epoch", "best", "diagnostic", "value"]].to_numpy().tolist() == [
        [2, True, "kl", 0.123456789],
        [2, True, "active_rows", 1.0],
        [4, False, "active_rows", 0.0],
    ]
    told = frame[["suite", "dataset", "backbone", "loss", "perturbation", "unit"]]
    assert set(told.itertuples(index=False, name=None)) == {
        ("s", "toy", "mf", "softmax", "noise", "share")
    }
    assert set(frame["level"]) == {0.0}
    assert set(frame["replicate"]) == {0}


def test_compacted_diagnostics_read_the_same_to_six_digits(measured):
    before = diagnostics(measured.folder)
    compact(measured.folder)
    shutil.rmtree(measured.cells)
    after = diagnostics(measured.folder)
    assert after["value"].tolist() == [0.123457, 1.0, 0.0]
    pd.testing.assert_frame_equal(
        after.drop(columns="value"), before.drop(columns="value"), check_dtype=False
    )


def test_a_run_without_diagnostics_has_none(store):
    assert len(diagnostics(store.folder)) == 0  # its records are older than diagnostics
    compact(store.folder)
    shutil.rmtree(store.cells)
    compacted = diagnostics(store.folder)
    (store.folder / "diagnostics.csv").unlink()
    for frame in (compacted, diagnostics(store.folder)):
        assert len(frame) == 0
        assert tuple(frame.columns) == (*TRAINING, "diagnostic", "value")


def test_cells_that_were_best_at_their_last_epoch_are_counted(measured):
    where = {"dataset": "toy", "backbone": "mf", "cells": 1}
    best_at_2 = {"loss": "softmax", "unsettled": 0} | where
    assert unsettled(measured.folder).to_dict("records") == [best_at_2]
    measured.write(RECORD | {"best_epoch": 4, "diagnostics_history": HISTORY, "id": "a2"}, PER_USER)
    rows = unsettled(measured.folder).to_dict("records")
    assert rows == [best_at_2, {"loss": "bpr", "unsettled": 1} | where]
    compact(measured.folder)
    shutil.rmtree(measured.cells)
    assert unsettled(measured.folder).to_dict("records") == rows


def test_what_was_compacted_goes_when_more_is_run(measured):
    compact(measured.folder)
    measured.begin(MANIFEST)
    assert not list(measured.folder.glob("*.csv"))


def test_all_users_averaging_scales_per_user_metrics_only(store):
    store.begin(MANIFEST | {"averaging": "all-users", "cells": {"a1": MANIFEST["cells"]["a1"]}})
    values = read(store.folder).set_index("metric")["value"]
    assert values["ndcg@20"] == 0.5 * 3 / 4
    assert values["coverage@20"] == 0.25


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(
    ("held", "wanted", "ndcg"),
    # three of four users have a test item, and 0.5 is over these: 0.5 * 3 / 4 over all
    [
        ("test-users", "all-users", 0.375),
        ("test-users", "test-users", 0.5),
        ("all-users", "test-users", 0.5),
        ("all-users", "all-users", 0.375),
    ],
)
def test_either_averaging_is_read_from_either(store, held, wanted, ndcg, compacted):
    store.begin(MANIFEST | {"averaging": held})
    if compacted:
        compact(store.folder)
        shutil.rmtree(store.cells)
    frame = read(store.folder, averaging=wanted)
    assert frame["evaluated"].tolist() == [0.75] * 4
    values = frame[frame["loss"] == "softmax"].set_index("metric")["value"]
    assert values["ndcg@20"] == pytest.approx(ndcg)
    assert values["coverage@20"] == 0.25


def test_an_old_compacted_run_reads_under_its_own_averaging_alone(store):
    old = read(store.folder).drop(columns="evaluated")
    old.to_csv(store.folder / "results.csv", index=False)
    shutil.rmtree(store.cells)
    frame = read(store.folder, averaging="test-users")
    assert tuple(frame.columns) == COLUMNS
    pd.testing.assert_frame_equal(frame.drop(columns="evaluated"), old, check_dtype=False)
    assert frame["evaluated"].isna().all()
    other = averaged(frame, "test-users", "all-users")
    assert other.isna().tolist() == [True, False, True, False]  # coverage is of all lists together
    with pytest.raises(InputError, match="cannot be averaged over all-users; its results"):
        read(store.folder, averaging="all-users")


def test_compact_writes_what_read_gives(store):
    frame = pd.read_csv(compact(store.folder))
    pd.testing.assert_frame_equal(frame, read(store.folder), check_dtype=False)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda json_path, npz_path: json_path.write_bytes(b""), "Expecting value"),
        (lambda json_path, npz_path: json_path.write_bytes(json_path.read_bytes()[:90]), "char"),
        (lambda json_path, npz_path: json_path.write_bytes(b"\x7b\xff\x80"), "decode"),
        (lambda json_path, npz_path: json_path.write_text("[]"), "lacks fields"),
        (lambda json_path, npz_path: json_path.write_text("{}"), "lacks fields"),
        (lambda json_path, npz_path: npz_path.unlink(), "a1.npz beside it is missing"),
        (lambda json_path, npz_path: npz_path.write_bytes(b"PK"), "not whole"),
        (
            lambda json_path, npz_path: json_path.write_bytes(
                json_path.read_bytes().replace(b'"a1"', b'"zz"')
            ),
            "it is of cell zz",
        ),
    ],
)
def test_a_corrupt_record_is_named_set_aside_and_not_counted(store, damage, says):
    path = store.cells / "a1.json"
    damage(path, store.cells / "a1.npz")
    warnings = []
    assert store.records(["a1", "a2"], warnings.append).keys() == {"a2"}
    assert path.exists()  # who does not hold the lock moves nothing
    with store.locked():
        assert store.records(["a1", "a2"], warnings.append).keys() == {"a2"}
    for warning in warnings:
        assert str(path) in warning
        assert says in warning
    assert "set aside" not in warnings[0]
    assert "set aside" in warnings[1]
    assert (store.folder / "set-aside" / "a1.json").exists()
    assert store.records(["a1"], no_warning) == {}


def test_the_second_runner_is_refused_until_the_first_lets_go(store):
    with store.locked(), pytest.raises(InputError, match="another run is writing here"):
        RunFolder(store.folder).locked().__enter__()
    with RunFolder(store.folder).locked():
        pass


def test_what_an_interrupted_run_left_half_written_is_swept(store):
    (store.cells / "a9.json.123.part").write_text("{")
    store.mark_started("f9")
    with store.locked():
        assert not list(store.cells.glob("*.part"))
        assert store.in_flight() == {}


def test_a_training_in_flight_tells_how_far_it_is(store):
    store.mark_started("f9")
    assert store.in_flight() == {"f9": 0}
    store.mark_epoch("f9", 15)
    assert store.in_flight() == {"f9": 15}
    store.mark_ended("f9")
    assert store.in_flight() == {}
    shutil.rmtree(store.started)
    store.mark_epoch("f9", 20)  # cannot be told, and nothing fails
    assert store.in_flight() == {}


def test_no_pickle_is_read(store):
    np.savez(store.cells / "a1.npz", users=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        store.per_user("a1")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run here"):
        read(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)


def test_records_are_plain_json_for_other_tools(store):
    assert json.loads((store.cells / "a1.json").read_text())["status"] == "done"


def test_a_compacted_run_is_counted_by_its_table(checkout):
    held = summary(checkout / "results" / "reference" / "health", pytest.fail)
    assert held["done"] == held["cells"] > 0
    assert (held["left"], held["failed"]) == (0, {})


@pytest.fixture
def tables(store):
    """Return a store whose records are gone."""
    compact(store.folder)
    shutil.rmtree(store.cells)
    return store


def test_tables_without_records_are_not_run_over(tables):
    with pytest.raises(InputError, match=r"tables of a run without its records.*another folder"):
        tables.keep_others("s")
    tables.cells.mkdir()
    tables.keep_others("s")


def test_the_tables_of_another_suite_are_not_run_over(store, tmp_path):
    store.keep_others("s")
    with pytest.raises(InputError, match=r"holds the tables of suite 's'.*another folder"):
        store.keep_others("t")
    RunFolder(tmp_path / "new").keep_others("t")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("results.csv", "", r"results\.csv: cannot be read \(No columns"),
        ("results.csv", "hello\nworld\n", r"results\.csv: not whole; it has no column 'suite'"),
        ("diagnostics.csv", "a,b\n1,2\n", r"diagnostics\.csv: not whole; it has no column"),
    ],
)
def test_a_damaged_table_is_named(tables, name, text, says):
    (tables.folder / name).write_text(text)
    with pytest.raises(InputError, match=says):
        diagnostics(tables.folder) if name == "diagnostics.csv" else read(tables.folder)


def test_a_table_cut_in_a_line_is_named_with_the_line(tables):
    path = tables.folder / "results.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[3][:12]]))
    with pytest.raises(InputError, match=r"results\.csv: not whole; line 4 lacks '"):
        read(tables.folder)


def test_a_table_that_is_missing_is_named(tables):
    (tables.folder / "results.csv").unlink()
    with pytest.raises(InputError, match=r"results\.csv: missing, and no records"):
        read(tables.folder)


def test_a_record_whose_metric_is_no_number_is_corrupt(store):
    path = store.cells / "a1.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"metrics": {"ndcg@20": "x"}}))
    told = []
    assert store.records(["a1"], told.append) == {}
    assert "its ndcg@20 is 'x', which is no number" in told[0]
