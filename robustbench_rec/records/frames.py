"""The store: what a run holds as tidy frames, read from its records or from its tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import Averaging, is_per_user
from robustbench_rec.records.run_folder import Plain, RunFolder, title

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


def done_records(run: Path | str, warn: Callable[[str], None] = lambda _: None) -> list[Plain]:
    """Return the finished records of a run, in the suite's order."""
    store = RunFolder(Path(run))
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
    held = RunFolder(Path(run)).manifest()["averaging"]
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

    store = RunFolder(run)
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
    """Return what `diagnostics` does, a row an evaluation and a column a diagnostic.

    Raises:
        InputError: the folder holds no run, or a table that is not whole.

    """
    import pandas as pd

    store = RunFolder(Path(run))
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
    """Count the cells that were best at the last epoch allowed: they may have had more to learn.

    Columns: dataset, backbone, loss, unsettled, cells: one row for each that was evaluated more
    than once. What patience stopped was best before.

    Raises:
        InputError: the folder holds no run, or a table that is not whole.

    """
    evaluated = evaluations(run)
    cell = [name for name in TRAINING if name not in ("unit", "epoch", "best")]
    epochs = evaluated.groupby(cell, sort=False)["epoch"]
    last = evaluated["epoch"] == epochs.transform("max")
    kept = evaluated["best"].astype(bool) & (epochs.transform("size") > 1)
    counts = evaluated.assign(last=last)[kept].groupby(list(AXES[:3]), sort=False)["last"]
    table = counts.agg(["sum", "size"]).set_axis(["unsettled", "cells"], axis=1)
    return table.astype(int).reset_index()


def trials(run: Path | str) -> pd.DataFrame:
    """Return the trials of each study of a run, in the order in which they were put.

    Columns: dataset, backbone, loss, perturbation ("" where the clean control chose), level,
    trial, settings (JSON), validation, best_epoch, seconds, status, chosen, edges (where what was
    chosen stands at the end of what was tried). Without studies there are no rows.

    Raises:
        InputError: the folder holds no run, or a table that is not whole.

    """
    import pandas as pd

    store = RunFolder(Path(run))
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


def summary(run: Path | str, warn: Callable[[str], None] = lambda _: None) -> Plain:
    """Count the cells done, failed (id -> title, why) and left, and the seconds of training.

    The seconds are None where tables are all that is left.

    Raises:
        InputError: the folder holds no run, or a table that is not whole.

    """
    store = RunFolder(Path(run))
    manifest = store.manifest()
    counted = {
        "suite": manifest["suite"],
        "cells": len(manifest["cells"]),
        "suite_cells": manifest["suite_cells"],
    }
    counts = _counts_of_tables if store.is_without_records else _counts_of_records
    found = counts(store, manifest, warn)
    try:
        epochs = unsettled(store.folder).to_dict("records")
    except InputError as error:  # what is done is known all the same
        warn(str(error))
        epochs = []
    return counted | found | {"unsettled": epochs}


def _counts_of_records(store: RunFolder, manifest: Plain, warn: Callable[[str], None]) -> Plain:
    records = store.records(manifest["cells"], warn)
    done = [record for record in records.values() if record["status"] == "done"]
    failed = [record for record in records.values() if record["status"] == "failed"]
    fits = {record["fit_id"]: record["seconds"]["fit"] for record in done}
    titles = {id: title(cell) for id, cell in manifest["cells"].items()}
    return {
        "done": len(done),
        "failed": {record["id"]: [titles[record["id"]], record["error"]] for record in failed},
        "left": len(manifest["cells"]) - len(records),
        "seconds": sum(fits.values()),
        "tuning": store.tuned(manifest, warn),
        "parts": [],
    }


def _counts_of_tables(store: RunFolder, manifest: Plain, _: Callable[[str], None]) -> Plain:
    done = len(read(store.folder).drop_duplicates([*AXES, "level", "replicate"]))
    return {
        "done": done,
        "failed": {},
        "left": len(manifest["cells"]) - done,
        "seconds": None,
        "tuning": _chosen(manifest.get("studies", {}), trials(store.folder)),
        "parts": manifest.get("parts", []),
    }


def compact(run: Path | str) -> Path:
    """Write what was measured into the tables of a run; return that of results."""
    store = RunFolder(Path(run))
    tried = trials(run) if store.manifest().get("studies") else None
    store.write_tables(tables(read(run), evaluations(run), tried))
    return store.folder / "results.csv"


def tables(
    results: pd.DataFrame, evaluated: pd.DataFrame, tried: pd.DataFrame | None
) -> dict[str, str]:
    """Return what a run is compacted to, file name -> text; results last, as they say it is all."""
    found = {} if tried is None else {"tuning.csv": tried}
    found |= {"diagnostics.csv": _rounded(evaluated), "results.csv": results}
    return {name: table.to_csv(index=False) for name, table in found.items()}


def _chosen(described: Plain, tried: pd.DataFrame) -> list[Plain]:
    """Return each study of a manifest as `RunFolder.tuned` does, as far as its trials tell."""
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
