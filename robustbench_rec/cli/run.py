"""The command `run`."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

import click

from robustbench_rec.cli.completion import SUITES
from robustbench_rec.cli.drawing import draw, helper_for
from robustbench_rec.cli.options import DATA_DIR, FAILED_CELLS, FOLDER, GOES_ON, PLUGINS
from robustbench_rec.cli.output import (
    Warned,
    by_versions,
    duration,
    say_cautions,
    say_not_applicable,
    say_tuned,
    warn,
)
from robustbench_rec.cli.report import report_of
from robustbench_rec.errors import InputError, counted
from robustbench_rec.running.engines import engine_names

if TYPE_CHECKING:
    from robustbench_rec.cli.progress import Display
    from robustbench_rec.data.sizes import Sizes
    from robustbench_rec.experiment.suite import Suite
    from robustbench_rec.records.manifest import Computed
    from robustbench_rec.records.run import Run
    from robustbench_rec.running.plan import Plan
    from robustbench_rec.running.pool import Status
    from robustbench_rec.running.session import Session

TERMINATED = 143


@click.command()
@click.argument("suite", shell_complete=SUITES)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of worker processes.  [default: cores / threads per job, at most 4 on a GPU]",
)
@click.option(
    "--threads-per-job",
    "threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of each worker; if above 1, jobs x threads must not exceed the cores. Results "
    "do not depend on --jobs; they may differ in the last bits between numbers of threads.",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="auto|cpu|cuda[:i]",
    help="Device of the trainings. With several --jobs, all workers share the memory of one GPU.",
)
@click.option(
    "--engine",
    type=click.Choice(engine_names()),
    default="loky",
    show_default=True,
    help="Run trainings in worker processes (loky), one by one in this process (serial), or on the "
    "workers of a cluster (dask).",
)
@click.option(
    "--scheduler",
    default="",
    metavar="ADDRESS",
    help="With --engine dask: the scheduler, such as tcp://host:8786.  [default: workers here]",
)
@click.option(
    "--results",
    type=click.Choice(["shared", "return"]),
    default="shared",
    show_default=True,
    help="With --engine dask: workers write to the results folder, or return results to this "
    "process, which writes them.",
)
@click.option(
    "--stall-limit",
    type=float,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --engine dask: stop after so long without a worker or an answer of the scheduler.",
)
@click.option(
    "--cell-timeout",
    type=float,
    metavar="SECONDS",
    help="End a training that takes longer than this, tests included; its cells fail, and the "
    "run goes on.",
)
@click.option(
    "--max-failures",
    type=float,
    metavar="SHARE",
    help="Stop if more than this share of the cells has failed, such as 0.1.",
)
@click.option("--out", type=FOLDER, help="Results folder.  [default: results/runs/SUITE]")
@DATA_DIR
@click.option(
    "--only",
    multiple=True,
    metavar="AXIS=NAME",
    help="Run only these cells: dataset=..., backbone=..., loss=..., perturbation=..., level=..., "
    "replicate=... (from 0). Repeatable.",
)
@click.option(
    "--shard",
    metavar="K/N",
    help="Run the K-th of N shares, as several machines do, into a folder each; then merge.",
)
@click.option("--tune-only", is_flag=True, help="Choose settings, and stop before the cells.")
@click.option(
    "--tuned-as",
    type=FOLDER,
    metavar="RUN",
    help="Take over the trials of a run of the same suite, or of its tables, instead of running "
    "them again.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan without running it.")
@click.option("--yes", is_flag=True, help="Confirm a suite of more than 100,000 cells.")
@click.option("--force", is_flag=True, help="Rerun finished cells; tuning results are kept.")
@click.option(
    "--figures/--no-figures", default=True, help="Draw the figures and write the page at the end."
)
@PLUGINS
def run(
    suite: str,
    jobs: int | None,
    threads: int,
    device: str,
    engine: str,
    scheduler: str,
    results: str,
    stall_limit: float,
    cell_timeout: float | None,
    max_failures: float | None,
    out: Path | None,
    data_dir: Path | None,
    only: tuple[str, ...],
    shard: str | None,
    tune_only: bool,
    tuned_as: Path | None,
    dry_run: bool,
    yes: bool,
    force: bool,
    figures: bool,
    plugins: tuple[str, ...],
) -> None:
    """Run SUITE, a name from `list suites` or a .toml file.

    You can stop at any time: the same command continues, and retries failed cells. Losses with
    tuning are tuned first; settings whose training diverged count as tried. To repeat the tuning,
    delete the folder tuning/ in the results.
    """
    from robustbench_rec.running.session import open_session

    with Printed() as events:
        session = open_session(
            suite,
            out,
            data_dir=data_dir,
            only=[_pair(text) for text in only],
            shard=shard,
            tune_only=tune_only,
            tuned_as=tuned_as,
            force=force,
            jobs=jobs,
            threads=threads,
            device=device,
            engine=engine,
            scheduler=scheduler,
            results=results,
            stall_limit=stall_limit,
            cell_timeout=cell_timeout,
            max_failures=max_failures,
            plugins=plugins,
            yes=yes,
            events=events,
            command=shlex.join(["robustbench-rec", *sys.argv[1:]]),
        )
        if dry_run:
            session.rehearse()
            return
        with _terminable():
            done = session.run()
    if tune_only:
        say_tuned(done)
        if not done.studies:
            click.echo("nothing to tune: no loss of the suite has `tune`")
        return
    _say_end(done, events.status)
    if figures and events.status.finished:
        with helper_for(done) if events.status.done else nullcontext() as other:
            draw(done, only_changed=True, other=other)
        report_of(done, anew=events.status.done > 0)
    elif events.status.finished:
        command = shlex.join(["robustbench-rec", "report", str(done.folder)])
        click.echo(f"as one page, to read or to send: {command}")
    if events.status.failed:
        sys.exit(FAILED_CELLS)


def _pair(text: str) -> tuple[str, str]:
    axis, equals, name = text.partition("=")
    if not equals:
        raise InputError(f"--only {text}: it takes AXIS=NAME, as in --only dataset=synthetic")
    return axis, name


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an orderly exit that ends the workers."""

    def stop(*_: object) -> NoReturn:
        click.echo(f"robustbench-rec: terminated; {GOES_ON}", err=True)
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Printed(Warned):
    """Prints the plan and warnings, and shows progress: first of trials, then of cells."""

    status: Status
    """The latest status of cells."""

    def __init__(self) -> None:
        self._displays = ExitStack()
        self._shown: Display | None = None
        self._counting = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._displays.close()

    def plan(self, plan: Plan, session: Session) -> None:
        """Print the plan."""
        _say_plan(plan, session)

    def progress(self, status: Status) -> None:
        """Show the progress of trials or cells."""
        if self._shown is None or status.counting != self._counting:
            self._shown, self._counting = self._new_display(), status.counting
        self.status = status
        self._shown(status)

    def _new_display(self) -> Display:
        from rich.console import Console

        from robustbench_rec.cli.progress import Display

        self._displays.close()
        return self._displays.enter_context(Display(Console(stderr=True, soft_wrap=True)))


def _say_plan(plan: Plan, session: Session) -> None:
    if plan.of_old:
        warn(plan.of_old)
    if plan.untuned:
        trials = sum(study.budget for study in plan.untuned.values())
        tried = sum(len(one.trials) for id, one in plan.outcomes.items() if id in plan.untuned)
        taken = f", {len(plan.known)} taken over from {session.tuned_as}" if plan.known else ""
        click.echo(
            f"tuning first: {counted(len(plan.untuned), 'study')}, "
            f"at most {counted(trials, 'trial')}, {tried} done{taken}; the cells then "
            "use the chosen settings"
        )
        if plan.suite.replicates_vary == "split" and plan.suite.tune.split == "own":
            click.echo(
                "settings are chosen on a separate split; if the suite splits the data, its "
                "validation pairs are test pairs of some replicates, the same for every loss"
            )
    left = sum(len(cells) for cells in plan.left.values())
    compute = session.compute
    workers = counted(session.jobs, "worker")
    if session.place.scheduler:
        workers = f"the workers of {session.place.scheduler}"
    workers += f" of {compute.threads} threads" if compute.threads > 1 else ""
    workers += f" on {compute.device}" if compute.device != "cpu" else ""
    click.echo(
        f"suite {plan.suite.name}: {counted(len(plan.cells), 'cell')} "
        f"from {counted(plan.n_trainings, 'training')}, "
        f"{len(plan.cells) - left} done, {left} to run on {workers} -> {session.folder.folder}"
    )
    click.echo(_design(plan.suite))
    for name, sizes in plan.sizes.items():
        click.echo(_sizes(name, sizes))
    for loss, perturbation in plan.not_applicable:
        say_not_applicable(loss, perturbation)
    if plan.outdated:
        click.echo(_outdated(*plan.again))
    if others := plan.by_other_versions:
        _say_other_versions(others)
    metrics, weighing = plan.left_out
    if metrics:
        have = "has" if len(metrics) == 1 else "have"
        click.echo(
            f"{', '.join(metrics)} {have} no weighted form, so not computed under "
            f"{', '.join(weighing)} above level 0"
        )
    estimate = plan.estimate(1 if session.place.scheduler else session.jobs)
    if left and estimate is not None:
        by = " of one worker" if session.place.scheduler else ""
        click.echo(f"about {duration(estimate)}{by} by the trainings in this folder")
    elif left:
        click.echo("no time estimate until the first cell is finished")
    if left and not _has_compiled():
        click.echo("the first run here compiles code, half a minute or more; later runs load it")


def _has_compiled() -> bool:
    """Say whether compiled code is stored here."""
    from robustbench_rec.compiling import code_folder

    return any(code_folder()[0].rglob("*.nbi"))


def _design(suite: Suite) -> str:
    """Describe what differs between replicates, and the validation pairs that choose epochs."""
    n = counted(len(suite.replicates), "replicate")
    own = "each with its own split" if len(suite.replicates) > 1 else "with its own split"
    varies = own if suite.replicates_vary == "split" else "of one split"
    return f"{n}, {varies}; epochs chosen on {suite.selection} validation pairs"


def _sizes(name: str, sizes: Sizes) -> str:
    """Describe the size of a data set and the origin of its parts."""
    sources = ", ".join(f"{part} {where}" for part, where in sizes.sources.items())
    return (
        f"data {name}: {sizes.users:,} users, {sizes.items:,} items, {sizes.pairs:,} pairs, "
        f"density {sizes.density:.2%}; {sources or 'generated'}"
    )


def _say_other_versions(others: Sequence[Computed]) -> None:
    """Print how many finished cells other versions computed, and that they are kept."""
    from robustbench_rec.records.record import versions

    held = counted(sum(len(one.cells) for one in others), "finished cell")
    told = "; ".join(by_versions(others, beside=[versions()]))
    click.echo(f"{held} by other versions, kept (--force reruns all): {told}")


def _outdated(metrics: Sequence[str], baselines: int, trained: int) -> str:
    """Say why finished cells run again."""
    named = f"metric {metrics[0]} is" if len(metrics) == 1 else f"metrics {', '.join(metrics)} are"
    ranked = f"{counted(baselines, 'baseline')} {'is' if baselines == 1 else 'are'} ranked again"
    run = f"{counted(trained, 'cell')} {'runs' if trained == 1 else 'run'} again"
    return (
        f"{named} new or changed: {', '.join([ranked] * bool(baselines) + [run] * bool(trained))}"
    )


def _say_end(run: Run, status: Status) -> None:
    """Print chosen settings, cautions, the number of finished cells, and where results are."""
    folder = run.folder
    say_tuned(run)
    say_cautions(run)
    failed = f", {len(status.failed)} failed" if status.failed else ""
    done = counted(status.finished, "cell")
    if status.left:
        warn(
            f"stopped with {counted(status.left, 'cell')} left: too many failures "
            "(--max-failures); the same command continues"
        )
    click.echo(f"{done} done{failed}: {folder / 'results.csv'}")
    if (folder / "figures").is_dir() and not status.done:
        click.echo(f"figures: {folder / 'figures'}")
    if run.manifest.references:
        click.echo(f"beside published values: robustbench-rec compare {folder}")
    if status.failed:
        click.echo(f"reasons: robustbench-rec status {folder}; run again to retry them")
