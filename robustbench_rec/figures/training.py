"""Training: the validation metric by epoch, at level 0 and at the hardest level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robustbench_rec.analysis import degradation
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import add_note
from robustbench_rec.figures.names import called
from robustbench_rec.figures.panel import (
    HEIGHT,
    PANEL_WIDTH,
    WIDTH,
    interval_note,
    is_narrow,
    line_style,
    new_figure,
    page_style,
    set_heading,
    set_value_axis,
)
from robustbench_rec.figures.style import in_order, looks
from robustbench_rec.records.run import Run

FIGURE = ["dataset", "backbone", "perturbation"]
"""Constant within one figure."""


def drawings(frames: Frames, _: Asked) -> list[Drawing]:
    """Return a figure for each data set, backbone and perturbation whose records exist."""
    rows = pd.DataFrame(_courses(frames.known()))
    if rows.empty:
        return []
    shown = frames.shown(rows)
    return [
        Drawing((*map(str, key), "training"), draw_training, (summary(its), frames.losses))
        for key, its in shown.groupby(FIGURE, sort=True)
    ]


def _courses(run: Run) -> Iterator[dict[str, Any]]:
    """Yield a row for each evaluation of each cell at the lowest and highest level.

    If levels share a training, as for a perturbation of the test, only the lowest has rows.
    """
    done = {id: record for id, record in run.records.items() if record.status == "done"}
    levels: dict[tuple[str, str, str], set[float]] = {}
    for id in done:
        cell = run.manifest.cells[id]
        levels.setdefault((cell.dataset, cell.backbone, cell.perturbation), set()).add(cell.level)
    met = set()
    for id in sorted(done, key=lambda id: run.manifest.cells[id].level):
        cell, record = run.manifest.cells[id], done[id]
        its = levels[cell.dataset, cell.backbone, cell.perturbation]
        if cell.loss == UNTRAINED or cell.level not in (min(its), max(its)):
            continue
        if (training := (cell.perturbation, cell.training or id)) in met:
            continue
        met.add(training)
        place = {axis: getattr(cell, axis) for axis in (*FIGURE, "loss", "level", "replicate")}
        for epoch, value in record.history:
            yield place | {"epoch": epoch, "value": value}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarise replicates at each epoch that all replicates of a loss reached."""
    found = []
    for level, its in rows.groupby("level", sort=True):
        frame = its.drop(columns="level").rename(columns={"epoch": "level"})
        means = degradation.means(frame.assign(metric="validation", unit="epoch"))
        most = means.groupby("loss")["n"].transform("max")
        kept = means[means["n"] == most].rename(columns={"level": "epoch"})
        found.append(kept.assign(level=level))
    return pd.concat(found, ignore_index=True)


def draw_training(rows: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw NDCG@20 on validation by epoch, a panel a level, a line a loss.

    Args:
        rows: as `summary` returns them, of one data set, backbone and perturbation.
        among: as for `curves.draw_curves`.

    """
    styles, levels = looks([*rows["loss"].unique(), *among]), np.unique(rows["level"])
    width = WIDTH if len(levels) > 1 else PANEL_WIDTH + 1.2
    down = len(levels) if is_narrow(width) else 1
    with page_style():
        figure = new_figure(width, down * HEIGHT)
        axes = figure.subplots(down, len(levels) // down, squeeze=False, sharey=True).ravel()
        lines = {}
        for ax, level in zip(axes, levels, strict=True):
            shown = rows[rows["level"] == level]
            for loss in in_order(shown["loss"]):
                its = shown[shown["loss"] == loss].sort_values("epoch")
                style = line_style(styles[loss], called(loss)) | {"markevery": 0.2}
                band = {"color": styles[loss].color, "alpha": 0.18, "linewidth": 0}
                ax.fill_between(its["epoch"], its["low"], its["high"], **band)
                (lines[loss],) = ax.plot(its["epoch"], its["mean"], **style)
            ax.set_title(f"level {level:g}", loc="left")
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            set_value_axis(ax.yaxis, percent=False)
        axes[0].set_ylabel("NDCG@20 on validation")
        draw_legend(figure, [lines[loss] for loss in in_order(lines)])
        add_note(
            figure, f"{interval_note('Bands', rows)}. Lines end where the first replicate did."
        )
        set_heading(figure, rows.iloc[0])
    return figure


KIND = Kind(
    "the validation metric by epoch, at the lowest and the highest level",
    drawings,
    needs="the records of its cells (cells/), which a compacted run may lack",
)
