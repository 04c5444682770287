"""The command line: parses, calls, prints."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tomllib
from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from robustbench_rec import __version__
from robustbench_rec.cli.output import aligned, comparison, contrast
from robustbench_rec.errors import InputError, counted
from robustbench_rec.running.compute import Compute, find_device

if TYPE_CHECKING:
    from robustbench_rec.components.registry import Registry
    from robustbench_rec.data.catalog import Listing
    from robustbench_rec.processes import Helper
    from robustbench_rec.records.run_folder import RunFolder
    from robustbench_rec.running.plan import Plan
    from robustbench_rec.running.pool import Status

RUNS = Path("results") / "runs"
KINDS = ("suites", "perturbations", "losses", "backbones", "datasets")
GOES_ON = "what is finished is kept: the same command, without --force, goes on"
DRAWING = "robustbench_rec.figures.gallery"
GPU_JOBS = 4
"""Workers that share a GPU unless told otherwise: a guess, not measured yet."""
MANY = 0.25
"""From which share of a loss's cells on too few epochs are warned of."""
FAILED_CELLS = 3
INTERRUPTED = 130
TERMINATED = 143

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="ROBUSTBENCH_REC_DATA",
    help="Where data sets lie.  [env: ROBUSTBENCH_REC_DATA; default: a per-user folder]",
)
PLUGINS = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="A .py file or module that registers components of yours. Repeatable.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class _OneLineErrors(click.Group):
    """Prints a user's mistake as one line and exits with 2, wherever it was found."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            _fail(str(error), 2)
        except KeyboardInterrupt:
            _fail(f"interrupted; {GOES_ON}", INTERRUPTED)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Print click's own complaints on one line too."""
        command: Any = super()
        if not standalone_mode:
            return command.main(*args, standalone_mode=False, **extra)
        try:
            sys.exit(command.main(*args, standalone_mode=False, **extra))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "robustbench-rec"
            _fail(f"{' '.join(error.format_message().split())} (see {path} --help)", 2)
        except click.ClickException as error:
            _fail(error.format_message(), 2)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"robustbench-rec: {message}", err=True)
    sys.exit(status)


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Measure how the loss functions of recommender systems hold up when the data lie.

    \b
    Try:  robustbench-rec run quickstart
          robustbench-rec list losses
          robustbench-rec show negative_contamination
          robustbench-rec figures quickstart

    Exit status: 0 all done, 1 a bug of ours, 2 bad usage or input, 3 finished with failed cells,
    130 Ctrl-C, 143 terminated.
    """  # noqa: D301  # click reads a backspace character as "keep these lines"


@main.command()
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
    from robustbench_rec.experiment.suite import Suite
    from robustbench_rec.records.frames import unsettled
    from robustbench_rec.records.run_folder import RunFolder
    from robustbench_rec.running.plan import check_data, make_plan
    from robustbench_rec.running.run_cells import run_suite

    where = data_dir or default_data_dir()
    compute = Compute(threads, find_device(device))
    jobs = _workers(jobs, compute)
    loaded = Suite.load(suite, where, plugins)
    store = RunFolder(out or RUNS / loaded.name)
    axes = [_pair(text) for text in only]
    if not force:
        store.keep_others(loaded.name)
    if dry_run:
        plan = make_plan(loaded, store, where, axes, force, _warn)
        _say_plan(plan, store, jobs, compute)
        check_data(plan, where)
        return
    command = shlex.join(["robustbench-rec", *sys.argv[1:]])
    with _terminable(), store.locked():
        plan = make_plan(loaded, store, where, axes, force, _warn)
        _say_plan(plan, store, jobs, compute)
        check_data(plan, where)
        if plan.untuned:
            from robustbench_rec.running.run_trials import run_tuning

            with _display() as watch:
                run_tuning(plan, store, where, jobs, command, watch, compute, _warn)
            plan = make_plan(loaded, store, where, axes, force, retry=False)
        with _display() as watch:
            status = run_suite(plan, store, where, jobs, command, watch, compute)
    _say_tuned(store.tuned(store.manifest(), _warn))
    _say_unsettled(unsettled(store.folder).to_dict("records"))
    _say_end(status, store)
    if figures and not _drawn(store.folder) and status.already + status.done:
        _draw(store.folder)
    if status.failed:
        sys.exit(FAILED_CELLS)


def _workers(jobs: int | None, compute: Compute) -> int:
    """Return how many workers to run: as asked, else as many as the cores have room for.

    Whoever asks for threads asks for speed, which more threads than cores undo: that is refused.
    More jobs than cores are warned of alone; a command then runs on a small machine as on a large.

    Raises:
        InputError: more threads than cores.

    """
    cores, threads = _cores(), compute.threads
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
        _warn(f"--jobs {jobs} on {cores} cores: more workers than cores gain nothing")
    return jobs


def _cores() -> int:
    """Return the cores this process may use, which a container or taskset may limit."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _pair(text: str) -> tuple[str, str]:
    axis, equals, name = text.partition("=")
    if not equals:
        raise InputError(f"--only {text}: it takes AXIS=NAME, as in --only dataset=synthetic")
    return axis, name


def _warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


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


def _say_tuned(studies: Iterable[Mapping[str, Any]]) -> None:
    """Say of each study what was tried and chosen; warn where the best may lie beyond."""
    from robustbench_rec.components.settings import shown

    for study in studies:
        place = f"{study['perturbation']} level {study['level']:g}" if study["perturbation"] else ""
        name = " ".join(
            filter(None, (study["loss"], "on", study["dataset"], study["backbone"], place))
        )
        tried = f"{len(study['trials'])} of {study['budget']} trials, {study['failed']} failed"
        tried += f"; {study['error']}" if study["status"] == "done" and study["error"] else ""
        if study["status"] == "running":
            click.echo(f"tuning {name}: {tried}")
        elif study["status"] == "failed":
            click.echo(f"not tuned: {name}: {study['error']}")
        else:
            click.echo(
                f"tuned {name}: {shown(study['chosen'])}, "
                f"validation NDCG@20 {study['validation']:.4f} ({tried})"
            )
        for edge in study["edges"]:
            _warn(f"{name}: {edge}; the optimum may lie beyond")


def _say_unsettled(rows: Iterable[Mapping[Any, Any]]) -> None:
    """Warn of losses that had too few epochs: what they lack may be mere speed."""
    losses: dict[str, list[int]] = {}
    for row in rows:
        held = losses.setdefault(row["loss"], [0, 0])
        held[:] = held[0] + row["unsettled"], held[1] + row["cells"]
    shares = {loss: n / cells for loss, (n, cells) in losses.items() if n / cells >= MANY}
    if shares:
        most = sorted(shares, key=lambda loss: -shares[loss])
        told = ", ".join("{} {} of {}".format(loss, *losses[loss]) for loss in most)
        _warn(
            f"many cells were best at the last epoch allowed ({told}): these losses may have had "
            "more to learn; more epochs or another lr would tell"
        )


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Where the tables go: a new folder, or tables alone of which no cell is lost.",
)
@click.option("--figures/--no-figures", default=True, help="Draw the figures at the end.")
def merge(runs: tuple[str, ...], out: Path, figures: bool) -> None:
    """Join RUNs of one suite, run apart by --only or on several machines, into one of tables.

    Of a cell that several RUNs have, that of the last counts. The RUNs stay as they are, and go on
    where they were; the joined tables are what status, figures and compare read.
    """
    from robustbench_rec.records.merge import merge as merged

    command = shlex.join(["robustbench-rec", *sys.argv[1:]])
    folders = [_folder(run) for run in runs]
    manifest = merged(folders, out, command, _warn)
    click.echo(
        f"suite {manifest['suite']}: {len(manifest['cells'])} of its {manifest['suite_cells']} "
        f"cells, done in {counted(len(runs), 'run')} -> {out / 'results.csv'}"
    )
    if figures and manifest["cells"]:
        _draw(out)


@main.command()
@click.argument("run")
def figures(run: str) -> None:
    """Draw the figures of RUN, a results folder or a suite's name, from its records alone."""
    _draw(_folder(run))


def _draw(folder: Path) -> None:
    from robustbench_rec.processes import load
    from robustbench_rec.records.run_folder import RunFolder

    RunFolder(folder).manifest()  # where there is no run, say so before the slow imports
    with _drawing_helper() as helper:
        load(DRAWING)
        from robustbench_rec.figures.gallery import redraw

        names = redraw(folder, helper, _warn)
    target = folder / "figures"
    click.echo(f"{len(names)} files in {target}:" if names else "no figure: floors alone are done")
    for name in names:
        if name.endswith(".png"):
            click.echo(f"  {target / name}")


def _drawing_helper() -> AbstractContextManager[Helper | None]:
    """Start a helper where a core is free for it: even one panel has several figures."""
    from robustbench_rec.processes import helper

    return helper(DRAWING) if _cores() > 1 and sys.platform != "win32" else nullcontext()


def _drawn(folder: Path) -> bool:
    """Say whether the figures are newer than the results; they move there once all are drawn."""
    figures, results = folder / "figures", folder / "results.csv"
    return figures.is_dir() and figures.stat().st_mtime_ns >= results.stat().st_mtime_ns


def _folder(run: str) -> Path:
    """Return a run's folder, given as a path or by its suite's name."""
    if Path(run).is_file():
        raise InputError(f"{run} is a file; give a results folder or a suite's name")
    if Path(run).is_dir():
        return Path(run)
    if not (RUNS / run).is_dir():
        from robustbench_rec.errors import nearest

        held = sorted(path.parent.name for path in RUNS.glob("*/manifest.json"))
        told = f"{nearest(Path(run).name, held)} (in {RUNS}: {', '.join(held) or 'nothing yet'})"
        raise InputError(f"{run}: no run here{told}")
    return RUNS / run


@main.command()
@click.argument("run")
@AS_JSON
def status(run: str, as_json: bool) -> None:
    """Say how RUN stands: cells done, failed with reasons, left, and the time."""
    from robustbench_rec.cli.progress import duration
    from robustbench_rec.records.frames import summary

    held = summary(_folder(run), _warn)
    if as_json:
        click.echo(json.dumps(held, indent=1))
        return
    spent = held["seconds"]
    told = "tables alone" if spent is None else f"{duration(spent)} of training"
    click.echo(
        f"suite {held['suite']}: {held['done']} of {held['cells']} cells done, "
        f"{len(held['failed'])} failed, {held['left']} left, {told}"
    )
    if held["cells"] < held["suite_cells"]:
        click.echo(f"a part: the whole suite has {held['suite_cells']} cells")
    for part in held["parts"]:
        started = part["started"].replace("T", " ")[:16]
        click.echo(f"of these {counted(len(part['cells']), 'cell')}: {part['command']} ({started})")
    for title, error in held["failed"].values():
        click.echo(f"failed: {title}: {error}")
    _say_tuned(held["tuning"])
    _say_unsettled(held["unsettled"])


@main.command()
@click.argument("run")
@click.option("--against", metavar="LOSS", help="Hold RUN's other losses against this one.")
@AS_JSON
def compare(run: str, against: str | None, as_json: bool) -> None:
    """Put the values that RUN's suite says were published beside RUN's own.

    Ours are means over replicates, over the users that the source averages over. A suite gives
    published values in its [[reference]] tables. The exit status is 0 whatever the verdicts.

    With --against, hold RUN's losses against one of them, replicate by replicate: what each has
    more of a metric at the lowest and the highest level, and how much more it keeps up to there.
    """
    folder = _folder(run)
    if against is None:
        from robustbench_rec.analysis.against_published import compare as compared

        found, lines = compared(folder, _warn), comparison
    else:
        from robustbench_rec.analysis.contrasts import contrasts_of

        found, lines = contrasts_of(folder, against, _warn), contrast
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for line in lines(rows):
        click.echo(line)


@main.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@PLUGINS
@AS_JSON
def list_(kind: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List what is there: suites, perturbations, losses, backbones, datasets; all without KIND."""
    from robustbench_rec.components.registry import load_plugins

    load_plugins(plugins)
    rows = {one: _entries(one) for one in ((kind,) if kind else KINDS)}
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for one, entries in rows.items():
        if not kind:
            click.secho(one, bold=True)
        _table([(f"  {name}" if not kind else name, about) for name, about in entries.items()])


def _entries(kind: str) -> dict[str, str]:
    """Return name -> one line for everything of a kind."""
    if kind == "suites":
        from robustbench_rec.experiment.suite import shipped

        return {name: tomllib.loads(text).get("about", "") for name, text in shipped().items()}
    registry = _registries()[kind]
    entries = {name: _first_line(registry[name]) for name in registry if name != "untrained"}
    for where, why in registry.broken.items():
        _warn(f"{where} did not import: {why}")
    return entries


def _registries() -> Mapping[str, Registry[Any]]:
    from robustbench_rec import BACKBONES, DATASETS, LOSSES, PERTURBATIONS

    return {
        "perturbations": PERTURBATIONS,
        "losses": LOSSES,
        "backbones": BACKBONES,
        "datasets": DATASETS,
    }


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _table(rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows with aligned columns."""
    for line in aligned(list(rows)):
        click.echo(line)


@main.command()
@click.argument("name")
@PLUGINS
@AS_JSON
def show(name: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Show NAME, of anything that `list` lists: settings, units, defaults, source.

    A suite may be called as a loss is: then both are shown, in JSON as a list of the two.
    """
    from robustbench_rec.components.registry import load_plugins
    from robustbench_rec.errors import nearest
    from robustbench_rec.experiment.suite import shipped

    load_plugins(plugins)
    suites, registries = shipped(), _registries()
    found = [registry for registry in registries.values() if name in registry]
    if name not in suites and not found:
        known = [*suites, *(known for registry in registries.values() for known in registry)]
        raise InputError(f"nothing of robustbench-rec list is named {name!r}{nearest(name, known)}")
    if as_json:
        facts = [_facts(registry.kind, registry[name]) for registry in found]
        facts += [tomllib.loads(suites[name])] if name in suites else []
        click.echo(json.dumps(facts if len(facts) > 1 else facts[0], indent=1))
        return
    for registry in found:
        _show(registry.kind, registry[name])
    if name in suites:
        if found:
            click.secho(f"\n{name} (suite)", bold=True)
        click.echo(suites[name].rstrip())


def _facts(kind: str, cls: Any) -> dict[str, Any]:
    """Return what is known of a component's class."""
    from robustbench_rec.components.settings import described

    names = ("stage", "unit", "max_level", "source", "licence", "how_to_get")
    facts = {name: getattr(cls, name) for name in names if getattr(cls, name, "")}
    return {"name": cls.name, "kind": kind, **facts, "settings": described(cls)}


def _show(kind: str, cls: Any) -> None:
    import inspect

    facts = _facts(kind, cls)
    del facts["name"], facts["kind"]
    settings = facts.pop("settings")
    click.secho(f"{cls.name} ({kind})", bold=True)
    click.echo(inspect.getdoc(cls))
    click.echo("\nSettings:")
    _table(
        (f"  {one['name']}", f"= {one['default']}", str(one["domain"]), str(one["about"]))
        for one in settings
    )
    click.echo()
    _table((key.replace("_", " "), str(value)) for key, value in facts.items())


@main.group()
def data() -> None:
    """List the data sets, and fetch those that can be fetched."""


@data.command("list")
@DATA_DIR
@AS_JSON
def data_list(data_dir: Path | None, as_json: bool) -> None:
    """Say what is known, what is present and where, and how to get what is missing."""
    from robustbench_rec.data.catalog import default_data_dir, inventory

    where = data_dir or default_data_dir()
    rows = inventory(where)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1, default=str))
        return
    click.echo(f"looked in {where} (--data-dir, ROBUSTBENCH_REC_DATA)")
    _table((row.name, row.about, _presence(row)) for row in rows)


def _presence(row: Listing) -> str:
    if row.ready:
        return str(row.present or "made on the spot")
    return f"missing: {row.how_to_get}"


@data.command("fetch")
@click.argument("name")
@DATA_DIR
def data_fetch(name: str, data_dir: Path | None) -> None:
    """Bring the data set NAME, and show its terms."""
    from robustbench_rec.data.catalog import default_data_dir
    from robustbench_rec.data.fetch import fetch

    fetch(name, data_dir or default_data_dir(), click.echo)
