"""Engines: where trainings run. An engine is one file here, with a function `start`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Any, Protocol

from robustbench_rec.errors import InputError, nearest
from robustbench_rec.running.compute import Compute


class Engine(Protocol):
    """Calls functions somewhere, several at once.

    The module of an engine has `start(n_workers, compute) -> Engine`. What it is handed can be
    pickled, and so can what it returns. A future of a call whose worker died raises
    `concurrent.futures.BrokenExecutor`; the engine then takes calls as before.

    Attributes:
        n_workers: how many calls it runs at once.

    """

    n_workers: int

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function, now or when a worker is free."""

    def close(self) -> None:
        """End all workers at once, whatever they do."""


def engine_names() -> list[str]:
    """Return the engines that there are; none of them is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def start_engine(name: str, n_workers: int, compute: Compute) -> Engine:
    """Start an engine by its name.

    Raises:
        InputError: there is none of that name.

    """
    known = engine_names()
    if name not in known:
        raise InputError(f"no engine {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    engine: Engine = import_module(f"{__name__}.{name}").start(n_workers, compute)
    return engine
