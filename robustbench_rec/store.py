"""The store: one atomic file a cell, compacted to a tidy frame.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_rec.errors import InputError
from robustbench_rec.labels import AXES
from robustbench_rec.metrics import Averaging, is_per_user

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
    "evaluated",
)
TUNING_COLUMNS = (
    *AXES,
    "level",
    "trial",
    "settings",
    "validation",
    "best_epoch",
    "seconds",
    "status",
    "chosen",
    "edges",
)
MAY_BE_EMPTY = ("perturbation", "validation", "best_epoch", "seconds", "status", "edges")
"""What a trial may lack: it failed, was not run yet, was of the clean control, has no edge."""
TRAINING = (*COLUMNS[: COLUMNS.index("metric")], "epoch", "best")
"""What tells the evaluations during training apart; `best` where the model was kept."""
DIGITS = 6
"""Significant digits of a diagnostic in diagnostics.csv."""
REQUIRED = frozenset(("id", "status", *AXES, "metrics", "users", "replicate", "per_user_bytes"))
TRIAL = frozenset(("id", "status", "validation", "best_epoch", "seconds", "error"))
STUDY = frozenset(
    ("id", "status", "trials", "failed", "chosen", "best", "validation", "edges", "error")
)
MANIFEST = frozenset(
    ("suite", "suite_text", "suite_cells", "cells", "metrics", "averaging", "data", "process")
)
Plain = dict[str, Any]


class Store:
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

    def summary(self, warn: Callable[[str], None]) -> Plain:
        """Count the cells done, failed (id -> title, why) and left, and the seconds of training."""
        manifest = self.manifest()
        if self.is_without_records:
            return self._compacted_summary(manifest)
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
            "tuning": self.tuned(manifest, warn),
            "unsettled": unsettled(self.folder).to_dict("records"),
            "parts": [],
        }

    def _compacted_summary(self, manifest: Plain) -> Plain:
        """Count what is done by results.csv, where no record is kept."""
        frame = read(self.folder)
        done = len(frame.drop_duplicates([*AXES, "level", "replicate"]))
        planned = len(manifest["cells"])
        return {
            "suite": manifest["suite"],
            "cells": planned,
            "suite_cells": manifest["suite_cells"],
            "done": done,
            "failed": {},
            "left": planned - done,
            "seconds": 0.0,
            "tuning": _chosen(manifest.get("studies", {}), trials(self.folder)),
            "unsettled": unsettled(self.folder).to_dict("records"),
            "parts": manifest.get("parts", []),
        }

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

    def compact(self) -> Path:
        """Write what was measured into tables; return that of results."""
        studies = self.manifest().get("studies")
        tried = trials(self.folder) if studies else None
        return self.write_tables(read(self.folder), evaluations(self.folder), tried)

    def write_tables(
        self, results: pd.DataFrame, evaluated: pd.DataFrame, tried: pd.DataFrame | None
    ) -> Path:
        """Write results, evaluations and trials, each whole or not at all; return the first."""
        tables = {"diagnostics.csv": _rounded(evaluated), "results.csv": results}
        if tried is not None:
            tables = {"tuning.csv": tried} | tables
        for name, table in tables.items():
            _write(self.folder / name, table.to_csv(index=False).encode())
        return self.folder / "results.csv"

    def publish(
        self,
        manifest: Plain,
        results: pd.DataFrame,
        evaluated: pd.DataFrame,
        tried: pd.DataFrame | None,
    ) -> Path:
        """Write tables and what they are of, without records; return the table of results."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({error.strerror})") from None
        path = self.write_tables(results, evaluated, tried)
        _write(self.folder / "manifest.json", _json(manifest))
        return path


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


def done_records(run: Path | str, warn: Callable[[str], None] = lambda _: None) -> list[Plain]:
    """Return the finished records of a run, in the suite's order."""
    store = Store(Path(run))
    records = store.records(store.manifest()["cells"], warn)
    return [record for record in records.values() if record["status"] == "done"]


def read(
    run: Path | str,
    warn: Callable[[str], None] = lambda _: None,
    averaging: Averaging | None = None,
) -> pd.DataFrame:
    """Return the tidy frame of a run: one row a cell and metric, in the suite's order.

    Columns: suite, dataset, backbone, loss, perturbation, unit, level, replicate, metric, value,
    evaluated. A component is called as the manifest calls it: by its name, with the settings that
    tell it apart where the suite holds several of that name. Only finished cells have rows.
    `evaluated` is the share of all users who have a test item, in (0, 1]. A run that was compacted,
    results.csv without cells/, is read from that; an old one lacks `evaluated`, which is then NaN.

    Args:
        run: its folder.
        warn: told of corrupt records.
        averaging: over users who have a test item, or over all users, the others counting 0; as
            the suite says if None.

    Raises:
        InputError: the folder holds no run, or lacks what another averaging needs.

    """
    held = Store(Path(run)).manifest()["averaging"]
    frame = _read(Path(run), warn)
    if averaging is None or averaging == held:
        return frame
    frame = frame.assign(value=averaged(frame, held, averaging))
    if frame["value"].isna().any():
        raise InputError(
            f"{run}: cannot be averaged over {averaging}; its results.csv does not say how many "
            "users were evaluated, and its records are gone"
        )
    return frame


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table that a run was compacted to, with each of `columns` in each of its rows.

    Raises:
        InputError: there is none, or it is not whole.

    """
    import pandas as pd

    try:
        # A loss may be called "None", or "1".
        names = dict.fromkeys((*AXES, "unit", "edges"), str)
        table = pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise InputError(f"{path}: missing, and no records are here to make it from") from None
    except (OSError, ValueError) as error:  # ValueError: pandas's own, and of the encoding
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if missing := [column for column in columns if column not in table]:
        raise InputError(f"{path}: not whole; it has no column {missing[0]!r}")
    if "unit" in table:
        table["unit"] = table["unit"].fillna("")  # the one that may be empty
    torn = table[list(columns)].isna()
    if torn.any(axis=None):
        row = int(np.argmax(torn.any(axis=1)))
        raise InputError(f"{path}: not whole; line {row + 2} lacks {torn.iloc[row].idxmax()!r}")
    return table


def averaged(frame: pd.DataFrame, held: Averaging, wanted: Averaging) -> pd.Series[float]:
    """Return the values of a tidy frame under another averaging; NaN where that is not known.

    Over all users, a metric that each user has is v * e, where v is over users with a test item,
    and e the share of users that these are. A metric of all lists together stays.
    """
    if held == wanted:
        return frame["value"]
    per_user = {metric: is_per_user(metric) for metric in frame["metric"].unique()}
    share = frame["evaluated"] if wanted == "all-users" else 1 / frame["evaluated"]
    return frame["value"] * share.where(frame["metric"].map(per_user).astype(bool), 1.0)


def _read(run: Path, warn: Callable[[str], None]) -> pd.DataFrame:
    """Read the tidy frame under the suite's own averaging."""
    import pandas as pd

    store = Store(run)
    manifest = store.manifest()
    if not store.cells.is_dir():
        table = _table(store.folder / "results.csv", COLUMNS[:-1])
        return table.reindex(columns=list(COLUMNS))
    cells = manifest["cells"]
    rows = [
        (
            manifest["suite"],
            *(cells[record["id"]][axis] for axis in AXES),
            record["perturbation"]["unit"],
            float(record["perturbation"]["level"]),
            record["replicate"],
            metric,
            value,
            record["users"]["evaluated"] / record["users"]["all"],
        )
        for record in done_records(run, warn)
        for metric, value in record["metrics"].items()
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.assign(value=averaged(frame, "test-users", manifest["averaging"]))


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
    wide = evaluations(run, warn)
    long = wide.melt(list(TRAINING), var_name="diagnostic", ignore_index=False)
    return long.sort_index(kind="stable").dropna(subset="value").reset_index(drop=True)


def evaluations(run: Path | str, warn: Callable[[str], None] = lambda _: None) -> pd.DataFrame:
    """Return what `diagnostics` does, a row an evaluation and a column a diagnostic."""
    import pandas as pd

    store = Store(Path(run))
    manifest = store.manifest()
    cells = manifest["cells"]
    if not store.cells.is_dir():
        path = store.folder / "diagnostics.csv"
        return _table(path, TRAINING) if path.is_file() else pd.DataFrame(columns=list(TRAINING))
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


def unsettled(run: Path | str) -> pd.DataFrame:
    """Count the cells that were best at the last epoch they were allowed: they may yet learn.

    Columns: dataset, backbone, loss, unsettled, cells: one row for each that has such a cell. What
    patience stopped was best before.

    Raises:
        InputError: the folder holds no run.

    """
    evaluated = evaluations(run)
    cell = [name for name in TRAINING if name not in ("unit", "epoch", "best")]
    last = evaluated.groupby(cell, sort=False)["epoch"].transform("max")
    kept = evaluated.assign(last=evaluated["epoch"] == last)[evaluated["best"].astype(bool)]
    counts = kept.groupby(list(AXES[:3]), sort=False)["last"].agg(["sum", "size"])
    counts = counts.set_axis(["unsettled", "cells"], axis=1).astype(int)
    return counts[counts["unsettled"] > 0].reset_index()


def trials(run: Path | str) -> pd.DataFrame:
    """Return the trials of each study of a run, in the order in which they were put.

    Columns: dataset, backbone, loss, perturbation ("" where the clean control chose), level,
    trial, settings (JSON), validation, best_epoch, seconds, status, chosen, edges (where what was
    chosen stands at the end of what was tried). Without studies there are no rows.

    Raises:
        InputError: the folder holds no run, or a table that is not whole.

    """
    import pandas as pd

    store = Store(Path(run))
    manifest = store.manifest()
    if not store.cells.is_dir():
        path = store.folder / "tuning.csv"
        if not path.is_file():
            return pd.DataFrame(columns=list(TUNING_COLUMNS))
        table = _table(path, [name for name in TUNING_COLUMNS if name not in MAY_BE_EMPTY])
        if "edges" not in table:  # an old one
            table = table.assign(edges="")
        return table.fillna({"perturbation": "", "edges": ""}).astype({"best_epoch": "Int64"})
    rows = []
    for study in store.tuned(manifest, lambda _: None):
        held = store.trials((trial["id"] for trial in study["trials"]), lambda _: None)
        for at, put in enumerate(study["trials"], start=1):
            trial = held.get(put["id"], {"seconds": {}})
            rows.append(
                (
                    *(study[axis] for axis in (*AXES, "level")),
                    at,
                    json.dumps(put["settings"]),
                    *(trial.get(key) for key in ("validation", "best_epoch")),
                    trial["seconds"].get("fit"),
                    trial.get("status"),
                    put["id"] == study["best"],
                    "; ".join(study["edges"]) if put["id"] == study["best"] else "",
                )
            )
    return pd.DataFrame(rows, columns=list(TUNING_COLUMNS))


def _chosen(described: Plain, tried: pd.DataFrame) -> list[Plain]:
    """Return each study of a manifest as `Store.tuned` does, as far as its trials tell."""
    found = []
    for id, study in described.items():
        its = (tried[axis] == study[axis] for axis in (*AXES, "level"))
        rows = tried[np.logical_and.reduce(list(its))]
        best = rows[rows["chosen"]].to_dict("records")
        found.append(
            {"id": id, "error": "" if best else "no trial succeeded"}
            | study
            | {
                "edges": best[0]["edges"].split("; ") if best and best[0]["edges"] else [],
                "status": "done" if best else "failed",
                "trials": [{"settings": json.loads(text)} for text in rows["settings"]],
                "failed": int((rows["status"] == "failed").sum()),
                "chosen": json.loads(best[0]["settings"]) if best else None,
                "validation": best[0]["validation"] if best else None,
            }
        )
    return found


def _rounded(wide: pd.DataFrame) -> pd.DataFrame:
    """Return evaluations with diagnostics of as many digits as are kept."""
    measured = wide.drop(columns=list(TRAINING)).map(lambda value: float(f"{value:.{DIGITS}g}"))
    return wide.assign(**measured)
