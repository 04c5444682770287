"""The results folder of one run: one atomic file a cell.

    RUN/manifest.json      what was run: suite, cells, data, plugins, versions, command
    RUN/cells/ID.json      one record a finished or failed cell
    RUN/cells/ID.npz       its metrics of each user, written before the record
    RUN/lists/ID.npz       the first 20 places of each list of a training, likewise
    RUN/tuning/ID.json     one trial of settings, or what a study of several chose
    RUN/results.csv        the tidy frame, written when a run ends
    RUN/tuning.csv         the trials, likewise, where a loss was tuned
    RUN/diagnostics.csv    how the losses weighed negatives, one row an evaluation
    RUN/users.npz          the suite's metrics of each user
    RUN/set-aside/         records that could not be read, kept for a look
    RUN/started/           trainings in flight, and their last epoch

A record exists whole or not at all: it is written beside its place, synced, and renamed. It holds
a checksum of its own text, so that what changed afterwards is told from what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from robustbench_rec.errors import InputError
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.study import StudyOutcome
from robustbench_rec.processes import without_gc
from robustbench_rec.records.events import Events
from robustbench_rec.records.files import as_json, is_as_sealed, sealed, unzipped, write, zipped
from robustbench_rec.records.lists import Lists
from robustbench_rec.records.manifest import Manifest, PlannedCell, StudyState
from robustbench_rec.records.old_forms import (
    Plain,
    is_of_today,
    manifest_of_today,
    record_of_today,
)
from robustbench_rec.records.record import Record, Trial
from robustbench_rec.records.users import UserValues, packed, unpacked
from robustbench_rec.training.config import PROTOCOL

TABLES = ("results.csv", "diagnostics.csv", "users.npz", "tuning.csv")
"""What a run ends with; tuning.csv where it has studies."""
Written = TypeVar("Written", Record, Trial, StudyOutcome)
Kind = TypeVar("Kind", Manifest, Record, Trial, StudyOutcome)


class RunFolder:
    """The results folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.tuning = folder / "tuning"
        self.lists = folder / "lists"
        self.started = folder / "started"
        self.is_locked = False

    @property
    def is_without_records(self) -> bool:
        """Whether tables are all that is left of a run, as in results that were published."""
        return (self.folder / "results.csv").is_file() and not self.cells.is_dir()

    def stray_table(self) -> str | None:
        """Return the name of a file that is called as a table of ours where no run is."""
        if (self.folder / "manifest.json").exists():
            return None
        return next((name for name in TABLES if (self.folder / name).exists()), None)

    def refuse_to_replace(self, suite: str) -> None:
        """Raise InputError where a run would replace another's tables, or what none can restore."""
        held = self.manifest_if_any()
        if stray := self.stray_table():
            what = f"{stray}, which no run wrote"
        elif self.is_without_records:
            what = "the tables of a run without its records"
        elif held and held.suite != suite:
            what = f"the tables of suite {held.suite!r}"
        elif held and (old := held.protocols - {PROTOCOL}):
            what = (
                f"the tables of protocol {', '.join(sorted(old))}, under which cells meant "
                f"something else (under today's {PROTOCOL} all of them run anew)"
            )
        else:
            return
        raise InputError(
            f"{self.folder}: holds {what}, which a run here would replace; "
            "give another folder with --out, or --force"
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run; the lock goes with its process, however that ends.

        Raises:
            InputError: another run holds it, or the folder cannot be written.

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
            self.is_locked = True
            self._sweep()
            yield
        finally:
            self.is_locked = False
            lock.release()

    def _holder(self) -> str:
        held = self.manifest_if_any()
        return f" (process {held.process})" if held else ""

    def _sweep(self) -> None:
        """Remove what an interrupted run left half written."""
        for folder in (self.folder, self.cells, self.lists, self.tuning):
            for leftover in folder.glob("*.part"):
                leftover.unlink(missing_ok=True)
        for leftover in self.started.iterdir():
            leftover.unlink(missing_ok=True)

    def write(self, record: Record, per_user: Mapping[str, Any] | None = None) -> None:
        """Keep one record, and its metrics of each user: `users` (U,), and (U,) a metric."""
        size = 0
        if per_user:
            size = write(self.cells / f"{record.id}.npz", zipped(per_user))
        kept = record.model_copy(update={"per_user_bytes": size})
        write(self.cells / f"{record.id}.json", sealed(kept))

    def write_lists(self, training: str, lists: Lists) -> None:
        """Keep the lists of a training, of a cell that is not recorded yet; those kept stay."""
        self.lists.mkdir(exist_ok=True)
        if self.read_lists(training, Events()) is None:
            write(self.lists / f"{training}.npz", zipped(vars(lists)))

    def read_lists(self, training: str, events: Events) -> Lists | None:
        """Return the lists of a training; None where there are none, or none that can be read."""
        path = self.lists / f"{training}.npz"
        try:
            held = unzipped(path)
            return Lists(held["users"], held["items"], held["places"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            events.warning(f"{path}: damaged lists ({_unfit(error)}); they are compared with none")
            return None

    def write_tuning(self, what: Trial | StudyOutcome) -> None:
        """Keep one trial, or a study as far as it has come."""
        self.tuning.mkdir(exist_ok=True)
        write(self.tuning / f"{what.id}.json", sealed(what))

    def begin(self, manifest: Manifest) -> None:
        """Keep what is being run; what was compacted goes until it holds all of it."""
        for name in TABLES:
            (self.folder / name).unlink(missing_ok=True)
        write(self.folder / "manifest.json", as_json(manifest))

    def manifest(self) -> Manifest:
        """Return the manifest; InputError where the folder holds no run that can be read."""
        try:
            return self._manifest()
        except FileNotFoundError:
            raise InputError(f"{self.folder}: no run here (manifest.json is missing)") from None
        except InputError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            path = self.folder / "manifest.json"
            raise InputError(f"{path}: cannot be read ({_unfit(error)})") from None

    def manifest_if_any(self) -> Manifest | None:
        """Return the manifest; None where there is none, or none that can be read.

        Raises:
            InputError: it is of a format that is not known here, so that nobody writes over it.

        """
        try:
            return self._manifest()
        except InputError:
            raise
        except (OSError, ValueError, RecursionError):
            return None

    def _manifest(self) -> Manifest:
        path = self.folder / "manifest.json"
        try:
            return parsed(Manifest, path.read_bytes(), manifest_of_today)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def read_records(
        self,
        cells: Mapping[str, Cell | PlannedCell],
        events: Events,
        set_corrupt_aside: bool = False,
    ) -> dict[str, Record]:
        """Read the records of cells that exist; a corrupt one is left out, and warned of.

        One that is whole, but not of its cell, is corrupt too.

        Args:
            cells: id -> the cell, or what the manifest says of it.
            events: hears of corrupt records.
            set_corrupt_aside: whether to move them away, for a look. Only who holds the lock may:
                another reader may have met a record half replaced.

        """

        def read(path: Path) -> Record:
            return self._record(path, cells[path.stem])

        return self._read(self.cells, cells, read, "its cell", events, set_corrupt_aside)

    def read_trials(
        self, ids: Iterable[str], events: Events, set_corrupt_aside: bool = False
    ) -> dict[str, Trial]:
        """Read the trials of `ids` that exist, as `read_records` does."""
        read = partial(_whole, Trial)
        return self._read(self.tuning, ids, read, "its trial", events, set_corrupt_aside)

    def read_studies(
        self, ids: Iterable[str], events: Events, set_corrupt_aside: bool = False
    ) -> dict[str, StudyOutcome]:
        """Read the studies of `ids` that were begun, as `read_records` does."""
        read = partial(_whole, StudyOutcome)
        return self._read(self.tuning, ids, read, "its study", events, set_corrupt_aside)

    @without_gc()
    def _read(
        self,
        folder: Path,
        ids: Iterable[str],
        reader: Callable[[Path], Written],
        whose: str,
        events: Events,
        set_corrupt_aside: bool,
    ) -> dict[str, Written]:
        assert self.is_locked or not set_corrupt_aside
        found = {}
        for id in ids:
            path = folder / f"{id}.json"
            try:
                found[id] = reader(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, RecursionError) as error:
                aside = "set aside, " if set_corrupt_aside else ""
                events.warning(
                    f"{path}: corrupt record ({_unfit(error)}); {aside}{whose} counts as not run"
                )
                if set_corrupt_aside:
                    self._set_aside(path)
        return found

    def _record(self, path: Path, cell: Cell | PlannedCell) -> Record:
        record = _whole(Record, path)
        record.refuse_unless_of(cell)
        beside = path.with_suffix(".npz")
        wanted = record.per_user_bytes
        if wanted and _size(beside) != wanted:
            raise ValueError(f"{beside.name} beside it is missing or not whole")
        return record

    def _set_aside(self, path: Path) -> None:
        """Move a record away, for a look."""
        aside = self.folder / "set-aside"
        aside.mkdir(exist_ok=True)
        path.replace(aside / path.name)

    def per_user(self, cell: str) -> dict[str, Any]:
        """Return the metrics of each user of a cell: `users` (U,), and (U,) a metric.

        Raises:
            InputError: the file is damaged.

        """
        path = self.cells / f"{cell}.npz"
        try:
            return unzipped(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read ({_unfit(error)}); remove {cell}.json beside it, and run "
                "again"
            ) from None

    def users_table(self) -> dict[str, UserValues]:
        """Return what users.npz holds, by data set; nothing where there is none, as of old.

        Raises:
            InputError: it is damaged.

        """
        path = self.folder / "users.npz"
        try:
            return unpacked(unzipped(path)) if path.is_file() else {}
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"{path}: cannot be read ({_unfit(error)})") from None

    def mark_started(self, training: str) -> None:
        """Say that a training is in flight."""
        (self.started / training).touch()

    def mark_epoch(self, training: str, epoch: int) -> None:
        """Say how far a training in flight is; no training fails because that cannot be told."""
        with suppress(OSError):
            (self.started / training).write_text(str(epoch), encoding="ascii")

    def mark_ended(self, training: str) -> None:
        """Say that it is not any more."""
        (self.started / training).unlink(missing_ok=True)

    def in_flight(self) -> dict[str, int]:
        """Return the trainings that were started and have not ended, and the epoch of each."""
        found = {}
        for path in self.started.iterdir() if self.started.is_dir() else ():
            with suppress(FileNotFoundError):  # it has just ended
                found[path.name] = int(path.read_text(encoding="ascii") or 0)
        return found

    def studies_so_far(self, manifest: Manifest, events: Events) -> list[StudyState]:
        """Return each study that the manifest names, with what is known of it so far."""
        held = self.read_studies(manifest.studies, events)
        return [
            StudyState(**one.model_dump(), **held.get(id, StudyOutcome(id=id)).model_dump())
            for id, one in manifest.studies.items()
        ]

    def is_compact(self, manifest: Manifest, before: Manifest | None) -> bool:
        """Say whether the tables are there, and were made of the same cells of the same suite.

        Args:
            manifest: what the tables are to be of.
            before: what the folder holds.

        """
        if before is None:
            return False
        same = before.suite_text == manifest.suite_text and before.cells == manifest.cells
        wanted = TABLES if manifest.studies else TABLES[:-1]
        return same and all((self.folder / name).is_file() for name in wanted)

    def write_tables(self, tables: Mapping[str, str], users: Mapping[str, UserValues]) -> None:
        """Write each table, of a name and a text, and users.npz, whole or not at all."""
        write(self.folder / "users.npz", zipped(packed(users)))
        for name, text in tables.items():
            write(self.folder / name, text.encode())

    def publish(
        self, manifest: Manifest, tables: Mapping[str, str], users: Mapping[str, UserValues]
    ) -> None:
        """Write tables and what they are of, without records."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({error.strerror})") from None
        self.write_tables(tables, users)
        write(self.folder / "manifest.json", as_json(manifest))


def _whole(kind: type[Written], path: Path) -> Written:
    """Read what calls itself as its file is called; ValueError where it is not whole."""
    text = path.read_bytes()
    found = parsed(kind, text, record_of_today)
    if found.id != path.stem:
        raise ValueError(f"it is of cell {found.id}")
    if found.checksum and not is_as_sealed(text, found.checksum):
        raise ValueError("its checksum is not that of its text, so it was changed")
    return found


def parsed(kind: type[Kind], text: bytes, of_today: Callable[[Plain], Plain]) -> Kind:
    """Return what JSON holds, turned into today's form; ValueError where it is not whole."""
    with suppress(ValidationError):  # in one go, which takes a third of the time
        found = kind.model_validate_json(text)
        if is_of_today(found):
            return found
    held = json.loads(text)
    if not isinstance(held, dict):
        raise ValueError("it is no table")
    return kind.model_validate(of_today(held))


def _size(path: Path) -> int | None:
    """Return the bytes of a file; None where there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _unfit(error: Exception) -> str:
    """Say on one line why a file is none of ours: the first thing that is wrong with it."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    first = error.errors()[0]
    at = ".".join(map(str, first["loc"]))
    return f"it lacks {at!r}" if first["type"] == "missing" else f"{at}: {first['msg'].lower()}"
