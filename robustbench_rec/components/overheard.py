"""What plugins warn of and log: heard as lines, which nobody prints meanwhile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robustbench_rec.errors import one_line, printable

MOST = 20
"""Different lines of which one call is heard."""


class Lines:
    """Different lines as they were first heard; at most `MOST`, and how many there were besides."""

    def __init__(self) -> None:
        self._held: dict[str, None] = {}
        self._more = 0

    def add(self, line: str) -> None:
        """Hear a line."""
        line = printable(" ".join(line.split()))
        if line not in self._held and len(self._held) == MOST:
            self._more += 1
        else:
            self._held[line] = None

    def told(self) -> tuple[str, ...]:
        """Return what was heard."""
        more = [f"{self._more} more warnings, which are left out"] if self._more else []
        return (*self._held, *more)


class _Handler(logging.Handler):
    """Takes what is logged."""

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
    """Hear Python's warnings, and what is logged as a warning or worse, instead of the terminal.

    Handlers of others than the terminal, such as those of files, still take what is logged.
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
    """Take handlers from a logger, and give it others."""
    for handler in old:
        logger.removeHandler(handler)
    for handler in new:
        logger.addHandler(handler)
