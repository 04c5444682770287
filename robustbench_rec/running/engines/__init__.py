"""Engines: where trainings run. An engine is one file here; see `engine_module`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from robustbench_rec.errors import InputError, nearest

if TYPE_CHECKING:
    from concurrent.futures import Future


class Engine(Protocol):
    """Calls functions somewhere, several at once.

    What it is handed can be pickled, and so can what it returns. A future of a call whose worker
    died raises `concurrent.futures.BrokenExecutor`; the engine then takes calls as before.

    Attributes:
        n_workers: how many calls it runs at once.

    """

    n_workers: int

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function, now or when a worker is free."""

    def end_worker(self, process: int) -> bool:
        """End a worker at once, so that its call raises `BrokenExecutor`; False if it is none."""

    def close(self) -> None:
        """End all workers at once, whatever they do."""


def engine_names() -> list[str]:
    """Return the engines that there are; none of them is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def engine_module(name: str) -> Any:
    """Import an engine's module by its name.

    It has `start(n_workers, compute) -> Engine`, and `MOST_WORKERS`, None where any number goes.

    Raises:
        InputError: there is none of that name.

    """
    known = engine_names()
    if name not in known:
        raise InputError(f"no engine {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    return import_module(f"{__name__}.{name}")
