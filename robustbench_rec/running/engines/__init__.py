"""Engines: the places where trainings run. One file here per engine; see `engine_module`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from robustbench_rec.errors import InputError, nearest

if TYPE_CHECKING:
    from robustbench_rec.records.events import Events
    from robustbench_rec.running.preflight import Wanted


class WorkerDied(BrokenExecutor):
    """The worker of this call died; other calls go on."""


class Engine(Protocol):
    """Calls functions in workers, several at once.

    Arguments and results can be pickled. The future of a call whose worker died raises
    `WorkerDied`, or, if the engine then abandons all calls, another
    `concurrent.futures.BrokenExecutor`; the engine accepts calls as before.

    Attributes:
        shares_folder: whether workers write to the results folder of this process.
        runs_here: whether calls run in this process, during `submit`, where Ctrl-C must end them.

    """

    shares_folder: bool
    runs_here: bool

    @property
    def n_workers(self) -> int:
        """The number of calls at once, as of now."""

    def has_room(self, calls: int) -> bool:
        """Say whether to submit another call while `calls` have not ended."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function, now or when a worker is free; there must be room."""

    def look(self) -> None:
        """Look after the workers, about twice a second.

        Raises:
            InputError: no call can end any more.

        """

    def end_call(self, call: Future[Any], process: int) -> bool:
        """End the worker of a call, so that its future raises `BrokenExecutor`.

        Args:
            call: the future of the call.
            process: the worker's process, as the mark of the training says.

        Returns:
            Whether the call ends.

        """

    def close(self) -> None:
        """End all workers at once, even during calls."""


@dataclass(frozen=True)
class Cluster:
    """The workers that an engine is to use, if they are not only processes of this one.

    Attributes:
        scheduler: the address of a scheduler, such as "tcp://host:8786"; "" to start workers here.
        shares_folder: whether workers write to the results folder; otherwise they return results.
        stall: seconds without a sign of life, of the scheduler or of any worker, that end a run.
        wanted: what each worker must have.
        events: receives warnings of workers that cannot be used.

    """

    scheduler: str
    shares_folder: bool
    stall: float
    wanted: Wanted
    events: Events


def engine_names() -> list[str]:
    """Return the names of all engines, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def engine_module(name: str) -> Any:
    """Import an engine's module by its name.

    It has `start(n_workers, compute, cluster) -> Engine`; `MOST_WORKERS`, None for any number;
    `ENDS_WORKERS`, whether `Engine.end_call` can end a worker; and `IS_CLUSTER`, whether `Cluster`
    means anything to it.

    Raises:
        InputError: there is no engine with this name.

    """
    known = engine_names()
    if name not in known:
        raise InputError(f"no engine {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    return import_module(f"{__name__}.{name}")
