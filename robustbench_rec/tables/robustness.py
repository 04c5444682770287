"""The table of the retention of each loss at each level of a perturbation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pandas as pd

from robustbench_rec.analysis.degradation import curves
from robustbench_rec.errors import InputError, nearest
from robustbench_rec.evaluation.metrics import is_per_user, label
from robustbench_rec.records.run import Run
from robustbench_rec.tables.compared import (
    FEWER_NOTE,
    MARKS_NOTE,
    NO_MARKS_NOTE,
    Height,
    marked,
    ranked,
)
from robustbench_rec.tables.kind import Asked, Kind
from robustbench_rec.tables.standing import Standing, legend, over_replicates
from robustbench_rec.tables.table import Entry, Key, Table

Row = tuple[str, str, str]
"""Labels of data set, backbone and loss."""
Part = Literal["mean", "retention"]
"""A column of `degradation.curves`."""
Blocks = dict[tuple[str, str, Key], dict[str, Height]]
"""Data set, backbone and column -> result of each loss."""
DIGITS: dict[Part, int] = {"mean": 4, "retention": 3}


def tables(run: Run, asked: Asked) -> Sequence[Table]:
    """Return a table for each perturbation: the metric and its retention at each level.

    Raises:
        InputError: the run does not have the metric, or has level 0 alone.

    """
    standing = Standing(run)
    metric = _metric(standing, asked.metric)
    found = _curves(standing, metric)
    found = found[_shown(found["level"], asked.level)]
    perturbations = [
        name
        for name in dict.fromkeys(one.perturbation for one in standing.planned)
        if (found.loc[found["perturbation"] == name, "level"] > 0).any()
    ]
    if not perturbations:
        raise InputError(
            f"{run.folder}: no finished cell above level 0 in {metric}, so retention is not "
            "known; see table main"
        )
    return [_table(standing, found, name, metric) for name in perturbations]


def _curves(standing: Standing, metric: str) -> pd.DataFrame:
    """Return the curves in a metric; metrics of the suite have values of single users."""
    run, frame = standing.run, standing.results
    found = curves(run if metric in run.manifest.metrics else frame[frame["metric"] == metric])
    return found[found["metric"] == metric]


def _shown(levels: pd.Series[float], asked: tuple[float, ...] | None) -> pd.Series[bool]:
    """Say of each level whether it is shown: all levels, or level 0 and the selected ones.

    Raises:
        InputError: a selected level was not run.

    """
    if not asked:
        return levels.notna()
    known = sorted(set(levels))
    for level in asked:
        if level not in known:
            told = ", ".join(f"{one:g}" for one in known)
            raise InputError(f"--level {level:g}: not a level of this run (its levels: {told})")
    return levels.isin({0.0, *asked})


def _metric(standing: Standing, asked: str | None) -> str:
    """Return the selected metric; by default the first metric of the suite."""
    held = [str(one) for one in standing.results["metric"].unique()]
    metric = asked or standing.run.manifest.metrics[0]
    if metric not in held:
        near = nearest(metric, held)
        raise InputError(f"metric {metric!r} was not recorded{near} (recorded: {', '.join(held)})")
    return metric


def _table(standing: Standing, found: pd.DataFrame, perturbation: str, metric: str) -> Table:
    """Return the table of a perturbation."""
    its = found[found["perturbation"] == perturbation]
    rows = _rows(standing, perturbation, set(its["dataset"]))
    levels = sorted(set(its["level"]))
    columns = _columns(levels, label(metric))
    blocks = _blocks(its, columns)
    entries: dict[Key, dict[Key, Entry]] = {}
    for dataset, backbone, loss in rows:
        row = entries[standing.short("dataset", dataset), *standing.row(backbone, loss)] = {}
        for column, (level, part) in columns.items():
            heights = blocks.get((dataset, backbone, column), {})
            if loss in heights:
                entry = marked(heights, is_per_user(metric), DIGITS[part])[loss]
                row[column] = entry if level == levels[-1] else replace(entry, interval="")
            else:
                row[column] = standing.missing(dataset, backbone, loss, level, perturbation)
    called = standing.called("perturbation", perturbation)
    notes = [
        *_levels(its),
        *_marks(blocks.values(), is_per_user(metric)),
        *_apart(standing, perturbation),
        *legend([entry for row in entries.values() for entry in row.values()]),
        *standing.notes(),
    ]
    table = Table(
        f"{standing.run.manifest.suite}: {label(metric)} under {called}",
        ("dataset", "backbone", "loss"),
        list(columns),
        entries,
        notes,
        {"perturbation": standing.short("perturbation", perturbation), "metric": metric},
    )
    return (
        table if len({row[0] for row in rows}) > 1 else _on_one_dataset(table, standing, rows[0][0])
    )


def _on_one_dataset(table: Table, standing: Standing, dataset: str) -> Table:
    """Return a table with its only data set in the title, and not in each row."""
    return replace(
        table,
        title=f"{table.title} on {standing.called('dataset', dataset)}",
        head=table.head[1:],
        rows={key[1:]: row for key, row in table.rows.items()},
        of={**table.of, "dataset": standing.short("dataset", dataset)},
    )


def _rows(standing: Standing, perturbation: str, datasets: set[str]) -> list[Row]:
    """Return the rows of data sets with any finished cell; baselines last."""
    apart = standing.run.manifest.not_applicable
    rows = [
        (one.dataset, one.backbone, one.loss)
        for one in standing.planned
        if one.dataset in datasets
        and (one.perturbation == perturbation or (one.loss, perturbation) in apart)
    ]
    at = {dataset: at for at, dataset in enumerate(dict.fromkeys(row[0] for row in rows))}
    return sorted(dict.fromkeys(rows), key=lambda row: (at[row[0]], standing.pairs.index(row[1:])))


def _columns(levels: Sequence[float], metric: str) -> dict[Key, tuple[float, Part]]:
    """Return the key of each column -> its level, and the value it shows."""
    columns: dict[Key, tuple[float, Part]] = {}
    for level in levels:
        columns[f"level {level:g}", metric] = level, "mean"
        if level > 0 and 0.0 in levels:
            columns[f"level {level:g}", "retained"] = level, "retention"
    return columns


def _blocks(its: pd.DataFrame, columns: Mapping[Key, tuple[float, Part]]) -> Blocks:
    """Return the results of the losses with any value in a block and column."""
    found: Blocks = {}
    rows = its.to_dict("records")
    for column, (level, part) in columns.items():
        for row in rows:
            if row["level"] == level and row[part] == row[part]:
                height = _height(row, part)
                place = row["dataset"], row["backbone"], column
                found.setdefault(place, {})[row["loss"]] = height
    return found


def _height(row: Mapping[Hashable, Any], part: Part) -> Height:
    """Return the result in a row of `degradation.curves`; with an interval if it is a retention."""
    if part == "mean":
        return Height(row["mean"], row["n"])
    return Height(row["retention"], row["pairs"], (row["retention_low"], row["retention_high"]))


def _levels(its: pd.DataFrame) -> Iterator[str]:
    """Yield notes on levels, on retention, and on the number of replicates."""
    unit = its["unit"].iloc[0]
    yield f"Levels: {unit}." if isinstance(unit, str) and unit else "Levels as the suite has them."
    yield f"Values: {over_replicates(int(its['n'].max()))}."
    if (its["level"] == 0).any():
        yield "Retained: the share of the loss's own value at level 0, within replicates."
        above = its[(its["level"] > 0) & its["retention_low"].notna()]
        if len(above):
            interval = above["paired_interval"].iloc[0].replace("95%", "95% interval", 1)
            yield f"In brackets, at the hardest level: {interval}."
    else:
        yield "Level 0 was not run, so retention is not known."


def _marks(blocks: Iterable[Mapping[str, Height]], has_best: bool) -> Iterator[str]:
    """Yield notes on the marks."""
    held = list(blocks)
    if not has_best or all(len(ranked(heights)) < 2 for heights in held):
        yield NO_MARKS_NOTE
    else:
        yield MARKS_NOTE
    if any(len(ranked(heights)) < len(heights) for heights in held):
        yield FEWER_NOTE


def _apart(standing: Standing, perturbation: str) -> Iterator[str]:
    """Yield notes on the losses that a perturbation does not affect."""
    for loss, under in standing.run.manifest.not_applicable:
        if under == perturbation:
            yield f"{standing.called('loss', loss)} draws no negatives, so it has no cells here."


KIND = Kind(
    "the metric at each level of each perturbation, and its retention",
    tables,
    frozenset({"metric", "level"}),
)
