"""Engines: the places where trainings run. One file here per engine; see `engine_module`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from robustbench_rec.errors import InputError, nearest

if TYPE_CHECKING:
    from concurrent.futures import Future


class Engine(Protocol):
    """Calls functions in workers, several at once.

    Arguments and results can be pickled. The future of a call whose worker died raises
    `concurrent.futures.BrokenExecutor`; the engine then accepts calls as before.

    Attributes:
        n_workers: the number of calls at once.

    """

    n_workers: int

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function, now or when a worker is free."""

    def end_worker(self, process: int) -> bool:
        """End a worker, so that its call raises `BrokenExecutor`; False if it is not a worker."""

    def close(self) -> None:
        """End all workers at once, even during calls."""


def engine_names() -> list[str]:
    """Return the names of all engines, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def engine_module(name: str) -> Any:
    """Import an engine's module by its name.

    It has `start(n_workers, compute) -> Engine`; `MOST_WORKERS`, None for any number; and
    `ENDS_WORKERS`, whether `Engine.end_worker` can end one.

    Raises:
        InputError: there is no engine with this name.

    """
    known = engine_names()
    if name not in known:
        raise InputError(f"no engine {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    return import_module(f"{__name__}.{name}")
