"""Whole runs: resuming, killing, refusing, and equal bits.

What starts many worker processes is marked `faults`; Ctrl-C, and both engines, are always tested.
test_killed.py kills runs and workers at random moments.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numba
import pandas as pd
import pytest
import runs
import torch
from commands import command_line, run_here
from tiny import WORLD

from robustbench_rec.errors import InputError
from robustbench_rec.experiment.suite_file import load_suite, shipped
from robustbench_rec.records.merge import CELL, merge
from robustbench_rec.records.run import read_run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.compute import THREAD_VARIABLES, Compute
from robustbench_rec.running.execution import train_and_test
from robustbench_rec.running.session import Session, run
from robustbench_rec.training.config import PROTOCOL

SECONDS = 600
HELD = """
import time
from dataclasses import dataclass
from pathlib import Path
from robustbench_rec import PERTURBATIONS, Perturbation

@PERTURBATIONS.add("held")
@dataclass(frozen=True)
class Held(Perturbation):
    "Changes nothing; the first to find the file `hold` waits until it is gone."
    unit = "nothing"

    def apply(self, split, rng):
        holding = Path(__file__).with_name("holding")
        try:
            Path(__file__).with_name("hold").rename(holding)
        except FileNotFoundError:
            return split
        while holding.exists():
            time.sleep(0.01)
        return split
"""
HOLDING = (
    """
name = "holding"
plugins = ["held.py"]
baselines = []
training = { epochs = 4, batch_size = 64, eval_every = 2 }
"""
    + WORLD
    + """
[[loss]]
name = "softmax"
n_negatives = 32
"""
    + "".join(
        f'[[perturbation]]\nname = "{name}"\nlevel = [0.0, 0.3]\n'
        for name in (
            "held",
            "negative_contamination",
            "hidden_positives",
            "popularity_shift",
        )
    )
)
"""A suite that is in its middle for as long as one of its cells is held."""
CELLS = 2 * 4 * 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> pd.DataFrame:
    """Return the frame of the suite, run in this process and left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run_here(*words(folder, 1))
    assert done.returncode == 0, done.stderr
    return read_run(folder / "out").results


def words(folder: Path, jobs: int) -> list[object]:
    """Write the suite, and return the arguments that run it."""
    (folder / "held.py").write_text(HELD)
    (folder / "holding.toml").write_text(HOLDING)
    told = ("--out", folder / "out", "--no-figures", "--jobs", jobs)
    return ["run", folder / "holding.toml", *told]


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the suite with a cell held: it is in its middle for sure."""
    (tmp_path / "hold").touch()

    def started(jobs: int) -> subprocess.Popen:
        command = command_line(*words(tmp_path, jobs))
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for((tmp_path / "holding").exists, "a cell that is held")
        return run

    return started


def wait_for(condition, what: str):
    """Return the first true value of `condition()`."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise TimeoutError(what)


def records(folder: Path) -> list[Path]:
    return list((folder / "cells").glob("*.json"))


def children(pid: int) -> list[int]:
    """Return the worker processes of a run, by the marks that the kernel keeps."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if is_worker(int(child))]


def is_worker(pid: int) -> bool:
    try:
        return b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def finish(folder: Path, expected: pd.DataFrame) -> None:
    """Give the same command again, and compare with the undisturbed run, bit for bit."""
    (folder / "holding").unlink(missing_ok=True)
    out = folder / "out"
    again = run_here("run", folder / "holding.toml", "--out", out, "--no-figures")
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(read_run(out).results, expected, check_exact=True)
    assert (out / "results.csv").read_text() == expected.to_csv(index=False)
    assert not list(folder.rglob("*.part"))


@pytest.mark.faults
def test_kill_9_of_the_parent_loses_at_most_the_cells_in_flight(tmp_path, start, undisturbed):
    run, out = start(2), tmp_path / "out"
    wait_for(lambda: len(records(out)) >= 3, "three records")
    workers = children(run.pid)
    assert len(workers) == 2
    run.kill()
    run.communicate()
    wait_for(lambda: not any(map(is_alive, workers)), "the orphans' end")
    before = {path: path.stat().st_mtime_ns for path in records(out)}
    assert 3 <= len(before) < CELLS
    finish(tmp_path, undisturbed)
    kept = [path for path, written in before.items() if path.stat().st_mtime_ns == written]
    assert len(kept) == len(before)


@pytest.mark.parametrize(
    ("sent", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.faults)],
)
def test_an_interrupt_ends_the_worker_and_the_same_command_goes_on(
    tmp_path, start, undisturbed, sent, status
):
    run, out = start(1), tmp_path / "out"
    workers = children(run.pid)
    second = run_here("run", tmp_path / "holding.toml", "--out", out, "--no-figures")
    assert second.returncode == 2
    assert f"another run is writing here (process {run.pid})" in second.stderr
    run.send_signal(sent)
    _, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == status
    assert "Traceback" not in errors
    assert workers
    assert not any(map(is_alive, workers))
    finish(tmp_path, undisturbed)


HASTY = """
import os, signal
from concurrent.futures import _base

take = _base._AcquireFutures.__enter__

def take_and_signal(futures):
    take(futures)
    if futures.futures:
        os.kill(os.getpid(), signal.{sent})

_base._AcquireFutures.__enter__ = take_and_signal
"""
"""A plugin that sends its own process a signal at the worst time: as locks of futures are taken."""


@pytest.mark.faults
@pytest.mark.parametrize(("sent", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_comes_while_a_lock_is_taken_ends_the_run_and_its_worker(
    tmp_path, command, sent, status
):
    """A worker that lived on would hold the streams open, and the command would not return."""
    (tmp_path / "hasty.py").write_text(HASTY.format(sent=sent))
    suite = write_suite(tmp_path, 'plugins = ["hasty.py"]')
    done = command("run", suite, "--no-figures", "--out", "out", "--jobs", 1)
    assert done.returncode == status
    assert done.stderr.startswith("robustbench-rec: ")
    assert "finished work is kept" in done.stderr
    assert done.stderr.count("\n") == 1


MOODY = """
from dataclasses import dataclass
from robustbench_rec import PERTURBATIONS, Perturbation

@PERTURBATIONS.add("moody")
@dataclass(frozen=True)
class Moody(Perturbation):
    "Fails until it is mended."
    unit = "nothing"

    def apply(self, split, rng):
        raise RuntimeError("not today")
"""
SUITE = (
    """
name = "tiny"
baselines = []
{head}
training = {{ epochs = 1 }}
"""
    + WORLD
    + """[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.2, 0.4]
{tail}
"""
)


def write_suite(folder: Path, head: str = "", tail: str = "") -> Path:
    path = folder / "tiny.toml"
    path.write_text(SUITE.format(head=head, tail=tail))
    return path


def test_a_failed_cell_is_tried_again_and_the_others_are_not(tmp_path, in_process):
    plugin = tmp_path / "moody.py"
    plugin.write_text(MOODY)
    tail = '[[perturbation]]\nname = "moody"\nlevel = [0.0, 0.5]'
    suite = write_suite(tmp_path, 'plugins = ["moody.py"]', tail)
    first = in_process("run", suite, "--no-figures", "--out", "out")
    assert first.returncode == 3
    assert "RuntimeError: not today" in first.stderr
    # Mended code is another experiment: the digest of the plugin is part of the cell.
    plugin.write_text(MOODY.replace('raise RuntimeError("not today")', "return split"))
    second = in_process("run", suite, "--no-figures", "--out", "out")
    assert second.returncode == 0, second.stderr
    assert "3 done, 2 to run" in second.stdout


def test_a_third_call_has_nothing_to_do_and_does_not_import_torch(tmp_path, in_process):
    suite = write_suite(tmp_path)
    assert in_process("run", suite, "--no-figures", "--out", "out").returncode == 0
    written = runs.written(tmp_path / "out")
    code = (
        "import sys; from robustbench_rec.cli.main import main; "
        f"main(['run', {str(suite)!r}, '--out', 'out', '--no-figures'], standalone_mode=False); "
        "print('torch' in sys.modules)"
    )
    again = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )
    assert again.returncode == 0, again.stderr
    assert "3 done, 0 to run" in again.stdout
    assert again.stdout.splitlines()[-1] == "False"
    assert written == runs.written(tmp_path / "out")


def test_only_runs_a_part_and_the_rest_joins_later(tmp_path, in_process):
    tail = '[[perturbation]]\nname = "false_positives"\nlevel = [0.0, 0.2]'
    suite = write_suite(tmp_path, tail=tail)
    only = ("--only", "perturbation=false_positives")
    part = in_process("run", suite, "--no-figures", "--out", "out", *only)
    assert part.returncode == 0, part.stderr
    assert read_run(tmp_path / "out").results["perturbation"].unique().tolist() == [
        "false_positives"
    ]
    assert in_process("run", suite, "--no-figures", "--out", "out").returncode == 0
    names = set(read_run(tmp_path / "out").results["perturbation"])
    assert names == {"false_positives", "hidden_positives"}


def test_replicates_run_apart_come_to_what_one_run_gives(tmp_path, in_process):
    suite = write_suite(tmp_path, "replicates = 2")
    for out, *only in (["whole"], ["0", "--only", "replicate=0"], ["1", "--only", "replicate=1"]):
        assert in_process("run", suite, "--no-figures", "--out", out, *only).returncode == 0
    for replicate in (0, 1):
        assert read_run(tmp_path / str(replicate)).results["replicate"].unique().tolist() == [
            replicate
        ]
    merge([tmp_path / "1", tmp_path / "0"], tmp_path / "joined")
    whole, joined = (
        read_run(tmp_path / name).results.sort_values([*CELL, "metric"], ignore_index=True)
        for name in ("whole", "joined")
    )
    pd.testing.assert_frame_equal(joined, whole, check_exact=True)


def test_force_runs_again_what_is_done(tmp_path, in_process):
    suite = write_suite(tmp_path)
    in_process("run", suite, "--no-figures", "--out", "out")
    before = read_run(tmp_path / "out").results
    forced = in_process("run", suite, "--no-figures", "--out", "out", "--force")
    assert "0 done, 3 to run" in forced.stdout
    pd.testing.assert_frame_equal(read_run(tmp_path / "out").results, before, check_exact=True)


def test_a_corrupt_record_is_named_and_computed_again(tmp_path, in_process):
    suite = write_suite(tmp_path)
    in_process("run", suite, "--no-figures", "--out", "out")
    before = read_run(tmp_path / "out").results
    victim = records(tmp_path / "out")[0]
    victim.write_bytes(victim.read_bytes()[:50])
    again = in_process("run", suite, "--no-figures", "--out", "out")
    assert again.returncode == 0
    assert f"{Path('out') / 'cells' / victim.name}: corrupt record" in again.stderr
    assert "2 done, 1 to run" in again.stdout
    pd.testing.assert_frame_equal(read_run(tmp_path / "out").results, before, check_exact=True)


def test_one_loss_under_two_trainings_is_two_curves(tmp_path, in_process):
    tail = '[[loss]]\nname = "bpr"\ntraining = { lr = 1e-2 }'
    suite = write_suite(tmp_path, tail=tail)
    done = in_process("run", suite, "--out", "out")  # figures too: they need distinct labels
    assert done.returncode == 0, done.stderr
    assert set(read_run(tmp_path / "out").results["loss"]) == {"bpr(lr=0.001)", "bpr(lr=0.01)"}


def test_failed_cells_of_one_name_are_counted_each(tmp_path, in_process):
    tail = '[[loss]]\nname = "mse"\ntraining = { lr = 1e30 }'
    suite = write_suite(tmp_path, tail=tail)
    done = in_process("run", suite, "--no-figures", "--out", "out")
    assert done.returncode == 3
    assert done.stderr.count("mse hidden_positives level") == 3
    assert "3 failed, 0 left" in in_process("status", "out").stdout


def test_results_that_an_interrupt_left_stale_are_written_again(tmp_path, in_process):
    suite = write_suite(tmp_path)
    in_process("run", suite, "--no-figures", "--out", "out")
    csv = tmp_path / "out" / "results.csv"
    whole = csv.read_text()
    csv.unlink()  # as a run leaves it that is killed before its end
    again = in_process("run", suite, "--no-figures", "--out", "out")
    assert "3 done, 0 to run" in again.stdout
    assert csv.read_text() == whole


def test_figures_are_drawn_at_the_end_and_once(tmp_path, in_process):
    suite = write_suite(tmp_path)
    done = in_process("run", suite, "--out", "out")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    kinds = ("diagnostics", "diagnostics_training", "ndcg_at_20", "recall_at_20")
    stem = "synthetic-mf-hidden_positives"
    files = [f"{stem}-{kind}.{s}" for kind in kinds for s in ("csv", "pdf", "png")]
    assert names == ["drawn.json", *files]
    again = in_process("run", suite, "--out", "out")
    assert "figures: out/figures" in again.stdout
    assert "files in" not in again.stdout


def test_bad_data_are_told_once_before_anything_runs(tmp_path, in_process):
    (tmp_path / "log.csv").write_text("user,item\n1,1\n1,1\n")
    suite = write_suite(tmp_path)
    made = 'name = "synthetic"\nn_users = 60\nn_items = 50\npositives = 20'
    text = suite.read_text().replace(made, 'name = "log"\npath = "log.csv"')
    suite.write_text(text)
    done = in_process("run", suite, "--out", "out")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "log.csv" in done.stderr
    assert not records(tmp_path / "out")


def test_figures_of_an_earlier_version_of_the_suite_go_and_the_user_s_stay(tmp_path, in_process):
    suite = write_suite(tmp_path)
    figures = tmp_path / "out" / "figures"
    figures.mkdir(parents=True)
    gone = "synthetic-mf-gone-hit_rate_at_20.png"
    for name in (gone, "mine-ndcg_at_20.png"):
        (figures / name).touch()
    (figures / "drawn.json").write_text(json.dumps([gone]))
    in_process("run", suite, "--out", "out", "--only", "loss=bpr")
    assert (figures / "synthetic-mf-hidden_positives-ndcg_at_20.png").exists()
    assert not (figures / gone).exists()
    assert (figures / "mine-ndcg_at_20.png").exists()


def test_what_is_done_and_what_is_left_are_counted_by_cost(tmp_path):
    heard = Costs()
    run(write_suite(tmp_path), tmp_path / "out", data_dir=tmp_path, engine="serial", events=heard)
    (plan,) = heard.plans
    total = sum(plan.costs.values())
    assert total == sum(cells[0].backbone.learns for cells in plan.left.values()) > 1
    assert all(done + left == pytest.approx(total) for done, left in heard.costs)
    assert heard.costs[-1] == pytest.approx((total, 0))


class Costs(runs.Heard):
    """Keeps the costs that a status tells, as the status itself changes."""

    def __init__(self):
        super().__init__()
        self.costs, self.inside = [], []

    def progress(self, status):
        self.costs.append(status.costs)
        self.inside.append((status.epochs, status.under_way))


def test_the_manifest_tells_what_was_run(tmp_path, in_process):
    suite = write_suite(tmp_path)
    in_process("run", suite, "--no-figures", "--out", "out")
    manifest = RunFolder(tmp_path / "out").manifest()
    assert manifest.suite_text == suite.read_text()
    assert manifest.command.startswith("robustbench-rec run")
    known = manifest.versions.keys()
    assert {"numpy", "torch", "pandas", "scipy", "python", "robustbench_rec"} <= known
    assert manifest.protocol == (PROTOCOL,)
    assert list(manifest.specs["loss"]) == ["bpr"]
    (name,) = manifest.data
    assert name.startswith("synthetic(")


COUNTING = """
import os
from dataclasses import dataclass
import numba
import torch
from robustbench_rec import PERTURBATIONS, Perturbation

@PERTURBATIONS.add("counting")
@dataclass(frozen=True)
class Counting(Perturbation):
    "Changes nothing, and tells how many threads its worker was given."
    unit = "nothing"

    def apply(self, split, rng):
        return split

    def realised(self, clean, perturbed):
        given = {{name: float(os.environ.get(name, 0)) for name in {names}}}
        libraries = {{"torch": torch, "numba": numba}}
        return given | {{name: one.get_num_threads() for name, one in libraries.items()}}
"""


@pytest.fixture(scope="module")
def on_threads(tmp_path_factory):
    """Return a function that runs a suite once on some threads: its records by id."""
    folder = tmp_path_factory.mktemp("threads")
    (folder / "counting.py").write_text(COUNTING.format(names=THREAD_VARIABLES))
    tail = '[[perturbation]]\nname = "counting"\nlevel = [0.0]'
    suite = write_suite(folder, 'plugins = ["counting.py"]', tail)

    @functools.cache
    def run(threads: int, engine: str = "loky") -> dict[str, dict]:
        out = folder / f"{engine}-{threads}"
        words = ("run", suite, "--no-figures", "--out", out, "--engine", engine)
        done = run_here(*words, "--jobs", 1, "--threads-per-job", threads)
        assert done.returncode == 0, done.stderr
        held = [json.loads(path.read_text()) for path in records(out)]
        return {record["id"]: record for record in held}

    return run


NEEDS_TWO_CORES = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="two threads are refused on one core"
)


@pytest.mark.faults
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=NEEDS_TWO_CORES)])
def test_threads_reach_the_libraries_and_the_records(on_threads, threads):
    ran = on_threads(threads).values()
    assert [record["threads"] for record in ran] == [threads] * 4
    (told,) = (r["realised"] for r in ran if r["perturbation"]["name"] == "counting")
    assert told == dict.fromkeys((*THREAD_VARIABLES, "torch", "numba"), threads)


@pytest.mark.faults
@NEEDS_TWO_CORES
def test_equal_threads_give_equal_bits_and_cells_do_not_depend_on_them(on_threads):
    first, second, single = on_threads(2), on_threads(2, "serial"), on_threads(1)
    assert first.keys() == second.keys() == single.keys()
    for id, record in first.items():
        for part in ("metrics", "history", "best_epoch"):
            assert record[part] == second[id][part]


def test_records_tell_where_the_seconds_went(on_threads):
    for record in on_threads(1, "serial").values():
        parts = {"load", "perturbation", "fit", "evaluation"}
        within = {"validation", "diagnostics"} if record["loss"]["name"] != "untrained" else set()
        assert set(record["seconds"]) == parts | within
        assert sum(record["seconds"][part] for part in within) <= record["seconds"]["fit"]
        assert record["peak_memory"] > 2**20
        assert min(record["seconds"].values()) >= 0


def test_a_number_of_threads_that_torch_does_not_take_is_refused(monkeypatch):
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    with pytest.raises(InputError, match="torch runs 7 threads, not the 2 requested"):
        next(train_and_test([], Path(), Compute(threads=2)))


@pytest.mark.faults
def test_a_run_tells_how_far_its_trainings_are(tmp_path):
    text = shipped()["smoke"].replace("replicates = 2", "replicates = 1")
    text = text.replace("epochs = 40", "epochs = 300").replace(", patience = 3", "")
    assert "patience" not in text  # it would end before anybody looks
    (tmp_path / "long.toml").write_text(text)
    only = [("loss", "bpr"), ("perturbation", "hidden_positives"), ("level", "0")]
    heard = Costs()
    run(
        tmp_path / "long.toml", tmp_path / "run", data_dir=tmp_path, only=only, jobs=1, events=heard
    )
    seen = heard.inside
    inside = [(epochs[0][0], share) for epochs, share in seen if epochs and epochs[0][0]]
    assert inside
    assert all(0 < at <= 300 and at % 2 == 0 for at, _ in inside)
    assert [at for at, _ in inside] == sorted(at for at, _ in inside)
    assert [share for _, share in inside] == pytest.approx([at / 300 for at, _ in inside])
    assert seen[-1] == ((), 0)


class Workers(runs.Heard):
    """Keeps the worker processes that are there while trials run, and while cells do."""

    def __init__(self):
        super().__init__()
        self.seen = {"trials": set(), "cells": set()}

    def progress(self, status):
        self.seen[status.counting].update(children(os.getpid()))


@pytest.mark.faults
def test_the_worker_that_tuned_runs_the_cells_too(tmp_path):
    tail = '[[loss]]\nname = "mse"\ntune = { lr = [1e-3, 1e-2] }\n[tune]\ntrials = 2'
    heard = Workers()
    suite = write_suite(tmp_path, tail=tail)
    done = run(suite, tmp_path / "out", data_dir=tmp_path, jobs=1, events=heard)
    assert (len(done.trials), done.summary.left) == (2, 0)
    assert heard.seen["trials"] == heard.seen["cells"]
    assert len(heard.seen["cells"]) == 1


def test_both_engines_give_the_same_bits_and_leave_the_libraries_as_they_were(tmp_path):
    before = torch.get_num_threads(), numba.get_num_threads(), torch.get_deterministic_debug_mode()
    suite = write_suite(tmp_path, "replicates = 2")
    for engine in ("serial", "loky"):  # dask: test_same_bits.py
        run(suite, tmp_path / engine, data_dir=tmp_path, engine=engine, jobs=1)
    after = torch.get_num_threads(), numba.get_num_threads(), torch.get_deterministic_debug_mode()
    assert after == before
    serial, loky = (read_run(tmp_path / engine) for engine in ("serial", "loky"))
    pd.testing.assert_frame_equal(serial.results, loky.results, check_exact=True)
    assert serial.records.keys() == loky.records.keys()


def test_a_run_is_what_read_run_reads(tmp_path):
    suite = load_suite(str(write_suite(tmp_path)), tmp_path)
    done = run(suite, tmp_path / "out", engine="serial")
    assert (done.summary.done, done.summary.left) == (3, 0)
    read = read_run(tmp_path / "out")
    pd.testing.assert_frame_equal(done.results, read.results, check_exact=True)
    assert done.manifest == read.manifest
    part = Session(suite, RunFolder(tmp_path / "out"), tmp_path, only=[("level", "0.2")]).plan()
    assert (len(part.cells), len(part.left)) == (1, 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"jobs": 0}, "--jobs 0: it must be a whole number from 1"),
        ({"jobs": "2"}, "--jobs '2': it must be a whole number from 1"),
        ({"threads": 0}, "--threads-per-job 0: it must be a whole number from 1"),
        ({"threads": 10_000}, "--threads-per-job 10000: it must be at most"),
        ({"engine": "serial", "jobs": 4}, "--jobs 4: this engine runs 1 at a time"),
        ({"engine": "locky"}, "no engine 'locky'; did you mean 'loky'"),
        ({"only": "loss=bpr"}, "only is 'loss=bpr'; it must be pairs"),
        ({"only": {"los": "bpr"}}, "no axis 'los'; did you mean 'loss'"),
        ({"plugins": ["nope.py"]}, "plugin 'nope.py' could not be imported: no such file"),
        ({"device": "gpu"}, "--device gpu: it must be"),
    ],
)
def test_what_python_asks_for_is_checked_as_the_command_line_is(tmp_path, options, says):
    suite = write_suite(tmp_path)
    with pytest.raises(InputError) as caught:
        run(suite, tmp_path / "out", data_dir=tmp_path, **options)
    assert str(caught.value).startswith(says) or says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "tiny.toml" not in str(caught.value)
    assert not records(tmp_path / "out")


def test_a_part_may_be_a_table(tmp_path):
    suite = write_suite(tmp_path)
    part = {"loss": "bpr", "level": [0, 0.2]}
    done = run(suite, tmp_path / "out", data_dir=tmp_path, only=part, engine="serial")
    assert sorted(done.results["level"].unique()) == [0.0, 0.2]
