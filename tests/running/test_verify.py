"""Verification: what differs in a run is named, and cells give again what they gave."""

import json
import shutil

import numpy as np
import pytest
from tiny import WORLD

from robustbench_rec.records.files import sealed, unzipped, zipped
from robustbench_rec.records.run import read_run
from robustbench_rec.running.verify import TOLERANCE

SUITE = (
    """\
name = "checked"
training = { epochs = 2, batch_size = 512 }
"""
    + WORLD
    + """\
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.4]
"""
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a finished run, and beside it its suite; no test changes it."""
    from robustbench_rec import run

    place = tmp_path_factory.mktemp("checked")
    (place / "checked.toml").write_text(SUITE)
    run(place / "checked.toml", place / "out", engine="serial")
    return place


@pytest.fixture
def folder(whole, tmp_path):
    """Return a copy of the run."""
    return shutil.copytree(whole, tmp_path, dirs_exist_ok=True) / "out"


def changed(folder, **update):
    """Change the record of a trained cell, and seal it again."""
    run = read_run(folder)
    record = next(one for one in run.records.values() if one.history)
    path = folder / "cells" / f"{record.id}.json"
    path.write_bytes(sealed(record.model_copy(update=update)))
    return record, path


def verified(in_process, *options, status):
    done = in_process("verify", "out", *options)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_run_that_was_left_alone_holds_and_gives_the_same_bits_again(folder, in_process):
    held = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=0)
    assert all(line.startswith("holds  ") for line in lines)
    assert sum("again: synthetic mf bpr" in line for line in lines) == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == held


def test_a_record_that_was_changed_and_sealed_again_is_found_out(folder, in_process):
    record, _ = changed(folder)
    wrong = dict(record.metrics) | {"ndcg@20": record.metrics["ndcg@20"] + 1e-9}
    changed(folder, metrics=wrong)
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=3)
    assert any("results.csv: differs from the records" in line for line in lines)
    told = f"ndcg@20 was {wrong['ndcg@20']}, and is {record.metrics['ndcg@20']}"
    assert any(line.strip() == told for line in lines)
    assert lines[-1].endswith("problems in out")


@pytest.mark.parametrize(
    ("what", "forged"),
    [
        ("history", lambda old: tuple((epoch, value + 0.1) for epoch, value in old)),
        ("diagnostics", lambda old: dict.fromkeys(old, 0.5)),
        ("diagnostics_history", lambda old: tuple((epoch, {}) for epoch, _ in old)),
    ],
)
def test_what_stands_in_a_record_beside_metrics_is_found_out_by_a_rerun(
    folder, in_process, what, forged
):
    record, _ = changed(folder)
    changed(folder, **{what: forged(getattr(record, what))})
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=3)
    assert f"{what} differs" in [line.strip() for line in lines]


def test_lists_of_another_training_are_found_out_by_a_rerun(folder, in_process):
    one, *others = sorted((folder / "lists").iterdir())
    for other in others:
        shutil.copyfile(one, other)
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=3)
    assert "lists of the training differ" in [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"held": np.zeros((3, 2))}, "an array is missing"),
        ({"users": np.zeros((2, 2))}, "do not fit each other"),
        ({"places": np.zeros((5, 3), dtype=int)}, "do not fit each other"),
        ({"places": np.zeros((2, 20))}, "do not fit each other"),
        ({"places": np.full((2, 20), 9)}, "do not fit each other"),
        ({"places": np.full((2, 20), -2)}, "do not fit each other"),
    ],
)
def test_lists_whose_arrays_do_not_fit_are_one_problem(folder, in_process, arrays, fault):
    path = next((folder / "lists").iterdir())
    whole = {"users": np.arange(2), "items": np.arange(5), "places": np.zeros((2, 20), dtype=int)}
    named = {"held": np.array(["users", "items", "places"])}
    path.write_bytes(zipped(whole))
    verified(in_process, status=3)  # lists of others, but lists
    np.savez(path, **(whole | named | arrays))
    lines = verified(in_process, status=3)
    assert any(fault in line for line in lines)
    assert in_process("export", "out", "out.zip").returncode == 2


def test_lists_that_cannot_be_read_are_a_problem_of_a_rerun(folder, in_process):
    for path in (folder / "lists").iterdir():
        np.savez(path, held=np.zeros((3, 2)))
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=3)
    assert sum("cannot be read (an array is missing)" in line for line in lines[-5:]) == 2


def test_a_rerun_of_tables_alone_is_refused_in_words(folder, in_process):
    shutil.rmtree(folder / "cells")
    done = in_process("verify", "out", "--rerun", 1, "--suite", "checked.toml")
    assert done.returncode == 2
    assert done.stderr == "robustbench-rec: out: --rerun needs records; this run has only tables\n"


def test_other_versions_are_held_to_a_tolerance(folder, in_process):
    record, _ = changed(folder)
    other = record.versions | {"torch": "1.0.0"}
    near = {name: value + TOLERANCE / 2 for name, value in record.metrics.items()}
    changed(folder, versions=other, metrics=near)
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=3)
    assert not any(" was " in line for line in lines)
    far = {name: value + TOLERANCE * 2 for name, value in record.metrics.items()}
    changed(folder, versions=other, metrics=far)
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=3)
    assert any("ndcg@20 was " in line for line in lines)


def test_damage_of_each_kind_of_file_is_named(folder, in_process):
    record, path = changed(folder)
    path.write_bytes(path.read_bytes().replace(b"ndcg", b"ndch", 1))
    (folder / "results.csv").write_text("x")
    lists = next((folder / "lists").iterdir())
    lists.write_bytes(lists.read_bytes()[:-9])
    lines = verified(in_process, status=3)
    for name in (f"{record.id}.json", lists.name, "results.csv"):
        assert any(name in line for line in lines if line.startswith(" ")), name


def test_values_that_users_exchanged_are_found_by_a_rerun(folder, in_process):
    for path in (folder / "cells").glob("*.npz"):
        arrays = unzipped(path)
        arrays["ndcg@20"] = np.roll(arrays["ndcg@20"], 1)  # of the same mean
        path.write_bytes(zipped(arrays))
    lines = verified(in_process, "--rerun", 2, "--suite", "checked.toml", status=3)
    assert sum("ndcg@20 of single users differs" in line for line in lines) == 2


def test_tables_that_are_not_there_are_told(folder, in_process):
    (folder / "results.csv").unlink()
    told = verified(in_process, status=3)
    assert any(
        line.endswith("results.csv: missing; run the suite again to write it") for line in told
    )
    for path in (folder / "cells").iterdir():
        path.unlink()
    assert any("not written yet" in line for line in verified(in_process, status=0))


def test_tables_alone_are_held_to_their_digests(folder, in_process):
    shutil.rmtree(folder / "cells")
    assert verified(in_process, status=0)[0].startswith("holds    tables: no records are left")
    with (folder / "results.csv").open("a") as file:
        file.write("\n")
    assert "results.csv: missing, or changed" in "".join(verified(in_process, status=3))


def test_another_suite_is_refused(folder, in_process):
    done = in_process("verify", "out", "--rerun", 1, "--suite", "smoke")
    assert done.returncode == 2
    assert "suite 'smoke' is not the one that was run; give its file by --suite" in done.stderr
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["suite"] == "checked"
    bare = in_process("verify", "out", "--rerun", 1)
    assert bare.returncode == 2
    assert "--rerun needs the suite of out, given by --suite FILE" in bare.stderr
