"""The leaderboard: all runs of a folder side by side, only those of today's protocol ranked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from robustbench_rec import __version__
from robustbench_rec.analysis.against_published import compare
from robustbench_rec.analysis.degradation import curves
from robustbench_rec.analysis.marks import NOT_APPLICABLE
from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.analysis.ranking import is_tested, rank
from robustbench_rec.analysis.spreadsheets import in_csv
from robustbench_rec.errors import InputError, counted, visible
from robustbench_rec.figures.style import in_order
from robustbench_rec.records.events import TOLD_AS_WARNINGS, Events
from robustbench_rec.records.files import contents, digest
from robustbench_rec.records.run import Run, read_run
from robustbench_rec.report.contents import care
from robustbench_rec.report.labels import Labels
from robustbench_rec.report.numbers import rounded
from robustbench_rec.report.panels import PLACE
from robustbench_rec.report.sheets import Cell, Sheet, number
from robustbench_rec.training.config import PROTOCOL

ROW = (
    *("run", "suite", "protocol", "ranked", "dataset", "backbone", "perturbation", "level"),
    *("metric", "measure", "loss", "place", "top", "value", "low", "high", "replicates", "flags"),
    *("published", "source"),
)
"""Columns of the CSV."""
PAPER = (
    *("run", "protocol", "data set", "backbone", "loss", "perturbation", "level", "metric"),
    *("the paper's number", "ours", "replicates", "difference", "verdict", "source"),
)
CAUTION = "\N{DAGGER}"
KEPT, CLEAN, VALUE = "kept", "clean", "value"
"""Measures: the mean share kept, the value on clean data, and a value at a level."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A run of the leaderboard.

    Attributes:
        name: the name of its folder.
        run: the run.

    """

    name: str
    run: Run

    @property
    def is_ranked(self) -> bool:
        """Whether all of its cells are of today's protocol."""
        return self.run.manifest.protocols == {PROTOCOL}

    @cached_property
    def labels(self) -> Labels:
        """The labels of the run."""
        return Labels(self.run)

    @cached_property
    def metric(self) -> str:
        """The first metric of the suite."""
        return self.run.manifest.metrics[0]

    @cached_property
    def settings(self) -> str:
        """Where the settings of its losses are from."""
        return "tuned" if self.run.summary.tuning else "as given"

    def place(self, row: dict[Any, Any]) -> str:
        """Name the run, the data set and the backbone of a row, and where settings are from."""
        dataset, backbone = (self.labels.name(axis, row[axis]) for axis in ("dataset", "backbone"))
        return f"{self.name}: {dataset}, {backbone}, settings {self.settings}"

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The curves of trained losses in that metric."""
        found, _ = split_baselines(curves(self.run))
        return found[found["metric"] == self.metric]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the CSV, with the labels of the run."""
        if not self.is_ranked:
            return [*self._values()]
        return [*self._kept(), *self._clean()]

    def _kept(self) -> Iterator[dict[str, Any]]:
        try:
            ranked = rank(self.run, KEPT, metric=self.metric)
        except InputError:  # no perturbation has several levels
            return
        for _, rows in ranked.groupby(PLACE, sort=False):
            tested = is_tested(rows)
            for row in rows.to_dict("records"):
                held = {name: row[name] for name in ("place", "low", "high", "replicates", "flags")}
                held |= {"value": row["score"], "top": bool(row["top"] and tested)}
                yield self._row(row, KEPT) | held

    def _clean(self) -> Iterator[dict[str, Any]]:
        clean = self.curves[self.curves["level"] == 0]
        most = clean.sort_values("n", ascending=False, kind="stable")
        once = most.drop_duplicates(["dataset", "backbone", "loss"]).sort_index()
        for row in once.to_dict("records"):
            yield self._row(row | {"perturbation": ""}, CLEAN) | _of_curve(row)

    def _values(self) -> Iterator[dict[str, Any]]:
        for row in self.curves.to_dict("records"):
            yield self._row(row, VALUE) | _of_curve(row)

    def _row(self, row: dict[Any, Any], measure: str) -> dict[str, Any]:
        """Return the names of a row."""
        names = {name: row[name] for name in ("dataset", "backbone", "perturbation", "loss")}
        own = {"run": self.name, "suite": self.run.manifest.suite, "metric": self.metric}
        own |= {"protocol": " and ".join(self.run.manifest.protocol), "measure": measure}
        return own | names | {"level": row["level"], "ranked": self.is_ranked}

    @cached_property
    def published(self) -> list[dict[str, Any]]:
        """The published values of the suite beside ours, as `against_published.compare`."""
        if not self.run.manifest.references:
            return []
        found = compare(self.run)
        rows: list[dict[Any, Any]] = (
            found.astype(object).where(found.notna(), None).to_dict("records")
        )
        return rows


def _of_curve(row: dict[Any, Any]) -> dict[str, Any]:
    held = {name: row[name] for name in ("low", "high", "flags")}
    return held | {"value": row["mean"], "replicates": row["n"]}


def entries(folder: Path, events: Events = TOLD_AS_WARNINGS) -> list[Entry]:
    """Return the runs below a folder that have any finished cell, by name.

    Raises:
        InputError: there is none, or a run cannot be read.

    """
    paths = sorted(path.parent for path in folder.glob("*/manifest.json"))
    found = [Entry(visible(path.name), read_run(path, events)) for path in paths]
    held = [one for one in found if one.run.summary.done]
    if not held:
        none = "no run" if not found else "no run with a finished cell"
        raise InputError(f"{folder}: {none} in it; a run is a folder with manifest.json")
    return held


def csv(held: Sequence[Entry]) -> str:
    """Return the leaderboard as CSV: a row for each value, and for each published one."""
    rows = [row for one in held for row in (*one.rows, *_published_rows(one))]
    table = pd.DataFrame(rows).reindex(columns=list(ROW)).map(_in_csv)
    whole = dict.fromkeys(("place", "replicates"), "Int64")
    return table.astype(whole).to_csv(index=False, lineterminator="\n")


def _in_csv(value: Any) -> Any:
    if isinstance(value, str):
        return in_csv(value)
    return rounded(value) if isinstance(value, float) else value


def _published_rows(one: Entry) -> Iterator[dict[str, Any]]:
    for row in one.published:
        held = {"value": row["ours"], "replicates": row["n"], "metric": row["metric"]}
        held |= {name: row[name] for name in ("published", "source", "flags")}
        yield one._row(row, VALUE) | held


def board(held: Sequence[Entry]) -> dict[str, Any]:
    """Return the content of the page of the leaderboard."""
    ranked = [one for one in held if one.is_ranked]
    return {
        "kind": "leaderboard",
        "title": "Leaderboard",
        "version": __version__,
        "lead": [
            f"{counted(len(held), 'run')}, {len(ranked)} of them of today's protocol {PROTOCOL}. "
            "Only these are ranked; values of earlier protocols stand apart."
        ],
        "tabs": [
            _tab("kept", "Robustness", KEPT_SAYS, _kept_sheets(ranked)),
            _tab("clean", "Clean data", CLEAN_SAYS, _clean_sheets(ranked)),
            _tab("papers", "Papers and ours", PAPERS_SAY, _paper_sheets(held)),
            _tab("earlier", "Earlier protocols", EARLIER_SAY, _earlier_sheets(held)),
            _tab("runs", "Runs", RUNS_SAY, [_runs_sheet(held)]),
            _tab("add", "Add a loss", ADD_SAYS, []),
        ],
    }


def _tab(key: str, title: str, says: Sequence[str], sheets: Iterable[Sheet]) -> dict[str, Any]:
    shown = [one.content() for one in sheets]
    return {"key": key, "title": title, "intro": list(says), "sheets": shown}


KEPT_SAYS = (
    "The mean share of its clean value that each loss keeps from level 0 to the hardest level of a "
    "perturbation, place before it, 95% interval in brackets, in the first metric of each suite. "
    "A column is a data set and a backbone of a run; press a heading to sort by it.",
    "*: no other loss of the column beats it (p adjusted by Holm within the run, 5%). "
    f"{CAUTION}: needs caution, for reasons that the page of the run tells. n/a: the perturbation "
    "does not affect the loss. Places count within a column.",
    "Columns differ in splits and in settings, tuned by the run or as given by its suite (see "
    "Runs), so a loss may come first in one column and last in another.",
)
CLEAN_SAYS = (
    "The value of each loss on clean data (level 0), with its 95% interval: a loss that keeps "
    "much of little is no good loss.",
)
PAPERS_SAY = (
    "The paper's number and ours, our mean over replicates and the same users as in the source, "
    "for each published value that a suite holds. !: beyond the suite's tolerance. ~: read off a "
    "figure. Runs of earlier protocols are as they were trained then.",
)
EARLIER_SAY = (
    "Values of runs of earlier protocols. They are not ranked and not comparable with those of "
    f"protocol {PROTOCOL}: what changed is in docs/protocol.md.",
)
RUNS_SAY = ("The runs of the leaderboard; robustbench-rec report RUN writes the page of one.",)
ADD_SAYS = (
    "A loss from outside is added by a run of its author: robustbench-rec export packs the run, "
    "robustbench-rec verify checks it here and trains some of its cells again.",
    "docs/submit.md says how, step by step.",
)


def _kept_sheets(ranked: Sequence[Entry]) -> list[Sheet]:
    """Return a sheet for each perturbation: losses by places, and how much each stands on."""
    by_perturbation: dict[str, list[tuple[Entry, dict[str, Any]]]] = {}
    for one in ranked:
        for row in one.rows:
            if row["measure"] == KEPT:
                name = one.labels.name("perturbation", row["perturbation"])
                by_perturbation.setdefault(name, []).append((one, row))
    return [
        _side_by_side(f"kept-{at}", f"{name[:1].upper()}{name[1:]}", rows, "to")
        for at, (name, rows) in enumerate(by_perturbation.items(), 1)
    ]


def _clean_sheets(ranked: Sequence[Entry]) -> list[Sheet]:
    rows = [(one, row) for one in ranked for row in one.rows if row["measure"] == CLEAN]
    return [_side_by_side("clean-values", "Clean data", rows, "")] if rows else []


def _side_by_side(
    name: str, title: str, rows: Sequence[tuple[Entry, dict[str, Any]]], level: str
) -> Sheet:
    """Return a sheet of losses by places: run, data set and backbone."""
    columns: dict[str, dict[str, Cell]] = {}
    stands: dict[str, list[tuple[str, int, bool]]] = {}
    losses_at = Counter(one.place(row) for one, row in rows)
    for one, row in rows:
        loss = one.labels.name("loss", row["loss"])
        place, metric = one.place(row), one.labels.name("metric", one.metric)
        up_to = f" up to {row['level']:g}" if level else ""
        column = f"{place}: {metric}{up_to}, {counted(losses_at[place], 'loss')}"
        columns.setdefault(column, {})[loss] = _cell(row)
        if row["value"] == row["value"]:
            told = str(row["dataset"]), int(row["replicates"]), bool(row.get("top"))
            stands.setdefault(loss, []).append(told)
    losses = _in_order(columns)
    head = ["loss", *columns, *(["in the top group"] if level else []), "data sets", "replicates"]
    return Sheet(
        name,
        title,
        head,
        [
            [
                loss,
                *(columns[column].get(loss, "") for column in columns),
                *_stands_on(stands.get(loss, []), bool(level)),
            ]
            for loss in losses
        ],
    )


def _cell(row: dict[str, Any]) -> Cell:
    """Return the place, value and interval of a loss."""
    if row["flags"] == NOT_APPLICABLE:
        return "n/a"
    if row["value"] != row["value"]:
        return "–"
    digits, value = 3 if row["measure"] == KEPT else 4, float(row["value"])
    known = row["low"] == row["low"]
    ends = f" [{row['low']:.{digits}f}, {row['high']:.{digits}f}]" if known else ""
    place = f"{row['place']:.0f}: " if row["measure"] == KEPT else ""
    marks = "*" * row.get("top", False) + CAUTION * bool(row["flags"])
    text = f"{place}{value:.{digits}f}{marks}{ends}"
    return [text, value, "best"] if row.get("top") else [text, value]


def _stands_on(found: Sequence[tuple[str, int, bool]], ranked: bool) -> list[Cell]:
    """Return the numbers of top groups, data sets and replicates that a loss stands on."""
    datasets = len({dataset for dataset, _, _ in found})
    replicates = list(dict.fromkeys(n for _, n, _ in found))
    tops = sum(top for *_, top in found)
    top: list[Cell] = [[f"{tops} of {len(found)}", tops]] if ranked else []
    return [*top, [str(datasets), datasets], ", ".join(map(str, replicates))]


def _in_order(columns: dict[str, dict[str, Cell]]) -> list[str]:
    """Return the losses: first those with a value in the first column, highest first."""
    names = dict.fromkeys(loss for of in columns.values() for loss in of)
    first = next(iter(columns.values()), {})

    def height(loss: str) -> float:
        cell = first.get(loss)
        return -float(cell[1]) if isinstance(cell, list) else 1.0

    return sorted(in_order(names), key=height)


def _paper_sheets(held: Sequence[Entry]) -> list[Sheet]:
    rows = [_paper(one, row) for one in held for row in one.published]
    title = f"{counted(len(rows), 'published value')} beside ours"
    return [Sheet("papers-and-ours", title, PAPER, rows)] if rows else []


def _paper(one: Entry, row: dict[str, Any]) -> list[Cell]:
    names = {axis: one.labels.name(axis, row[axis]) for axis in ("dataset", "backbone", "loss")}
    under = row["perturbation"] and one.labels.name("perturbation", row["perturbation"])
    theirs = f"{'~' if row['approximate'] else ''}{row['published']:.4f}"
    apart = row["relative"]
    beyond = "" if row["verdict"] == "within" else "!"
    return [
        one.name,
        " and ".join(one.run.manifest.protocol),
        names["dataset"],
        names["backbone"],
        names["loss"],
        under or "clean data",
        f"{row['level'] or 0:g}",
        one.labels.name("metric", row["metric"]),
        [theirs, row["published"]],
        number(row["ours"]),
        [str(row["n"]), row["n"]],
        "" if apart is None else [f"{apart:+.1%}{beyond}", rounded(apart) or 0.0],
        row["verdict"],
        row["source"],
    ]


def _earlier_sheets(held: Sequence[Entry]) -> Iterator[Sheet]:
    head = (
        "data set",
        "backbone",
        "loss",
        "perturbation",
        "level",
        "metric",
        "value",
        "replicates",
    )
    for one in held:
        if one.is_ranked:
            continue
        rows: list[list[Cell]] = [
            [
                *(one.labels.name(axis, row[axis]) for axis in AXES),
                [f"{row['level']:g}", row["level"]],
                one.labels.name("metric", one.metric),
                number(row["value"]),
                [str(int(row["replicates"])), int(row["replicates"])],
            ]
            for row in one.rows
        ]
        protocol = " and ".join(one.run.manifest.protocol)
        yield Sheet(f"earlier-{one.name}", f"{one.name}: protocol {protocol}", head, rows)


AXES = ("dataset", "backbone", "loss", "perturbation")


def _runs_sheet(held: Sequence[Entry]) -> Sheet:
    head = (
        "run",
        "suite",
        "protocol",
        "cells",
        "replicates",
        "data sets",
        "settings",
        "made",
        "care",
        "digest",
    )
    return Sheet("runs", "Runs", head, [[*_run(one)] for one in held])


def _with_settings(name: str, label: str) -> str:
    """Add the settings in a label to the name to print."""
    _, bracket, settings = label.partition("(")
    return f"{name} ({visible(settings)}" if bracket else name


def _run(one: Entry) -> Iterator[Cell]:
    manifest, summary = one.run.manifest, one.run.summary
    n = one.run.results.groupby("dataset")["replicate"].nunique()
    yield one.name
    yield manifest.suite
    yield " and ".join(manifest.protocol)
    yield [f"{summary.done} of {summary.cells}", summary.done]
    yield " and ".join(map(str, dict.fromkeys(n.tolist())))
    yield ", ".join(_with_settings(one.labels.name("dataset", str(of)), str(of)) for of in n.index)
    yield one.settings
    yield f"{manifest.started[:10]}, robustbench_rec {manifest.versions.get('robustbench_rec', '')}"
    yield " ".join(care(one.run))
    table = one.run.folder / "results.csv"
    yield digest(contents(table)) if table.is_file() else ""
