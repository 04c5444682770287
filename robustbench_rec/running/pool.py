"""The pool: runs trainings over processes, and survives what happens to them."""

from __future__ import annotations

import functools
import gc
import os
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from joblib.externals.loky import get_reusable_executor

from robustbench_rec.components.registry import load_plugins
from robustbench_rec.errors import InputError
from robustbench_rec.processes import start_worker
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.compute import Compute

DEATHS = 3
"""A training whose worker died so often has failed."""


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
    of: str = "cells"
    """What is counted: "cells", or the "trials" that tune."""
    costs: tuple[float, float] | None = None
    """What the finished and what the rest may cost, in one unit; None where all cost the same."""
    epochs: tuple[tuple[int, int], ...] = ()
    """How far each running training is: its last evaluated epoch, and the last it may come to."""
    under_way: float = 0.0
    """What of the rest the running ones have behind them, in the unit of `costs`."""

    @property
    def left(self) -> int:
        """Cells neither done nor failed."""
        return self.total - self.already - self.done - len(self.failed)

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at the pace so far; None before there is one."""
        finished, left = self.costs or (self.done + len(self.failed), self.left)
        finished, left = finished + self.under_way, left - self.under_way
        return (time.monotonic() - self.started) / finished * max(left, 0) if finished else None


class Pool(ABC):
    """Runs trainings over loky's processes, again and again until none is left.

    When a worker dies, loky gives up the whole pool. Then every training that had started and not
    ended is charged one death and retried alone, so that only the guilty one fails in the end.

    Args:
        fits: ids of the trainings, in the order in which they start; `add` adds others.
        store: where they mark that they are in flight.
        jobs: worker processes.
        compute: what each worker has.
        status: kept up to date.
        watch: called with the status about twice a second.

    """

    leaves_workers: ClassVar[bool] = False
    """Whether workers stay at the end, warm for the next pool."""

    def __init__(
        self,
        fits: Iterable[str],
        store: RunFolder,
        jobs: int,
        compute: Compute,
        status: Status,
        watch: Callable[[Status], None],
    ) -> None:
        self.left = dict.fromkeys(fits)
        self.store = store
        self.jobs, self.compute = min(jobs, len(self.left)) or 1, compute
        self.status, self.watch = status, watch
        self.executor: Any = None
        self.waiting: deque[str] = deque()
        self.deaths: Counter[str] = Counter()
        self.unexplained = 0

    @abstractmethod
    def task(self, fit: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return what a worker calls for a training, and with which arguments."""

    @abstractmethod
    def length(self, fit: str) -> tuple[int, float]:
        """Return the epochs that a training may take, and its cost in the unit of the status."""

    @abstractmethod
    def settle(self, fit: str, result: Any) -> None:
        """Take up what a worker returned."""

    @abstractmethod
    def fail(self, fit: str, error: Exception) -> Any:
        """Record a training that cannot be run, and return what its worker would have."""

    def run(self) -> None:
        """Run until nothing is left."""
        try:
            while self.left:
                trusted = [fit for fit in self.left if not self.deaths[fit]]
                self._try(trusted or [next(iter(self.left))])
        except BaseException:
            self._stop()
            raise
        if not self.leaves_workers:
            self._stop()

    def _stop(self) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=True, kill_workers=True)

    def add(self, fit: str) -> None:
        """Put one more training behind those that wait."""
        self.left[fit] = None
        self.waiting.append(fit)

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
        self.waiting = deque(fits)
        try:
            self._drain()
        except BrokenProcessPool:
            self._bury()

    def _drain(self) -> None:
        """Keep two trainings a worker submitted; waiting on thousands would cost more."""
        futures: dict[Future[Any], str] = {}
        while futures or self.waiting:
            while self.waiting and len(futures) < 2 * self.jobs:
                futures |= self._submit(self.waiting.popleft())
            ended, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                self._end(futures.pop(future), future.result())
            self.status.running = min(self.jobs, len(futures) + len(self.waiting))
            self._look_inside()
            self.watch(self.status)

    def _look_inside(self) -> None:
        """Take up how far the running trainings are."""
        running = {fit: epoch for fit, epoch in self.store.in_flight().items() if fit in self.left}
        lengths = {fit: self.length(fit) for fit in running}
        self.status.epochs = tuple((at, lengths[fit][0]) for fit, at in running.items())
        shares = (at / lengths[fit][0] * lengths[fit][1] for fit, at in running.items())
        self.status.under_way = sum(shares)

    def _submit(self, fit: str) -> dict[Future[Any], str]:
        function, arguments = self.task(fit)
        return {self.executor.submit(function, *arguments): fit}

    def _end(self, fit: str, result: Any) -> None:
        del self.left[fit]
        self.settle(fit, result)

    def _bury(self) -> None:
        """Charge each training in flight with a death; the third is its failure."""
        guilty = self.store.in_flight().keys() & set(self.left)
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
                error = RuntimeError(f"its worker died {DEATHS} times (killed, or out of memory)")
                self._end(fit, self.fail(fit, error))


@contextmanager
def in_flight(folder: str, fit: str, plugins: Iterable[str]) -> Iterator[RunFolder]:
    """Frame what a worker does for one training: marked while it runs, with plugins at hand.

    Args:
        folder: of the results.
        fit: id of the training.
        plugins: of the suite.

    Yields:
        The store of that folder.

    Raises:
        InputError: a plugin cannot be loaded.

    """
    store = RunFolder(Path(folder))
    store.mark_started(fit)
    load_plugins(plugins)
    yield store
    store.mark_ended(fit)
    _spare_imports()


@functools.cache
def _spare_imports() -> None:
    """Take what a worker has imported by now out of garbage collection, once.

    loky collects after every task; with all of torch to look through, that takes 0.15 s.
    """
    gc.collect()
    gc.freeze()
