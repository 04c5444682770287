"""The results folder of one run: one file per cell, written atomically.

    RUN/manifest.json      the manifest: suite, cells, data, plugins, versions, command
    RUN/cells/ID.json      the record of a finished or failed cell
    RUN/cells/ID.npz       its metrics of each user, written before the record
    RUN/lists/ID.npz       the first 20 places of each list of a training, written before it too
    RUN/tuning/ID.json     a trial of settings, or the choice of a study
    RUN/results.csv        the tidy frame, written at the end of a run
    RUN/tuning.csv         the trials, written at the end too, if a loss was tuned
    RUN/diagnostics.csv    how the losses weighed negatives, one row per evaluation
    RUN/users.npz          the suite's metrics of each user
    RUN/set-aside/         unreadable files, kept for inspection
    RUN/started/           trainings in flight, with their last epoch and their process

A record exists whole or not at all: it is written to a temporary file, synced, and renamed. It
holds a checksum of its own text, so that later changes are detected. The manifest holds digests of
the tables and of the records that they were made from.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from robustbench_rec.errors import InputError
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.study import StudyOutcome
from robustbench_rec.processes import without_gc
from robustbench_rec.records.events import Events
from robustbench_rec.records.files import (
    as_json,
    contents,
    digest,
    move_aside,
    seal_of,
    sealed,
    unzipped,
    why,
    write,
    zipped,
)
from robustbench_rec.records.lists import Lists
from robustbench_rec.records.manifest import Manifest, PlannedCell, StudyState
from robustbench_rec.records.marks import Marks
from robustbench_rec.records.old_forms import manifest_of_today
from robustbench_rec.records.ownership import (
    TABLES,
    half_written,
    is_begun,
    is_of_others,
    strangers,
)
from robustbench_rec.records.record import Record, Trial
from robustbench_rec.records.users import UserValues, packed, unpacked
from robustbench_rec.records.whole import Written, fault, parsed, read_whole
from robustbench_rec.training.config import PROTOCOL

MANY = 1000
"""Number of records from which on a folder is listed before they are looked for."""


class RunFolder:
    """The results folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.tuning = folder / "tuning"
        self.lists = folder / "lists"
        self.marks = Marks(folder / "started")
        self.is_locked = False

    @property
    def is_without_records(self) -> bool:
        """Whether only tables are left of a run, as in published results."""
        return (self.folder / "results.csv").is_file() and not self.cells.is_dir()

    def refuse_foreign(self) -> None:
        """Raise InputError unless the folder is missing, empty, or belongs to a run.

        A folder in which a run has begun counts, even if its manifest cannot be read.
        """
        stranger = self._stranger()
        if stranger is not None:
            raise InputError(
                f"{self.folder} holds {stranger}, which no run wrote; give a new or empty folder "
                "with --out"
            )

    def _stranger(self) -> str | None:
        """Return a name in the folder that no run writes; None if a run may write here."""
        try:
            if (self.folder / "manifest.json").exists():
                damaged = is_begun(self.folder) and not is_of_others(self.folder)
                return None if self.manifest_if_any() or damaged else "manifest.json"
            return next(strangers(self.folder), None)
        except (FileNotFoundError, NotADirectoryError):  # the latter is told when it is to be made
            return None
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be read ({why(error)}); give another folder with --out"
            ) from None

    def refuse_to_replace(self, suite: str) -> None:
        """Raise InputError if a run would replace tables of another run or without records."""
        self.refuse_foreign()
        held = self.manifest_if_any()
        if self.is_without_records:
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

    def refuse_unwritable(self) -> None:
        """Raise InputError if `locked` could not create or write files; create none."""
        for place in (self.folder, self.cells, self.marks.folder):
            path = place.absolute()
            there = next(one for one in (path, *path.parents) if os.path.lexists(one))
            if not there.is_dir():
                raise self._unwritable(os.strerror(errno.ENOTDIR))
            if not os.access(there, os.W_OK | os.X_OK):
                raise self._unwritable(os.strerror(errno.EACCES))

    def _unwritable(self, reason: str) -> InputError:
        return InputError(
            f"{self.folder}: cannot be written ({reason}); give another folder with --out"
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for one run; the lock ends with its process in any case.

        Raises:
            InputError: another run holds it, or the folder cannot be written.

        """
        from filelock import FileLock, Timeout

        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            self.marks.folder.mkdir(exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{self.folder}: another run is writing here{self._holder()}; "
                "wait for it, stop it, or give another folder with --out"
            ) from None
        except OSError as error:
            raise self._unwritable(why(error)) from None
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
        """Remove temporary files and marks of an interrupted run."""
        for leftover in (*half_written(self.folder), *self.marks.paths()):
            with suppress(OSError):  # it is in nobody's way
                leftover.unlink()

    def write(self, record: Record, per_user: Mapping[str, Any] | None = None) -> None:
        """Store one record, and its metrics of each user: `users` (U,), and (U,) per metric.

        Lists of its training, if stored, are written before.
        """
        size = 0
        if per_user:
            size = write(self.cells / f"{record.id}.npz", zipped(per_user))
        kept = record.model_copy(update={"per_user_bytes": size})
        write(self.cells / f"{record.id}.json", sealed(kept))

    def write_lists(self, training: str, lists: Lists) -> None:
        """Store the lists of a training before its cells are recorded; stored lists stay."""
        make_folder(self.lists)
        if self.read_lists(training, Events()) is None:
            write(self.lists / f"{training}.npz", zipped(vars(lists)))

    def lists_of(self, training: str) -> Lists:
        """Return the lists of a training; OSError or ValueError if missing or damaged."""
        held = unzipped(self.lists / f"{training}.npz")
        if missing := {"users", "items", "places"} - held.keys():
            raise ValueError(f"{min(missing)} is missing")
        return Lists(held["users"], held["items"], held["places"])

    def read_lists(self, training: str, events: Events) -> Lists | None:
        """Return the lists of a training; None if they are missing or unreadable."""
        path = self.lists / f"{training}.npz"
        try:
            return self.lists_of(training)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            events.warning(
                f"{path}: damaged lists ({fault(error)}); their agreement with others "
                "is not computed"
            )
            return None

    def with_damaged_lists(self, trainings: Iterable[str], events: Events) -> frozenset[str]:
        """Return the trainings with damaged lists; set the lists aside, with a warning.

        The caller must hold the lock.
        """
        found = set()
        for training in trainings:
            path = self.lists / f"{training}.npz"
            if not os.path.lexists(path):
                continue
            try:
                self.lists_of(training)
            except (OSError, ValueError) as error:
                found.add(training)
                aside = self._set_aside(path)
                events.warning(
                    f"{path}: damaged lists ({fault(error)}); {aside}its cells count as not run"
                )
        return frozenset(found)

    def write_tuning(self, what: Trial | StudyOutcome) -> None:
        """Store one trial, or the state of a study."""
        make_folder(self.tuning)
        write(self.tuning / f"{what.id}.json", sealed(what))

    def begin(self, manifest: Manifest) -> None:
        """Store the manifest of a run; tables go until they hold all of it."""
        for name in TABLES:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                told = f"{self.folder / name}: cannot be removed ({why(error)})"
                raise InputError(f"{told}; a table of the run goes there: move it away") from None
        self.write_manifest(manifest)

    def manifest(self) -> Manifest:
        """Return the manifest; InputError if the folder holds no readable run."""
        try:
            return self._manifest()
        except FileNotFoundError:
            raise InputError(f"{self.folder}: no run here (manifest.json is missing)") from None
        except InputError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            path = self.folder / "manifest.json"
            raise InputError(f"{path}: cannot be read ({fault(error)})") from None

    def manifest_if_any(self) -> Manifest | None:
        """Return the manifest; None if it is missing or unreadable.

        Raises:
            InputError: its format is unknown, so nothing must overwrite it.

        """
        try:
            return self._manifest()
        except InputError:
            raise
        except (OSError, ValueError, RecursionError):
            return None

    def manifest_or_aside(self, events: Events) -> Manifest | None:
        """Return the manifest as `manifest_if_any` does, with a warning if it is damaged.

        If the folder is locked, a damaged manifest is set aside, so that a new one replaces
        nothing.
        """
        path = self.folder / "manifest.json"
        try:
            return self._manifest()
        except FileNotFoundError:
            return None
        except InputError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            aside = self._set_aside(path) if self.is_locked else ""
            events.warning(
                f"{path}: cannot be read ({fault(error)}); {aside}records that are whole count"
            )
            return None

    def _manifest(self) -> Manifest:
        path = self.folder / "manifest.json"
        try:
            return parsed(Manifest, contents(path), manifest_of_today)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def read_records(
        self,
        cells: Mapping[str, Cell | PlannedCell],
        events: Events,
        set_corrupt_aside: bool = False,
    ) -> dict[str, Record]:
        """Read the records of cells that exist; corrupt records are left out, with a warning.

        A whole record of another cell is corrupt too. The users' values of a cell in today's form
        are checked as well: they will not be measured again.

        Args:
            cells: id -> the cell, or its entry in the manifest.
            events: receives warnings of corrupt records.
            set_corrupt_aside: whether to set corrupt records aside. The caller must hold the lock:
                another reader may see a record that is being replaced.

        """

        def read(path: Path) -> Record:
            return self._record(path, cells[path.stem])

        return self._read(self.cells, cells, read, "its cell", events, set_corrupt_aside)

    def read_trials(
        self,
        cells: Mapping[str, Cell | None],
        events: Events,
        set_corrupt_aside: bool = False,
    ) -> dict[str, Trial]:
        """Read the trials that exist, as `read_records` does.

        Args:
            cells: id of a trial -> the cell with its training; None if not known, as in an old run,
                whose trials may also lack a checksum.
            events: as in `read_records`.
            set_corrupt_aside: as in `read_records`.

        """

        def read(path: Path) -> Trial:
            cell = cells[path.stem]
            trial = read_whole(Trial, path, of_today=cell is not None)
            if cell is not None:
                trial.refuse_unless_of(cell)
            return trial

        return self._read(self.tuning, cells, read, "its trial", events, set_corrupt_aside)

    def read_studies(
        self,
        ids: Iterable[str],
        events: Events,
        set_corrupt_aside: bool = False,
        of_today: bool = True,
    ) -> dict[str, StudyOutcome]:
        """Read the studies of `ids` that have begun, as `read_records` does.

        Studies `of_today` must have a checksum; otherwise they are corrupt.
        """
        read = partial(read_whole, StudyOutcome, of_today=of_today)
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
        for id in _in_folder(folder, list(ids)):
            path = folder / f"{id}.json"
            try:
                found[id] = reader(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, RecursionError) as error:
                aside = self._set_aside(path) if set_corrupt_aside else ""
                events.warning(
                    f"{path}: corrupt record ({fault(error)}); {aside}{whose} counts as not run"
                )
        return found

    def _record(self, path: Path, cell: Cell | PlannedCell) -> Record:
        record = read_whole(Record, path, of_today=isinstance(cell, Cell))
        if isinstance(cell, Cell):
            record.refuse_unless_of(cell)
        else:
            record.refuse_unless_as_planned(cell)
        beside = path.with_suffix(".npz")
        wanted = record.per_user_bytes
        if wanted and _size(beside) != wanted:
            raise ValueError(f"{beside.name} beside it is missing or not whole")
        if wanted and isinstance(cell, Cell):
            _refuse_damaged(beside, record)
        lists = self.lists / f"{record.fit_id}.npz"
        if record.has_lists and not os.path.lexists(lists):
            raise ValueError(f"lists/{lists.name} of its training is missing")
        return record

    def _set_aside(self, path: Path) -> str:
        """Set a file aside, with the users' values of a cell; say whether that succeeded."""
        beside = [path.with_suffix(".npz")] if path.parent == self.cells else []
        there = [one for one in (path, *beside) if os.path.lexists(one)]
        try:
            for one in there:
                move_aside(one, self.folder / "set-aside")
        except OSError as error:
            return f"it cannot be set aside ({why(error)}), "
        return "set aside, "

    def per_user(self, cell: str) -> dict[str, Any]:
        """Return the metrics of each user of a cell: `users` (U,), and (U,) per metric.

        Raises:
            InputError: the file is damaged.

        """
        path = self.cells / f"{cell}.npz"
        try:
            return unzipped(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read ({fault(error)}); remove {cell}.json beside it, and run "
                "again"
            ) from None

    def users_table(self) -> dict[str, UserValues]:
        """Return the content of users.npz, by data set; empty if it is missing, as in old runs.

        Raises:
            InputError: the file is damaged.

        """
        path = self.folder / "users.npz"
        try:
            return unpacked(unzipped(path)) if path.is_file() else {}
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"{path}: cannot be read ({fault(error)})") from None

    def studies_so_far(self, manifest: Manifest, events: Events) -> list[StudyState]:
        """Return each study in the manifest, with its state so far."""
        held = self.read_studies(manifest.studies, events, of_today=False)
        return [
            StudyState(**one.model_dump(), **held.get(id, StudyOutcome(id=id)).model_dump())
            for id, one in manifest.studies.items()
        ]

    def is_compact(self, manifest: Manifest, before: Manifest | None) -> bool:
        """Say whether the tables are up to date with the records.

        Args:
            manifest: the manifest that the tables must match.
            before: the manifest in the folder.

        """
        if before is None or before.records != self.digest_of_records(manifest):
            return False
        same = before.suite_text == manifest.suite_text and before.cells == manifest.cells
        wanted = TABLES if manifest.studies else TABLES[:-1]
        held = {name: self.digest_of_table(name) for name in wanted}
        return same and all(held.values()) and held.items() <= before.tables.items()

    def digest_of_table(self, name: str) -> str:
        """Return the digest of a table; "" if it cannot be read."""
        try:
            return digest(contents(self.folder / name))
        except OSError:
            return ""

    def digest_of_records(self, manifest: Manifest) -> str:
        """Return a digest of the records of a run's cells and studies."""
        kept = [self.cells / f"{id}.json" for id in manifest.cells]
        kept += [self.tuning / f"{id}.json" for id in manifest.studies]
        return digest("\n".join(f"{path.name} {seal_of(path)}" for path in sorted(kept)).encode())

    def write_tables(
        self, tables: Mapping[str, str], users: Mapping[str, UserValues]
    ) -> dict[str, str]:
        """Write each table, (name, text), and users.npz, each whole or not at all.

        Returns:
            Name of each file -> its digest.

        """
        files = {"users.npz": zipped(packed(users))}
        files |= {name: text.encode() for name, text in tables.items()}
        for name, content in files.items():
            write(self.folder / name, content)
        return {name: digest(content) for name, content in files.items()}

    def write_manifest(self, manifest: Manifest) -> None:
        """Store the manifest, with the digests of the tables."""
        write(self.folder / "manifest.json", as_json(manifest))

    def publish(
        self, manifest: Manifest, tables: Mapping[str, str], users: Mapping[str, UserValues]
    ) -> None:
        """Write tables and their manifest, without records."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({why(error)})") from None
        told = self.write_tables(tables, users)
        self.write_manifest(manifest.model_copy(update={"tables": told}))


def _in_folder(folder: Path, ids: list[str]) -> list[str]:
    """Leave out ids without a file, if there are many: a list of the folder takes less time."""
    if len(ids) < MANY:
        return ids
    try:
        with os.scandir(folder) as entries:
            there = {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:  # each file will say it
        return ids
    return [id for id in ids if f"{id}.json" in there]


def _refuse_damaged(path: Path, record: Record) -> None:
    """Raise ValueError unless a file holds values of as many users as its record says."""
    try:
        users = unzipped(path)["users"].size
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path.name} beside it is damaged: {fault(error)}") from None
    if users != record.users["evaluated"]:
        raise ValueError(f"{path.name} beside it has {users} users")


def make_folder(folder: Path) -> None:
    """Create a folder; InputError if that fails."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({why(error)})") from None


def _size(path: Path) -> int | None:
    """Return the bytes of a file; None if there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
