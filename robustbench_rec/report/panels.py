"""Panels of a page: the curves, ranks and diagnostics of all losses under one perturbation.

A panel is one data set and backbone under one perturbation. Its numbers are in lists, in the
order of the constants here, since a page has thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from robustbench_rec.analysis.degradation import curves, means
from robustbench_rec.analysis.marks import NOT_APPLICABLE
from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.analysis.ranking import is_tested, not_separable
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.errors import visible
from robustbench_rec.figures.names import BY_LEVEL, EVEN
from robustbench_rec.report.labels import Labels
from robustbench_rec.report.numbers import numbers

POINT = (
    *("level", "realised", "n", "mean", "low", "high"),
    *("retention", "retention_low", "retention_high"),
    *("excess", "excess_low", "excess_high"),
)
"""Numbers of a point of a curve; its flags come after them."""
SCORE = ("place", "score", "low", "high")
"""Numbers of a rank; whether it is in the top group, its groups, and who beats it come after."""
WEIGHED = ("level", "n", "mean", "low", "high")
"""Numbers of a point of a diagnostic."""
BY = ("kept", "value", "retention", "excess", "excess_kept", "jaccard", "rbo")
"""Measures of the leaderboard; the reference of `relative_error` is for a user to choose."""
PLACE = ["dataset", "backbone", "perturbation"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Panels = dict[tuple[str, ...], dict[str, Any]]


def panels(labels: Labels, ranked: Iterable[pd.DataFrame]) -> list[dict[str, Any]]:
    """Return the panels of a run, in the suite's order.

    Args:
        labels: the labels of the run.
        ranked: frames of `ranking.rank`, of any metrics and measures.

    """
    run = labels.run
    trained, baselines = split_baselines(curves(run))
    found = _of_curves(labels, trained)
    _add_baselines(labels, found, baselines)
    for frame in ranked:
        _add_ranks(labels, found, frame)
    diagnostics = run.diagnostics
    _add_diagnostics(labels, found, diagnostics[diagnostics["loss"] != UNTRAINED])
    for loss, perturbation in run.manifest.not_applicable:
        for key, panel in found.items():
            if key[2] == perturbation and loss in labels.numbers["loss"]:
                panel["absent"].append(labels.numbers["loss"][loss])
    return sorted(found.values(), key=lambda panel: list(panel["at"]))


def _of_curves(labels: Labels, trained: pd.DataFrame) -> Panels:
    """Return panels with the points of each metric and loss."""
    found: Panels = {}
    for key, rows in trained.groupby(PLACE, sort=False):
        metrics: dict[int, dict[int, Any]] = {}
        for (metric, loss), its in rows.groupby(["metric", "loss"], sort=False):
            at = labels.numbers["metric"][str(metric)]
            metrics.setdefault(at, {})[labels.numbers["loss"][str(loss)]] = _points(its)
        place = tuple(map(str, key))
        unit = rows["unit"].iloc[0]
        found[place] = {
            "at": [labels.numbers[axis][one] for axis, one in zip(PLACE, place, strict=True)],
            "unit": visible(unit) if isinstance(unit, str) else "",
            "levels": sorted(set(rows["level"].tolist())),
            "interval": _interval(rows, "interval"),
            "paired": _interval(rows, "paired_interval"),
            "curves": metrics,
            "baselines": {},
            "ranks": {},
            "diagnostics": {},
            "absent": [],
        }
    return found


def _interval(rows: pd.DataFrame, column: str) -> str:
    """Return the description of most of the intervals of a panel."""
    return str(rows[column].mode().iloc[0])


def _points(rows: pd.DataFrame) -> list[list[Any]]:
    """Return the points of a curve, whose rows are by level."""
    held = rows[list(POINT)].to_numpy(dtype=float).tolist()
    flags = rows["flags"].fillna("").tolist()
    return [[*numbers(values), told] for values, told in zip(held, flags, strict=True)]


def _add_baselines(labels: Labels, found: Panels, baselines: pd.DataFrame) -> None:
    """Add the points of baselines to each panel of their data set and perturbation."""
    for key, rows in baselines.groupby(["dataset", "perturbation", "metric", "backbone"]):
        dataset, perturbation, metric, backbone = map(str, key)
        points = _points(rows)
        for place, panel in found.items():
            if (place[0], place[2]) == (dataset, perturbation):
                its = panel["baselines"].setdefault(labels.numbers["metric"][metric], {})
                its[labels.numbers["baseline"][backbone]] = points


def _add_ranks(labels: Labels, found: Panels, ranked: pd.DataFrame) -> None:
    """Add the ranks of one metric by one measure to each panel."""
    for key, rows in ranked.groupby(PLACE, sort=False):
        panel = found[tuple(map(str, key))]
        metric = labels.numbers["metric"][str(rows["metric"].iloc[0])]
        panel["ranks"].setdefault(metric, {})[str(rows["by"].iloc[0])] = {
            "family": int(rows["family"].iloc[0]),
            "interval": str(rows["interval"].mode().iloc[0]),
            "rows": _ranks(labels.numbers["loss"], rows[rows["flags"] != NOT_APPLICABLE]),
        }


def _ranks(losses: Mapping[str, int], rows: pd.DataFrame) -> list[list[Any]]:
    """Return a list for each loss, the best first: its number, SCORE, top, groups, beaten by.

    Where nothing was tested, no loss is in the top group or in any other.
    """
    tested = is_tested(rows)
    scored = rows["place"].notna().sum() if tested else 0
    groups = _groups(rows["loss"].tolist()[:scored], rows["beaten_by"].tolist()[:scored])
    return [
        [
            losses[row["loss"]],
            *numbers([row[name] for name in SCORE]),
            bool(row["top"] and tested),
            groups.get(row["loss"], ""),
            [losses[one] for one in row["beaten_by"]],
        ]
        for row in rows[["loss", *SCORE, "top", "beaten_by"]].to_dict("records")
    ]


def _groups(losses: list[str], beaten_by: list[tuple[str, ...]]) -> dict[str, str]:
    """Return loss -> letters: two losses share a letter where neither beats the other."""
    groups = not_separable(losses, beaten_by)
    grouped = {at for group in groups for at in group}
    groups += [(at,) for at in range(len(losses)) if at not in grouped]
    found: dict[str, str] = dict.fromkeys(losses, "")
    for letter, group in enumerate(sorted(groups)):
        for at in group:
            found[losses[at]] += LETTERS[letter % len(LETTERS)]
    return found


def _add_diagnostics(labels: Labels, found: Panels, measured: pd.DataFrame) -> None:
    """Add the diagnostics of the kept models, and the share of false negatives by level."""
    kept = measured[measured["best"] & measured["diagnostic"].isin([*BY_LEVEL, EVEN])]
    varies = labels.run.results.groupby("dataset")["replicates_vary"].first()
    kept = kept.assign(replicates_vary=kept["dataset"].map(varies))
    found_means = means(kept.rename(columns={"diagnostic": "metric"}))
    points = found_means[list(WEIGHED)].to_numpy(dtype=float).tolist()
    columns = (found_means[name].tolist() for name in (*PLACE, "metric", "loss"))
    for *place, name, loss, values in zip(*columns, points, strict=True):
        panel = found.get(tuple(place))
        if panel and name != EVEN:
            of_losses = panel["diagnostics"].setdefault(name, {})
            of_losses.setdefault(labels.numbers["loss"][loss], []).append(numbers(values))
    even = found_means[found_means["metric"] == EVEN]
    for key, rows in even.groupby(PLACE):
        if panel := found.get(tuple(map(str, key))):
            by_level = rows.groupby("level")["mean"].mean()
            panel["even"] = [numbers(pair) for pair in by_level.items()]
