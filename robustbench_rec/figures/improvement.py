"""Improvement: how much better than a chosen loss the other losses are, against level."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis.improvement import improvements
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import draw_marks, draw_note, marks_of_levels, named
from robustbench_rec.figures.names import called
from robustbench_rec.figures.panel import (
    PANEL,
    PANEL_WIDTH,
    X,
    draw_intervals,
    draw_line,
    interval_note,
    new_figure,
    page_style,
    set_heading,
    set_level_axis,
    set_value_axis,
)
from robustbench_rec.figures.style import GREY, in_order, looks


def drawings(frames: Frames, asked: Asked) -> list[Drawing]:
    """Return a figure for each dataset, backbone, perturbation and metric of many levels.

    Raises:
        InputError: no reference loss is given, or it was not run.

    """
    if asked.against is None:
        raise InputError("figure improvement needs a reference loss: --against LOSS")
    table = improvements(frames.known(), asked.against)
    reference = table["against"].iloc[0]
    shown = frames.shown(table).assign(against=frames.labels["loss"].get(reference, reference))
    if asked.x == "realised":
        shown = shown[shown["realised"].notna()]
    return [
        Drawing(
            (*map(str, key), f"improvement_over_{rows['against'].iloc[0]}"),
            draw_improvement,
            (rows, frames.losses, asked.x),
        )
        for key, rows in shown.groupby(PANEL, sort=True)
        if rows["level"].nunique() > 1
    ]


def draw_improvement(rows: pd.DataFrame, among: Iterable[str] = (), x: X = "level") -> Figure:
    """Draw the improvement of each loss over one loss, a line a loss, with its interval.

    Args:
        rows: of `improvement.improvements` of one panel.
        among: as for `curves.draw_curves`.
        x: as for `curves.draw_curves`.

    """
    styles, first = looks([*rows["loss"], rows["against"].iloc[0], *among]), rows.iloc[0]
    with page_style():
        figure = new_figure(PANEL_WIDTH + 1.2)
        ax = figure.add_subplot()
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        draw_intervals(ax, rows, "mean", styles, x)
        lines = []
        for loss in in_order(rows["loss"]):
            its = rows[rows["loss"] == loss].sort_values(x)
            lines.append(draw_line(ax, its, "mean", styles[loss], named(loss, its), x))
        draw_marks(ax, rows, "mean", styles, x)
        set_level_axis(ax, rows, marks_of_levels(rows), x)
        set_value_axis(ax.yaxis, percent=True)
        ax.set_ylabel(f"{label(first['metric'])}: improvement\nover {called(first['against'])}")
        ax.set_title(interval_note("Bars", rows), loc="left", color=GREY)
        draw_legend(figure, lines)
        draw_note(figure, rows)
        set_heading(figure, first)
    return figure


KIND = Kind(
    "improvement of each loss over --against LOSS, against level",
    drawings,
    takes=frozenset({"against", "x"}),
)
