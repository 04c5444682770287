"""Speed of this tree against an earlier commit, in one run.

    python -m benchmarks.since           # steps and epochs: minutes
    python -m benchmarks.since suites    # whole suites and figures: half an hour

Both trees work in processes of their own, which take turns; CPU time, one thread. The earlier tree
is taken from this repository, which must hold its commit.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.timing import table

COMMIT = "9f906c5"
"""The state before the losses were compiled row by row, of protocol 3."""
HEADER = ("CPU time", "before, ms", "now, ms", "ratio of the least", "ratio of the medians")
SUITES = ("CPU time", "before, s", "now, s", "ratio")
ROOT = Path(__file__).resolve().parent.parent
TREE = ("robustbench_rec", "perturbations", "suites", "results")
TURNS = {
    "softmax step, N = 1000, Electronic": ("step", "electronic", "mf", "softmax", 1000),
    "drrl step, N = 1000, Electronic": ("step", "electronic", "mf", "drrl", 1000),
    "softmax step, N = 200, MovieLens-100K": ("step", "movielens-100k", "mf", "softmax", 200),
    "drrl step, N = 200, MovieLens-100K": ("step", "movielens-100k", "mf", "drrl", 200),
    "ccl step, N = 200, MovieLens-100K": ("step", "movielens-100k", "mf", "ccl", 200),
    "bpr step, MovieLens-100K": ("step", "movielens-100k", "mf", "bpr", 1),
    "an Electronic epoch, mf, softmax": ("epoch", "electronic", "mf", "softmax", 1000),
    "an Electronic epoch, lightgcn, softmax": ("epoch", "electronic", "lightgcn", "softmax", 1000),
    "an Electronic epoch, lightgcn, bpr": ("epoch", "electronic", "lightgcn", "bpr", 1),
}
"""What to time: a step or an epoch, the data, backbone, loss and N."""
TIMES = {"step": 25, "epoch": 2}
RUNS = {
    "quickstart": ("run", "quickstart", "--jobs", "1", "--no-figures"),
    "false-negatives, one replicate": (
        *("run", "false-negatives", "--only", "replicate=1", "--jobs", "1", "--no-figures"),
    ),
}
DRAWN = ("false-negatives", "movielens")
"""Stored runs whose figures are drawn."""


def rows() -> list[tuple[object, ...]]:
    """Time steps and epochs."""
    with _trees() as trees, ExitStack() as stack:
        workers = [stack.enter_context(_worker(tree)) for tree in trees]
        return [_row(name, workers, TIMES[turn[0]]) for name, turn in TURNS.items()]


def _row(name: str, workers: Sequence[Callable[[str], float]], times: int) -> tuple[object, ...]:
    for worker in workers:
        worker(name)
    before, now = zip(*([worker(name) for worker in workers] for _ in range(times)), strict=True)
    medians = statistics.median(before) / statistics.median(now)
    least = f"{min(before):.2f}", f"{min(now):.2f}", f"{min(before) / min(now):.2f}x"
    return (name, *least, f"{medians:.2f}x")


@contextmanager
def _trees() -> Iterator[tuple[Path, Path]]:
    """Yield the root of the earlier tree, and of this one."""
    with tempfile.TemporaryDirectory() as folder:
        archive = ["git", "archive", COMMIT, *TREE]
        packed = subprocess.run(archive, cwd=ROOT, check=True, stdout=subprocess.PIPE)  # noqa: S603  # our own command, no shell
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tree:
            tree.extractall(folder, filter="data")
        yield Path(folder), ROOT


def _environment(tree: Path) -> dict[str, str]:
    """Return what makes a process import the package of a tree, and the benchmarks of this one."""
    return os.environ | {"PYTHONPATH": f"{tree}{os.pathsep}{ROOT}", "NUMBA_NUM_THREADS": "1"}


@contextmanager
def _worker(tree: Path) -> Iterator[Callable[[str], float]]:
    """Start a process on a tree; it times the benchmarks whose names it receives."""
    command = [sys.executable, "-P", "-m", "benchmarks.since", "--worker"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=_environment(tree), **pipes) as process:  # noqa: S603  # our own command, no shell

        def time_one(name: str) -> float:
            print(name, file=process.stdin, flush=True)
            return float(json.loads(process.stdout.readline()))

        yield time_one
        process.stdin.close()


def work() -> None:
    """Time what each line of the input names, and print its milliseconds of CPU time."""
    import torch

    from robustbench_rec.running.compute import Compute

    Compute().configure_libraries()
    torch.set_num_threads(1)
    for line in sys.stdin:
        turn = _turn(*TURNS[line.strip()])
        started = time.process_time()
        turn()
        print(json.dumps(1000 * (time.process_time() - started)), flush=True)


@cache
def _turn(what: str, data: str, backbone: str, loss: str, n: int) -> Callable[[], object]:
    import torch

    from robustbench_rec import BACKBONES, LOSSES
    from robustbench_rec.seeds import rng_for
    from robustbench_rec.training.fit import TrainConfig, Trainer

    split = _split(data)
    module = BACKBONES[backbone]().build(split.train, torch.Generator().manual_seed(0))
    one = Trainer(module, split, LOSSES[loss](n_negatives=n), TrainConfig(), 0)
    if what == "epoch":
        return partial(one.run_epoch, 1)
    return partial(one.step, 1, rng_for(0).permutation(len(split.train))[:1024])


@cache
def _split(data: str) -> Any:
    from benchmarks.data import random_split
    from robustbench_rec import load_dataset

    return random_split() if data == "electronic" else load_dataset(data)


def suites() -> list[tuple[object, ...]]:
    """Time whole runs and drawings, each once in either tree."""
    with _trees() as trees:
        found = [_suite(name, [_run(tree, *how) for tree in trees]) for name, how in RUNS.items()]
        return found + [_suite(f"figures of {name}", _drawn(name, trees)) for name in DRAWN]


def _suite(name: str, seconds: Sequence[float]) -> tuple[object, ...]:
    before, now = seconds
    return (name, f"{before:.1f}", f"{now:.1f}", f"{before / now:.2f}x")


def _run(tree: Path, *arguments: str) -> float:
    with tempfile.TemporaryDirectory() as out:
        return _cpu(tree, *arguments, "--out", f"{out}/run")


def _drawn(name: str, trees: Sequence[Path]) -> list[float]:
    seconds = []
    for tree in trees:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder, name)
            shutil.copytree(ROOT / "results" / "reference" / name, run)
            seconds.append(_cpu(tree, "figures", str(run)))
    return seconds


def _cpu(tree: Path, *arguments: str) -> float:
    """Return the seconds of CPU that a command of a tree takes, its children's with it."""
    command = [sys.executable, "-P", "-m", "robustbench_rec", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=_environment(tree), stdout=subprocess.DEVNULL)  # noqa: S603  # our own command, no shell
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table, or work for the process that does."""
    if sys.argv[1:] == ["--worker"]:
        work()
    elif sys.argv[1:] == ["suites"]:
        print(table(SUITES, suites()))
    else:
        print(table(HEADER, rows()))


if __name__ == "__main__":
    main()
