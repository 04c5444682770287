"""A session: one call that runs the rest of a suite, from the plan to the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from robustbench_rec.compiling import code_folder
from robustbench_rec.components.registry import load_plugins, placed_plugin
from robustbench_rec.data.catalog import default_data_dir
from robustbench_rec.errors import InputError
from robustbench_rec.experiment.selection import Only, Shard, pairs_of
from robustbench_rec.experiment.suite import Suite
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.processes import same_folder
from robustbench_rec.records import RUNS
from robustbench_rec.records.events import TOLD_AS_WARNINGS, Events
from robustbench_rec.records.run import Run, compact
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.compute import COMPUTE, Compute, find_device, workers_for
from robustbench_rec.running.engines import Cluster, Engine, engine_module
from robustbench_rec.running.known_trials import known_trials
from robustbench_rec.running.manifest import manifest_of
from robustbench_rec.running.plan import Plan, check_data, make_plan
from robustbench_rec.running.pool import NO_LIMITS, Limits, Status, Workplace
from robustbench_rec.running.preflight import wanted

RESULTS = ("shared", "return")
STALL = 60.0
"""Default of `stall_limit`."""
MANY = 100_000
"""Number of cells above which a run must be confirmed: its plan takes 10 s and 250 MB, or more."""


def run(suite: str | Path | Suite, out: Path | str | None = None, **options: Any) -> Run:
    """Run the rest of a suite, tuning first, and return the run.

    After an interruption the same call continues; after the end it does nothing. A failed cell does
    not stop the others: its reason is in `Run.summary.failed`, and the next call retries it.

    Args:
        suite: its name, the path of its .toml file, or the suite itself.
        out: the results folder; `results/runs/SUITE` if None.
        options: the other arguments of `open_session`: data_dir, only, force, jobs, threads,
            device, engine, scheduler, results, stall_limit, shard, tune_only, tuned_as,
            cell_timeout, max_failures, plugins, yes, events.

    Returns:
        The run, as from `read_run`.

    Raises:
        InputError: the arguments, the data or the folder are wrong; the message is one line.

    """
    return open_session(suite, out, **options).run()


def open_session(
    suite: str | Path | Suite,
    out: Path | str | None = None,
    *,
    data_dir: Path | str | None = None,
    only: Only = (),
    shard: str | None = None,
    tune_only: bool = False,
    tuned_as: Path | str | None = None,
    force: bool = False,
    jobs: int | None = None,
    threads: int = 1,
    device: str = "cpu",
    engine: str = "loky",
    scheduler: str = "",
    results: str = "shared",
    stall_limit: float = STALL,
    cell_timeout: float | None = None,
    max_failures: float | None = None,
    plugins: Sequence[str] = (),
    yes: bool = False,
    events: Events = TOLD_AS_WARNINGS,
    command: str = "",
) -> Session:
    """Return a session that can run or describe the rest of a suite.

    Args:
        suite: its name, the path of its .toml file, or the suite itself.
        out: the results folder; `results/runs/SUITE` if None.
        data_dir: the folder of the data sets; the default folder if None.
        only: the cells to run: `{"loss": ["softmax", "bpr"], "replicate": 0}`, or pairs as in
            `[("loss", "softmax")]`.
        shard: "3/16" for the third of sixteen shares of the cells. Run the shares on several
            machines, into a folder each, and merge them.
        tune_only: whether to stop after tuning.
        tuned_as: a run, or its tables, whose trials are taken over instead of run again.
        force: rerun finished cells; tuning results are kept.
        jobs: the number of workers; as many as fit the cores if None.
        threads: threads of each worker. Results are bit-identical for equal threads and any
            number of jobs.
        device: "cpu", "auto", "cuda" or "cuda:1".
        engine: "loky" (worker processes), "serial" (one training after the other in this
            process) or "dask" (workers of a dask cluster).
        scheduler: the address of dask's scheduler, such as "tcp://host:8786"; "" to start workers
            on this machine.
        results: "shared" if dask's workers write to the results folder, or "return" if they return
            their results to this process.
        stall_limit: seconds without any worker, or without an answer of the scheduler, after which
            a run on dask stops.
        cell_timeout: the largest seconds of a training, with the tests of its cells; a longer
            one is ended, and its cells fail. It needs an engine of processes.
        max_failures: the share of the cells, from 0 to 1, that may fail before the run stops.
        plugins: files or modules that register your components, besides those of the suite.
        yes: whether more than `MANY` cells are meant.
        events: receives the plan, progress and warnings.
        command: the user's command line, for the manifest.

    Raises:
        InputError: an unknown suite, engine or device; a mistake in the suite; numbers of
            workers or threads that do not fit; options of another engine.

    """
    for name, path in (("--out", out), ("--data-dir", data_dir)):
        if path == "":
            raise InputError(f"{name} is empty; give a folder or omit {name}")
    share = None if shard is None else Shard.parsed(shard)
    limits = _limits(cell_timeout, max_failures)
    module = engine_module(engine)
    if cell_timeout is not None and not module.ENDS_WORKERS:
        raise InputError(
            f"--cell-timeout needs worker processes, which --engine {engine} does not have; omit "
            "one of the two options"
        )
    place = _place(engine, scheduler, results, stall_limit, jobs)
    compute = Compute(threads, find_device(device))
    n_workers = workers_for(jobs, compute, module.MOST_WORKERS, events)
    where = Path(data_dir) if data_dir is not None else default_data_dir()
    loaded = _loaded(suite, where, plugins)
    if loaded.n_cells > MANY and not yes:
        raise InputError(
            f"suite {loaded.name!r} has {loaded.n_cells:,} cells, more than {MANY:,}; give --yes "
            "if that is meant"
        )
    return Session(
        suite=loaded,
        folder=RunFolder(RUNS / loaded.name if out is None else Path(out)),
        data_dir=where,
        only=pairs_of(only),
        shard=share,
        tune_only=tune_only,
        tuned_as=None if tuned_as is None else Path(tuned_as),
        force=force,
        compute=compute,
        jobs=n_workers,
        engine=engine,
        place=place,
        limits=limits,
        command=command,
        events=events,
    )


@dataclass(frozen=True)
class Place:
    """Where the workers of a cluster are; see `engines.Cluster`."""

    scheduler: str = ""
    shares_folder: bool = True
    stall: float = STALL


def _place(engine: str, scheduler: str, results: str, stall: float, jobs: int | None) -> Place:
    """Return the place of the options; InputError if they do not fit together."""
    if results not in RESULTS:
        raise InputError(f"--results is {results!r}; it must be {' or '.join(RESULTS)}")
    if not 0 < stall < inf:
        raise InputError(f"--stall-limit is {stall:g}; it must be above 0 seconds")
    place = Place(scheduler, results == "shared", stall)
    if place != Place() and not engine_module(engine).IS_CLUSTER:
        raise InputError(
            "--scheduler, --results and --stall-limit are of --engine dask; add it, or omit them"
        )
    if scheduler and jobs is not None:
        raise InputError(
            f"--jobs {jobs}: the scheduler has its own workers; omit --jobs, or --scheduler"
        )
    return place


def _limits(cell_timeout: float | None, max_failures: float | None) -> Limits:
    """Return the limits of the options; InputError if one is out of bounds."""
    if cell_timeout is not None and not 0 < cell_timeout < inf:
        raise InputError(f"--cell-timeout is {cell_timeout:g}; it must be above 0 seconds")
    if max_failures is not None and not 0 <= max_failures <= 1:
        raise InputError(f"--max-failures is {max_failures:g}; it must lie in [0, 1], a share")
    return Limits(cell_timeout, max_failures)


def _loaded(suite: str | Path | Suite, data_dir: Path, plugins: Sequence[str]) -> Suite:
    """Return the suite with its plugins loaded."""
    with same_folder():
        if not isinstance(suite, Suite):
            return load_suite(suite, data_dir, plugins)
        load_plugins([*suite.plugins, *plugins])
        placed = [placed_plugin(plugin) for plugin in plugins]
        return replace(suite, plugins=tuple(dict.fromkeys([*suite.plugins, *placed])))


@dataclass(frozen=True)
class Session:
    """A call of a suite; attributes are the resolved arguments of `open_session`."""

    suite: Suite
    folder: RunFolder
    data_dir: Path
    only: Sequence[tuple[str, str]] = ()
    shard: Shard | None = None
    tune_only: bool = False
    tuned_as: Path | None = None
    force: bool = False
    compute: Compute = COMPUTE
    jobs: int = 1
    engine: str = "loky"
    place: Place = Place()
    limits: Limits = NO_LIMITS
    command: str = ""
    events: Events = field(default=TOLD_AS_WARNINGS)

    @same_folder()
    def plan(self, retry: bool = True) -> Plan:
        """Plan the run from the current state of the folder."""
        what = (self.suite, self.folder, self.data_dir)
        return make_plan(*what, self.only, self.force, self.events, retry, self.shard)

    def rehearse(self) -> None:
        """Report the plan, and check data and folder; run and write nothing."""
        self._refuse_to_replace()
        self.folder.refuse_unwritable()
        self._checked_plan()

    def run(self) -> Run:
        """Run the rest."""
        self._refuse_to_replace()
        if told := code_folder()[1]:
            self.events.warning(told)
        with self.folder.locked():
            plan = self._checked_plan()
            for trial in plan.known:
                self.folder.write_tuning(trial)
            with self._started(plan) as engine:
                if plan.untuned:
                    self._run_trials(plan, engine)
                    tuned_on, plan = plan.fingerprints, self.plan(retry=False)
                    if plan.fingerprints != tuned_on:
                        raise InputError("the data changed while losses were tuned; run again")
                if self.tune_only:
                    self.folder.begin(manifest_of(plan, self.command))
                    return Run(self.folder, self.events)
                return self._run_cells(plan, engine)

    @contextmanager
    def _started(self, plan: Plan) -> Iterator[Engine]:
        """Start the engine for a plan, and end it at the end of a `with`."""
        module = engine_module(self.engine if plan.n_to_run else "serial")
        workers = max(min(self.jobs, plan.n_to_run), 1)
        with ExitStack() as stack:
            cluster = None
            if module.IS_CLUSTER:
                what = (plan, self.compute, self.data_dir, self.folder, self.place.shares_folder)
                needs = stack.enter_context(wanted(*what))
                cluster = Cluster(**vars(self.place), wanted=needs, events=self.events)
            yield stack.enter_context(closing(module.start(workers, self.compute, cluster)))

    def _checked_plan(self) -> Plan:
        """Make the plan, check the data, and report the plan."""
        with same_folder():
            plan = check_data(self.plan(), self.data_dir, self.events)
        if self.tuned_as and plan.untuned:
            known = known_trials(plan.untuned.values(), self.tuned_as, self.events)
            plan = replace(plan, known=known)
        self.events.plan(plan, self)
        return plan

    def _refuse_to_replace(self) -> None:
        if self.force:
            self.folder.refuse_foreign()
        else:
            self.folder.refuse_to_replace(self.suite.name)

    def _run_trials(self, plan: Plan, engine: Engine) -> None:
        from robustbench_rec.running.run_trials import run_trials

        manifest = manifest_of(plan, self.command)
        self.folder.begin(manifest)
        titles = {id: manifest.title(study) for id, study in manifest.studies.items()}
        run_trials(plan, self._workplace(engine), titles)

    def _run_cells(self, plan: Plan, engine: Engine) -> Run:
        manifest = manifest_of(plan, self.command)
        titles = {id: manifest.title(cell) for id, cell in manifest.cells.items()}
        if not plan.left and self.folder.is_compact(manifest, plan.before):
            self.events.progress(Status.of_cells(plan, titles))
            return Run(self.folder, self.events)
        from robustbench_rec.running.run_cells import record_blocked, run_cells

        self.folder.begin(manifest)
        record_blocked(plan, self.folder)
        run_cells(plan, self._workplace(engine), titles)
        return compact(self.folder, self.events)

    def _workplace(self, engine: Engine) -> Workplace:
        return Workplace(
            self.folder,
            self.data_dir,
            self.suite.plugins,
            self.compute,
            engine,
            self.events,
            self.limits,
        )
