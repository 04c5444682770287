"""Runs of tables, built by hand: what each cell reached; and what a table has of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import runs

from robustbench_rec.records.run import Run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.tables.table import Table

USERS = 40
HERE = {"dataset": "toy", "backbone": "mf", "perturbation": "noise"}
Cell = tuple[str, float, int]
"""Loss, level, replicate."""


def run_of(
    folder: Path,
    values: Mapping[Cell, float | None],
    *,
    metrics: tuple[str, ...] = ("ndcg@20",),
    users: bool = False,
    to_come: Iterable[Cell] = (),
    elsewhere: Mapping[Cell, Mapping[str, str]] | None = None,
    records: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """Write a run, and open it.

    Args:
        folder: of the run.
        values: what each cell reached in the first metric, twice that in the next, and so on; None
            where it failed.
        metrics: of the suite.
        users: whether users have values too, which differ between losses by noise.
        to_come: cells that are planned, and not run.
        elsewhere: a cell -> its names that are not those of `HERE`.
        records: changes to the records of finished cells.
        changes: to the manifest.

    """
    noise = np.random.default_rng(0).normal(0, 0.01, (len(values), USERS))
    noise -= noise.mean(axis=1, keepdims=True)
    cells, made = {}, []
    for at, (cell, value) in enumerate([*values.items(), *((one, None) for one in to_come)]):
        loss, level, replicate = cell
        names = HERE | dict((elsewhere or {}).get(cell, {}))
        cells[f"a{at}"] = runs.cell(loss, level, replicate=replicate, training=f"fa{at}", **names)
        own = {"level": level, "replicate": replicate}
        if cell not in values:
            continue
        if value is None:
            made.append((runs.record(f"a{at}", status="failed", error="it diverged", **own), None))
            continue
        reached = {metric: value * 2**n for n, metric in enumerate(metrics)}
        per_user = {"users": np.arange(USERS)}
        per_user |= {metric: one + noise[at] for metric, one in reached.items()}
        record = runs.record(f"a{at}", metrics=reached, **own, **(records or {}))
        made.append((record, per_user if users else None))
    held = RunFolder(folder)
    planned = {"cells": cells, "metrics": metrics, "suite_cells": len(cells)}
    with held.locked():
        held.begin(runs.manifest(**planned | changes))
        for record, per_user in made:
            held.write(record, per_user)
    return Run(held, runs.NoWarning())


def texts(table: Table) -> dict[str, list[str]]:
    """Return name of each row -> the texts of its entries."""
    entries = {row: [table.entry(row, column) for column in table.columns] for row in table.rows}
    return {" ".join(row): [entry.text for entry in its] for row, its in entries.items()}


def marks(table: Table) -> dict[str, list[str]]:
    """Return name of each row -> the marks of its entries."""
    entries = {row: [table.entry(row, column) for column in table.columns] for row in table.rows}
    return {" ".join(row): [entry.mark for entry in its] for row, its in entries.items()}
