"""Sheets: the plain tables of a page, whose cells are texts, or texts with the number behind.

A cell with a mark, of the best or the second of its comparison, has the mark after its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from robustbench_rec.errors import InputError, counted, visible
from robustbench_rec.records.manifest import Summary
from robustbench_rec.records.record import FLAGS
from robustbench_rec.report.labels import Labels
from robustbench_rec.report.numbers import rounded
from robustbench_rec.tables.kind import Asked
from robustbench_rec.tables.kinds import KINDS
from robustbench_rec.tables.table import Entry, Table

Cell = str | list[str | float]
"""A text, or [text, number]."""
ASKED = Asked()


@dataclass(frozen=True)
class Sheet:
    """A table of a page.

    Attributes:
        name: the name in addresses and of its CSV.
        title: the heading.
        head: the headings of its columns.
        rows: the rows, a cell for each heading.
        notes: sentences below it.

    """

    name: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def content(self) -> dict[str, Any]:
        """Return the sheet as the page takes it, without columns that are empty."""
        held = [at for at in range(len(self.head)) if any(row[at] for row in self.rows)]
        return {
            "name": self.name,
            "title": visible(self.title),
            "head": [visible(self.head[at]) for at in held],
            "rows": [[_shown(row[at]) for at in held] for row in self.rows],
            "notes": visible(" ".join(self.notes)),
        }


def _shown(cell: Cell) -> Cell:
    return visible(cell) if isinstance(cell, str) else cell


def number(value: float | None, digits: int = 4) -> Cell:
    """Return a number as a cell; "" if there is none."""
    short = rounded(value)
    return "" if short is None else [f"{short:.{digits}f}", short]


def of_kinds(labels: Labels, names: Iterable[str]) -> list[Sheet]:
    """Return tables of a run, by the names of their kinds; a kind that it lacks has none."""
    found = []
    for name in names:
        try:
            tables = KINDS[name].of(labels.run, ASKED, name)
        except InputError:  # the run has nothing to show in this table
            continue
        for at, table in enumerate(tables):
            found.append(of_table(name if len(tables) == 1 else f"{name}-{at + 1}", table))
    return found


def of_table(name: str, table: Table) -> Sheet:
    """Return a table as a sheet, with its printed names."""
    columns = [" ".join(filter(None, table.called(key))) for key in table.columns]
    rows = [
        [*table.called(key), *(_entry(table.entry(key, column)) for column in table.columns)]
        for key in table.rows
    ]
    return Sheet(name, table.title, [*table.head, *columns], rows, table.notes)


def _entry(entry: Entry) -> Cell:
    text = f"{entry.text} {entry.interval}".strip()
    value = rounded(entry.value)
    if value is None:
        return text
    return [text, value, entry.mark] if entry.mark else [text, value]


def failures(labels: Labels, held: Summary) -> Sheet | None:
    """Return the failed cells and the reason of each; None if none failed."""
    rows = [[title, error] for title, error in held.failed.values()]
    title = f"{counted(len(rows), 'cell')} failed"
    return Sheet("failures", title, ["cell", "reason"], rows) if rows else None


def cautions(labels: Labels, held: Summary) -> list[Sheet]:
    """Return what to be careful with: one sheet a kind of caution."""
    found = [
        _capped(labels, held),
        _edges(labels, held),
        _not_tuned(labels, held),
        _unreached(labels, held),
        _below_random(labels, held),
        _left_out(labels, held),
        _apart(labels, held),
    ]
    return [one for one in found if one.rows]


def _capped(labels: Labels, held: Summary) -> Sheet:
    rows: list[list[Cell]] = [
        [*_place(labels, one), f"{one.level:g}", [f"{one.capped} of {one.trainings}", one.capped]]
        for one in held.capped
    ]
    total = sum(one.capped for one in held.capped)
    return Sheet(
        "not-converged",
        f"Perhaps not converged: {counted(total, 'training')}",
        ["data set", "backbone", "loss", "perturbation", "level", "trainings"],
        rows,
        [f"capped: {FLAGS['capped']}. More epochs or another learning rate may give more."],
    )


def _place(labels: Labels, one: Any) -> list[str]:
    axes = ("dataset", "backbone", "loss", "perturbation")
    return [labels.name(axis, getattr(one, axis)) if getattr(one, axis) else "" for axis in axes]


def _edges(labels: Labels, held: Summary) -> Sheet:
    rows = [[*_place(labels, one), edge] for one in held.tuning for edge in one.edges]
    return Sheet(
        "at-an-edge",
        f"Settings chosen at an edge of what was tried: {len(rows)}",
        ["data set", "backbone", "loss", "tuned under", "setting"],
        rows,
        ["The optimum may be beyond the edge."],
    )


def _not_tuned(labels: Labels, held: Summary) -> Sheet:
    rows: list[list[Cell]] = [
        [*_place(labels, one), f"{len(one.trials)} of {one.budget}", one.error or one.status]
        for one in held.tuning
        if one.chosen is None
    ]
    return Sheet(
        "not-tuned",
        f"Losses whose settings are not chosen: {len(rows)}",
        ["data set", "backbone", "loss", "tuned under", "trials", "reason"],
        rows,
    )


def _unreached(labels: Labels, held: Summary) -> Sheet:
    rows: list[list[Cell]] = [
        [
            labels.name("dataset", one.dataset),
            labels.name("perturbation", one.perturbation),
            f"{one.level:g}",
            number(one.realised, 3),
        ]
        for one in held.unreached
    ]
    return Sheet(
        "not-reached",
        f"Levels not reached: {len(rows)}",
        ["data set", "perturbation", "level", "achieved"],
        rows,
        [f"not_reached: {FLAGS['not_reached']}."],
    )


def _below_random(labels: Labels, held: Summary) -> Sheet:
    rows = [
        [
            *_place(labels, one),
            f"{one.level:g}",
            labels.name("metric", one.metric),
            number(one.value),
            number(one.random),
        ]
        for one in held.below_random
    ]
    return Sheet(
        "below-random",
        f"Values below the random baseline: {len(rows)}",
        ["data set", "backbone", "loss", "perturbation", "level", "metric", "value", "random"],
        rows,
    )


def _left_out(labels: Labels, held: Summary) -> Sheet:
    rows: list[list[Cell]] = [
        [
            labels.name("dataset", one.dataset),
            labels.name("perturbation", one.perturbation),
            f"{one.level:g}",
            [str(one.users), one.users],
            ", ".join(one.named),
            [str(one.cells), one.cells],
        ]
        for one in held.left_out
    ]
    return Sheet(
        "left-out",
        "Users left out of training",
        ["data set", "perturbation", "level", "users", "such as", "cells"],
        rows,
        ["The perturbation left them no negative."],
    )


def _apart(labels: Labels, held: Summary) -> Sheet:
    rows = [
        [labels.name("loss", loss), labels.name("perturbation", perturbation)]
        for loss, perturbation in held.not_applicable
    ]
    return Sheet(
        "not-applicable",
        "Losses that a perturbation does not affect",
        ["loss", "perturbation"],
        rows,
        ["The loss draws no negatives, so it has no cells here, and no place."],
    )
