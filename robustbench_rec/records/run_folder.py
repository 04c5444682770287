"""The results folder of one run: one atomic file a cell.

    RUN/manifest.json      what was run: suite, cells, data, plugins, versions, command
    RUN/cells/ID.json      one record a finished or failed cell
    RUN/cells/ID.npz       its per-user metrics, written before the record
    RUN/tuning/ID.json     one trial of settings, or what a study of several chose
    RUN/results.csv        the tidy frame, written when a run ends
    RUN/tuning.csv         the trials, likewise, where a loss was tuned
    RUN/diagnostics.csv    how the losses weighed negatives, one row an evaluation
    RUN/set-aside/         records that could not be read, kept for a look
    RUN/started/           trainings in flight, and their last epoch

A record exists whole or not at all: it is written beside its place, synced, and renamed.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import InputError

REQUIRED = frozenset(("id", "status", *AXES, "metrics", "users", "replicate", "per_user_bytes"))
TRIAL = frozenset(("id", "status", "validation", "best_epoch", "seconds", "error"))
STUDY = frozenset(
    ("id", "status", "trials", "failed", "chosen", "best", "validation", "edges", "error")
)
MANIFEST = frozenset(
    ("suite", "suite_text", "suite_cells", "cells", "metrics", "averaging", "data", "process")
)
Plain = dict[str, Any]


class RunFolder:
    """The results folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.tuning = folder / "tuning"
        self.started = folder / "started"
        self._held = False

    @property
    def is_without_records(self) -> bool:
        """Whether tables are all that is left of a run, as in results that were published."""
        return (self.folder / "results.csv").is_file() and not self.cells.is_dir()

    def keep_others(self, suite: str) -> None:
        """Raise InputError where a run would replace another's tables, or what none can restore."""
        try:
            held = self.manifest()["suite"]
        except InputError:  # no run, or none that can be read
            held = suite
        if self.is_without_records:
            what = "the tables of a run without its records"
        elif held != suite:
            what = f"the tables of suite {held!r}"
        else:
            return
        raise InputError(
            f"{self.folder}: holds {what}, which a run here would replace; "
            "give another folder with --out, or --force"
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one runner; the lock goes with its process, however that ends.

        Raises:
            InputError: another runner holds it, or the folder cannot be written.

        """
        from filelock import FileLock, Timeout

        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            self.started.mkdir(exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{self.folder}: another run is writing here{self._holder()}; "
                "wait for it, stop it, or give another folder with --out"
            ) from None
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}); "
                "give another folder with --out"
            ) from None
        try:
            self._held = True
            self._sweep()
            yield
        finally:
            self._held = False
            lock.release()

    def _holder(self) -> str:
        try:
            return f" (process {self.manifest()['process']})"
        except (InputError, KeyError):
            return ""

    def _sweep(self) -> None:
        """Remove what an interrupted run left half written."""
        for folder in (self.folder, self.cells, self.tuning):
            for leftover in folder.glob("*.part"):
                leftover.unlink(missing_ok=True)
        for leftover in self.started.iterdir():
            leftover.unlink(missing_ok=True)

    def write(self, record: Plain, per_user: Mapping[str, Any]) -> None:
        """Keep one record and its per-user metrics."""
        if per_user:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **per_user)
            _write(self.cells / f"{record['id']}.npz", buffer.getvalue())
            record = record | {"per_user_bytes": buffer.tell()}
        else:
            record = record | {"per_user_bytes": 0}
        _write(self.cells / f"{record['id']}.json", _json(record))

    def write_tuning(self, what: Plain) -> None:
        """Keep one trial, or a study as far as it has come."""
        self.tuning.mkdir(exist_ok=True)
        _write(self.tuning / f"{what['id']}.json", _json(what))

    def begin(self, manifest: Plain) -> None:
        """Keep what is being run; what was compacted goes until it holds all of it."""
        for name in ("results.csv", "diagnostics.csv", "tuning.csv"):
            (self.folder / name).unlink(missing_ok=True)
        _write(self.folder / "manifest.json", _json(manifest))

    def manifest(self) -> Plain:
        """Return the manifest; InputError where the folder holds no run."""
        path = self.folder / "manifest.json"
        try:
            manifest: Plain = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(manifest, dict) or not manifest.keys() >= MANIFEST:
                raise ValueError("it lacks fields that every run has")
            if not (isinstance(manifest["cells"], dict) and isinstance(manifest["metrics"], list)):
                raise ValueError("its cells are no table, or its metrics no list")
        except FileNotFoundError:
            raise InputError(f"{self.folder}: no run here (manifest.json is missing)") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
        return manifest

    def records(self, ids: Iterable[str], warn: Callable[[str], None]) -> dict[str, Plain]:
        """Read the records of `ids` that exist, and name a corrupt one to `warn`.

        Who holds the lock sets it aside too; another reader may have met a record half replaced.
        """
        return self._readable(self.cells, ids, self._record, "its cell", warn)

    def trials(self, ids: Iterable[str], warn: Callable[[str], None]) -> dict[str, Plain]:
        """Read the trials of `ids` that exist, as `records` does."""
        return self._readable(self.tuning, ids, partial(_holding, TRIAL), "its trial", warn)

    def studies(self, ids: Iterable[str], warn: Callable[[str], None]) -> dict[str, Plain]:
        """Read the studies of `ids` that were begun, as `records` does."""
        return self._readable(self.tuning, ids, partial(_holding, STUDY), "its study", warn)

    def _readable(
        self,
        folder: Path,
        ids: Iterable[str],
        reader: Callable[[Path], Plain],
        whose: str,
        warn: Callable[[str], None],
    ) -> dict[str, Plain]:
        found = {}
        for id in ids:
            path = folder / f"{id}.json"
            try:
                found[id] = reader(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError) as error:
                aside = "set aside, " if self._held else ""
                warn(f"{path}: corrupt record ({error}); {aside}{whose} counts as not run")
                if self._held:
                    self._set_aside(path)
        return found

    def _record(self, path: Path) -> Plain:
        record = _holding(REQUIRED, path)
        wanted = record["per_user_bytes"]
        beside = path.with_suffix(".npz")
        if wanted and (not beside.exists() or beside.stat().st_size != wanted):
            raise ValueError(f"{beside.name} beside it is missing or not whole")
        for metric, value in record["metrics"].items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"its {metric} is {value!r}, which is no number")
        return record

    def _set_aside(self, path: Path) -> None:
        """Move a record away, for a look."""
        aside = self.folder / "set-aside"
        aside.mkdir(exist_ok=True)
        path.replace(aside / path.name)

    def per_user(self, cell: str) -> dict[str, Any]:
        """Return the per-user metrics of a cell: `users` (U,), and (U,) a metric."""
        with np.load(self.cells / f"{cell}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def mark_started(self, fit: str) -> None:
        """Say that a training is in flight."""
        (self.started / fit).touch()

    def mark_epoch(self, fit: str, epoch: int) -> None:
        """Say how far a training in flight is; no training fails because that cannot be told."""
        with suppress(OSError):
            (self.started / fit).write_text(str(epoch), encoding="ascii")

    def mark_ended(self, fit: str) -> None:
        """Say that it is not any more."""
        (self.started / fit).unlink(missing_ok=True)

    def in_flight(self) -> dict[str, int]:
        """Return the trainings that were started and have not ended, and the epoch of each."""
        found = {}
        for path in self.started.iterdir() if self.started.is_dir() else ():
            with suppress(FileNotFoundError):  # it has just ended
                found[path.name] = int(path.read_text(encoding="ascii") or 0)
        return found

    def tuned(self, manifest: Plain, warn: Callable[[str], None]) -> list[Plain]:
        """Return each study that the manifest describes, with what is known of it so far."""
        described = manifest.get("studies", {})
        held = self.studies(described, warn)
        begun: Plain = {"status": "running", "trials": [], "failed": 0, "edges": [], "error": ""}
        begun |= dict.fromkeys(("chosen", "best", "validation"))
        return [{"id": id} | begun | one | held.get(id, {}) for id, one in described.items()]

    def is_compact(self, manifest: Plain) -> bool:
        """Say whether results.csv is there and of the same cells of the same suite."""
        try:
            held = self.manifest()
        except InputError:
            return False
        same = all(held.get(key) == manifest[key] for key in ("suite_text", "cells"))
        wanted = ["results.csv", "diagnostics.csv"]
        wanted += ["tuning.csv"] if manifest.get("studies") else []
        return same and all((self.folder / name).is_file() for name in wanted)

    def write_tables(self, tables: Mapping[str, str]) -> None:
        """Write each table, of a name and a text, whole or not at all."""
        for name, text in tables.items():
            _write(self.folder / name, text.encode())

    def publish(self, manifest: Plain, tables: Mapping[str, str]) -> None:
        """Write tables and what they are of, without records."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({error.strerror})") from None
        self.write_tables(tables)
        _write(self.folder / "manifest.json", _json(manifest))


def _holding(required: frozenset[str], path: Path) -> Plain:
    """Read what calls itself as its file is called; ValueError where it is not whole."""
    record: Plain = json.loads(path.read_bytes())
    if not isinstance(record, dict) or not record.keys() >= required:
        raise ValueError("it lacks fields that every record has")
    if record["id"] != path.stem:
        raise ValueError(f"it is of cell {record['id']}")
    return record


def title(cell: Plain) -> str:
    """Name a cell of the manifest for a person."""
    names = " ".join(cell[axis] for axis in AXES)
    return f"{names} level {cell['level']:g} replicate {cell['replicate']}"


def _json(data: Plain) -> bytes:
    return json.dumps(data, indent=1, allow_nan=False).encode() + b"\n"


def _write(path: Path, content: bytes) -> None:
    """Write beside, sync, rename: at every moment the old file or the new one is there, whole."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
