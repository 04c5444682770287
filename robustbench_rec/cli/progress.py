"""Progress of a run: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from robustbench_rec.cli.output import duration
from robustbench_rec.running.pool import Status

SECONDS_BETWEEN_LINES = 15.0


class Display:
    """Shows the progress of a run; call it with each new status.

    Each failed cell is printed once, as soon as it fails, above the bar or between the lines.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: Any = None
        self._told: set[str] = set()
        self._last_line = time.monotonic()
        self._ended = False

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, status: Status) -> None:
        """Show the status."""
        for id in status.failed.keys() - self._told:
            self._told.add(id)
            title, error = status.failed[id]
            self.console.print(f"failed: {title}: {error}", markup=False, highlight=False)
        if self.console.is_terminal:
            self._draw(status)
        elif self._is_due(status):
            self._last_line, self._ended = time.monotonic(), status.left == 0
            finished = status.total - status.left
            self.console.print(f"{_counted(status, finished)}, {_rest(status)}", markup=False)

    def _is_due(self, status: Status) -> bool:
        """Say whether to print a line: always at the end, otherwise at intervals."""
        if status.left == 0:
            return not self._ended
        return time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES

    def _draw(self, status: Status) -> None:
        if self._task is None:
            name = "tuning" if status.counting == "trials" else status.counting
            self._task = self._bar.add_task(name, total=status.total, rest="")
        finished = status.total - status.left
        self._bar.update(self._task, total=status.total, completed=finished, rest=_rest(status))


def _counted(status: Status, finished: int) -> str:
    if status.counting == "trials":
        return f"tuning {finished} of {status.total} trials"
    return f"{finished}/{status.total} {status.counting}"


def _rest(status: Status) -> str:
    """Describe running and failed cells, and the remaining time."""
    inside = ", ".join(f"epoch {at} of {last}" for at, last in status.epochs if at)
    running = f"{status.running} running" + (f" ({inside})" if inside else "")
    parts = [running, f"{len(status.failed)} failed"]
    if status.left and status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    return ", ".join(parts)
