"""The loky engine: worker processes, whose death does not end the run."""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from multiprocessing import resource_tracker
from typing import Any

from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker

from robustbench_rec.processes import SAFELY, safe_path, start_worker
from robustbench_rec.running.compute import Compute
from robustbench_rec.running.engines import Cluster

MOST_WORKERS = None
ENDS_WORKERS = True
IS_CLUSTER = False


def start(n_workers: int, compute: Compute, cluster: Cluster | None = None) -> Loky:
    """Start the engine; its processes start with the first call."""
    return Loky(n_workers, compute)


class Loky:
    """Runs calls in processes that end with this process; Ctrl-C reaches them only through it."""

    shares_folder = True
    runs_here = False

    def __init__(self, n_workers: int, compute: Compute) -> None:
        self.n_workers = n_workers
        self._environment = compute.environment() | SAFELY
        self._executor: Any = None

    def has_room(self, calls: int) -> bool:
        """Say whether there is fewer than two calls for each worker; more would gain nothing."""
        return calls < 2 * self.n_workers

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function in a process; dead processes are replaced."""
        try:
            return self._started().submit(_called, function, args)  # type: ignore[no-any-return]  # loky has no types
        except BrokenExecutor:
            self._executor = None
            return self._started().submit(_called, function, args)  # type: ignore[no-any-return]

    def _started(self) -> Any:
        if self._executor is None:
            with safe_path():  # what is started beside the workers has our own environment
                loky_tracker.ensure_running()
                resource_tracker.ensure_running()
            self._executor = get_reusable_executor(
                max_workers=self.n_workers,
                timeout=600,
                initializer=start_worker,
                initargs=(os.getpid(),),
                env=self._environment,
            )
        return self._executor

    def look(self) -> None:
        """Do nothing: the executor looks after its processes."""

    def end_call(self, call: Future[Any], process: int) -> bool:
        """Kill a process of ours; loky then ends the others too, and starts new ones."""
        if self._executor is None or process not in dict(self._executor._processes):
            return False
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(process, signal.SIGKILL)
        return True

    def close(self) -> None:
        """Kill the processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)


def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    result = function(*args)
    _spare_imports()
    return result


@functools.cache
def _spare_imports() -> None:
    """Exclude the imports of a worker from garbage collection, once.

    loky collects after every task; scanning all of torch takes 0.15 s.
    """
    gc.collect()
    gc.freeze()
