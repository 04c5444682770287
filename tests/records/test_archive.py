"""Archives: equal bytes for equal runs, and a file of others that is not trusted."""

import hashlib
import io
import json
import shutil
import stat
import zipfile

import numpy as np
import pytest
from tiny import WORLD

from robustbench_rec import run
from robustbench_rec.records import archive as archives
from robustbench_rec.records.files import sealed
from robustbench_rec.records.record import Record
from robustbench_rec.records.run import read_run

SUITE = (
    """\
name = "handed"
training = { epochs = 2, batch_size = 512 }
tune = { trials = 2 }
"""
    + WORLD
    + """\
tune = { lr = [1e-2, 1e-3] }
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.4]
"""
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a folder with the suite, a finished run and its archive; no test changes them."""
    from commands import run_here

    place = tmp_path_factory.mktemp("handed")
    (place / "handed.toml").write_text(SUITE)
    run(place / "handed.toml", place / "out", engine="serial")
    assert run_here("export", place / "out", place / "run.zip").returncode == 0
    return place


@pytest.fixture
def rewritten(whole, tmp_path):
    """Return a function that writes the archive anew, with other files and their checksums."""

    def write(put=(), drop=(), more=(), seal=True):
        with zipfile.ZipFile(whole / "run.zip") as held:
            files = {name: held.read(name) for name in held.namelist() if name not in drop}
        files |= dict(put)
        sums = [
            f"{hashlib.sha256(content).hexdigest()}  {name}\n"
            for name, content in files.items()
            if name != "SHA256SUMS"
        ]
        if seal and "SHA256SUMS" in files:
            files["SHA256SUMS"] = "".join(sums).encode()
        path = tmp_path / "altered.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in [*files.items(), *more]:
                made.writestr(name, content)
        return path

    return write


def refused(in_process, path) -> str:
    """Return the one line with which `verify` refuses a file."""
    done = in_process("verify", path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"robustbench-rec: {path}: ")
    return line.removeprefix(f"robustbench-rec: {path}: ")


def test_an_archive_is_a_run_again(whole, in_process, tmp_path):
    assert in_process("verify", whole / "run.zip").returncode == 0
    again = in_process("verify", whole / "run.zip", "--rerun", 1, "--suite", whole / "handed.toml")
    assert again.returncode == 0, again.stdout
    assert "again: synthetic" in again.stdout
    with zipfile.ZipFile(whole / "run.zip") as held:
        held.extractall(tmp_path / "again")
    done = in_process("run", whole / "handed.toml", "--out", "again", "--no-figures")
    assert "6 done, 0 to run" in done.stdout
    before, after = read_run(whole / "out"), read_run(tmp_path / "again")
    assert after.results.equals(before.results)
    assert after.trials.equals(before.trials)
    assert in_process("status", "again").returncode == 0
    sums = (tmp_path / "again" / "SHA256SUMS").read_text().splitlines()
    assert "cells/" in sums[0]
    assert (tmp_path / "again" / "suite.toml").read_text() == SUITE


def test_equal_runs_give_equal_bytes_and_nothing_else_is_taken_along(whole, in_process, tmp_path):
    copy = shutil.copytree(whole / "out", tmp_path / "copy")
    (copy / "notes.txt").write_text("mine")
    (copy / "figures").mkdir()
    (copy / "cells" / f"{'0' * 20}.json").write_text("of another suite")
    assert in_process("export", "copy", "copy.zip").returncode == 0
    assert (tmp_path / "copy.zip").read_bytes() == (whole / "run.zip").read_bytes()


def test_tables_alone_are_handed_over_too(whole, in_process, tmp_path):
    assert in_process("merge", whole / "out", "--out", "merged", "--no-figures").returncode == 0
    assert in_process("export", "merged", "merged.zip").returncode == 0
    done = in_process("verify", "merged.zip")
    assert done.returncode == 0
    assert "no records are left" in done.stdout


def test_no_file_is_replaced_and_no_damaged_run_exported(whole, in_process, tmp_path):
    (tmp_path / "mine.zip").write_text("mine")
    done = in_process("export", whole / "out", "mine.zip")
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        ["robustbench-rec: mine.zip: exists; give another name, or remove it"],
    )
    copy = shutil.copytree(whole / "out", tmp_path / "copy")
    (copy / "results.csv").write_text("none")
    done = in_process("export", "copy", "copy.zip")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("robustbench-rec: copy is not exported: copy/results.csv: differs")
    assert not (tmp_path / "copy.zip").exists()


@pytest.mark.parametrize("name", ["../out.csv", "/tmp/x", "cells/../../x", "a.py", "cells/", "."])
def test_a_name_that_no_run_writes(rewritten, in_process, name):
    assert refused(in_process, rewritten(put={name: b"x"})) == (
        f"holds {name!r}, which no run writes: damaged, or not from export; do not unpack it"
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(rewritten, in_process):
    path = rewritten(more=[("results.csv", b"other")])
    assert refused(in_process, path) == "holds 'results.csv' 2 times; do not unpack it"


def test_a_link(rewritten, in_process):
    link = zipfile.ZipInfo("tuning.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = rewritten(drop=["tuning.csv"], more=[(link, b"/etc/passwd")])
    assert refused(in_process, path) == "'tuning.csv' is a link, or no file; do not unpack it"


def test_a_bomb(rewritten, in_process, monkeypatch):
    path = rewritten(put={"results.csv": bytes(10**8)})
    assert refused(in_process, path).endswith("do not unpack it")
    monkeypatch.setattr(archives, "LARGEST", 10**6)
    told = refused(in_process, path)
    assert told == "'results.csv' has 100,000,000 bytes, more than 1,000,000; do not unpack it"
    arrays = io.BytesIO()
    np.savez_compressed(arrays, users=np.zeros(10**6))
    told = refused(in_process, rewritten(put={"users.npz": arrays.getvalue()}))
    assert "'users.npz' holds 8,000,128 bytes of arrays" in told


def test_a_truncated_archive_and_one_that_is_none(whole, in_process, tmp_path):
    path = tmp_path / "cut.zip"
    text = (whole / "run.zip").read_bytes()
    for size in (0, 10, len(text) // 2, len(text) - 1):
        path.write_bytes(text[:size])
        assert refused(in_process, path).startswith("no archive of a run, or damaged (")
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("results.csv", "a,b")
    assert refused(in_process, path) == "no archive of a run (manifest.json is missing)"


def test_an_archive_with_a_changed_byte_is_refused(whole, in_process, tmp_path):
    path, text = tmp_path / "flipped.zip", (whole / "run.zip").read_bytes()
    step = len(text) // 60
    for at in range(step, len(text), step):
        path.write_bytes(text[:at] + bytes([text[at] ^ 0xFF]) + text[at + 1 :])
        done = in_process("verify", path)
        assert "Traceback" not in done.stderr
        if done.returncode == 0:  # a byte of a time or a flag, which no one reads
            with zipfile.ZipFile(path) as one, zipfile.ZipFile(whole / "run.zip") as other:
                assert all(one.read(name) == other.read(name) for name in other.namelist())


def test_files_that_are_not_in_the_checksums_or_not_of_them(rewritten, in_process):
    name = f"lists/{'0' * 20}.npz"
    told = refused(in_process, rewritten(put={name: b"x"}, seal=False))
    assert told == f"altered or not whole: {name!r} is not in SHA256SUMS"
    told = refused(in_process, rewritten(drop=["users.npz"], seal=False))
    assert told == "altered or not whole: 'users.npz' is missing, but in SHA256SUMS"
    told = refused(in_process, rewritten(put={"users.npz": b"x"}, seal=False))
    assert told == "altered: 'users.npz' is not of its checksum"


def test_checksums_made_anew_do_not_hide_what_differs(whole, rewritten, in_process):
    table = (whole / "out" / "results.csv").read_bytes()
    path = rewritten(put={"results.csv": table.replace(b"0.", b"1.", 1)})
    done = in_process("verify", path)
    assert done.returncode == 3
    assert f"{path}/results.csv: differs from the records" in done.stdout
    kept = min((whole / "out" / "cells").glob("*.json"))
    record = Record.model_validate_json(kept.read_bytes())
    wrong = record.model_copy(update={"replicate": 7})
    done = in_process("verify", rewritten(put={f"cells/{kept.name}": sealed(wrong)}))
    assert done.returncode == 3
    assert "its replicate is 7, that of its cell 0" in done.stdout


def test_an_archive_of_another_protocol_or_suite(whole, rewritten, in_process):
    held = json.loads((whole / "out" / "manifest.json").read_bytes())
    old = json.dumps(held | {"protocol": ["1"]}).encode()
    assert refused(in_process, rewritten(put={"manifest.json": old})).startswith(
        "of protocol 1, not of today's "
    )
    told = refused(in_process, rewritten(put={"suite.toml": b"name = 'other'"}))
    assert told == "altered: suite.toml is not the suite of manifest.json"
    told = refused(in_process, rewritten(put={"manifest.json": b"{}"}))
    assert told.startswith("manifest.json: cannot be read (")
