"""The cost of the runner besides its cells: planning, reading, memory, overhead, a second worker.

python -m benchmarks.runner             # minutes: 100 cells of a few seconds, twice
python -m benchmarks.runner --cells 20  # a first look; starting weighs more
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import table
from robustbench_rec.records.record import Record
from robustbench_rec.running.manifest import manifest_of
from robustbench_rec.running.session import open_session
from robustbench_rec.training.diagnostics import DIAGNOSTICS

PARTS = ("load", "perturbation", "fit", "evaluation")
HEADER = ("what", "measured", "how")
Row = tuple[str, str, str]

PLANNED = """
name = "planned"
replicates = 20
{dataset}n_users = 60
{dataset}n_users = 70
[[backbone]]
name = "mf"
[[backbone]]
name = "lightgcn"
{losses}
[[perturbation]]
name = "hidden_positives"
level = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45]
[[perturbation]]
name = "false_positives"
level = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45]
[[perturbation]]
name = "popularity_shift"
level = [0, 0.1, 0.2, 0.3, 0.4]
"""
"""10,000 cells, and 2,000 of floors."""
RUN = """
name = "run"
replicates = {replicates}
training = {{ epochs = 120 }}
{dataset}n_users = 1000
{dataset}n_users = 1100
[[backbone]]
name = "mf"
{losses}
[[perturbation]]
name = "hidden_positives"
level = [0, 0.2]
"""
"""20 cells a replicate, each a training of a few seconds, on two data sets."""
DATASET = '[[dataset]]\nname = "synthetic"\n'
LOSSES = "".join(f'[[loss]]\nname = "{name}"\n' for name in ("bpr", "bce", "mse"))
LOSSES += "".join(f'[[loss]]\nname = "{name}"\nn_negatives = 32\n' for name in ("ccl", "softmax"))
A_REPLICATE = 20


def rows(cells: int = 100) -> list[Row]:
    """Measure planning, reading, memory and running.

    Args:
        cells: how many to run; a multiple of 20.

    """
    return [*planning(), *reading(), *memory(), *overhead(cells)]


def planning() -> list[Row]:
    """Measure a dry run of 10,000 cells, start of the process included."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = _timed("run", _planned(folder), "--dry-run")
    how = "cold `run --dry-run`: wall; of it, CPU that other processes cannot stretch"
    return [("planning 10,000 cells", f"{wall:.2f} s; CPU {cpu:.2f} s", how)]


def reading() -> list[Row]:
    """Measure `status` of 12,000 cells with made-up records, start of the process included."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        _make_up(_planned(folder), out)
        wall, cpu = _timed("status", out)
    how = "`status` of a store of that size: wall, CPU; 9 evaluations a cell"
    return [("reading 12,000 records", f"{wall:.2f} s; CPU {cpu:.2f} s", how)]


def memory() -> list[Row]:
    """Measure the peak memory of a worker after its 100th and its 1,000th short cell."""
    with tempfile.TemporaryDirectory() as folder:
        suite, out = Path(folder, "run.toml"), Path(folder, "out")
        text = RUN.format(dataset=DATASET, losses=LOSSES, replicates=1000 // A_REPLICATE)
        suite.write_text(text.replace("epochs = 120", "epochs = 1"))
        wall = _run(suite, out, 1)
        paths = sorted(out.glob("cells/*.json"), key=lambda path: path.stat().st_mtime_ns)
        peaks = [json.loads(path.read_text())["peak_memory"] / 1e6 for path in paths]
    how = f"peak of one process, by the records; {len(peaks)} cells in {wall:.0f} s"
    return [
        ("memory of a worker, 100 and 1,000 cells", f"{peaks[99]:.0f}; {peaks[999]:.0f} MB", how)
    ]


def _planned(folder: str) -> Path:
    suite = Path(folder, "planned.toml")
    suite.write_text(PLANNED.format(dataset=DATASET, losses=LOSSES))
    return suite


def _make_up(suite: Path, out: Path) -> None:
    """Write a record for each cell of a suite, as if it had been run."""
    session = open_session(suite, out)
    plan, epochs = session.plan(), range(1, 10)
    told: dict[str, Any] = {"metric_code": plan.metrics, "seconds": {"fit": 1.0}, "best_epoch": 5}
    told |= {"metrics": {f"{name}@{k}": 1 / 3 for name in plan.metrics for k in (10, 20)}}
    told |= {"diagnostics_history": [(at, dict.fromkeys(DIAGNOSTICS, 1 / at)) for at in epochs]}
    told |= {"history": [(at, 1 / at) for at in epochs], "users": {"evaluated": 50, "all": 60}}
    with session.folder.locked():
        session.folder.begin(manifest_of(plan))
        for cell in plan.cells:
            session.folder.write(Record.of(cell, "done", **told))


def overhead(cells: int) -> list[Row]:
    """Run the same cells with two workers and with one; count seconds outside fit and evaluation.

    Args:
        cells: as in `rows`.

    """
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder, "run.toml")
        text = RUN.format(dataset=DATASET, losses=LOSSES, replicates=cells // A_REPLICATE)
        suite.write_text(text)
        walls = {jobs: _run(suite, Path(folder, str(jobs)), jobs) for jobs in (2, 1)}
        rows = [_share(Path(folder, str(jobs)), jobs, wall) for jobs, wall in walls.items()]
    gained = f"{walls[1] / walls[2]:.2f}"
    how = ", ".join(f"{60 * cells / walls[jobs]:.1f} with {jobs}" for jobs in (1, 2))
    return [*rows, ("cells a minute, 2 workers to 1", gained, how)]


def _run(suite: Path, out: Path, jobs: int) -> float:
    wall, _ = _timed("run", suite, "--out", out, "--jobs", jobs, "--no-figures")
    return wall


def _share(out: Path, jobs: int, wall: float) -> Row:
    """Tell the share of the workers' time that is neither fit nor evaluation, and its parts."""
    seconds = [json.loads(path.read_text())["seconds"] for path in out.glob("cells/*.json")]
    spent = {part: sum(one.get(part, 0.0) for one in seconds) for part in PARTS}
    worked = spent["fit"] + spent["evaluation"]
    parts = ", ".join(f"{part} {spent[part]:.2f} s" for part in ("load", "perturbation"))
    mean = worked / len(seconds)
    how = f"{len(seconds)} cells of {mean:.2f} s; of {jobs} x {wall:.1f} s: {parts}"
    return (f"overhead, {jobs} workers", f"{100 * (1 - worked / (wall * jobs)):.1f} %", how)


def _timed(*arguments: object) -> tuple[float, float]:
    """Return the wall seconds of a command of ours, and the CPU seconds of it and its children."""
    command = [sys.executable, "-m", "robustbench_rec", *map(str, arguments)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own command, no shell
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=100, help="to run; a multiple of 20")
    cells = parser.parse_args().cells
    if cells < A_REPLICATE or cells % A_REPLICATE:
        parser.error(f"--cells {cells}: it must be a multiple of {A_REPLICATE}")
    print(table(HEADER, rows(cells)))


if __name__ == "__main__":
    main()
