"""The helper: it does half, dies without harm, and ends with its parent."""

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robustbench_rec.processes import helper

SECONDS = 600


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_the_end_of(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while is_alive(pid):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)


def python(code: str, folder: Path, **settings: str) -> subprocess.Popen[str]:
    """Start code that does not import from the folder where it stands."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        cwd=folder,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


PIDS = """
import os, time
from robustbench_rec.processes import helper
with helper("json") as other:
    print(*other.starmap(os.getpid, [()] * 2), flush=True)
"""


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_latter_half_is_done_elsewhere_and_results_are_in_order(count):
    with helper() as other:
        pids = other.starmap(os.getpid, [()] * count)
    half = (count + 1) // 2
    assert [pid == os.getpid() for pid in pids] == [True] * half + [False] * (count - half)
    with helper() as other:
        assert other.starmap(abs, [(-i,) for i in range(count)]) == list(range(count))


def test_an_error_is_raised_as_if_there_were_no_helper(capfd):
    with pytest.raises(ZeroDivisionError), helper() as other:
        other.starmap(operator.truediv, [(1, 1), (1, 0)])
    assert capfd.readouterr().err == ""


def test_what_a_dead_helper_leaves_is_done_here(capfd):
    with helper("no_such_module") as other:
        assert other.starmap(os.getpid, [()] * 3) == [os.getpid()] * 3
    assert capfd.readouterr().err == ""


def test_what_is_printed_is_no_result(capfd):
    with helper() as other:
        assert other.starmap(print, [("here",), ("there",)]) == [None, None]
    assert capfd.readouterr().err == "there\n"


def test_it_ends_when_it_is_not_needed():
    with helper("json") as other:
        pid = other._process.pid
        assert is_alive(pid)
    assert not is_alive(pid)


def test_a_module_in_the_current_folder_is_not_run(tmp_path):
    for name in ("json", "pickle", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign code ran')")
    parent = python(PIDS, tmp_path)
    out, errors = parent.communicate(timeout=SECONDS)
    assert (parent.returncode, errors) == (0, "")
    assert out.split()[0] == str(parent.pid)
    assert out.split()[1] != str(parent.pid)


@pytest.mark.parametrize("when", ["idle", "at work"])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_no_helper_outlives_its_parent(tmp_path, sign, when):
    code = PIDS.replace("print(*other.starmap(os.getpid, [()] * 2)", "print(other._process.pid")
    code += "    time.sleep(60)" if when == "idle" else "    other.starmap(time.sleep, [(60,)] * 2)"
    parent = python(code, tmp_path)
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.send_signal(sign)
    assert parent.communicate(timeout=SECONDS) == ("", "")
    wait_for_the_end_of(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux alone")
def test_a_worker_in_code_that_lets_no_thread_run_ends_with_its_parent(tmp_path):
    worker = (
        "import ctypes, sys; from robustbench_rec.processes import start_worker; "
        "start_worker(int(sys.argv[1])); print('ready', flush=True); "
        "ctypes.PyDLL(None).sleep(600)"
    )
    parent = python(
        "import os, subprocess, sys, time; "
        f"p = subprocess.Popen([sys.executable, '-c', {worker!r}, str(os.getpid())], "
        "stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid, flush=True); time.sleep(600)",
        tmp_path,
    )
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_for_the_end_of(pid)
