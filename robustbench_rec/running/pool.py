"""The pool: runs jobs on an engine, and survives the death of workers."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustbench_rec.components.overheard import overheard
from robustbench_rec.components.registry import load_plugins
from robustbench_rec.errors import InputError
from robustbench_rec.processes import plain_output, same_folder
from robustbench_rec.records.events import Events
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.compute import Compute
from robustbench_rec.running.engines import Engine, WorkerDied
from robustbench_rec.running.plan import Plan
from robustbench_rec.running.returned import returned, take
from robustbench_rec.running.signals import HeldSignals
from robustbench_rec.running.watch import Watch

TURN = 0.5
"""Seconds between two looks at the trainings."""
DEATHS = 3
"""Number of deaths of its workers after which a training fails."""


@dataclass(frozen=True)
class Job:
    """A training to run.

    Attributes:
        id: the id of the training.
        title: its readable name.
        function, args: the call in the worker, which marks the training as in flight; see
            `in_flight`.
        epochs: the largest number of epochs.
        cost: the expected cost, in the unit of `Status.costs`.

    """

    id: str
    title: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    epochs: int
    cost: float


@dataclass(frozen=True)
class Limits:
    """Limits that end a training, or the run.

    Attributes:
        seconds: the largest time of a training, with the tests of its cells; None for any.
        failures: the share of a run's cells that may fail before it stops; None for any.

    """

    seconds: float | None = None
    failures: float | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Workplace:
    """The place and the resources of the jobs of a run.

    Attributes:
        folder: the results folder.
        data_dir: the folder of the data sets.
        plugins: the plugins of the suite.
        compute: the resources of each worker.
        engine: the engine of the workers.
        events: receives progress and warnings.
        limits: limits of a training and of the run.

    """

    folder: RunFolder
    data_dir: Path
    plugins: tuple[str, ...]
    compute: Compute
    engine: Engine
    events: Events
    limits: Limits = NO_LIMITS


@dataclass
class Status:
    """The status of a run; the pool's user updates it, and `Events.progress` receives it."""

    total: int
    already: int
    done: int = 0
    running: int = 0
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Id of each failed cell -> its title and the reason."""
    started: float = field(default_factory=time.monotonic)
    counting: str = "cells"
    """The unit of the counts: "cells", or "trials" of tuning."""
    costs: tuple[float, float] | None = None
    """Costs of finished and of remaining trainings, in one unit; None if all cost the same."""
    epochs: tuple[tuple[int, int], ...] = ()
    """For each running training: its last evaluated epoch, and its last possible epoch."""
    under_way: float = 0.0
    """The finished share of running trainings, in the unit of `costs`."""

    @classmethod
    def of_cells(cls, plan: Plan, titles: Mapping[str, str]) -> Status:
        """Return the status of a plan before its cells run; `titles` are readable names."""
        return cls(
            total=len(plan.cells),
            already=sum(cell.id in plan.done for cell in plan.cells),
            failed={id: (titles[id], why) for id, (_, why) in plan.blocked.items()},
            costs=(0.0, sum(plan.costs.values())),
        )

    @property
    def left(self) -> int:
        """The number of cells neither finished nor failed."""
        return self.total - self.already - self.done - len(self.failed)

    @property
    def finished(self) -> int:
        """The number of finished cells, from now and before."""
        return self.already + self.done

    @property
    def seconds_left(self) -> float | None:
        """The expected time of the rest, at the pace so far; None before the first training."""
        finished, left = self.costs or (self.done + len(self.failed), self.left)
        finished, left = finished + self.under_way, left - self.under_way
        return (time.monotonic() - self.started) / finished * max(left, 0) if finished else None


class Pool:
    """Runs jobs again and again until none is left.

    When a worker dies, an engine may know its call: then this job is charged one death and retried,
    and the others go on. Or the engine abandons all calls: then every job in flight is charged and
    retried alone. So only the job that causes deaths fails in the end. A job that takes too long
    fails at once; other jobs in flight run again and are not charged.

    Args:
        place: engine, results folder and events.
        status: updated by the pool's user.
        take_up: called with a job and the result of its worker.
        give_up: called with a job that cannot be run and the reason; records the failure, and
            returns a result in place of the worker's.

    """

    def __init__(
        self,
        place: Workplace,
        status: Status,
        take_up: Callable[[Job, Any], None],
        give_up: Callable[[Job, Exception], Any],
    ) -> None:
        self.engine, self.folder, self.events = place.engine, place.folder, place.events
        self.limits, self.watch = place.limits, Watch(place.limits.seconds)
        self.status, self.take_up, self.give_up = status, take_up, give_up
        self.left: dict[str, Job] = {}
        self.waiting: deque[Job] = deque()
        self.deaths: Counter[str] = Counter()
        self.told: set[str] = set()
        self.overdue: set[str] = set()
        self.unexplained = 0
        self.signals = HeldSignals()

    def add(self, job: Job) -> None:
        """Add a job to the queue, unless it is queued already."""
        if job.id not in self.left:
            self.left[job.id] = job
            self.waiting.append(job)

    def run(self) -> None:
        """Run until the queue is empty, or too many cells have failed.

        KeyboardInterrupt and exceptions of workers pass through. While jobs run elsewhere, Ctrl-C
        is heard once a `TURN`, between two steps.
        """
        with nullcontext() if self.engine.runs_here else self.signals:
            while self.left and not self._has_failed_too_often():
                self._run_once()

    def _run_once(self) -> None:
        """Run every job that is left, or that was never in flight at a death, until a death."""
        trusted = [job for job in self.left.values() if not self.deaths[job.id]]
        self.waiting = deque(trusted or [next(iter(self.left.values()))])
        try:
            self._drain()
        except BrokenExecutor:
            if self.overdue:
                self._end_overdue()
            else:
                self._charge_deaths()

    def _drain(self) -> None:
        """Submit jobs as the engine has room for them; waiting on thousands would cost more."""
        futures: dict[Future[Any], Job] = {}
        while (futures or self.waiting) and not self._has_failed_too_often():
            self.signals.deliver()
            self.engine.look()
            while self.waiting and self.engine.has_room(len(futures)):
                job = self.waiting.popleft()
                futures[self._submit(job)] = job
            ended, _ = wait(futures, timeout=TURN, return_when=FIRST_COMPLETED)
            if not futures:
                time.sleep(TURN)
            for future in ended:
                self._take(futures.pop(future), future)
            self.status.running = min(self.engine.n_workers, len(futures) + len(self.waiting))
            self._look_inside({job.id: future for future, job in futures.items()})
            self.events.progress(self.status)

    def _submit(self, job: Job) -> Future[Any]:
        if self.engine.shares_folder:
            return self.engine.submit(_overheard, job.function, *job.args)
        self.folder.marks.start(job.id)  # as its worker cannot
        return self.engine.submit(_overheard, returned, job.function, *job.args)

    def _take(self, job: Job, future: Future[Any]) -> None:
        """Take the end of a call: its result, or the death of its worker alone."""
        try:
            result, lines = future.result()
        except WorkerDied:
            self._take_death(job)
            return
        if not self.engine.shares_folder:
            result, files = result
            take(self.folder, files)
            self.folder.marks.end(job.id)
        self._pass_on_warnings(job, lines)
        self._end(job, result)

    def _take_death(self, job: Job) -> None:
        self.folder.marks.end(job.id)
        if job.id in self.overdue:
            self._fail_overdue(job)
            return
        self._charge(job)
        again = [job] if job.id in self.left else []
        self.waiting.extend(again)  # the call is known that caused it, so others may run beside it
        self._tell_of_death(again)

    def _pass_on_warnings(self, job: Job, lines: Iterable[str]) -> None:
        """Pass on the warnings of a job, each once per run."""
        for line in lines:
            if line not in self.told:
                self.told.add(line)
                self.events.warning(f"{job.title}: {line}")

    def _look_inside(self, calls: Mapping[str, Future[Any]]) -> None:
        """Update the progress of running jobs, and end those that take too long.

        Args:
            calls: id of a job -> its call.

        """
        marks = {id: mark for id, mark in self.folder.marks.read().items() if id in self.left}
        running = [(self.left[id], mark.epoch) for id, mark in marks.items()]
        self.status.epochs = tuple((at, job.epochs) for job, at in running)
        self.status.under_way = sum(at / job.epochs * job.cost for job, at in running)
        now = time.monotonic()
        self.watch.look(marks, now)
        for id, waited, usual in self.watch.slowed(now):
            self.events.warning(
                f"{self.left[id].title}: no evaluation for {waited:.0f} s, where one took "
                f"{usual:.2g} s; is the machine busy or out of memory?"
            )
        for id in self.watch.overdue(now):
            if id not in calls or id in self.overdue:
                continue
            if self.engine.end_call(calls[id], marks[id].worker):
                self.overdue.add(id)

    def _end_overdue(self) -> None:
        """Fail the jobs whose workers were ended; other jobs in flight run again."""
        for id in self.folder.marks.read().keys() & self.left.keys():
            self.folder.marks.end(id)
        for id in self.overdue & self.left.keys():
            self._fail_overdue(self.left[id])
        self.overdue.clear()

    def _fail_overdue(self, job: Job) -> None:
        error = TimeoutError(f"took longer than {self.limits.seconds:g} s (--cell-timeout)")
        self._end(job, self.give_up(job, error))

    def _has_failed_too_often(self) -> bool:
        """Say whether the run must stop because of failures; failed trials do not count."""
        most = self.limits.failures
        if most is None or self.status.counting != "cells":
            return False
        return len(self.status.failed) > most * self.status.total

    def _end(self, job: Job, result: Any) -> None:
        del self.left[job.id]
        self.take_up(job, result)

    def _charge_deaths(self) -> None:
        """Charge each job in flight with a death; at the third death the job fails."""
        guilty = self.folder.marks.read().keys() & set(self.left)
        self.unexplained = 0 if guilty else self.unexplained + 1
        if self.unexplained == DEATHS:
            raise InputError(
                f"worker processes died {DEATHS} times before they began; is memory short? "
                "Try fewer --jobs"
            )
        suspects = [job for id, job in self.left.items() if id in guilty]
        for job in suspects:
            self.folder.marks.end(job.id)
            self._charge(job)
        self._tell_of_death([job for job in suspects if job.id in self.left])

    def _tell_of_death(self, again: list[Job]) -> None:
        """Warn of the death of a worker, and name what runs again."""
        named = "; ".join(job.title for job in again[:3])
        more = f" and {len(again) - 3} more" if len(again) > 3 else ""
        runs = "run again, one at a time" if len(again) > 1 else "runs again"
        told = f"; {runs}: {named}{more}" if again else ""
        self.events.warning(f"a worker died (killed, or out of memory){told}")

    def _charge(self, job: Job) -> None:
        """Charge a job with a death."""
        self.deaths[job.id] += 1
        if self.deaths[job.id] == DEATHS:
            error = RuntimeError(f"its worker died {DEATHS} times (killed, or out of memory)")
            self._end(job, self.give_up(job, error))


def _overheard(function: Callable[..., Any], *args: Any) -> tuple[Any, tuple[str, ...]]:
    """Call a function in a worker, and return its result and its warnings."""
    with overheard() as lines:
        result = function(*args)
    return result, lines.told()


@contextmanager
def in_flight(folder: str, training: str, plugins: Iterable[str]) -> Iterator[RunFolder]:
    """Mark a training as in flight during a worker's call, with its plugins loaded.

    Args:
        folder: the results folder.
        training: the id of the training.
        plugins: the plugins of the suite.

    Yields:
        The results folder.

    Raises:
        InputError: a plugin cannot be loaded.

    """
    held = RunFolder(Path(folder))
    held.marks.start(training)
    with overheard():  # who planned the run was told
        load_plugins(plugins, as_imported=True)  # it is compared with the plan's, cell by cell
    with same_folder(), plain_output():
        yield held
    held.marks.end(training)
