"""Runs whose processes are killed at random moments, and cells that kill or never end.

Always tested are their short forms: a Ctrl-C in test_session.py, a deadly trial in test_tuning.py.
"""

import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from itertools import permutations
from pathlib import Path

import pytest
from clusters import children, kill
from commands import command_line, run_here
from odd_losses import ODD_LOSSES
from tiny import WORLD

from robustbench_rec import run
from robustbench_rec.records.run import read_run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

KILLS = 10
"""Kills for each of two seeds."""
SUITE = (
    """\
name = "killed"
replicates = 3
training = { epochs = 20, batch_size = 32, eval_every = 4 }
"""
    + WORLD
    + """\
[[loss]]
name = "mse"
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.2, 0.4]
"""
)
ODD = """\
name = "odd"
plugins = ["odd.py"]
training = { epochs = 2, batch_size = 512 }
baselines = []
""" + WORLD.partition("[[loss]]")[0]
TABLES = ("results.csv", "diagnostics.csv", "users.npz")


def records(folder):
    return list((folder / "cells").glob("*.json"))


def tables(folder):
    return {name: (folder / name).read_bytes() for name in TABLES}


def is_worker(process):
    with suppress(OSError):
        return b"popen_loky" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def run_with_kills(words, out, kills, rng, told):
    """Start a run, make kills from the end of a list while it goes on, and return its status."""
    one = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=told)
    least = 0
    try:
        while kills and one.poll() is None:
            wanted = len(records(out)) + max(least, rng.randrange(4))  # else most hit imports
            while len(records(out)) < wanted and one.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
            workers = [child for child in children(one.pid) if is_worker(child)]
            if one.poll() is None and kills[-1] == "run":
                kill(one.pid)
                kills.pop()
                break
            if one.poll() is None and workers:
                kill(rng.choice(workers))
                kills.pop()
                least = 1  # a training fails after three deaths in it
        return one.wait(timeout=600)
    finally:
        one.kill()


@pytest.mark.parametrize("seed", [0, 1])
def test_kills_of_the_run_or_a_worker_at_random_moments_change_nothing(tmp_path, seed):
    (tmp_path / "killed.toml").write_text(SUITE)
    whole = run(tmp_path / "killed.toml", tmp_path / "whole", engine="serial")
    expected, out, rng = tables(whole.folder), tmp_path / "out", random.Random(seed)
    words = command_line("run", tmp_path / "killed.toml", "--out", out, "--no-figures")
    words += ["--jobs", str(seed + 1)]
    kills = rng.sample(["run", "worker"] * (KILLS // 2), KILLS)
    status = None
    while kills or status != 0:
        with (tmp_path / "told").open("w") as told:
            status = run_with_kills(words, out, kills, rng, told)
        said = (tmp_path / "told").read_text()
        assert "Traceback" not in said
        assert status in (0, -signal.SIGKILL), said
        if status == 0:
            assert tables(out) == expected
            assert not list(out.rglob("*.part"))
            shutil.rmtree(out)


ORDERS = list(permutations(["bpr", "deadly", "endless"]))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("engine", ["loky", "dask"])
def test_deadly_and_endless_cells_on_every_engine_in_any_order(tmp_path, engine, jobs, monkeypatch):
    if engine == "dask":
        pytest.importorskip("distributed")
        # As where a worker takes longer to start again than dask waits for it.
        monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "0.01 s")
    order = random.Random(f"{engine} {jobs}").choice(ORDERS)
    (tmp_path / "odd.py").write_text(ODD_LOSSES)
    (tmp_path / "odd.toml").write_text(
        ODD + "".join(f'[[loss]]\nname = "{loss}"\n' for loss in order)
    )
    words = command_line("run", tmp_path / "odd.toml", "--out", tmp_path / "out", "--no-figures")
    words += ["--engine", engine, "--jobs", str(jobs), "--cell-timeout", "30"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("a worker died (killed, or out of memory)") == 3
    held = read_run(tmp_path / "out").summary
    reasons = {(title.split()[2], why) for title, why in held.failed.values()}
    died = "RuntimeError: its worker died 3 times (killed, or out of memory)"
    late = "TimeoutError: took longer than 30 s (--cell-timeout)"
    assert reasons == {("deadly", died), ("endless", late)}
    assert (held.done, len(held.failed), held.left) == (1, 2, 0)
    assert "1 of 3 cells done, 2 failed, 0 left" in run_here("status", tmp_path / "out").stdout
