"""Trials: runs the studies of a plan, trial by trial, before its cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from robustbench_rec.components.settings import shown
from robustbench_rec.data.catalog import data_here
from robustbench_rec.errors import InputError
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.search_space import Settings
from robustbench_rec.experiment.study import Study, StudyOutcome, Tried
from robustbench_rec.records.record import Trial
from robustbench_rec.running.compute import Compute
from robustbench_rec.running.plan import Plan
from robustbench_rec.running.pool import Job, Pool, Status, Workplace, in_flight
from robustbench_rec.running.search import import_optuna, suggestions


def run_trials(plan: Plan, place: Workplace, titles: Mapping[str, str]) -> Status:
    """Run the remaining trials of a plan's studies; each trial is on disk as soon as it is known.

    Call it with the folder locked and the manifest written, and make a new plan afterwards.
    Candidates run in parallel if all are tried; candidates drawn by Optuna run one after the other,
    with studies in parallel. A recorded trial of any study does not run again, unless it failed for
    a reason that may have passed.

    Args:
        plan: from `make_plan`.
        place: the place of the jobs.
        titles: study id -> its readable name.

    Raises:
        InputError: results cannot be written, Optuna is wanted and not installed, or torch or
            numba takes no such number of threads.

    """
    for study in plan.untuned.values():
        if not study.is_grid:
            import_optuna(study.entry.loss.name)
    trials = _Trials([_Course(study, titles[id]) for id, study in plan.untuned.items()], place)
    trials.pool.run()
    place.events.progress(trials.status)
    return trials.status


class _Course:
    """The progress of one study: its open trials, and the results so far.

    Attributes:
        study: the study.
        title: its readable name.
        open: id of each submitted trial without a result -> its settings.
        tried: id of each trial with a result -> its outcome.

    """

    def __init__(self, study: Study, title: str) -> None:
        self.study, self.title = study, title
        self.open: dict[str, Settings] = {}
        self.tried: dict[str, Tried] = {}
        self._order: list[str] = []
        self._draws = None
        if study.is_grid:
            for settings in study.space.grid():
                self._put(settings)
        else:
            self._draws = suggestions(study.entry, study.budget, study.seed)
            self._draw(None)

    def _put(self, settings: Settings) -> None:
        id = self.study.trial(settings).fit_id
        self._order.append(id)
        self.open[id] = settings

    def _draw(self, answer: float | None) -> None:
        """Draw the next settings with Optuna, given the last result; if any is left."""
        assert self._draws is not None
        try:
            self._put(self._draws.send(answer))
        except StopIteration:
            return

    def tell(self, trial: Trial) -> None:
        """Take the record of an open trial."""
        self.tried[trial.id] = trial.tried(self.open.pop(trial.id))
        if self._draws is not None:
            self._draw(trial.validation)

    @property
    def to_come(self) -> int:
        """The largest number of trials after the submitted ones."""
        return self.study.budget - len(self.tried) - len(self.open) if self.open else 0

    def outcome(self) -> StudyOutcome:
        """Return the state of the study; see `Study.outcome`."""
        tried = {id: self.tried[id] for id in self._order if id in self.tried}
        return self.study.outcome(tried, ended=not self.open)


class _Trials:
    """Submits open trials to a pool, and passes results to each course."""

    def __init__(self, courses: list[_Course], place: Workplace) -> None:
        self.courses, self.place = courses, place
        self.answered: dict[str, Trial] = {}
        self.looked_for: set[str] = set()
        self.cells: dict[str, Cell] = {}
        self.titles: dict[str, str] = {}
        self.status = Status(total=0, already=0, counting="trials")
        self.pool = Pool(place, self.status, self.take_up, self.give_up)
        for course in courses:
            self._advance(course)
        self.status.already = len(self.answered)
        self._count()

    def _advance(self, course: _Course) -> None:
        """Pass known results to a course, store its state, and submit its open trials."""
        while known := self._recorded(course):
            for trial in known:
                course.tell(trial)
        self.place.folder.write_tuning(course.outcome())
        for id, settings in course.open.items():
            if id not in self.cells:
                self.titles[id] = f"tuning {course.title} with {shown(settings)}"
                self.cells[id] = course.study.trial(settings)
            self.pool.add(self._job(id))

    def _recorded(self, course: _Course) -> list[Trial]:
        """Return the records of open trials that have one; each is looked up on disk once."""
        fresh = {
            id: course.study.trial(course.open[id]) for id in course.open.keys() - self.looked_for
        }
        self.looked_for |= fresh.keys()
        held = self.place.folder.read_trials(fresh, self.place.events, set_corrupt_aside=True)
        self.answered |= {id: trial for id, trial in held.items() if not trial.may_pass}
        return [self.answered[id] for id in course.open if id in self.answered]

    def _job(self, id: str) -> Job:
        place, cell = self.place, self.cells[id]
        where = (str(place.folder.folder.absolute()), str(place.data_dir.absolute()))
        args = (*where, id, cell.to_plain(), place.plugins, place.compute)
        return Job(id, self.titles[id], run_one, args, cell.training.epochs, 1.0)

    def _count(self) -> None:
        put = self.answered.keys() | self.cells.keys()
        self.status.total = len(put) + sum(course.to_come for course in self.courses)
        failed = len(self.status.failed)
        self.status.done = len(self.answered) - self.status.already - failed

    def take_up(self, job: Job, trial: Trial) -> None:
        """Pass the result of a trial to every course that waits for it."""
        self.answered[job.id] = trial
        if trial.status == "failed":
            self.status.failed[job.id] = (self.titles[job.id], trial.error)
        for course in self.courses:
            if job.id in course.open:
                self._advance(course)
        self._count()

    def give_up(self, job: Job, error: Exception) -> Trial:
        """Record a trial that cannot be run."""
        trial = Trial.failure(self.cells[job.id], error)
        self.place.folder.write_tuning(trial)
        return trial


def run_one(
    folder: str,
    data_dir: str,
    trial: str,
    cell: Mapping[str, Any],
    plugins: Iterable[str],
    compute: Compute,
) -> Trial:
    """Run one trial in a worker, from a cell as plain data; write and return its record.

    Raises:
        InputError: a plugin or its code is not what it was when the run was planned, or torch
            takes no such number of threads.

    """
    from robustbench_rec.running.execution import try_settings  # torch: in workers alone

    with in_flight(folder, trial, plugins) as results:
        rebuilt = Cell.from_plain(cell, data_here(data_dir))
        if rebuilt.fit_id != trial:
            raise InputError(rebuilt.changed_code)
        after_epoch = partial(results.marks.advance, trial)
        record = try_settings(rebuilt, data_here(data_dir), compute, after_epoch)
        results.write_tuning(record)
    return record
