"""Warnings and logs of plugins: caught as lines, and not printed meanwhile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robustbench_rec.errors import one_line, printable

MOST = 20
"""Largest number of different lines kept of one call."""


class Lines:
    """Different lines, in order; at most `MOST`, and the number of the rest."""

    def __init__(self) -> None:
        self._held: dict[str, None] = {}
        self._more = 0

    def add(self, line: str) -> None:
        """Add a line."""
        line = printable(" ".join(line.split()))
        if line not in self._held and len(self._held) == MOST:
            self._more += 1
        else:
            self._held[line] = None

    def told(self) -> tuple[str, ...]:
        """Return the lines."""
        more = [f"{self._more} more warnings, not shown"] if self._more else []
        return (*self._held, *more)


class _Handler(logging.Handler):
    """Takes log records."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        why = f" ({one_line(error)})" if error else ""
        try:
            self._lines.add(f"{record.name} logs: {record.getMessage()}{why}")
        except Exception:  # a message that its arguments do not fit
            self._lines.add(f"{record.name} logs: {record.msg}{why}")


@contextmanager
def overheard() -> Iterator[Lines]:
    """Catch Python's warnings, and logs of level warning or above, before they reach the terminal.

    Other handlers, such as those of files, still receive logs.
    """
    lines, root = Lines(), logging.getLogger()
    ours = _Handler(lines)
    terminal = [one for one in root.handlers if type(one) is logging.StreamHandler]

    def hear(message: Warning | str, category: Any, filename: str, lineno: int, *_: Any) -> None:
        kind = category.__name__
        lines.add(f"{kind}: {message} ({Path(filename).name}, line {lineno})")

    with warnings.catch_warnings():
        warnings.showwarning = hear  # type: ignore[assignment]  # as its documentation allows
        _exchange(root, terminal, [ours])
        try:
            yield lines
        finally:
            _exchange(root, [ours], terminal)


def _exchange(logger: logging.Logger, old: list[Any], new: list[Any]) -> None:
    """Replace some handlers of a logger."""
    for handler in old:
        logger.removeHandler(handler)
    for handler in new:
        logger.addHandler(handler)
