"""The serial engine: one call after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from robustbench_rec.running.compute import Compute, restored_libraries
from robustbench_rec.running.engines import Cluster

MOST_WORKERS = 1
ENDS_WORKERS = False
IS_CLUSTER = False


def start(n_workers: int, compute: Compute, cluster: Cluster | None = None) -> Serial:
    """Start the engine; it has one worker, this process, for any `n_workers`."""
    return Serial()


class Serial:
    """Runs a call as it is submitted. A crash of a call ends this process."""

    n_workers = 1
    shares_folder = True
    runs_here = True

    def __init__(self) -> None:
        self._libraries: ExitStack | None = None

    def has_room(self, calls: int) -> bool:
        """Say whether no call is left whose result was not read."""
        return not calls

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function, and return its result as a finished future."""
        if self._libraries is None:  # not before anything runs: it imports torch
            self._libraries = ExitStack()
            self._libraries.enter_context(restored_libraries())
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def look(self) -> None:
        """Do nothing: no call goes on."""

    def end_call(self, call: Future[Any], process: int) -> bool:
        """Return False: the only worker is this process, which waits for its call."""
        return False

    def close(self) -> None:
        """Restore the threads of torch and the compiled code."""
        if self._libraries is not None:
            self._libraries.close()
