"""Marks of the trainings in flight: who trains, and how far it is.

    RUN/started/ID    the last evaluated epoch and the process, as two numbers

A mark is a hint for people and for the watch over slow trainings, so a failure to write one is
ignored. Those of an interrupted run are swept when the next one locks the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from robustbench_rec.records.ownership import ID


class InFlight(NamedTuple):
    """The progress of a training in flight."""

    epoch: int
    """The last evaluated epoch; 0 before the first."""
    worker: int
    """The process that trains; 0 if not known."""


class Marks:
    """The marks in one folder, by the id of a training or trial."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, training: str) -> None:
        """Mark a training as in flight in this process."""
        self.advance(training, 0)

    def advance(self, training: str, epoch: int) -> None:
        """Record the last evaluated epoch of a training in this process."""
        path = self.folder / training
        with suppress(OSError):
            if path.is_file() or not path.exists():
                path.write_text(f"{epoch} {os.getpid()}", encoding="ascii")

    def end(self, training: str) -> None:
        """Remove the mark of a training."""
        with suppress(OSError):
            (self.folder / training).unlink()

    def read(self) -> dict[str, InFlight]:
        """Return the trainings that were started and have not ended, with their progress."""
        found = {}
        for path in self.paths():
            with suppress(OSError, ValueError):  # it has just ended, or is no mark
                words = path.read_text(encoding="ascii").split()
                epoch, worker, *_ = (int(word) for word in [*words, "0", "0"])
                found[path.name] = InFlight(epoch, worker)
        return found

    def paths(self) -> Iterator[Path]:
        """Yield the files that are marks by their name."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if ID.fullmatch(path.name) and path.is_file():
                yield path
