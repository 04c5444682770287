import gc
import json
import os
import shutil
from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import runs

from robustbench_rec import InputError
from robustbench_rec.experiment.study import StudyOutcome
from robustbench_rec.processes import without_gc
from robustbench_rec.records.frames import COLUMNS, TRAINING, TUNING_COLUMNS, averaged
from robustbench_rec.records.manifest import FORMAT, Manifest, PlannedCell
from robustbench_rec.records.marks import InFlight
from robustbench_rec.records.old_forms import manifest_of_today, record_of_today
from robustbench_rec.records.record import Record, Trial
from robustbench_rec.records.run import Run, compact, read_run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.records.users import gathered
from robustbench_rec.records.whole import parsed

NO_WARNING = runs.NoWarning()
HISTORY = [
    [2, {"kl": 0.123456789, "active_rows": 1.0}],
    [4, {"active_rows": 0.0}],
]
PER_USER = {"users": np.arange(3), "ndcg@20": np.array([0.25, 0.5, 0.75])}


METRICS = {"ndcg@20": 0.5, "coverage@20": 0.25}
CELLS = {"a1": runs.cell("softmax", training="fa1"), "a2": runs.cell("bpr", training="fa2")}
PLANNED = {id: PlannedCell(**cell) for id, cell in CELLS.items()}
ONE = {"a1": PLANNED["a1"]}


def record(id="a1", **changes):
    return runs.record(id, metrics=METRICS, **changes)


@pytest.fixture
def folder(tmp_path):
    held = RunFolder(tmp_path / "run")
    with held.locked():
        held.begin(runs.manifest(cells=CELLS))
        held.write(record(), PER_USER)
        held.write(record("a2"), PER_USER)
    return held


def opened(folder, events=NO_WARNING):
    return Run(folder, events)


def only_tables(folder):
    """Compact a run, and take its records."""
    compact(folder)
    shutil.rmtree(folder.cells)
    return folder


def with_records_and_without(folder):
    """Yield a folder as it is, and then compacted, without its records."""
    yield folder
    yield only_tables(folder)


def test_a_record_comes_back_with_its_per_user_metrics(folder):
    records = folder.read_records(PLANNED | {"absent": PLANNED["a1"]}, NO_WARNING)
    assert records.keys() == {"a1", "a2"}
    assert records["a1"].metrics == METRICS
    np.testing.assert_array_equal(folder.per_user("a1")["ndcg@20"], PER_USER["ndcg@20"])


def test_read_gives_the_tidy_frame_in_the_suite_s_order(folder):
    frame = opened(folder).results
    assert tuple(frame.columns) == COLUMNS
    assert frame["loss"].tolist() == ["softmax", "softmax", "bpr", "bpr"]
    assert frame.loc[0, "value"] == 0.5


def test_a_compacted_run_reads_the_same(folder):
    before = opened(folder).results
    only_tables(folder)
    pd.testing.assert_frame_equal(
        opened(folder).results, before, check_exact=True, check_dtype=False
    )


def test_a_compacted_run_keeps_an_empty_unit_and_a_name_that_reads_like_nothing(folder):
    folder.begin(runs.manifest(cells={"a1": runs.cell("None", backbone="1")}))
    folder.write(record(unit="", best_epoch=2, diagnostics_history=HISTORY), PER_USER)
    only_tables(folder)
    for frame in (opened(folder).results, opened(folder).diagnostics):
        assert set(frame["unit"]) == {""}
        assert set(frame["loss"]) == {"None"}
        assert set(frame["backbone"]) == {"1"}


@pytest.fixture
def measured(folder):
    """Return a folder of one cell whose loss was measured, and one whose was not."""
    folder.write(record(best_epoch=2, diagnostics_history=HISTORY), PER_USER)
    return folder


def test_diagnostics_have_a_row_each_that_is_defined_and_say_which_epoch_was_kept(measured):
    frame = opened(measured).diagnostics
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
    before = opened(measured).diagnostics
    only_tables(measured)
    after = opened(measured).diagnostics
    assert after["value"].tolist() == [0.123457, 1.0, 0.0]
    pd.testing.assert_frame_equal(
        after.drop(columns="value"), before.drop(columns="value"), check_dtype=False
    )


def test_a_run_without_diagnostics_has_none(folder):
    assert len(opened(folder).diagnostics) == 0  # its records are older than diagnostics
    only_tables(folder)
    compacted = opened(folder).diagnostics
    (folder.folder / "diagnostics.csv").unlink()
    for frame in (compacted, opened(folder).diagnostics):
        assert len(frame) == 0
        assert tuple(frame.columns) == (*TRAINING, "diagnostic", "value")


def test_trainings_that_were_best_near_the_last_epoch_are_counted_once(folder):
    """Level 0 of two perturbations is one training."""
    cells = {
        "a1": runs.cell("softmax", training="f1"),
        "a2": runs.cell("softmax", training="f1", perturbation="other"),
        "a3": runs.cell("softmax", level=0.5, training="f3"),
        "a4": runs.cell("softmax", level=0.5, training="f4", replicate=1),
        "a5": runs.cell("untrained", training="f5"),
    }
    folder.begin(runs.manifest(cells=cells))
    for id, capped in [("a1", True), ("a2", True), ("a3", False), ("a4", True), ("a5", True)]:
        changes = {key: cells[id][key] for key in ("level", "replicate")}
        folder.write(record(id, capped=capped, **changes), PER_USER)
    where = {"dataset": "toy", "backbone": "mf", "loss": "softmax", "perturbation": "noise"}
    rows = [
        where | {"level": 0.0, "capped": 1, "trainings": 1},
        where | {"level": 0.5, "capped": 1, "trainings": 2},
    ]
    assert [one.model_dump() for one in opened(folder).summary.capped] == rows
    only_tables(folder)
    assert [one.model_dump() for one in opened(folder).summary.capped] == rows


def test_levels_that_were_not_reached_and_few_users_are_told_and_marked(folder):
    cells = {"a1": runs.cell(level=0.5), "a2": runs.cell(level=0.25)}
    folder.begin(runs.manifest(cells=cells))
    folder.write(record("a1", level=0.5, realised={"hidden": 0.375}), PER_USER)
    few = {"added": 0.25, "effective_users": 120.0}
    folder.write(record("a2", level=0.25, realised=few), PER_USER)
    for folder_now in with_records_and_without(folder):
        run = opened(folder_now)
        unreached = {"dataset": "toy", "perturbation": "noise", "level": 0.5, "realised": 0.375}
        assert [one.model_dump() for one in run.summary.unreached] == [unreached]
        assert run.summary.few_users == 1
        told = run.results.drop_duplicates("level")[["level", "realised", "flags"]]
        assert told.to_numpy().tolist() == [[0.5, 0.375, "not_reached"], [0.25, 0.25, "few_users"]]


def test_a_loss_below_the_random_baseline_is_told(folder):
    cells = {
        "a1": runs.cell("softmax"),
        "a2": runs.cell("bpr"),
        "a3": runs.cell("untrained", backbone="random"),
        "a4": runs.cell("untrained", backbone="popularity"),
    }
    folder.begin(runs.manifest(cells=cells))
    for id, value in [("a1", 0.25), ("a2", 0.0625), ("a3", 0.125), ("a4", 0.5)]:
        folder.write(runs.record(id, metrics={"ndcg@20": value}), PER_USER)
    for folder_now in with_records_and_without(folder):
        (told,) = opened(folder_now).summary.below_random
        assert (told.loss, told.value, told.random) == ("bpr", 0.0625, 0.125)


def test_a_record_that_was_changed_is_corrupt(folder):
    path = folder.cells / "a1.json"
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.75"))
    heard = runs.Heard()
    assert folder.read_records(PLANNED, heard).keys() == {"a2"}
    assert "its checksum does not match" in heard.warnings[0]


@pytest.mark.parametrize("change", [{"level": 0.5}, {"replicate": 3}])
def test_a_record_that_is_not_of_its_cell_is_corrupt(folder, change):
    folder.write(record("a1", **change), PER_USER)  # whole, and sealed
    heard = runs.Heard()
    assert folder.read_records(PLANNED, heard).keys() == {"a2"}
    assert next(iter(change)) in heard.warnings[0]


def test_values_of_users_that_were_damaged_are_named(folder):
    path = folder.cells / "a1.npz"
    held = bytearray(path.read_bytes())
    held[len(held) // 3] ^= 0xFF
    path.write_bytes(held)
    heard = runs.Heard()
    run = compact(folder, heard)
    (warning,) = heard.warnings
    assert "a1.npz: cannot be read (" in warning
    assert "run again; its users are left out" in warning
    assert run.users["toy"].cells.tolist() == ["a2"]
    assert len(run.results) == 2 * len(METRICS)  # what is whole is kept


def test_users_are_kept_by_original_id(folder):
    folder.begin(runs.manifest(cells=CELLS | {"a3": runs.cell("bpr", level=0.5)}))
    folder.write(record("a1"), {"users": np.array([7, 9]), "ndcg@20": np.array([0.25, 0.5])})
    folder.write(record("a2"), {"users": np.array([9, 12]), "ndcg@20": np.array([0.75, 0.0])})
    weighted = {"users": np.array([7]), "ndcg@20": np.array([0.5]), "weight": np.array([1.5])}
    folder.write(record("a3", level=0.5), weighted)
    for folder_now in with_records_and_without(folder):
        held = opened(folder_now).users["toy"]
        assert held.users.tolist() == [7, 9, 12]
        assert held.cells.tolist() == ["a1", "a2", "a3"]
        assert held.values.keys() == {"ndcg@20"}  # what the suite asks for
        nan = np.nan
        expected = [[0.25, 0.5, nan], [nan, 0.75, 0.0], [0.5, nan, nan]]
        np.testing.assert_array_equal(held.values["ndcg@20"], expected)
        np.testing.assert_array_equal(held.weights, [[1, 1, 1], [1, 1, 1], [1.5, 1, 1]])
        assert held.values["ndcg@20"].dtype == np.float16


def test_users_of_a_thousand_cells_take_less_than_three_megabytes_a_metric(tmp_path):
    rng = np.random.default_rng(0)
    drawn = {f"{at:020d}": rng.random(1000) for at in range(1000)}  # nothing to compress
    cells = {id: {"users": np.arange(1000), "ndcg@20": values} for id, values in drawn.items()}
    folder = RunFolder(tmp_path)
    folder.write_tables({}, {"toy": gathered(cells, ["ndcg@20"])})
    assert (tmp_path / "users.npz").stat().st_size < 3e6
    held = folder.users_table()["toy"]
    np.testing.assert_allclose(held.values["ndcg@20"], list(drawn.values()), rtol=5e-4, atol=1e-6)


def test_a_damaged_table_of_users_is_named(tables):
    path = tables.folder / "users.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"users\.npz: cannot be read"):
        _ = opened(tables).users


def test_what_was_compacted_goes_when_more_is_run(measured):
    compact(measured)
    measured.begin(runs.manifest(cells=CELLS))
    assert not list(measured.folder.glob("*.csv"))
    assert not (measured.folder / "users.npz").exists()


def test_all_users_averaging_scales_per_user_metrics_only(folder):
    folder.begin(runs.manifest(averaging="all-users", cells={"a1": CELLS["a1"]}))
    values = opened(folder).results.set_index("metric")["value"]
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
def test_either_averaging_is_read_from_either(folder, held, wanted, ndcg, compacted):
    folder.begin(runs.manifest(averaging=held, cells=CELLS))
    if compacted:
        only_tables(folder)
    frame = opened(folder).results_over(wanted)
    assert frame["evaluated"].tolist() == [0.75] * 4
    values = frame[frame["loss"] == "softmax"].set_index("metric")["value"]
    assert values["ndcg@20"] == pytest.approx(ndcg)
    assert values["coverage@20"] == 0.25


def test_an_old_compacted_run_reads_under_its_own_averaging_alone(folder):
    since = ["evaluated", "realised", "replicates_vary", "selection", "flags", "protocol"]
    old = opened(folder).results.drop(columns=since)
    old.to_csv(folder.folder / "results.csv", index=False)
    shutil.rmtree(folder.cells)
    frame = opened(folder).results_over("test-users")
    assert tuple(frame.columns) == COLUMNS
    pd.testing.assert_frame_equal(frame.drop(columns=since), old, check_dtype=False)
    assert set(frame["replicates_vary"]) == {"training"}
    assert set(frame["protocol"]) == {"5"}  # as the manifest has it
    assert frame["evaluated"].isna().all()
    other = averaged(frame, "test-users", "all-users")
    assert other.isna().tolist() == [True, False, True, False]  # coverage is of all lists together
    with pytest.raises(InputError, match="cannot be averaged over all-users; its results"):
        opened(folder).results_over("all-users")


def test_compact_writes_what_read_gives(folder):
    run = compact(folder)
    frame = pd.read_csv(folder.folder / "results.csv", keep_default_na=False, na_values=["NA"])
    frame["realised"] = pd.to_numeric(frame["realised"])
    frame["protocol"] = frame["protocol"].astype(str)
    pd.testing.assert_frame_equal(frame, run.results, check_dtype=False)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda json_path, npz_path: json_path.write_bytes(b""), "Expecting value"),
        (lambda json_path, npz_path: json_path.write_bytes(json_path.read_bytes()[:90]), "char"),
        (lambda json_path, npz_path: json_path.write_bytes(b"\x7b\xff\x80"), "decode"),
        (lambda json_path, npz_path: json_path.write_text("[]"), "it is not a table"),
        (lambda json_path, npz_path: json_path.write_text("{}"), "it lacks 'id'"),
        (lambda json_path, npz_path: npz_path.unlink(), "a1.npz beside it is missing"),
        (lambda json_path, npz_path: npz_path.write_bytes(b"PK"), "not whole"),
        (
            lambda json_path, npz_path: json_path.write_bytes(
                json_path.read_bytes().replace(b'"a1"', b'"zz"')
            ),
            "it is the record of zz",
        ),
    ],
)
def test_a_corrupt_record_is_named_set_aside_and_not_counted(folder, damage, says):
    path = folder.cells / "a1.json"
    damage(path, folder.cells / "a1.npz")
    heard = runs.Heard()
    assert folder.read_records(PLANNED, heard).keys() == {"a2"}
    assert path.exists()  # who does not hold the lock moves nothing
    with folder.locked():
        assert folder.read_records(PLANNED, heard, set_corrupt_aside=True).keys() == {"a2"}
    warnings = heard.warnings
    for warning in warnings:
        assert str(path) in warning
        assert says in warning
    assert "set aside" not in warnings[0]
    assert "set aside" in warnings[1]
    assert (folder.folder / "set-aside" / "a1.json").exists()
    assert folder.read_records(ONE, NO_WARNING) == {}


ODD = ["null", "true", "1", "2", "1.5", '"1"', '"x"', '"failed"', "NaN", "1e400"]
ODD += ["[]", "{}", "[1]", "[[1, 0.5]]", "[[1.0, 2]]", '{"a": 1}', '{"a": "1"}', '{"a": 1, "a": 2}']
ODD += [
    "9007199254740993",
    r'"\ud800"',
    r'"\u00e9"',
    "{",
    "0.10000000000000000555",
    '{"fit": true}',
]
"""JSON that stands where something else should, or reads in several ways."""


def outcome(read, text):
    """Return what reading comes to: a value with its types, or an error's message."""
    try:
        return repr(read(text))
    except (ValueError, InputError) as error:
        return str(error)


def places(table, *at):
    """Yield the keys that lead to each value of nested tables."""
    for key, value in table.items():
        yield *at, key
        if isinstance(value, dict):
            yield from places(value, *at, key)


@pytest.mark.parametrize(
    ("kind", "of_today", "held"),
    [
        (Record, record_of_today, record(diagnostics={"kl": 0.5}, history=[(1, 0.5)])),
        (Trial, record_of_today, runs.trial("a1", 0.5)),
        (StudyOutcome, record_of_today, StudyOutcome(id="a1", chosen={"tau": 0.1})),
        (Manifest, manifest_of_today, runs.manifest(cells={"a1": runs.cell()})),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_json_read_in_one_go_is_what_it_is_step_by_step(kind, of_today, held):
    plain = held.model_dump()
    for *at, last in places(plain):
        for odd in ODD:
            changed = json.loads(json.dumps(plain))
            reduce(getitem, at, changed)[last] = "@"
            text = json.dumps(changed).replace('"@"', odd).encode()
            steps = outcome(lambda text: kind.model_validate(of_today(json.loads(text))), text)
            assert outcome(lambda text: parsed(kind, text, of_today), text) == steps


def test_garbage_is_looked_for_again_once_records_are_read(folder):
    assert gc.isenabled()
    folder.read_records(ONE, NO_WARNING)
    assert gc.isenabled()
    with without_gc():
        folder.read_records(ONE, NO_WARNING)
        assert not gc.isenabled()  # as whoever stopped it wants it
    assert gc.isenabled()


def test_the_second_runner_is_refused_until_the_first_lets_go(folder):
    with folder.locked(), pytest.raises(InputError, match="another run is writing here"):
        RunFolder(folder.folder).locked().__enter__()
    with RunFolder(folder.folder).locked():
        pass


F9 = "f9" * 10
"""An id, of 20 digits."""


def test_what_an_interrupted_run_left_half_written_is_swept(folder):
    (folder.cells / f"{F9}.json.123.part").write_text("{")
    folder.marks.start(F9)
    with folder.locked():
        assert not list(folder.cells.glob("*.part"))
        assert folder.marks.read() == {}


@pytest.mark.parametrize(("text", "mark"), [("", (0, 0)), ("5", (5, 0)), ("5 12 x", None)])
def test_a_mark_that_is_half_written_or_none_of_ours_tells_what_it_can(folder, text, mark):
    folder.marks.start(F9)
    (folder.marks.folder / F9).write_text(text)
    assert folder.marks.read().get(F9) == mark


def test_a_training_in_flight_tells_how_far_it_is(folder):
    folder.marks.start(F9)
    assert folder.marks.read() == {F9: InFlight(0, os.getpid())}
    folder.marks.advance(F9, 15)
    assert folder.marks.read() == {F9: InFlight(15, os.getpid())}
    folder.marks.end(F9)
    assert folder.marks.read() == {}
    shutil.rmtree(folder.marks.folder)
    folder.marks.advance(F9, 20)  # cannot be told, and nothing fails
    assert folder.marks.read() == {}


def test_no_pickle_is_read(folder):
    np.savez(folder.cells / "a1.npz", users=np.array([object()], dtype=object))
    with pytest.raises(InputError, match="pickle"):
        folder.per_user("a1")


def test_an_id_in_a_manifest_leads_to_no_other_folder(folder):
    path = folder.folder / "manifest.json"
    held = json.loads(path.read_text())
    cell = next(iter(held["cells"].values()))
    path.write_text(json.dumps(held | {"cells": {"../../etc": cell}}))
    with pytest.raises(
        InputError, match=r"manifest.json: cannot be read \(cells.*match pattern"
    ) as no:
        read_run(folder.folder)
    assert "\n" not in str(no.value)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run here"):
        read_run(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path)


def test_records_are_plain_json_for_other_tools(folder):
    assert json.loads((folder.cells / "a1.json").read_text())["status"] == "done"


def test_a_compacted_run_is_counted_by_its_table(checkout):
    held = read_run(checkout / "results" / "reference" / "health", NO_WARNING).summary
    assert held.done == held.cells > 0
    assert (held.left, held.failed) == (0, {})


@pytest.fixture
def tables(folder):
    """Return a folder whose records are gone."""
    only_tables(folder)
    return folder


def test_tables_without_records_are_not_run_over(tables):
    with pytest.raises(InputError, match=r"tables of a run without its records.*another folder"):
        tables.refuse_to_replace("s")
    tables.cells.mkdir()
    tables.refuse_to_replace("s")


def test_the_tables_of_another_suite_are_not_run_over(folder, tmp_path):
    folder.refuse_to_replace("s")
    with pytest.raises(InputError, match=r"holds the tables of suite 's'.*another folder"):
        folder.refuse_to_replace("t")
    RunFolder(tmp_path / "new").refuse_to_replace("t")


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
    run = opened(tables)
    with pytest.raises(InputError, match=says):
        getattr(run, name.removesuffix(".csv"))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("results.csv", (",0.5,", ",0.5.0,"), r"line 2 has 0\.5\.0 for 'value', which must be a n"),
        ("results.csv", (",0.0,0,", ",0.0,0.5,"), r"has 0\.5 for 'replicate', .*a whole number"),
        ("results.csv", (",0.0,0,", ",inf,0,"), r"line 2 has inf for 'level', which must be a num"),
        ("diagnostics.csv", ("True", "Trud"), r"has Trud for 'best', which must be True or False"),
        ("diagnostics.csv", ("0.123457", "x"), r"line 2 has x for 'kl', which must be a number"),
    ],
)
def test_a_table_with_a_word_in_the_place_of_a_number_is_named(measured, name, change, says):
    only_tables(measured)
    path = measured.folder / name
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(InputError, match=rf"{name}: not whole; .*{says}"):
        getattr(opened(measured), name.removesuffix(".csv"))


def test_a_table_that_changed_since_it_was_written_is_warned_of(tables):
    path = tables.folder / "results.csv"
    path.write_text(path.read_text().replace("0.25", "0.75"))
    heard = runs.Heard()
    assert 0.75 in opened(tables, heard).results["value"].to_list()
    (warning,) = heard.warnings
    assert "results.csv: changed since it was written" in warning


def test_a_table_cut_in_a_line_is_named_with_the_line(tables):
    path = tables.folder / "results.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[3][:12]]))
    with pytest.raises(InputError, match=r"results\.csv: not whole; line 4 lacks '"):
        _ = opened(tables).results


def test_a_table_that_is_missing_is_named(tables):
    (tables.folder / "results.csv").unlink()
    with pytest.raises(InputError, match=r"results\.csv: missing, and there are no records"):
        _ = opened(tables).results


@pytest.mark.parametrize(("value", "shown"), [("x", "valid number"), (True, "valid number")])
def test_a_record_whose_metric_is_no_number_is_corrupt(folder, value, shown):
    path = folder.cells / "a1.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"metrics": {"ndcg@20": value}}))
    heard = runs.Heard()
    assert folder.read_records(ONE, heard) == {}
    assert "metrics.ndcg@20" in heard.warnings[0]
    assert shown in heard.warnings[0]


def test_a_manifest_of_an_unknown_format_is_refused_on_one_line(folder):
    path = folder.folder / "manifest.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"format": 7}))
    with pytest.raises(InputError, match=r"manifest.json: it is of format 7, .*reads formats 1 to"):
        read_run(folder.folder)
    with pytest.raises(InputError, match="it is of format 7"):
        folder.refuse_to_replace("s")  # a run must not write over it
    del held["suite"]
    path.write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"manifest.json: cannot be read \(it lacks 'suite'\)"):
        read_run(folder.folder)


@pytest.mark.parametrize("name", ["health", "psl-electronic"])
def test_tables_of_protocol_2_are_read(checkout, name):
    run = read_run(checkout / "results" / "reference" / name, NO_WARNING)
    assert run.manifest.format == FORMAT
    assert run.manifest.replicates_vary == "training"
    assert run.manifest.protocol == ("2",)
    assert len(run.results) > 0
    assert run.summary.done == len(run.manifest.cells)
    assert f"Run({name}: {run.summary.done} of {run.summary.cells} cells done" in repr(run)


def test_records_of_protocol_2_are_read(folder):
    """As they were written before records told the type of an error, and had a format."""
    path = folder.folder / "manifest.json"
    old = json.loads(path.read_text())
    for key in (
        "format",
        "replicates_vary",
        "selection",
        "not_applicable",
        "specs",
        "references",
        "studies",
        "tuning",
        "parts",
        "plugins",
    ):
        del old[key]
    path.write_text(json.dumps(old))
    path = folder.cells / "a1.json"
    held = json.loads(path.read_text())
    del held["error_type"], held["checksum"], held["replicates_vary"], held["selection"]
    held["perturbation"]["stage"] = "train"
    del held["perturbation"]["acts_through"]
    failed = {"status": "failed", "error": "FloatingPointError: it diverged", "per_user_bytes": 0}
    path.write_text(json.dumps(held | failed))
    run = opened(folder)
    assert run.manifest.specs == {}
    assert run.records["a1"].error_type == "FloatingPointError"
    assert run.records["a1"].perturbation.acts_through == "training pairs"
    assert run.summary.failed == {
        "a1": (run.manifest.title(run.manifest.cells["a1"]), failed["error"])
    }


@pytest.mark.parametrize("stage", [[], {}, None, 3])
def test_an_old_record_of_an_odd_stage_is_corrupt(folder, stage):
    path = folder.cells / "a1.json"
    old_record(path, stage=stage)
    heard = runs.Heard()
    assert folder.read_records(ONE, heard) == {}
    assert "acts_through" in heard.warnings[0]


def old_record(path, **changes):
    """Write a record as protocol 2 had it."""
    held = json.loads(path.read_text())
    for key in ("checksum", "replicates_vary", "selection", "drawn", "capped"):
        held.pop(key, None)
    stage = changes.pop("stage", "train")
    held["perturbation"] |= {"stage": stage}
    del held["perturbation"]["acts_through"]
    path.write_text(json.dumps(held | changes))


def test_what_old_records_do_not_tell_is_not_made_up(folder):
    shift = {"stage": "test", "realised": {"rarity": -3.5}}
    old_record(folder.cells / "a1.json", **shift)
    best = {"best_epoch": 10, "history": [[5, 0.1], [10, 0.2]], "training": "T(epochs=10, lr=1)"}
    old_record(folder.cells / "a2.json", realised={"hidden": 0.0}, **best)
    run = opened(folder)
    shifted, hidden = run.records["a1"], run.records["a2"]
    assert (shifted.severity, shifted.flags) == (None, ())
    assert (hidden.flags, hidden.drawn) == (("capped",), "training")
    assert run.users == {}  # they were numbered
    assert run.results["realised"].isna().tolist() == [True, True, False, False]


def test_every_file_is_read_once(folder, monkeypatch):
    opened_files = []
    read_bytes = Path.read_bytes

    def counted(path):
        opened_files.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    run = opened(folder)
    for what in ("results", "evaluations", "diagnostics", "trials", "studies", "summary"):
        getattr(run, what)
    assert run.results_over("all-users") is not None
    assert sorted(opened_files) == ["a1.json", "a2.json", "manifest.json"]


def damaged(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [{"seconds": {}}, {"users": {"evaluated": 0, "all": 0}}, {"users": {}}, {"metrics": 3}],
)
def test_a_finished_record_that_lacks_what_tables_need_is_corrupt(folder, changes):
    damaged(folder.cells / "a1.json", **changes)
    heard = runs.Heard()
    run = opened(folder, heard)
    assert (run.summary.done, run.summary.left) == (1, 1)
    assert len(run.results) == len(METRICS)
    (warning,) = heard.warnings
    assert "a1.json: corrupt record (" in warning


@pytest.mark.parametrize("parts", [3, [3], [{"command": "x"}], "x"])
def test_a_damaged_manifest_of_old_is_one_line(folder, parts):
    path = folder.folder / "manifest.json"
    damaged(path, format=1, parts=parts)
    with pytest.raises(InputError, match=r"manifest\.json: cannot be read \(") as caught:
        read_run(folder.folder)
    assert "\n" not in str(caught.value)


def test_json_that_is_too_deep_is_no_record_and_no_manifest(folder):
    deep = "[" * 100_000
    (folder.cells / "a1.json").write_text(deep)
    heard = runs.Heard()
    assert folder.read_records(ONE, heard) == {}
    assert len(heard.warnings) == 1
    (folder.folder / "manifest.json").write_text(deep)
    with pytest.raises(InputError, match="cannot be read"):
        read_run(folder.folder)


def test_a_cell_of_the_trials_that_holds_no_settings_is_named_with_its_line(tables):
    header = ",".join(TUNING_COLUMNS)
    row = 'toy,mf,bpr,,0.0,own,1,"{",0.5,1,1.0,done,True,'
    (tables.folder / "tuning.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(InputError, match=r"tuning\.csv: not whole; line 2 has no table"):
        _ = opened(tables).trials


def test_an_averaging_that_is_none_is_refused(folder):
    with pytest.raises(InputError, match="averaging is 'all'; it must be 'test-users' or 'all-u"):
        opened(folder).results_over("all")


def test_the_tables_of_an_earlier_protocol_are_not_run_over(folder):
    folder.begin(runs.manifest(cells=CELLS, protocol=("2", "2, of each user")))
    told = r"tables of protocol 2, .*\(under today's \d+ all of them run anew\).*another folder"
    with pytest.raises(InputError, match=told):
        folder.refuse_to_replace("s")


@pytest.mark.parametrize("name", ["results.csv", "diagnostics.csv", "tuning.csv"])
def test_a_table_that_no_run_wrote_is_the_user_s(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds {name}, which no run wrote.*new or empty folder"):
        RunFolder(tmp_path).refuse_to_replace("s")


def test_a_run_that_has_no_finished_cell_has_a_summary(tmp_path):
    held = RunFolder(tmp_path / "run")
    with held.locked():
        held.begin(runs.manifest(cells=CELLS))
    summary = opened(held).summary
    assert (summary.done, summary.left) == (0, 2)
    assert (summary.capped, summary.unreached, summary.below_random) == ((), (), ())
