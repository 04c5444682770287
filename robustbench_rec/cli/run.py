"""The command `run`."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from robustbench_rec.cli.drawing import are_drawn, draw
from robustbench_rec.cli.options import DATA_DIR, GOES_ON, PLUGINS, RUNS
from robustbench_rec.cli.output import say_tuned, say_unsettled, warn
from robustbench_rec.errors import InputError, counted
from robustbench_rec.running.compute import Compute, available_cores, find_device

if TYPE_CHECKING:
    from robustbench_rec.records.run_folder import RunFolder
    from robustbench_rec.running.plan import Plan
    from robustbench_rec.running.pool import Status

GPU_JOBS = 4
"""Workers that share a GPU unless told otherwise: a guess, not measured yet."""
FAILED_CELLS = 3
TERMINATED = 143


@click.command()
@click.argument("suite")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Worker processes. More than the cores are warned of.  [default: cores / threads a job, "
    "and at most 4 on a GPU]",
)
@click.option(
    "--threads-per-job",
    "threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of each worker. Of several, jobs x threads must not exceed the cores. Results "
    "are the same bits with any number of jobs and with equal threads.",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="auto|cpu|cuda[:i]",
    help="Where models train. With several --jobs a GPU is shared, and its memory must do for all.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Results folder.  [default: results/runs/SUITE]"
)
@DATA_DIR
@click.option(
    "--only",
    multiple=True,
    metavar="AXIS=NAME",
    help="Run a part: dataset=..., backbone=..., loss=..., perturbation=..., level=..., "
    "replicate=... (from 0). Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be run, and stop.")
@click.option("--force", is_flag=True, help="Run done cells again, not what tuned.")
@click.option("--figures/--no-figures", default=True, help="Draw the figures at the end.")
@PLUGINS
def run(
    suite: str,
    jobs: int | None,
    threads: int,
    device: str,
    out: Path | None,
    data_dir: Path | None,
    only: tuple[str, ...],
    dry_run: bool,
    force: bool,
    figures: bool,
    plugins: tuple[str, ...],
) -> None:
    """Run SUITE, a name from `list suites` or a .toml file.

    Stop it whenever you like: the same command goes on where it was, and a third has nothing to
    do. What failed is tried again. Losses that the suite tunes are tuned first; settings whose
    training diverged count as tried. To tune anew, remove the folder tuning/ from the results.
    """
    from robustbench_rec.data.catalog import default_data_dir
    from robustbench_rec.experiment.suite_file import load_suite
    from robustbench_rec.records.frames import unsettled
    from robustbench_rec.records.run_folder import RunFolder
    from robustbench_rec.running.plan import check_data, make_plan
    from robustbench_rec.running.run_cells import run_suite

    where = data_dir or default_data_dir()
    compute = Compute(threads, find_device(device))
    jobs = _workers(jobs, compute)
    loaded = load_suite(suite, where, plugins)
    store = RunFolder(out or RUNS / loaded.name)
    axes = [_pair(text) for text in only]
    if not force:
        store.keep_others(loaded.name)
    if dry_run:
        plan = make_plan(loaded, store, where, axes, force, warn)
        _say_plan(plan, store, jobs, compute)
        check_data(plan, where)
        return
    command = shlex.join(["robustbench-rec", *sys.argv[1:]])
    with _terminable(), store.locked():
        plan = make_plan(loaded, store, where, axes, force, warn)
        _say_plan(plan, store, jobs, compute)
        check_data(plan, where)
        if plan.untuned:
            from robustbench_rec.running.run_trials import run_tuning

            with _display() as watch:
                run_tuning(plan, store, where, jobs, command, watch, compute, warn)
            plan = make_plan(loaded, store, where, axes, force, retry=False)
        with _display() as watch:
            status = run_suite(plan, store, where, jobs, command, watch, compute)
    say_tuned(store.tuned(store.manifest(), warn))
    say_unsettled(unsettled(store.folder).to_dict("records"))
    _say_end(status, store)
    if figures and not are_drawn(store.folder) and status.already + status.done:
        draw(store.folder)
    if status.failed:
        sys.exit(FAILED_CELLS)


def _workers(jobs: int | None, compute: Compute) -> int:
    """Return how many workers to run: as asked, else as many as the cores have room for.

    Whoever asks for threads asks for speed, which more threads than cores undo: that is refused.
    More jobs than cores are warned of alone; a command then runs on a small machine as on a large.

    Raises:
        InputError: more threads than cores.

    """
    cores, threads = available_cores(), compute.threads
    if threads > cores:
        raise InputError(f"--threads-per-job {threads}: it must be at most {cores}, the cores here")
    if jobs is None:
        return cores // threads if compute.device == "cpu" else min(cores // threads, GPU_JOBS)
    if threads > 1 and jobs * threads > cores:
        raise InputError(
            f"--jobs {jobs} x --threads-per-job {threads} is {jobs * threads} threads on {cores} "
            f"cores; give at most --jobs {cores // threads}, or fewer threads"
        )
    if jobs > cores:
        warn(f"--jobs {jobs} on {cores} cores: more workers than cores gain nothing")
    return jobs


def _pair(text: str) -> tuple[str, str]:
    axis, equals, name = text.partition("=")
    if not equals:
        raise InputError(f"--only {text}: it takes AXIS=NAME, as in --only dataset=synthetic")
    return axis, name


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an orderly exit, so that workers are ended."""

    def stop(*_: object) -> NoReturn:
        click.echo(f"robustbench-rec: terminated; {GOES_ON}", err=True)
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _display() -> Iterator[Callable[[Status], None]]:
    from rich.console import Console

    from robustbench_rec.cli.progress import Display

    with Display(Console(stderr=True, soft_wrap=True)) as display:
        yield display


def _say_plan(plan: Plan, store: RunFolder, jobs: int, compute: Compute) -> None:
    from robustbench_rec.cli.progress import duration

    if plan.untuned:
        trials = sum(study.budget for study in plan.untuned.values())
        tried = sum(len(one["trials"]) for id, one in plan.outcomes.items() if id in plan.untuned)
        click.echo(
            f"tuning first: {counted(len(plan.untuned), 'study')}, "
            f"at most {counted(trials, 'trial')}, {tried} done; "
            "the cells follow with what these choose"
        )
    left = sum(len(cells) for cells in plan.left.values())
    workers = counted(jobs, "worker")
    workers += f" of {compute.threads} threads" if compute.threads > 1 else ""
    workers += f" on {compute.device}" if compute.device != "cpu" else ""
    click.echo(
        f"suite {plan.suite.name}: {counted(len(plan.cells), 'cell')} "
        f"from {counted(plan.n_trainings, 'training')}, "
        f"{len(plan.cells) - left} done, {left} to run on {workers} -> {store.folder}"
    )
    estimate = plan.estimate(jobs)
    if left and estimate is not None:
        click.echo(f"about {duration(estimate)} by the trainings recorded here")
    elif left:
        click.echo("no time estimate yet: nothing is recorded here; one follows the first cell")


def _say_end(status: Status, store: RunFolder) -> None:
    failed = f", {len(status.failed)} failed" if status.failed else ""
    done = counted(status.already + status.done, "cell")
    click.echo(f"{done} done{failed}: {store.folder / 'results.csv'}")
    if (store.folder / "figures").is_dir() and not status.done:
        click.echo(f"figures: {store.folder / 'figures'}")
    if store.manifest().get("references"):
        click.echo(f"beside published values: robustbench-rec compare {store.folder}")
    if status.failed:
        click.echo(f"reasons: robustbench-rec status {store.folder}; run again to retry them")
