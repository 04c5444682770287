"""Stability: the agreement of lists with the lists of level 0, against level."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis import degradation
from robustbench_rec.analysis.panels import LISTS, split_baselines
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.names import called
from robustbench_rec.figures.panel import (
    HEIGHT,
    PANEL_WIDTH,
    WIDTH,
    draw_intervals,
    draw_line,
    interval_note,
    is_narrow,
    new_figure,
    page_style,
    set_heading,
    set_level_axis,
    set_value_axis,
)
from robustbench_rec.figures.style import GREY, in_order, looks

FIGURE = ["dataset", "backbone", "perturbation"]
"""Constant within one figure."""


def drawings(frames: Frames, _: Asked) -> list[Drawing]:
    """Return a figure for each data set, backbone and perturbation with stored lists.

    A perturbation of the test changes no list, so it has no figure.
    """
    results = frames.known().results
    trained, _baselines = split_baselines(results)
    of_lists = trained[trained["metric"].str.startswith(tuple(f"{name}@" for name in LISTS))]
    if of_lists["value"].dropna().empty:
        return []
    means = degradation.means(of_lists)
    shown = frames.shown(means.drop(columns="metric")).assign(metric=means["metric"])
    return [
        Drawing((*map(str, key), "stability"), draw_stability, (rows, frames.losses))
        for key, rows in shown.groupby(FIGURE, sort=True)
        if rows["level"].nunique() > 1
    ]


def draw_stability(rows: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw the agreement with the lists of level 0, a panel for each measure, a line for each loss.

    Args:
        rows: of `degradation.means` of one data set, backbone and perturbation.
        among: as for `curves.draw_curves`.

    """
    styles, metrics = looks([*rows["loss"].unique(), *among]), sorted(rows["metric"].unique())
    width = WIDTH if len(metrics) > 1 else PANEL_WIDTH
    down = len(metrics) if is_narrow(width) else 1
    with page_style():
        figure = new_figure(width, down * HEIGHT)
        axes = figure.subplots(down, len(metrics) // down, squeeze=False).ravel()
        for ax, metric in zip(axes, metrics, strict=True):
            shown = rows[rows["metric"] == metric]
            draw_intervals(ax, shown, "mean", styles)
            lines = [
                draw_line(ax, shown[shown["loss"] == loss], "mean", styles[loss], called(loss))
                for loss in in_order(shown["loss"])
            ]
            set_level_axis(ax, shown)
            set_value_axis(ax.yaxis, percent=True)
            ax.set_ylabel(f"{label(metric)} with the lists of level 0")
            ax.set_title(interval_note("Bars", shown), loc="left", color=GREY)
        draw_legend(figure, lines)
        set_heading(figure, rows.iloc[0])
    return figure


KIND = Kind(
    "agreement of lists with those of level 0, against level",
    drawings,
    needs="stored lists, under a perturbation of training",
)
