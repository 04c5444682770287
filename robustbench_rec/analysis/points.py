"""Points: the values of a run by point, in all replicates and for each user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustbench_rec.analysis.estimate import Values
from robustbench_rec.analysis.marks import with_edges
from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import InputError
from robustbench_rec.records.frames import results_frame
from robustbench_rec.records.run import Run

POINT = [*AXES, "metric", "level"]
"""Columns that identify a point."""
Point = tuple[Any, ...]


def points(results: Run | pd.DataFrame) -> dict[Point, Values]:
    """Return the values of each point, in the order of the results.

    Args:
        results: a run, in the metrics of its suite; or a frame of results, without single users.

    Raises:
        InputError: a replicate has two values for one point, as in a frame of two suites; cells
            are of several protocols; or replicates of one data set are of several kinds.

    """
    if not isinstance(results, Run):
        return _points(results)
    if results not in _KNOWN:
        _KNOWN.clear()  # of one run at a time: it holds every user of every cell
        _KNOWN[results] = _points(results)
    return _KNOWN[results]


_KNOWN: WeakKeyDictionary[Run, dict[Point, Values]] = WeakKeyDictionary()
"""The points of the run that was asked for last: several conclusions are drawn from one run."""


def _points(results: Run | pd.DataFrame) -> dict[Point, Values]:
    rows = of_suite(results).dropna(subset="value")
    _check_alike(rows)
    check_unique(rows, [*POINT, "replicate"])
    users = _users(results) if isinstance(results, Run) else {}
    over_all = isinstance(results, Run) and results.manifest.averaging == "all-users"
    known = _combinable(rows, users)
    found = {}
    for at, group in _by_point(rows).items():
        replicates = tuple(int(one) for one in group[:, 0])
        means = group[:, 1].copy()
        if (at[0], at[4]) in known:
            weights, deviations = _of_users([users[(*at, replicate)] for replicate in replicates])
            if over_all:  # whoever has no test item counts 0
                deviations *= group[:, 2, None]
        else:
            weights, deviations = np.ones((len(means), 1)), np.zeros((len(means), 1))
        found[at] = Values(replicates, means, weights, deviations)
    return found


def _by_point(rows: pd.DataFrame) -> dict[Point, NDArray[np.float64]]:
    """Return point -> (R, 3): replicate, value and share of evaluated users, by replicate."""
    held = rows.reindex(columns=["replicate", "value", "evaluated"]).to_numpy(dtype=np.float64)
    found: dict[Point, list[NDArray[np.float64]]] = {}
    for at, row in zip(rows[POINT].itertuples(index=False, name=None), held, strict=True):
        found.setdefault(at, []).append(row)
    return {at: np.array(sorted(of, key=lambda row: row[0])) for at, of in found.items()}


def of_suite(results: Run | pd.DataFrame) -> pd.DataFrame:
    """Return a frame of results; for a run, in the metrics of its suite."""
    if isinstance(results, Run):
        held = measured(results)
        frame = with_edges(held[held["metric"].isin(results.manifest.metrics)], results)
    else:
        frame = results
    return frame.assign(level=frame["level"].astype(float).round(12))  # text may lose a bit


def measured(run: Run) -> pd.DataFrame:
    """Return the results of a run without the agreement of lists, which is slow to read."""
    if "results" in vars(run) or not run.records:
        return run.results
    done = [record for record in run.records.values() if record.status == "done"]
    return results_frame(run.manifest, done)


def _check_alike(rows: pd.DataFrame) -> None:
    """Raise InputError if cells are of several protocols, or replicates of several kinds."""
    protocols = rows["protocol"].dropna().map(str) if "protocol" in rows else ()
    held = sorted({one.removesuffix(".0") for one in protocols})  # numbers, where some are missing
    if len(held) > 1:
        told = " and ".join(held)
        raise InputError(f"cells of protocols {told} mean different things; select one protocol")
    if "replicates_vary" not in rows:
        return
    kinds = rows.groupby("dataset")["replicates_vary"].unique()
    for dataset, held in kinds[kinds.map(len) > 1].items():
        told = " and ".join(sorted(held))
        raise InputError(
            f"replicates on {dataset} vary in {told}; analyse runs of one kind at a time"
        )


def check_unique(values: pd.DataFrame, keys: list[str]) -> None:
    """Raise InputError if a frame has two values for one point."""
    repeated = values[values.duplicated(keys)]
    if len(repeated):
        where = ", ".join(f"{key} {repeated.iloc[0][key]}" for key in keys)
        raise InputError(f"two values for one point ({where}); analyse one suite at a time")


def _combinable(rows: pd.DataFrame, users: Mapping[Point, object]) -> set[tuple[str, str]]:
    """Return each (dataset, metric) with users in every cell, so that they can be combined."""
    if not users:
        return set()
    held = [key in users for key in rows[[*POINT, "replicate"]].itertuples(index=False, name=None)]
    whole = rows.assign(held=held).groupby(["dataset", "metric"])["held"].all()
    return set(whole[whole].index)


def _users(run: Run) -> Mapping[Point, tuple[NDArray[np.float16], NDArray[np.float16]]]:
    """Return the values and weights of users, (U,) each, by point and replicate."""
    found = {}
    for held in run.users.values():
        for row, id in enumerate(held.cells):
            cell = run.manifest.cells[str(id)]
            axes = tuple(getattr(cell, axis) for axis in AXES)
            for metric, values in held.values.items():
                at = (*axes, metric, round(cell.level, 12), cell.replicate)
                found[at] = values[row], held.weights[row]
    return found


def _of_users(
    known: list[tuple[NDArray[np.float16], NDArray[np.float16]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights of users, and their deviations from the mean of their replicate."""
    values = np.array([values for values, _ in known], dtype=np.float64)
    weights = np.array([weights for _, weights in known], dtype=np.float64)
    weights[np.isnan(values)] = np.nan
    weights /= np.nansum(weights, axis=1, keepdims=True)
    means = np.nansum(weights * values, axis=1, keepdims=True)
    return weights, values - means
