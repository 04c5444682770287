"""The tuner: runs the studies of a plan, trial by trial, before its cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from robustbench_rec.components.labels import AXES
from robustbench_rec.components.settings import shown
from robustbench_rec.errors import InputError
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.search_space import Settings, import_optuna, suggestions
from robustbench_rec.experiment.study import Plain, Study, may_pass
from robustbench_rec.records.record import Trial
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.compute import COMPUTE, Compute
from robustbench_rec.running.execution import run_trial
from robustbench_rec.running.plan import Plan, manifest
from robustbench_rec.running.pool import Pool, Status, in_flight


def run_tuning(
    plan: Plan,
    store: RunFolder,
    data_dir: Path,
    jobs: int,
    command: str = "",
    watch: Callable[[Status], None] = lambda _: None,
    compute: Compute = COMPUTE,
    warn: Callable[[str], None] = lambda _: None,
) -> Status:
    """Run what the studies of a plan leave to try; every trial is on disk as soon as it is known.

    Call it within `store.locked()`, and make the plan anew afterwards. Candidates that are all
    tried run side by side; those that Optuna draws run one after the other, study beside study. A
    trial that is recorded is not run again, whichever study it was of, unless it failed by what may
    have passed. Arguments are those of `run_suite`; `warn` is told of corrupt records.

    Raises:
        InputError: results cannot be written, Optuna is wanted and not installed, or torch or
            numba takes no such number of threads.

    """
    for study in plan.untuned.values():
        if not study.is_grid:
            import_optuna(study.entry.loss.name)
    described = manifest(plan, store, command)
    store.begin(described)
    titles = {id: study_title(study) for id, study in described["studies"].items()}
    courses = [_Course(study, titles[id]) for id, study in plan.untuned.items()]
    trials = _Trials(plan, courses, store, data_dir, jobs, compute, watch, warn)
    trials.run()
    watch(trials.status)
    return trials.status


def study_title(study: Plain) -> str:
    """Name a study of the manifest for a person."""
    place = f" level {study['level']:g}" if study["perturbation"] else ""
    return " ".join(study[axis] for axis in AXES if study[axis]) + place


class _Course:
    """The course of one study: what it waits for, and what came of what it tried.

    Attributes:
        study: what is run.
        title: for a person.
        open: id of each trial that is put and not answered -> its settings.
        tried: id of each that is answered -> settings and record.

    """

    def __init__(self, study: Study, title: str) -> None:
        self.study, self.title = study, title
        self.open: dict[str, Settings] = {}
        self.tried: dict[str, tuple[Settings, Plain]] = {}
        self._order: list[str] = []
        self._draws = None
        if study.is_grid:
            for settings in study.space.grid():
                self._put(settings)
        else:
            self._draws = suggestions(study.entry, study.budget, study.seed)
            self._draw(None)

    def _put(self, settings: Settings) -> None:
        id = self.study.trial(settings).trial_id
        self._order.append(id)
        self.open[id] = settings

    def _draw(self, answer: float | None) -> None:
        """Let Optuna draw again, given what the last settings reached; at its end it does not."""
        assert self._draws is not None
        try:
            self._put(self._draws.send(answer))
        except StopIteration:
            return

    def tell(self, id: str, record: Plain) -> None:
        """Take up the record of a trial that is open."""
        self.tried[id] = (self.open.pop(id), record)
        if self._draws is not None:
            self._draw(record["validation"])

    @property
    def to_come(self) -> int:
        """How many trials may follow those that are put."""
        return self.study.budget - len(self.tried) - len(self.open) if self.open else 0

    def outcome(self) -> Plain:
        """Return how the study stands; see `Study.outcome`."""
        tried = {id: self.tried[id] for id in self._order if id in self.tried}
        return self.study.outcome(tried, ended=not self.open)


class _Trials(Pool):
    """Runs what courses wait for, and tells each what is known."""

    leaves_workers = True

    def __init__(
        self,
        plan: Plan,
        courses: list[_Course],
        store: RunFolder,
        data_dir: Path,
        jobs: int,
        compute: Compute,
        watch: Callable[[Status], None],
        warn: Callable[[str], None],
    ) -> None:
        self.store, self.courses, self.warn = store, courses, warn
        self.plugins, self.data_dir = plan.suite.plugins, data_dir
        self.answered: dict[str, Plain] = {}
        self.looked_for: set[str] = set()
        self.cells: dict[str, Cell] = {}
        self.titles: dict[str, str] = {}
        wanted = [id for course in courses for id in self._advance(course)]
        status = Status(total=0, already=len(self.answered), of="trials")
        super().__init__(wanted, store, jobs, compute, status, watch)
        self._count()

    def _advance(self, course: _Course) -> list[str]:
        """Tell a course what is known, keep how it stands, and return what it waits for."""
        while known := self._known(course.open):
            for id, record in known.items():
                course.tell(id, record)
        self.store.write_tuning(course.outcome())
        for id, settings in course.open.items():
            if id not in self.cells:
                self.titles[id] = f"tuning {course.title} with {shown(settings)}"
                self.cells[id] = course.study.trial(settings)
        return list(course.open)

    def _known(self, ids: Iterable[str]) -> dict[str, Plain]:
        """Return the records of the trials that have one, each looked for on disk once."""
        fresh = set(ids) - self.looked_for
        self.looked_for |= fresh
        held = self.store.trials(fresh, self.warn)
        self.answered |= {id: record for id, record in held.items() if not may_pass(record)}
        return {id: self.answered[id] for id in ids if id in self.answered}

    def _count(self) -> None:
        status = self.status
        put = self.answered.keys() | self.cells.keys()
        status.total = len(put) + sum(course.to_come for course in self.courses)
        status.done = len(self.answered) - status.already - len(status.failed)

    def task(self, fit: str) -> tuple[Callable[..., Plain], tuple[Any, ...]]:
        folders = (str(self.store.folder), str(self.data_dir))
        return run_one, (*folders, fit, self.cells[fit].to_plain(), self.plugins, self.compute)

    def length(self, fit: str) -> tuple[int, float]:
        return self.cells[fit].training.epochs, 1.0

    def settle(self, fit: str, result: Plain) -> None:
        self.answered[fit] = result
        if result["status"] == "failed":
            self.status.failed[fit] = (self.titles[fit], result["error"])
        for course in self.courses:
            if fit in course.open:
                for id in self._advance(course):
                    if id not in self.left:
                        self.add(id)
        self._count()

    def fail(self, fit: str, error: Exception) -> Plain:
        record = Trial.failure(self.cells[fit], error).to_plain()
        self.store.write_tuning(record)
        return record


def run_one(
    folder: str,
    data_dir: str,
    trial: str,
    cell: Mapping[str, Any],
    plugins: Iterable[str],
    compute: Compute,
) -> Plain:
    """Run one trial in a worker, from a cell as plain data, and write and return its record.

    Raises:
        InputError: a plugin or its code is not what it was when the run was planned, or torch
            takes no such number of threads.

    """
    with in_flight(folder, trial, plugins) as store:
        rebuilt = Cell.from_plain(cell, Path(data_dir))
        if rebuilt.trial_id != trial:
            raise InputError(f"the code behind {rebuilt} changed while it ran; run again")
        watch = partial(store.mark_epoch, trial)
        record = run_trial(rebuilt, Path(data_dir), compute, watch).to_plain()
        store.write_tuning(record)
    return record
