"""From results to degradation curves, retention, excess and areas, with intervals.

Seeds do not depend on the loss, so a replicate meets the same data and the same initial
embeddings at every level: losses of quality are computed within replicates and users.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustbench_rec.analysis.estimate import Estimate
from robustbench_rec.analysis.intervals import interval_text, replicates_on
from robustbench_rec.analysis.marks import marked
from robustbench_rec.analysis.measures import MEASURES, Known, measured
from robustbench_rec.analysis.panels import PANEL, Panel, panels_of
from robustbench_rec.analysis.points import check_unique, of_suite
from robustbench_rec.analysis.two_way import LEAST
from robustbench_rec.records.run import Run

CURVE = ["dataset", "backbone", "loss", "perturbation", "unit", "metric"]
"""Columns that identify a curve, which runs over `level`."""
ENDS = ("low", "high")


def curves(results: Run | pd.DataFrame) -> pd.DataFrame:
    """Summarise replicates and users at each level of each curve.

    `mean` is the mean over replicates of the metric, m_l at level l; `drop` is m_l - m_0, negative
    if the metric fell; `retention` and `excess` are those of `measures`. Each has its 95%
    interval, over users and replicates at once; see `two_way`. It covers new users like these, and
    new splits and seeds of these data, with fixed settings. Splits of one log overlap, so another
    log would vary more.

    Args:
        results: a run, in the metrics of its suite; or a frame of results, whose intervals are over
            replicates alone: columns `suite, dataset, backbone, loss, perturbation, unit, level,
            replicate, metric, value`, one row per value, any order. A row without a value is a
            missing cell. `replicates_vary`, `selection`, `realised`, `flags` are optional columns.

    Returns:
        One row for each (dataset, backbone, loss, perturbation, unit, metric, level), sorted, with
        `n`, `mean, low, high`, `pairs`, `drop, drop_low, drop_high`, `retention, retention_low,
        retention_high`, `excess, excess_low, excess_high`, `users` (whether single users are
        known), `replicates` (their description), `interval`, `paired_interval` (descriptions of
        the intervals over `n` and over `pairs` replicates), `selection` ("noisy" if it was noisy at
        any level of the perturbation), `realised` (the mean achieved severity), and `flags` (of any
        of the cells). A replicate without level 0 counts for the mean only. Values without data
        are NaN.

    Raises:
        InputError: a replicate has two values for one point, as in a frame of two suites.

    """
    rows = [
        row for panel in panels_of(results) for loss in panel.losses for row in _rows(panel, loss)
    ]
    frame = of_suite(results)
    found = pd.DataFrame(rows, columns=[*CURVE, "level", *COLUMNS]).astype({"level": float})
    found = found.sort_values([*CURVE, "level"], ignore_index=True)
    found["replicates"] = replicates_on(found["dataset"], frame)
    for name, n in (("interval", "n"), ("paired_interval", "pairs")):
        told = zip(found[n], found["replicates"], found["users"], strict=True)
        found[name] = [interval_text(n, called=called, users=users) for n, called, users in told]
    found = found.assign(selection=_selection(frame, found["perturbation"]))
    return marked(found, frame, [*CURVE, "level"])


COLUMNS = (
    "n",
    *("mean", "low", "high"),
    "pairs",
    *("drop", "drop_low", "drop_high"),
    *("retention", "retention_low", "retention_high"),
    *("excess", "excess_low", "excess_high"),
    "users",
)


def _rows(panel: Panel, loss: str) -> list[dict[str, Any]]:
    """Return the rows of a curve."""
    curve, known = panel.curves[loss], Known()
    rows = []
    for level, values in curve.values.items():
        row = panel.names | {"loss": loss, "level": level, "users": values.weights.shape[1] > 1}
        row |= {"n": len(values.replicates)}
        row |= _with_ends("mean", values.estimate(values.replicates), ENDS)
        pair = measured(MEASURES["retention"], [curve], (level,), known)
        clean = curve.values.get(0.0)
        shared = sorted(set(values.replicates) & set(clean.replicates if clean else ()))
        row |= {"pairs": len(shared)}
        if clean and shared and pair:
            drop = values.estimate(tuple(shared)) - clean.estimate(tuple(shared))
            row |= _with_ends("drop", drop) | _with_ends("retention", pair[0])
        if found := measured(MEASURES["excess"], [curve], (level,), known):
            row |= _with_ends("excess", found[0])
        rows.append(row)
    return rows


def _with_ends(
    name: str, estimate: Estimate, ends: tuple[str, str] | None = None
) -> dict[str, float]:
    """Return the columns of an estimate and its interval."""
    low, high = ends or (f"{name}_low", f"{name}_high")
    return {name: estimate.value, low: estimate.interval.low, high: estimate.interval.high}


def _selection(frame: pd.DataFrame, perturbations: pd.Series[str]) -> NDArray[np.str_]:
    """Return the selection of epochs under some perturbations; noisy if noisy at any level."""
    told = frame if "selection" in frame else frame.assign(selection="clean")
    noisy = told.loc[told["selection"] == "noisy", "perturbation"]
    return np.where(perturbations.isin(noisy), "noisy", "clean")


def areas(results: Run | pd.DataFrame) -> pd.DataFrame:
    """Rank losses by the area under their retention curves; baselines are left out.

    area = integral of retention over level (trapezoids) / (highest - lowest level), the mean
    retention over the levels: 1 if nothing is lost.

    Args:
        results: as `curves` takes them.

    Returns:
        One row per curve: its names, `levels` (their number), `area, low, high`, and the `flags`
        of all its levels; within each (dataset, backbone, perturbation, unit, metric) the most
        robust loss first. The area is NaN if there is one level only, or if the curve lacks a
        level that another loss has: without its hardest level it would look the most robust.

    Raises:
        InputError: as `curves`.

    """
    rows = []
    for panel in panels_of(results):
        for loss, curve in panel.curves.items() if not panel.is_baseline else ():
            row = panel.names | {"loss": loss, "levels": len(curve.values)}
            several = len(panel.levels) > 1
            area = measured(MEASURES["kept"], [curve], panel.levels) if several else None
            rows.append(row | (_with_ends("area", area[0], ENDS) if area else {}))
    found = pd.DataFrame(rows, columns=[*CURVE, "levels", "area", *ENDS])
    order = [*PANEL, "area", "loss"]
    found = found.sort_values(order, ascending=[key != "area" for key in order], ignore_index=True)
    return marked(found, of_suite(results), CURVE).drop(columns="realised")


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise replicates at each level of each curve; fast for thousands of curves.

    Args:
        frame: as for `curves`; of values without single users, such as diagnostics.

    Returns:
        One row for each (dataset, backbone, loss, perturbation, unit, metric, level), sorted, with
        `n`, `mean, low, high`, `users` and `replicates` as in `curves`. The interval is over
        replicates, from `two_way.LEAST` of them on: mean +- t_(n-1)(0.975) s / sqrt(n).

    Raises:
        InputError: as `curves`.

    """
    keys = [*CURVE, "level"]
    values = frame[[*keys, "replicate", "value"]].dropna(subset="value")
    values = values.sort_values([*keys, "replicate"])
    check_unique(values, [*keys, "replicate"])
    found = values.groupby(keys, sort=True)["value"].agg(["count", "mean", "std"])
    n = found["count"].to_numpy()
    half = _t_factor(n) * found["std"] / np.sqrt(n.clip(1))
    table = {"n": found["count"], "mean": found["mean"]}
    table |= {"low": found["mean"] - half, "high": found["mean"] + half}
    rows = pd.DataFrame(table).reset_index()
    return rows.assign(users=False, replicates=replicates_on(rows["dataset"], frame))


def _t_factor(n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the 97.5% point of Student's t for the mean of n values; NaN if n is too small."""
    factor = np.full(n.shape, np.nan)
    many = n >= LEAST
    if many.any():
        from scipy.special import stdtrit

        factor[many] = stdtrit(n[many] - 1, 0.975)
    return factor
