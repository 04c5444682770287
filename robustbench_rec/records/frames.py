"""Frames: the records of a run as tidy tables, made from records or read from files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustbench_rec.components.labels import AXES, UNTRAINED
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import Averaging, is_per_user
from robustbench_rec.experiment.study import TriedSettings
from robustbench_rec.records.files import contents
from robustbench_rec.records.manifest import Manifest, PlannedStudy, StudyState
from robustbench_rec.records.old_forms import SINCE, results_of_today, trials_of_today
from robustbench_rec.records.record import FLAGS, Record, Trial

POINT = ("suite", "dataset", "backbone", "loss", "perturbation", "unit", "level", "replicate")
"""Columns that identify a cell, in each table of results."""
COLUMNS = (
    *POINT,
    "realised",
    "metric",
    "value",
    "evaluated",
    "replicates_vary",
    "selection",
    "flags",
    "protocol",
)
WANTED = (*POINT, "metric", "value")
"""Columns without empty values in results.csv; others may be empty, or missing in old runs."""
STUDY = (*AXES, "level", "split")
"""Columns that identify a study of a run."""
TUNING_COLUMNS = (
    *STUDY,
    "trial",
    "settings",
    "validation",
    "best_epoch",
    "seconds",
    "status",
    "chosen",
    "edges",
)
MAY_BE_EMPTY = ("perturbation", "validation", "best_epoch", "seconds", "status", *SINCE)
"""Columns that may be empty, as of trials that failed, did not run yet, or are old."""
TRAINING = (*POINT, "epoch", "best")
"""Columns that identify an evaluation during training; `best` marks the kept model."""
WHOLE = ("replicate", "epoch", "trial", "best_epoch")
NUMBERS = (*WHOLE, "level", "realised", "value", "evaluated", "validation", "seconds")
YES_OR_NO = ("best", "chosen")
"""Columns of whole numbers, of numbers, and of booleans."""
RANDOM = "random"
"""The baseline that every loss should beat."""
DIGITS = 6
"""Significant digits of a diagnostic in diagnostics.csv."""
OLD_PANDAS = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
EXACT: dict[str, Any] = {"float_precision": "round_trip"} if OLD_PANDAS else {}
"""How pandas reads a number to its last bit; from 3.1 on it does so by itself."""


def results_frame(
    manifest: Manifest,
    records: Iterable[Record],
    agreement: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """Return the tidy frame of finished records: one row a cell and metric, `COLUMNS`.

    Values are under the averaging of the suite.

    Args:
        manifest: the manifest of the run.
        records: the records of cells.
        agreement: id of a cell -> metric@k: agreement of its lists with those of its level 0.

    """
    records = list(records)
    metrics = [{**one.metrics, **(agreement or {}).get(one.id, {})} for one in records]
    points = _points(manifest, records, [len(values) for values in metrics])
    protocol = protocol_of(manifest)
    rows = [
        (
            record.severity,
            metric,
            value,
            record.users["evaluated"] / record.users["all"],
            record.drawn,
            record.selection,
            " ".join(record.flags),
            protocol,
        )
        for record, values in zip(records, metrics, strict=True)
        for metric, value in values.items()
    ]
    frame = points.join(pd.DataFrame(rows, columns=list(COLUMNS[len(POINT) :])))
    frame["realised"] = frame["realised"].astype(float)
    return frame.assign(value=averaged(frame, "test-users", manifest.averaging))


def epochs_frame(manifest: Manifest, records: Iterable[Record]) -> pd.DataFrame:
    """Return the evaluations of finished records, without diagnostics: `TRAINING`."""
    records = list(records)
    points = _points(manifest, records, [len(record.diagnostics_history) for record in records])
    rows = [
        (epoch, epoch == record.best_epoch)
        for record in records
        for epoch, _ in record.diagnostics_history
    ]
    return points.join(pd.DataFrame(rows, columns=list(TRAINING[len(POINT) :])))


def evaluations_frame(epochs: pd.DataFrame, records: Iterable[Record]) -> pd.DataFrame:
    """Return evaluations as `epochs_frame` does, with a column for each diagnostic."""
    rows = [found for record in records for _, found in record.diagnostics_history]
    names = dict.fromkeys(name for found in rows for name in found)
    columns = {name: [found.get(name, np.nan) for found in rows] for name in names}
    return epochs.join(pd.DataFrame(columns, index=epochs.index))


def _points(manifest: Manifest, records: Sequence[Record], times: Sequence[int]) -> pd.DataFrame:
    """Return the POINT columns of records, each repeated for its number of rows."""
    points = pd.DataFrame([_point(manifest, one) for one in records], columns=list(POINT))
    return points.take(np.repeat(np.arange(len(points)), times)).reset_index(drop=True)


def _point(manifest: Manifest, record: Record) -> tuple[Any, ...]:
    """Return the POINT columns of a record."""
    called = manifest.cells[record.id]
    return (
        manifest.suite,
        *(getattr(called, axis) for axis in AXES),
        record.perturbation.unit,
        record.perturbation.level,
        record.replicate,
    )


def trials_frame(studies: Iterable[StudyState], held: Mapping[str, Trial]) -> pd.DataFrame:
    """Return the trials of studies, one per row: `TUNING_COLUMNS`."""
    rows = [
        (
            *(getattr(study, axis) for axis in STUDY),
            at,
            json.dumps(put.settings),
            *_trial_result(held.get(put.id)),
            put.id == study.best,
            "; ".join(study.edges) if put.id == study.best else "",
        )
        for study in studies
        for at, put in enumerate(study.trials, start=1)
    ]
    return pd.DataFrame(rows, columns=list(TUNING_COLUMNS))


def _trial_result(trial: Trial | None) -> tuple[Any, ...]:
    """Return validation, best epoch, seconds and status of a trial; None if there is none."""
    if trial is None:
        return None, None, None, None
    return trial.validation, trial.best_epoch, trial.seconds.get("fit"), trial.status


def diagnostics_frame(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return evaluations with a row for each defined diagnostic."""
    long = evaluations.melt(list(TRAINING), var_name="diagnostic", ignore_index=False)
    return long.sort_index(kind="stable").dropna(subset="value").reset_index(drop=True)


def cells_frame(manifest: Manifest, results: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a frame of results, one per row, with their trainings.

    Columns: those of `results` except `metric` and `value`; `training`, empty if an old manifest
    lacks it; and a boolean column for each of `FLAGS`.
    """
    key = [*AXES, "level", "replicate"]
    cells = results.drop_duplicates(key).drop(columns=["metric", "value"])
    trainings = {
        (*(getattr(one, axis) for axis in AXES), round(one.level, 12), one.replicate): one.training
        for one in manifest.cells.values()
    }
    points = zip(*(cells[name] for name in key), strict=True)
    named = [(*point[:-2], round(point[-2], 12), point[-1]) for point in points]
    flags = [str(text).split() for text in cells["flags"]]
    return cells.assign(
        training=[trainings.get(point, "") for point in named],
        **{name: np.array([name in held for held in flags], dtype=np.bool_) for name in FLAGS},
    ).reset_index(drop=True)


def capped_frame(cells: pd.DataFrame) -> pd.DataFrame:
    """Count trainings that may be too short, each once, by their cell.

    Args:
        cells: as `cells_frame` returns it.

    Returns:
        dataset, backbone, loss, perturbation, level, `capped`, and the number of `trainings`: a
        row if any is capped. A training shared by several cells, as at level 0, is counted at
        the first of them.

    """
    trained = cells[cells["loss"] != UNTRAINED]
    once = trained[~trained.duplicated("training") | (trained["training"] == "")]
    counts = once.groupby([*AXES, "level"], sort=False)["capped"].agg(["sum", "size"])
    table = counts.set_axis(["capped", "trainings"], axis=1).astype(int).reset_index()
    return table[table["capped"] > 0].reset_index(drop=True)


def unreached_frame(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the levels that were not reached: data set, perturbation, level, least `realised`."""
    rows = cells[cells["not_reached"]]
    return (
        rows.groupby(["dataset", "perturbation", "level"], sort=False)["realised"]
        .min()
        .reset_index()
    )


def first_frame(manifest: Manifest, results: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each cell, in the suite's first metric that it has, else in any."""
    asked = {metric: at for at, metric in enumerate(manifest.metrics)}
    rank = results["metric"].map(asked).fillna(len(asked))
    best = results.assign(rank=rank).sort_values("rank", kind="stable")
    found = best.drop_duplicates([*AXES, "level", "replicate"]).drop(columns="rank")
    return found.sort_index()


def below_random_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the losses whose mean over replicates is below the random baseline.

    Columns: dataset, backbone, loss, perturbation, level, metric, `value`, `random`.

    Args:
        rows: from `first_frame`.

    """
    place = ["dataset", "perturbation", "level", "metric"]
    baselines = rows[(rows["loss"] == UNTRAINED) & (rows["backbone"] == RANDOM)]
    random = baselines.groupby(place, sort=False)["value"].mean().rename("random").reset_index()
    trained = rows[rows["loss"] != UNTRAINED]
    means = trained.groupby([*AXES, "level", "metric"], sort=False)["value"].mean().reset_index()
    beside = means.merge(random, on=place, how="inner")
    return beside[beside["value"] < beside["random"]].reset_index(drop=True)


def read_results(folder: Path, manifest: Manifest) -> pd.DataFrame:
    """Read results.csv."""
    held = results_of_today(read_table(folder / "results.csv", WANTED), COLUMNS)
    return held.assign(protocol=protocol_of(manifest))


def protocol_of(manifest: Manifest) -> str:
    """Return the protocol version of a run's cells, as tables print it."""
    return ", ".join(sorted(manifest.protocols))


def read_evaluations(folder: Path) -> pd.DataFrame:
    """Read diagnostics.csv; no rows if the file is missing."""
    path = folder / "diagnostics.csv"
    if not path.exists():
        return pd.DataFrame(columns=list(TRAINING))
    table = read_table(path, TRAINING)
    for name in table.columns.difference([*TRAINING]):
        _check_kind(path, table[name])
    return table


def read_trials_table(folder: Path) -> pd.DataFrame:
    """Read tuning.csv; no rows if the file is missing."""
    path = folder / "tuning.csv"
    if not path.exists():
        return pd.DataFrame(columns=list(TUNING_COLUMNS))
    table = read_table(path, [name for name in TUNING_COLUMNS if name not in MAY_BE_EMPTY])
    for line, settings in enumerate(table["settings"], 2):
        _check_settings(path, line, settings)
    table = trials_of_today(table).reindex(columns=list(TUNING_COLUMNS))
    return table.fillna({"perturbation": ""}).astype({"best_epoch": "Int64"})


def _check_settings(path: Path, line: int, text: object) -> None:
    """Raise InputError unless each settings cell of tuning.csv is a table in JSON."""
    try:
        held = json.loads(str(text))
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise InputError(f"{path}: not whole; line {line} has no table of settings in JSON")


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table of a compacted run; each row must have each of `columns`.

    Raises:
        InputError: the table is missing or not whole.

    """
    try:
        # A loss may be called "None", or "1".
        names = dict.fromkeys((*AXES, "unit", "split", "edges", "flags", "protocol"), str)
        text = io.BytesIO(contents(path))
        how: dict[str, Any] = {"dtype": names, "keep_default_na": False, "na_values": [""]}
        table: pd.DataFrame = pd.read_csv(text, **how, **EXACT)
    except FileNotFoundError:
        raise InputError(f"{path}: missing, and there are no records to make it from") from None
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
    for name in table.columns.intersection([*NUMBERS, *YES_OR_NO]):
        _check_kind(path, table[name])
    return table


def _check_kind(path: Path, column: pd.Series[Any]) -> None:
    """Raise InputError if a column of numbers or of booleans holds anything else."""
    if column.name in YES_OR_NO:
        fits, kind = column.isin([True, False]), "True or False"
    else:
        numbers = pd.to_numeric(column, errors="coerce")
        fits, kind = np.isfinite(numbers), "a number"
        if column.name in WHOLE:
            fits, kind = fits & (numbers % 1 == 0), "a whole number"
    odd = (column.notna() & ~fits).to_numpy()
    if odd.any():
        row = int(np.argmax(odd))
        raise InputError(
            f"{path}: not whole; line {row + 2} has {column.iloc[row]} for {column.name!r}, which "
            f"must be {kind}"
        )


def averaged(frame: pd.DataFrame, held: Averaging, wanted: Averaging) -> pd.Series[float]:
    """Return the values of a tidy frame under another averaging; NaN if unknown.

    Over all users, a per-user metric is v * e: v is the mean over users with a test item, e the
    share of these users. A metric of all lists together does not change.
    """
    if held == wanted:
        return frame["value"]
    per_user = {metric: is_per_user(metric) for metric in frame["metric"].unique()}
    share = frame["evaluated"] if wanted == "all-users" else 1 / frame["evaluated"]
    return frame["value"] * share.where(frame["metric"].map(per_user).astype(bool), 1.0)


def studies_of_tables(manifest: Manifest, tried: pd.DataFrame) -> list[StudyState]:
    """Return the studies of a manifest, with the trials in the table of trials."""
    return [_of_table(id, study, tried) for id, study in manifest.studies.items()]


def _of_table(id: str, study: PlannedStudy, tried: pd.DataFrame) -> StudyState:
    its = (tried[axis] == getattr(study, axis) for axis in STUDY)
    rows = tried[np.logical_and.reduce(list(its))]
    best = rows[rows["chosen"]].to_dict("records")
    chosen: dict[Any, Any] = {"settings": "null", "validation": None, "edges": ""}
    chosen |= best[0] if best else {}
    failed = rows["status"] == "failed"
    return StudyState(
        **study.model_dump(),
        id=id,
        status="done" if best else "failed" if failed.all() else "running",
        trials=tuple(TriedSettings(settings=json.loads(text)) for text in rows["settings"]),
        failed=int(failed.sum()),
        chosen=json.loads(chosen["settings"]),
        validation=chosen["validation"],
        edges=tuple(filter(None, chosen["edges"].split("; "))),
        error="no trial succeeded" if failed.all() else "",
    )


def tables(
    results: pd.DataFrame, evaluated: pd.DataFrame, tried: pd.DataFrame | None
) -> dict[str, str]:
    """Return the tables of a compacted run, file name -> text; results.csv last, as an end mark."""
    found = {} if tried is None else {"tuning.csv": tried}
    found |= {"diagnostics.csv": _rounded(evaluated), "results.csv": results}
    return {name: table.to_csv(index=False) for name, table in found.items()}


def _rounded(wide: pd.DataFrame) -> pd.DataFrame:
    """Return evaluations with diagnostics rounded to the stored digits."""
    measured = wide.drop(columns=list(TRAINING)).map(lambda value: float(f"{value:.{DIGITS}g}"))
    return wide.assign(**measured)
