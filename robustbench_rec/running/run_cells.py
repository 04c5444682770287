"""Cells: runs those that a plan leaves, and records each as soon as it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from robustbench_rec.data.catalog import data_here
from robustbench_rec.errors import InputError, one_line
from robustbench_rec.evaluation.metrics import codes_of
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.records.record import Record
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.compute import Compute
from robustbench_rec.running.plan import Plan
from robustbench_rec.running.pool import Job, Pool, Status, Workplace, in_flight

Outcomes = list[tuple[str, str, str]]
"""(cell id, status, error) of each cell run by a worker."""


def run_cells(plan: Plan, place: Workplace, titles: Mapping[str, str]) -> Status:
    """Run the remaining cells of a plan; each record is on disk as soon as it is known.

    Call it with the folder locked and the manifest written. Results are bit-identical for any
    number of workers and any engine, if the number of threads is the same.

    Args:
        plan: from `make_plan`, with every study finished.
        place: the place of the jobs.
        titles: cell id -> its readable name.

    Raises:
        InputError: results cannot be written, or torch or numba takes no such number of threads.

    """
    status = Status.of_cells(plan, titles)
    cells = _Cells(plan, place, status, titles)
    pool = Pool(place, status, cells.take_up, cells.give_up)
    for job in cells.jobs():
        pool.add(job)
    pool.run()
    place.events.progress(status)
    return status


def record_blocked(plan: Plan, folder: RunFolder) -> None:
    """Record the cells whose study chose no settings; they fail with the reason."""
    for cell, why in plan.blocked.values():
        folder.write(Record.failure(cell, InputError(why)))


class _Cells:
    """The cells of a plan as jobs; cells that share a training are one job."""

    def __init__(
        self, plan: Plan, place: Workplace, status: Status, titles: Mapping[str, str]
    ) -> None:
        self.plan, self.place, self.status, self.titles = plan, place, status, titles

    def jobs(self) -> Iterable[Job]:
        """Yield a job for each training that is left."""
        place = self.place
        for training, cells in self.plan.left.items():
            plain = {cell.id: cell.to_plain() for cell in cells}
            where = (str(place.folder.folder.absolute()), str(place.data_dir.absolute()))
            args = (*where, training, plain, place.plugins, place.compute, self.plan.metrics)
            epochs, cost = cells[0].training.epochs, self.plan.costs[training]
            yield Job(training, self.titles[cells[0].id], run_training, args, epochs, cost)

    def take_up(self, job: Job, outcomes: Outcomes) -> None:
        """Count the cells that a worker ran."""
        finished, left = self.status.costs or (0.0, 0.0)
        self.status.costs = finished + job.cost, left - job.cost
        for id, outcome, error in outcomes:
            if outcome == "done":
                self.status.done += 1
            else:
                self.status.failed[id] = (self.titles[id], error)

    def give_up(self, job: Job, error: Exception) -> Outcomes:
        """Record the cells of a training that cannot be run."""
        cells = self.plan.left[job.id]
        for cell in cells:
            self.place.folder.write(Record.failure(cell, error))
        return [(cell.id, "failed", one_line(error)) for cell in cells]


def run_training(
    folder: str,
    data_dir: str,
    training: str,
    cells: Mapping[str, Mapping[str, Any]],
    plugins: Iterable[str],
    compute: Compute,
    metrics: Mapping[str, str],
) -> Outcomes:
    """Run the cells of one training in a worker, from plain data by id; write their records.

    Arguments from `compute` on are those of `execution.train_and_test`.

    Raises:
        InputError: a plugin or its code changed since the run was planned, or torch does not
            support this number of threads.

    """
    from robustbench_rec.running.execution import train_and_test  # torch: in workers alone

    outcomes: Outcomes = []
    with in_flight(folder, training, plugins) as results:
        rebuilt = [Cell.from_plain(cell, data_here(data_dir)) for cell in cells.values()]
        for id, cell in zip(cells, rebuilt, strict=True):
            if cell.id != id:
                raise InputError(cell.changed_code)
        for name, code in codes_of(metrics).items():
            if code != metrics[name]:
                raise InputError(
                    f"the code of metric {name} changed after the run was planned; run again"
                )
        how = data_here(data_dir), compute, partial(results.marks.advance, training), metrics
        for record, beside in train_and_test(rebuilt, *how):
            if beside is not None and beside.lists is not None:
                results.write_lists(training, beside.lists)
                record = record.model_copy(update={"has_lists": True})
            results.write(record, {"users": beside.users, **beside.per_user} if beside else None)
            outcomes.append((record.id, record.status, record.error))
    return outcomes
