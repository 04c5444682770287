"""The runner: runs a plan over processes, and survives what happens to them."""

from __future__ import annotations

import functools
import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from joblib.externals.loky import get_reusable_executor

from robustbench_rec.cell import Cell, Record, run_cells
from robustbench_rec.compute import COMPUTE, Compute
from robustbench_rec.errors import InputError
from robustbench_rec.planning import Plan, manifest
from robustbench_rec.registry import load_plugins, one_line
from robustbench_rec.store import Store, title
from robustbench_rec.workers import start_worker

DEATHS = 3
"""A training whose worker died so often has failed."""
Outcomes = list[tuple[str, str, str]]
"""(cell id, status, error) of each cell that a worker ran."""


@dataclass
class Status:
    """How a run stands; the runner updates it, whoever shows it reads it."""

    total: int
    already: int
    done: int = 0
    running: int = 0
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Id of each failed cell -> its title and why."""
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        """Cells neither done nor failed."""
        return self.total - self.already - self.done - len(self.failed)

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at the pace so far; None before the first cell."""
        finished = self.done + len(self.failed)
        return (time.monotonic() - self.started) / finished * self.left if finished else None


def run_suite(
    plan: Plan,
    store: Store,
    data_dir: Path,
    jobs: int,
    command: str = "",
    watch: Callable[[Status], None] = lambda _: None,
    compute: Compute = COMPUTE,
) -> Status:
    """Run what a plan leaves to do; every record is on disk as soon as it is known.

    Call it within `store.locked()`. A cell gives the same bits with any number of jobs, as long as
    the threads are as many.

    Args:
        plan: from `make_plan`.
        store: where to write.
        data_dir: where the data sets lie.
        jobs: worker processes.
        command: what the user typed, for the manifest.
        watch: called with the status about twice a second.
        compute: what each worker has; jobs x threads should not exceed the cores.

    Raises:
        InputError: results cannot be written, or torch or numba takes no such number of threads.

    """
    described = manifest(plan, store, command)
    already = sum(cell.id in plan.done for cell in plan.cells)
    status = Status(total=len(plan.cells), already=already)
    if plan.left or not store.is_compact(described):
        store.begin(described)
        titles = {id: title(cell) for id, cell in described["cells"].items()}
        _Pool(plan, store, data_dir, jobs, compute, status, titles, watch).run()
        store.compact()
    watch(status)
    return status


class _Pool:
    """Runs trainings over loky's processes, again and again until none is left.

    When a worker dies, loky gives up the whole pool. Then every training that had started and not
    ended is charged one death and retried alone, so that only the guilty one fails in the end.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        data_dir: Path,
        jobs: int,
        compute: Compute,
        status: Status,
        titles: Mapping[str, str],
        watch: Callable[[Status], None],
    ) -> None:
        self.left = dict(plan.left)
        self.plugins = plan.suite.plugins
        self.store, self.data_dir = store, data_dir
        self.jobs, self.compute = min(jobs, len(self.left)) or 1, compute
        self.status, self.titles, self.watch = status, titles, watch
        self.executor: Any = None
        self.deaths: Counter[str] = Counter()
        self.unexplained = 0

    def run(self) -> None:
        try:
            while self.left:
                trusted = [fit for fit in self.left if not self.deaths[fit]]
                self._try(trusted or [next(iter(self.left))])
        finally:
            if self.executor is not None:
                self.executor.shutdown(wait=True, kill_workers=True)

    def _try(self, fits: list[str]) -> None:
        """Run trainings until all have ended or a worker has died."""
        self.executor = get_reusable_executor(
            max_workers=self.jobs,
            timeout=600,
            initializer=start_worker,
            initargs=(os.getpid(),),
            # Without a safe path a worker would import a json.py from the current folder.
            env=self.compute.environment() | {"PYTHONSAFEPATH": "1"},
        )
        try:
            self._drain(iter(fits))
        except BrokenProcessPool:
            self._bury()

    def _drain(self, fits: Iterator[str]) -> None:
        """Keep two trainings a worker submitted; waiting on thousands would cost more."""
        futures = {self._submit(fit): fit for fit in islice(fits, 2 * self.jobs)}
        while futures:
            ended, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                self._settle(futures.pop(future), future.result())
                futures |= {self._submit(fit): fit for fit in islice(fits, 1)}
            self.status.running = min(self.jobs, len(futures))
            self.watch(self.status)

    def _submit(self, fit: str) -> Future[Outcomes]:
        cells = {cell.id: cell.to_plain() for cell in self.left[fit]}
        folders = (str(self.store.folder), str(self.data_dir))
        future: Future[Outcomes] = self.executor.submit(
            run_training, *folders, fit, cells, self.plugins, self.compute
        )
        return future

    def _settle(self, fit: str, outcomes: Outcomes) -> None:
        del self.left[fit]
        for id, outcome, error in outcomes:
            if outcome == "done":
                self.status.done += 1
            else:
                self.status.failed[id] = (self.titles[id], error)

    def _bury(self) -> None:
        """Charge each training in flight with a death; the third is its failure."""
        guilty = self.store.in_flight() & set(self.left)
        self.unexplained = 0 if guilty else self.unexplained + 1
        if self.unexplained == DEATHS:
            raise InputError(
                f"worker processes died {DEATHS} times before they began; is memory short? "
                "Try fewer --jobs"
            )
        for fit in guilty:
            self.store.mark_ended(fit)
            self.deaths[fit] += 1
            if self.deaths[fit] == DEATHS:
                self._settle(fit, self._fail(self.left[fit]))

    def _fail(self, cells: list[Cell]) -> Outcomes:
        error = RuntimeError(f"its worker died {DEATHS} times (killed, or out of memory)")
        for cell in cells:
            self.store.write(Record.failure(cell, error).to_plain(), {})
        return [(cell.id, "failed", one_line(error)) for cell in cells]


def run_training(
    folder: str,
    data_dir: str,
    fit: str,
    cells: Mapping[str, Mapping[str, Any]],
    plugins: Iterable[str],
    compute: Compute,
) -> Outcomes:
    """Run the cells of one training in a worker, from plain data by id, and write their records.

    Raises:
        InputError: a plugin or its code is not what it was when the run was planned, or torch
            takes no such number of threads.

    """
    store = Store(Path(folder))
    store.mark_started(fit)
    load_plugins(plugins)
    outcomes: Outcomes = []
    rebuilt = [Cell.from_plain(cell, Path(data_dir)) for cell in cells.values()]
    if [cell.id for cell in rebuilt] != list(cells):
        raise InputError(f"the code behind {rebuilt[0]} changed while it ran; run again")
    for record, per_user in run_cells(rebuilt, Path(data_dir), compute):
        store.write(record.to_plain(), per_user)
        outcomes.append((record.id, record.status, record.error))
    store.mark_ended(fit)
    _spare_imports()
    return outcomes


@functools.cache
def _spare_imports() -> None:
    """Take what a worker has imported by now out of garbage collection, once.

    loky collects after every task; with all of torch to look through, that takes 0.15 s.
    """
    gc.collect()
    gc.freeze()
