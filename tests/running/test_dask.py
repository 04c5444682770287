"""The dask engine, with a real scheduler and real workers on loopback."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from clusters import WAIT, children, cluster, kill, wait_for
from commands import command_line, run_here
from odd_losses import ODD_LOSSES
from tiny import WORLD

from robustbench_rec.errors import InputError
from robustbench_rec.records.run import read_run
from robustbench_rec.running.session import STALL

pytest.importorskip("distributed")
from robustbench_rec.running.engines.dask import Dask  # it imports distributed

pytestmark = pytest.mark.dask
on_the_shared = pytest.mark.xdist_group("cluster")  # else each process of pytest starts one

SUITE = (
    """
name = "clustered"
{plugins}
replicates = 2
training = {{ epochs = 2, batch_size = 512 }}
"""
    + WORLD
)
TABLES = ("results.csv", "diagnostics.csv", "users.npz")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with the plugin."""
    folder = tmp_path_factory.mktemp("clustered")
    (folder / "plug.py").write_text(ODD_LOSSES)
    return folder


@pytest.fixture(scope="module")
def shared(place):
    """Return a cluster of two workers, whose temporary folders are in its own."""
    with cluster(place / "cluster", workers=0) as made:
        made.temporary = place / "cluster" / "tmp"
        made.temporary.mkdir()
        made.add(2, TMPDIR=str(made.temporary))
        yield made


@pytest.fixture
def suite(place):
    """Return a function that writes a suite with more losses."""

    def written(*losses: str) -> str:
        plugins = 'plugins = ["plug.py"]' if losses else ""
        more = "".join(f'[[loss]]\nname = "{loss}"\n' for loss in losses)
        path = place / f"clustered{'-'.join(losses)}.toml"
        path.write_text(SUITE.format(plugins=plugins) + more)
        return str(path)

    return written


@pytest.fixture
def ran(command, tmp_path):
    """Return a function that runs a suite on a scheduler, or on workers of its own."""

    def run(suite, scheduler, *options, out="out"):
        where = ("--scheduler", scheduler) if scheduler else ()
        told = ("--engine", "dask", *where, "--out", tmp_path / out, "--no-figures")
        return command("run", suite, *told, *options)

    return run


def hold(place) -> None:
    """Have the next cell of `held` wait, and the file `holding` say when it does."""
    (place / "holding").unlink(missing_ok=True)
    (place / "hold").touch()


def one_line(done) -> str:
    """Return the one line of a command that found a mistake."""
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    return line.removeprefix("robustbench-rec: ")


@on_the_shared
@pytest.mark.parametrize("results", ["shared", "return"])
def test_a_cluster_gives_the_bytes_of_this_process(
    shared, suite, ran, in_process, tmp_path, results
):
    assert in_process("run", suite(), "--out", "here", "--no-figures").returncode == 0
    done = ran(suite(), shared.address, "--results", results)
    assert done.returncode == 0, done.stderr
    for name in TABLES:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    again = ran(suite(), "tcp://127.0.0.1:9")  # with nothing to do, nobody is asked
    assert again.returncode == 0
    assert "6 done, 0 to run" in again.stdout


@on_the_shared
@pytest.mark.parametrize("results", ["shared", "return"])
def test_deadly_and_endless_cells_fail_by_name_and_the_others_are_done(
    shared, suite, ran, tmp_path, results
):
    how = ("--results", results, "--cell-timeout", 30, "--only", "replicate=0")
    done = ran(suite("endless", "deadly", "mse"), shared.address, *how)
    assert done.returncode == 3, done.stderr
    held = read_run(tmp_path / "out").summary
    reasons = {title.split()[2]: why for title, why in held.failed.values()}
    assert reasons == {
        "endless": "TimeoutError: took longer than 30 s (--cell-timeout)",
        "deadly": "RuntimeError: its worker died 3 times (killed, or out of memory)",
    }
    assert (held.done, held.left) == (2 + 2, 0)
    assert not [*shared.temporary.rglob("robustbench-rec-*/cells")]


def test_without_a_scheduler_workers_are_started_here_and_end_with_it(suite, place, tmp_path):
    hold(place)
    told = ("--engine", "dask", "--jobs", 1, "--out", tmp_path / "out", "--no-figures")
    words = command_line("run", suite("held"), *told)
    for how, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9), (None, 0)):
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for((place / "holding").exists, "cell that is held", of=run)
        started = children(run.pid)
        assert started
        (place / "holding").unlink()
        if how:
            run.send_signal(how)
        else:
            (place / "hold").unlink()
        _, stderr = run.communicate(timeout=WAIT)
        assert run.returncode == status, stderr
        assert "Traceback" not in stderr
        wait_for(lambda all=started: not any(map(is_alive, all)), "end of the workers")
    assert read_run(tmp_path / "out").summary.done == 2 * (2 + 2)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.faults
def test_a_run_goes_on_after_all_workers_are_lost(suite, ran, place, tmp_path):
    hold(place)
    with cluster(tmp_path / "cluster", workers=2) as made:
        told = ("--out", tmp_path / "out", "--no-figures", "--stall-limit", 30)
        words = command_line("run", suite("held"), "--engine", "dask", *told)
        words += ["--scheduler", made.address]
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for((place / "holding").exists, "cell that is held", of=run)
        made.lose_workers()
        _, stderr = run.communicate(timeout=WAIT)
        assert run.returncode == 2
        assert "has had no worker for" in stderr.splitlines()[-1]
        assert "Traceback" not in stderr
        records = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").iterdir()}
        (place / "hold").unlink()
        made.add(1)
        wait_for(lambda: children(made.workers[0].pid), "worker")
        done = ran(suite("held"), made.address)
        assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == at for path, at in records.items())
    assert read_run(tmp_path / "out").summary.done == 2 * (2 + 2)


@pytest.mark.faults
def test_workers_that_come_back_take_up_the_run(suite, place, tmp_path):
    hold(place)
    with cluster(tmp_path / "cluster", workers=2) as made:
        told = ("--out", tmp_path / "out", "--no-figures", "--scheduler", made.address)
        words = command_line("run", suite("held"), "--engine", "dask", *told)
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for((place / "holding").exists, "cell that is held", of=run)
        made.lose_workers()
        (place / "hold").unlink()
        made.add(1)
        _, stderr = run.communicate(timeout=WAIT)
        assert run.returncode == 0, stderr
    assert read_run(tmp_path / "out").summary.done == 2 * (2 + 2)


def test_a_scheduler_that_is_not_there_or_no_address(suite, ran):
    told = one_line(ran(suite(), "tcp://127.0.0.1:9", "--stall-limit", 3))
    assert told.startswith("--scheduler tcp://127.0.0.1:9: no dask scheduler answers there (")
    told = one_line(ran(suite(), "somewhere"))
    assert told == "--scheduler is 'somewhere'; it must be like tcp://host:8786"


def test_a_scheduler_of_another_version(suite, ran, tmp_path):
    old = "from distributed import versions\nversions._version_cached = lambda name: '2020.1.0'"
    with cluster(tmp_path / "cluster", workers=0, preamble=old) as made:
        told = one_line(ran(suite(), made.address))
    assert "has distributed 2020.1.0, not " in told
    assert "install the same version" in told


def test_a_scheduler_that_has_no_worker_or_stalls(suite, ran, place, tmp_path):
    with cluster(tmp_path / "cluster", workers=0) as made:
        told = one_line(ran(suite(), made.address, "--stall-limit", 5))
        assert "has no worker; start some with `dask worker" in told
        hold(place)
        made.add(1)
        words = command_line("run", suite("held"), "--engine", "dask", "--stall-limit", 30)
        words += ["--scheduler", made.address, "--out", str(tmp_path / "out"), "--no-figures"]
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for((place / "holding").exists, "cell that is held", of=run)
        kill(made.scheduler.pid, signal.SIGSTOP)
        _, stderr = run.communicate(timeout=WAIT)
        assert run.returncode == 2, stderr
        waited = re.search(r"has not answered for (\d+) s", stderr.splitlines()[-1])
        assert 30 <= int(waited[1]) < STALL
        assert "Traceback" not in stderr


def test_a_connection_is_given_the_stall_limit(suite, monkeypatch):
    given = []

    def refused(place, timeout, **_):
        given.append(timeout)
        raise TimeoutError("mute")

    monkeypatch.setattr("robustbench_rec.running.engines.dask.Client", refused)
    told = ("--engine", "dask", "--scheduler", "tcp://127.0.0.1:9", "--no-figures")
    told = run_here("run", suite(), *told, "--stall-limit", 5)
    assert "no dask scheduler answers there (TimeoutError: mute)" in told.stderr
    assert given == [5]


def test_why_the_last_worker_is_not_used_is_said_where_none_is_left():
    cluster = SimpleNamespace(stall=5, scheduler="tcp://host:8786")
    engine = Dask(None, cluster, None, ExitStack(), _alive_at=0.0)
    engine._dismiss("tcp://host:4711", "has other code of loss 'mine'")
    with pytest.raises(InputError, match=r"no worker for 6 s \(worker .*4711: has other code of l"):
        engine._refuse_to_wait(6.0)


def test_another_worker_at_the_address_of_one_that_was_not_used_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(Dask, "_ask", lambda self, address, told: asked.append(address))
    engine = Dask(None, None, None, ExitStack(), _unfit={"tcp://host:4711": "has other code"})
    for workers in ({"tcp://host:4711": {}}, {}, {"tcp://host:4711": {}}):
        assert asked == []
        there = Future()
        there.set_result({"workers": workers})
        engine._take(there)
    assert asked == ["tcp://host:4711"]


def test_an_address_that_is_no_scheduler(suite, ran):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        told = one_line(
            ran(suite(), f"tcp://127.0.0.1:{mute.getsockname()[1]}", "--stall-limit", 5)
        )
    assert "no dask scheduler answers there" in told


def test_a_run_waits_for_workers_that_an_earlier_one_left_busy(suite, place, command, tmp_path):
    hold(place)
    impatient = "import robustbench_rec.running.engines.dask as it; it.LIMIT = 2.0; "
    impatient += "from robustbench_rec.cli.main import main; main()"
    with cluster(tmp_path / "cluster", workers=1) as made:
        told = ("--engine", "dask", "--scheduler", made.address, "--no-figures", "--out")
        words = ("run", suite("held"), "--stall-limit", 60, *told)
        first = subprocess.Popen(command_line(*words, tmp_path / "first"))
        wait_for((place / "holding").exists, "cell that is held", of=first)
        first.kill()
        first.wait()
        freed = threading.Timer(8, (place / "hold").unlink)
        freed.start()
        script = [sys.executable, "-c", impatient]
        done = command(*words, tmp_path / "again", script=script)
        freed.join()
    assert done.returncode == 0, done.stderr
    assert "has answered for 2 s: busy, as with trainings of an earlier run" in done.stderr


def test_a_scheduler_that_ends(suite, place, tmp_path):
    hold(place)
    with cluster(tmp_path / "cluster", workers=1) as made:
        words = command_line("run", suite("held"), "--engine", "dask", "--no-figures")
        words += ["--scheduler", made.address, "--out", str(tmp_path / "out")]
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for((place / "holding").exists, "cell that is held", of=run)
        kill(made.scheduler.pid)
        _, stderr = run.communicate(timeout=WAIT)
        assert run.returncode == 2, stderr
        assert "is gone; finished cells are kept" in stderr.splitlines()[-1]
        assert "Traceback" not in stderr


def test_a_worker_without_our_package_or_with_several_threads(suite, ran, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "robustbench_rec.py").write_text("raise ModuleNotFoundError('it is not here')")
    with cluster(tmp_path / "cluster", workers=0) as made:
        made.add(1, PYTHONPATH=str(hidden))
        told = one_line(ran(suite(), made.address))
        assert "cannot run our code (ModuleNotFoundError" in told
        made.lose_workers()
        made.add(1, threads=2)
        told = one_line(ran(suite(), made.address))
        assert "has 2 threads; start it with `--nthreads 1`" in told


@on_the_shared
def test_a_worker_without_the_plugin(shared, suite, tmp_path):
    (tmp_path / "here_alone.py").write_text(ODD_LOSSES)
    words = command_line("run", suite(), "--engine", "dask", "--scheduler", shared.address)
    words += ["--plugin", "here_alone", "--out", str(tmp_path / "out")]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, timeout=WAIT
    )
    told = one_line(done)
    assert "plugin 'here_alone' could not be imported: ModuleNotFoundError" in told
    assert told.startswith("worker tcp://127.0.0.1:")


def test_nothing_of_dask_is_imported_unasked():
    script = (
        "import sys; from robustbench_rec.cli.main import main\n"
        "import robustbench_rec.running.engines.loky, robustbench_rec.running.session\n"
        "assert not {'dask', 'distributed', 'tornado'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=WAIT)
