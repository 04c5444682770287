"""The runner: runs the cells of a plan, and records each as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from robustbench_rec.errors import InputError, one_line
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.records.frames import compact
from robustbench_rec.records.record import Record
from robustbench_rec.records.run_folder import RunFolder, title
from robustbench_rec.running.compute import COMPUTE, Compute
from robustbench_rec.running.execution import run_cells
from robustbench_rec.running.plan import Plan, manifest
from robustbench_rec.running.pool import Pool, Status, in_flight

Outcomes = list[tuple[str, str, str]]
"""(cell id, status, error) of each cell that a worker ran."""


def run_suite(
    plan: Plan,
    store: RunFolder,
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
        plan: from `make_plan`, with every study run.
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
    titles = {id: title(cell) for id, cell in described["cells"].items()}
    already = sum(cell.id in plan.done for cell in plan.cells)
    failed = {id: (titles[id], why) for id, (_, why) in plan.blocked.items()}
    status = Status(total=len(plan.cells), already=already, failed=failed)
    if plan.left or not store.is_compact(described):
        store.begin(described)
        _record_blocked(plan, store)
        _Cells(plan, store, data_dir, jobs, compute, status, titles, watch).run()
        compact(store.folder)
    watch(status)
    return status


def _record_blocked(plan: Plan, store: RunFolder) -> None:
    """Record the cells whose settings no trial could choose; they fail with the reason."""
    for cell, why in plan.blocked.values():
        store.write(Record.failure(cell, InputError(why)).to_plain(), {})


class _Cells(Pool):
    """Runs the cells of a plan, those that share a training together."""

    def __init__(
        self,
        plan: Plan,
        store: RunFolder,
        data_dir: Path,
        jobs: int,
        compute: Compute,
        status: Status,
        titles: Mapping[str, str],
        watch: Callable[[Status], None],
    ) -> None:
        super().__init__(plan.left, store, jobs, compute, status, watch)
        self.cells, self.plugins = plan.left, plan.suite.plugins
        self.data_dir, self.titles = data_dir, titles
        self.costs, status.costs = plan.costs, (0.0, sum(plan.costs.values()))

    def task(self, fit: str) -> tuple[Callable[..., Outcomes], tuple[Any, ...]]:
        cells = {cell.id: cell.to_plain() for cell in self.cells[fit]}
        folders = (str(self.store.folder), str(self.data_dir))
        return run_training, (*folders, fit, cells, self.plugins, self.compute)

    def length(self, fit: str) -> tuple[int, float]:
        return self.cells[fit][0].training.epochs, self.costs[fit]

    def settle(self, fit: str, outcomes: Outcomes) -> None:
        finished, left = self.status.costs or (0.0, 0.0)
        self.status.costs = finished + self.costs[fit], left - self.costs[fit]
        for id, outcome, error in outcomes:
            if outcome == "done":
                self.status.done += 1
            else:
                self.status.failed[id] = (self.titles[id], error)

    def fail(self, fit: str, error: Exception) -> Outcomes:
        for cell in self.cells[fit]:
            self.store.write(Record.failure(cell, error).to_plain(), {})
        return [(cell.id, "failed", one_line(error)) for cell in self.cells[fit]]


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
    outcomes: Outcomes = []
    with in_flight(folder, fit, plugins) as store:
        rebuilt = [Cell.from_plain(cell, Path(data_dir)) for cell in cells.values()]
        if [cell.id for cell in rebuilt] != list(cells):
            raise InputError(f"the code behind {rebuilt[0]} changed while it ran; run again")
        watch = partial(store.mark_epoch, fit)
        for record, per_user in run_cells(rebuilt, Path(data_dir), compute, watch):
            store.write(record.to_plain(), per_user)
            outcomes.append((record.id, record.status, record.error))
    return outcomes
