"""Faults: damage, a full disk, a second runner. Nothing is lost, and nothing is trusted wrongly.

The long forms are marked `faults`.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import reduce
from operator import getitem

import numpy as np
import pandas as pd
import pytest
import runs
from commands import command_line
from tiny import WORLD

from robustbench_rec import InputError, run
from robustbench_rec.records.files import has_valid_checksum, sealed, unzipped
from robustbench_rec.records.record import Record
from robustbench_rec.records.run import read_run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running import plan as plans
from robustbench_rec.running.session import open_session

SUITE = (
    """
name = "faulty"
metrics = ["ndcg@20"]
baselines = []
training = { epochs = 1 }
"""
    + WORLD
    + """[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.2, 0.4]
"""
)
long = pytest.mark.faults
ODD = ["null", "true", "7", "0.5", '"x"', "NaN", "1e400", "[]", "{}", "[1]", '{"a": 1}']
"""JSON that stands where something else should."""


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Return a run of the suite that nothing happened to."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "faulty.toml").write_text(SUITE)
    return run(folder / "faulty.toml", folder / "out", data_dir=folder, engine="serial")


@pytest.fixture
def folder(once, tmp_path):
    """Return a copy of the run's folder."""
    return shutil.copytree(once.folder, tmp_path / "out")


def again(once, folder, **options):
    """Give the same call again; return what it heard, and check what the run came to."""
    heard = runs.Heard()
    suite = once.folder.parent / "faulty.toml"
    done = run(suite, folder, data_dir=folder, engine="serial", events=heard, **options)
    assert all("\n" not in warning for warning in heard.warnings)
    pd.testing.assert_frame_equal(done.results, once.results, check_exact=True)
    assert (folder / "results.csv").read_bytes() == (once.folder / "results.csv").read_bytes()
    assert unzipped(folder / "users.npz").keys() == unzipped(once.folder / "users.npz").keys()
    return heard


def ran(heard):
    """Return how many cells were run."""
    return heard.statuses[-1].done


@pytest.fixture
def cells(once):
    """Return the cells of the run, by id."""
    suite = once.folder.parent / "faulty.toml"
    session = open_session(suite, once.folder, data_dir=once.folder, engine="serial")
    return {cell.id: cell for cell in session.plan().cells}


def first(folder, kind):
    return sorted((folder / "cells").glob(f"*.{kind}"))[0]


EACH = [pytest.param(41, id="some"), pytest.param(1, id="each", marks=long)]


@pytest.mark.parametrize("step", EACH)
def test_a_record_damaged_at_any_byte_is_not_read(folder, cells, step):
    path, results = first(folder, "json"), RunFolder(folder)
    whole, one = path.read_bytes(), {path.stem: cells[path.stem]}
    heard = runs.Heard()
    assert results.read_records(one, heard).keys() == one.keys()
    for at in range(0, len(whole), step):
        for text in (
            whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :],
            whole[:at] + whole[at + 1 :],
            whole[:at],
        ):
            path.write_bytes(text)
            assert not results.read_records(one, heard), (at, text)
            assert "\n" not in heard.warnings[-1]


@pytest.mark.parametrize("step", EACH)
def test_values_of_users_damaged_at_any_byte_are_not_trusted(folder, cells, step):
    path, results = first(folder, "npz"), RunFolder(folder)
    whole, kept, one = path.read_bytes(), unzipped(path), {path.stem: cells[path.stem]}
    refused = 0
    for at in range(0, len(whole), step):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        heard = runs.Heard()
        if results.read_records(one, heard):
            assert all(np.array_equal(array, kept[name]) for name, array in unzipped(path).items())
        else:
            refused += 1
            assert "\n" not in heard.warnings[0]
    assert refused > len(whole) / step / 2


def places(table, *at):
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        yield *at, key
        if isinstance(value, dict | list):
            yield from places(value, *at, key)


@pytest.mark.parametrize("step", [pytest.param(7, id="some"), pytest.param(1, marks=long)])
def test_odd_json_in_any_place_of_a_record_is_not_its_cell(folder, cells, step):
    """Sealed anew, so that the checksum is right: what is not of the cell is found all the same."""
    path, results = first(folder, "json"), RunFolder(folder)
    plain, one = json.loads(path.read_text()), {path.stem: cells[path.stem]}
    whole = Record.model_validate_json(path.read_bytes())
    identity = {"id", "dataset", "backbone", "loss", "perturbation", "training", "seed"}
    identity |= {"replicate", "replicates_vary", "selection", "fit_id"}
    for at in [*places(plain)][::step]:
        for odd in ODD:
            changed = json.loads(json.dumps(plain))
            reduce(getitem, at[:-1], changed)[at[-1]] = "@"
            text = json.dumps(changed).replace('"@"', odd).encode()
            with suppress(ValueError):
                text = sealed(Record.model_validate_json(text))
            path.write_bytes(text)
            heard = runs.Heard()
            for id, read in results.read_records(one, heard).items():
                assert has_valid_checksum(text, read.checksum)
                assert read.model_dump(include=identity) == whole.model_dump(include=identity), id
                _ = read.flags, read.severity
            assert all("\n" not in warning for warning in heard.warnings)


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path):
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def as_link_to_nothing(path):
    path.unlink()
    path.symlink_to("nowhere")


def deep(path):
    path.write_bytes(b"[" * 200_000)


DAMAGES = (emptied, cut, flipped, as_folder, as_pipe, as_link_to_nothing, deep)


@pytest.mark.parametrize("damage", [emptied, cut, flipped, as_pipe, as_link_to_nothing])
@pytest.mark.parametrize("name", ["results.csv", "diagnostics.csv", "users.npz"])
def test_a_table_that_is_not_what_the_records_say_is_made_anew(once, folder, name, damage):
    damage(folder / name)
    assert ran(again(once, folder)) == 0
    written = runs.written(folder)
    again(once, folder)
    assert written == runs.written(folder)


def test_tables_are_made_anew_where_records_were_exchanged(once, folder):
    path = first(folder, "json")
    record = Record.model_validate_json(path.read_bytes())
    other = record.model_copy(update={"metrics": {**record.metrics, "ndcg@20": 0.125}})
    path.write_bytes(sealed(other))
    suite = once.folder.parent / "faulty.toml"
    done = run(suite, folder, data_dir=folder, engine="serial")
    assert 0.125 in done.results["value"].to_list()
    assert "0.125" in (folder / "results.csv").read_text()


def test_a_folder_of_an_earlier_version_runs_no_cell_again(once, folder):
    path = folder / "manifest.json"
    held = json.loads(path.read_text())
    for key in ("tables", "records", "computed"):
        del held[key]
    path.write_text(json.dumps(held))
    assert read_run(folder).summary.done == 3
    assert ran(again(once, folder)) == 0
    assert read_run(folder).manifest.tables


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["cells/*.json", "cells/*.npz", "lists/*.npz"])
def test_a_damaged_file_is_set_aside_and_its_cell_runs_again(once, folder, what, damage):
    path = sorted(folder.glob(what))[0]
    damage(path)
    heard = again(once, folder)
    if damage is as_link_to_nothing and path.suffix == ".json":  # as good as no file
        assert ran(heard) == 1
        return
    (warning,) = heard.warnings
    assert ran(heard) == 1
    assert "set aside" in warning
    assert os.path.lexists(folder / "set-aside" / path.name)
    assert ran(again(once, folder)) == 0


def test_lists_that_are_gone_are_told_and_made_again(once, folder):
    path = min((folder / "lists").iterdir())
    held = path.read_bytes()
    path.unlink()
    heard = runs.Heard()
    assert read_run(folder, heard).summary.done == 2
    (told,) = heard.warnings
    assert told.endswith(
        f"(lists/{path.name} of its training is missing); its cell counts as not run"
    )
    heard = again(once, folder)
    assert ran(heard) == 1
    assert "set aside" in heard.warnings[0]
    assert path.read_bytes() == held
    assert ran(again(once, folder)) == 0


def test_a_record_of_before_lists_were_noted_needs_none(once, folder):
    path = first(folder, "json")
    record = Record.model_validate_json(path.read_bytes())
    path.write_bytes(sealed(record.model_copy(update={"has_lists": False})))
    (folder / "lists" / f"{record.fit_id}.npz").unlink()
    heard = runs.Heard()
    assert read_run(folder, heard).summary.done == 3
    assert not heard.warnings


def test_where_nothing_can_be_set_aside_the_cell_runs_all_the_same(once, folder):
    (folder / "set-aside").write_text("a file of the user")
    emptied(first(folder, "json"))
    heard = again(once, folder)
    assert ran(heard) == 1
    assert "it cannot be set aside (File exists)" in heard.warnings[0]
    assert (folder / "set-aside").read_text() == "a file of the user"


def test_what_lies_on_another_file_system_takes_what_is_set_aside(once, folder, monkeypatch):
    def crosses(*_, **__):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    emptied(first(folder, "json"))
    with monkeypatch.context() as patched:
        patched.setattr("shutil.os.rename", crosses)
        heard = again(once, folder)
    assert ran(heard) == 1
    assert (folder / "set-aside" / first(folder, "json").name).read_bytes() == b""


def test_what_is_set_aside_twice_is_kept_twice(once, folder):
    path = first(folder, "json")
    for text in ("one", "two"):
        path.write_text(text)
        again(once, folder)
    kept = [one.read_text() for one in sorted((folder / "set-aside").glob("*.json*"))]
    assert kept == ["one", "two"]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 3}', ""])
def test_a_damaged_manifest_is_set_aside_and_made_anew(once, folder, text):
    (folder / "manifest.json").write_text(text)
    heard = again(once, folder)
    assert ran(heard) == 0
    (warning,) = heard.warnings
    assert "manifest.json: cannot be read" in warning
    assert (folder / "set-aside" / "manifest.json").read_text() == text


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_folder_is_left_as_it_is(once, tmp_path, force):
    (tmp_path / "started").mkdir()
    theirs = ["notes.txt", "old.part", "tuning.csv", "started/mine", "manifest.json"]
    for name in theirs:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=r"holds manifest\.json, which no run wrote"):
        again(once, tmp_path, force=force)
    assert all((tmp_path / name).read_text() == "{}" for name in theirs)
    assert len(list(tmp_path.rglob("*"))) == len(theirs) + 1


@pytest.mark.parametrize("what", ["out", "data_dir"])
def test_an_empty_name_of_a_folder_is_a_mistake(once, folder, what):
    with pytest.raises(InputError, match=f"--{what.replace('_', '-')} is empty; give a folder"):
        run(
            once.folder.parent / "faulty.toml", **({"out": folder, "data_dir": folder} | {what: ""})
        )


def test_an_empty_name_is_told_in_one_line_by_each_command(once, in_process, tmp_path):
    suite = once.folder.parent / "faulty.toml"
    for words in (
        ("run", suite, "--out", ""),
        ("run", suite, "--data-dir", ""),
        ("merge", once.folder, "--out", ""),
        ("status", ""),
    ):
        done = in_process(*words)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "empty" in done.stderr
    assert not list(tmp_path.iterdir())


NTH = [*range(0, 10, 4), *(pytest.param(n, marks=long) for n in range(10) if n % 4)]


@pytest.mark.parametrize("nth", NTH)
def test_a_disk_that_is_full_is_one_line_and_the_same_call_goes_on(
    once, tmp_path, monkeypatch, nth
):
    """Every write syncs: the manifest, then lists, users and record of each cell, then tables."""
    syncs = iter([*[False] * nth, *[True] * 100])

    def full(_):
        if next(syncs):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("robustbench_rec.records.files.os.fsync", full)
        with pytest.raises(InputError, match=r"written \(No space left on device") as told:
            again(once, out)
    assert "\n" not in str(told.value)
    assert not list(out.rglob("*.part"))
    again(once, out)


@long
def test_of_two_runners_at_once_one_runs_and_one_is_refused(once, tmp_path):
    suite = once.folder.parent / "faulty.toml"
    words = command_line("run", suite, "--out", tmp_path / "out", "--no-figures", "--jobs", 1)
    both = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [one.communicate(timeout=600)[1] for one in both]
    assert sorted(one.returncode for one in both) in ([0, 2], [0, 0]), (
        told
    )  # or one after the other
    assert all("Traceback" not in text for text in told)
    again(once, tmp_path / "out")


LIMITED = """
import resource, sys
from robustbench_rec.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
main()
"""


@long
@pytest.mark.parametrize("limit", [0, 1000, 2500, 4000])
def test_files_that_may_not_grow_are_one_line(once, tmp_path, limit):
    suite, out = once.folder.parent / "faulty.toml", tmp_path / "out"
    words = ["run", suite, "--out", out, "--no-figures", "--engine", "serial"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, [limit, *words])],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written (File too large)" in done.stderr
    again(once, out)


def test_cells_of_other_versions_are_told_and_kept(once, folder, monkeypatch, in_process):
    path = first(folder, "json")
    record = Record.model_validate_json(path.read_bytes())
    of = record.versions | {"torch": "1.0.0"}
    path.write_bytes(sealed(record.model_copy(update={"versions": of})))
    suite = once.folder.parent / "faulty.toml"
    done = in_process("run", suite, "--out", folder, "--no-figures")
    assert "3 done, 0 to run" in done.stdout
    assert (
        "1 finished cell by other versions, kept (--force reruns all): 1 cell by torch 1.0.0"
    ) in done.stdout
    torch = record.versions["torch"]
    told = f"computed by several versions: 2 cells by torch {torch}; 1 cell by torch 1.0.0"
    assert told in in_process("status", folder).stdout
    shutil.rmtree(folder / "cells")  # the tables tell it too
    assert told in in_process("status", folder).stdout
    merged = in_process("merge", folder, "--out", "merged", "--no-figures")
    assert merged.returncode == 0
    assert told in in_process("status", "merged").stdout
    monkeypatch.setattr(plans, "versions", lambda: record.versions)
    assert "other versions" not in in_process("run", suite, "--out", "new", "--dry-run").stdout
