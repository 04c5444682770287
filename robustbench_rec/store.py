"""The store: one atomic file a cell, compacted to a tidy frame.

    RUN/manifest.json      what was run: suite, cells, data, plugins, versions, command
    RUN/cells/ID.json      one record a finished or failed cell
    RUN/cells/ID.npz       its per-user metrics, written before the record
    RUN/results.csv        the tidy frame, written when a run ends
    RUN/diagnostics.csv    how the losses weighed negatives, one row an evaluation
    RUN/set-aside/         records that could not be read, kept for a look
    RUN/started/           cells in flight

A record exists whole or not at all: it is written beside its place, synced, and renamed.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_rec.errors import InputError
from robustbench_rec.metrics import METRICS, parse

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "suite",
    "dataset",
    "backbone",
    "loss",
    "perturbation",
    "unit",
    "level",
    "replicate",
    "metric",
    "value",
)
AXES = ("dataset", "backbone", "loss", "perturbation")
TRAINING = (*COLUMNS[: COLUMNS.index("metric")], "epoch", "best")
"""What tells the evaluations during training apart; `best` where the model was kept."""
DIGITS = 6
"""Significant digits of a diagnostic in diagnostics.csv."""
REQUIRED = frozenset(("id", "status", *AXES, "metrics", "users", "replicate", "per_user_bytes"))
MANIFEST = frozenset(
    ("suite", "suite_text", "suite_cells", "cells", "metrics", "averaging", "data", "process")
)
Plain = dict[str, Any]


class Store:
    """The results folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.started = folder / "started"
        self._held = False

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
        for leftover in (*self.folder.glob("*.part"), *self.cells.glob("*.part")):
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

    def begin(self, manifest: Plain) -> None:
        """Keep what is being run; what was compacted goes until it holds all of it."""
        for name in ("results.csv", "diagnostics.csv"):
            (self.folder / name).unlink(missing_ok=True)
        _write(self.folder / "manifest.json", _json(manifest))

    def manifest(self) -> Plain:
        """Return the manifest; InputError where the folder holds no run."""
        path = self.folder / "manifest.json"
        try:
            manifest: Plain = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(manifest, dict) or not manifest.keys() >= MANIFEST:
                raise ValueError("it lacks fields that every run has")
        except FileNotFoundError:
            raise InputError(f"{self.folder}: no run here (manifest.json is missing)") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
        return manifest

    def records(self, ids: Iterable[str], warn: Callable[[str], None]) -> dict[str, Plain]:
        """Read the records of `ids` that exist, and name a corrupt one to `warn`.

        Who holds the lock sets it aside too; another reader may have met a record half replaced.
        """
        found = {}
        for cell in ids:
            path = self.cells / f"{cell}.json"
            try:
                found[cell] = self._read(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError) as error:
                aside = "set aside, " if self._held else ""
                warn(f"{path}: corrupt record ({error}); {aside}its cell counts as not run")
                if self._held:
                    self._set_aside(path)
        return found

    def _read(self, path: Path) -> Plain:
        record = json.loads(path.read_bytes())
        if not isinstance(record, dict) or not record.keys() >= REQUIRED:
            raise ValueError("it lacks fields that every record has")
        if record["id"] != path.stem:
            raise ValueError(f"it is of cell {record['id']}")
        wanted = record["per_user_bytes"]
        beside = path.with_suffix(".npz")
        if wanted and (not beside.exists() or beside.stat().st_size != wanted):
            raise ValueError(f"{beside.name} beside it is missing or not whole")
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

    def mark_ended(self, fit: str) -> None:
        """Say that it is not any more."""
        (self.started / fit).unlink(missing_ok=True)

    def in_flight(self) -> set[str]:
        """Return the trainings that were started and have not ended."""
        return {path.name for path in self.started.iterdir()} if self.started.is_dir() else set()

    def summary(self, warn: Callable[[str], None]) -> Plain:
        """Count the cells done, failed (id -> title, why) and left, and the seconds of training."""
        manifest = self.manifest()
        records = self.records(manifest["cells"], warn)
        done = [record for record in records.values() if record["status"] == "done"]
        failed = [record for record in records.values() if record["status"] == "failed"]
        fits = {record["fit_id"]: record["seconds"]["fit"] for record in done}
        titles = {id: title(cell) for id, cell in manifest["cells"].items()}
        return {
            "suite": manifest["suite"],
            "cells": len(manifest["cells"]),
            "suite_cells": manifest["suite_cells"],
            "done": len(done),
            "failed": {record["id"]: [titles[record["id"]], record["error"]] for record in failed},
            "left": len(manifest["cells"]) - len(records),
            "seconds": sum(fits.values()),
        }

    def is_compact(self, manifest: Plain) -> bool:
        """Say whether results.csv is there and of the same cells of the same suite."""
        try:
            held = self.manifest()
        except InputError:
            return False
        same = all(held.get(key) == manifest[key] for key in ("suite_text", "cells"))
        return same and (self.folder / "results.csv").is_file()

    def compact(self) -> Path:
        """Write diagnostics.csv and then results.csv, whole or not at all; return the latter."""
        evaluations = _rounded(_evaluations(self, lambda _: None)).to_csv(index=False)
        _write(self.folder / "diagnostics.csv", evaluations.encode())
        path = self.folder / "results.csv"
        _write(path, read(self.folder).to_csv(index=False).encode())
        return path


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


def done_records(run: Path | str, warn: Callable[[str], None] = lambda _: None) -> list[Plain]:
    """Return the finished records of a run, in the suite's order."""
    store = Store(Path(run))
    records = store.records(store.manifest()["cells"], warn)
    return [record for record in records.values() if record["status"] == "done"]


def read(run: Path | str, warn: Callable[[str], None] = lambda _: None) -> pd.DataFrame:
    """Return the tidy frame of a run: one row a cell and metric, in the suite's order.

    Columns: suite, dataset, backbone, loss, perturbation, unit, level, replicate, metric, value.
    A component is called as the manifest calls it: by its name, with the settings that tell it
    apart where the suite holds several of that name. Only finished cells have rows. Averages
    follow the suite's `averaging`. A run that was compacted, results.csv without cells/, is read
    from that.

    Raises:
        InputError: the folder holds no run.

    """
    import pandas as pd

    store = Store(Path(run))
    manifest = store.manifest()
    if not store.cells.is_dir():
        return pd.read_csv(store.folder / "results.csv")
    cells = manifest["cells"]
    rows = [
        (
            manifest["suite"],
            *(cells[record["id"]][axis] for axis in AXES),
            record["perturbation"]["unit"],
            float(record["perturbation"]["level"]),
            record["replicate"],
            metric,
            _averaged(metric, value, record["users"], manifest["averaging"]),
        )
        for record in done_records(run, warn)
        for metric, value in record["metrics"].items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _averaged(metric: str, value: float, users: Mapping[str, int], averaging: str) -> float:
    """Turn a mean over evaluated users into the suite's averaging."""
    if averaging == "test-users" or not METRICS[parse(metric)[0]].per_user:
        return value
    return value * users["evaluated"] / users["all"]


def diagnostics(run: Path | str, warn: Callable[[str], None] = lambda _: None) -> pd.DataFrame:
    """Return how each loss weighed its negatives during training, in the suite's order.

    Columns: suite, dataset, backbone, loss, perturbation, unit, level, replicate, epoch, best,
    diagnostic, value: one row a finished cell, evaluation and diagnostic that is defined there.
    Names are as in `read`; `diagnostics.DIAGNOSTICS` says what is measured; `best` marks the epoch
    whose model was kept. Cells that share a training have the same rows. A run that was compacted
    is read from diagnostics.csv; without that file there are no rows.

    Raises:
        InputError: the folder holds no run.

    """
    import pandas as pd

    store = Store(Path(run))
    store.manifest()
    path = store.folder / "diagnostics.csv"
    if store.cells.is_dir():
        wide = _evaluations(store, warn)
    else:
        wide = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(TRAINING))
    long = wide.melt(list(TRAINING), var_name="diagnostic", ignore_index=False)
    return long.sort_index(kind="stable").dropna(subset="value").reset_index(drop=True)


def _evaluations(store: Store, warn: Callable[[str], None]) -> pd.DataFrame:
    """Return a row for each finished cell and evaluation, a column for each diagnostic."""
    import pandas as pd

    manifest = store.manifest()
    cells = manifest["cells"]
    rows = [
        (
            manifest["suite"],
            *(cells[record["id"]][axis] for axis in AXES),
            record["perturbation"]["unit"],
            float(record["perturbation"]["level"]),
            record["replicate"],
            epoch,
            epoch == record["best_epoch"],
            found,
        )
        for record in done_records(store.folder, warn)
        for epoch, found in record.get("diagnostics_history", ())
    ]
    where = pd.DataFrame([row[:-1] for row in rows], columns=list(TRAINING))
    return where.join(pd.DataFrame([row[-1] for row in rows], index=where.index))


def _rounded(wide: pd.DataFrame) -> pd.DataFrame:
    """Return evaluations with diagnostics of as many digits as are kept."""
    measured = wide.drop(columns=list(TRAINING)).map(lambda value: float(f"{value:.{DIGITS}g}"))
    return wide.assign(**measured)


def short_names(specs: Iterable[str]) -> dict[str, str]:
    """Shorten specs: the name alone, or with the settings that differ among those of its name.

    `softmax(tau=0.1, n_negatives=200)` and `softmax(tau=0.2, n_negatives=200)` become
    `softmax(tau=0.1)` and `softmax(tau=0.2)`; a name that stands alone loses its settings.
    """
    unique = dict.fromkeys(specs)
    parts = {one: _settings(one) for one in unique}
    names = {}
    for one in unique:
        name = one.partition("(")[0]
        siblings = [parts[other] for other in unique if other.partition("(")[0] == name]
        differing = [
            part for part in parts[one] if any(part not in sibling for sibling in siblings)
        ]
        names[one] = f"{name}({', '.join(differing)})" if differing else name
    return names


def _settings(text: str) -> list[str]:
    return text.partition("(")[2].removesuffix(")").split(", ")
