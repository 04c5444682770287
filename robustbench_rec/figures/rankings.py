"""Rankings: the losses of a panel of one level as rows, beside published values and floors."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robustbench_rec.analysis.degradation import split_floors
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.curves import (
    LEGEND_LINE,
    PANEL_WIDTH,
    PUBLISHED,
    check_one_panel,
    draw_row,
    interval_note,
    new_figure,
    of_panel,
    page_style,
    published_marks,
    rows_height,
    set_heading,
    wrapped,
)
from robustbench_rec.figures.style import GREY, floor_look, looks

MARGIN = 0.08
"""Share of a ranking's axis on either side of what it shows."""
FLOOR_NAME = 0.65
"""Inches that the name of a floor takes along its line."""


def draw_ranking(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> Figure:
    """Draw the losses of a panel of one level as rows, the best on top.

    The axis spans losses and published values, so that small differences show; floors beyond these
    stand on short ones of their own, across a break.

    Args:
        curves: as for `draw_curves`, of one level.
        among: as for `draw_curves`.
        published: as for `draw_curves`.

    """
    check_one_panel(curves)
    trained, floors = split_floors(curves)
    ranked = trained.sort_values(["mean", "loss"], ascending=[True, False], ignore_index=True)
    styles = looks([*ranked["loss"], *among])
    beside = [of_panel(published, ranked.iloc[[at]])["value"] for at in range(len(ranked))]
    low, high = _shown(ranked, pd.concat(beside))
    with page_style():
        rows = max(rows_height(ranked["loss"], 1.3), FLOOR_NAME)
        figure = new_figure(PANEL_WIDTH, rows + 6 * LEGEND_LINE)
        ax = figure.add_subplot()
        for at in range(len(ranked)):
            row = ranked.iloc[at]
            style = styles[row["loss"]]
            draw_row(ax, row, at, style)
            for value in beside[at]:
                for mark in published_marks("o", style.color):
                    ax.plot(value, at, label=PUBLISHED, **mark)
        ax.set_xlim(low, high)
        ax.margins(y=0.7 / len(ranked))
        ax.set_yticks(range(len(ranked)), wrapped(ranked["loss"]))
        _draw_floors_across(ax, floors[floors["mean"].between(low, high)])
        first = _break_off(ax, floors[floors["mean"] < low], floors[floors["mean"] > high])
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.grid(axis="x", linewidth=0.4, color="0.88")
        ax.set_axisbelow(True)
        notes = [label(ranked["metric"].iloc[0]), *_floors_in_words(floors)]
        ax.set_xlabel("\n".join(notes), loc="center" if len(figure.axes) == 1 else "right")
        first.set_title(interval_note("Bars", ranked["n"]), loc="left", color=GREY)
        if any(line.get_label() == PUBLISHED for line in ax.get_lines()):
            pair: Any = tuple(Line2D([], [], **mark) for mark in published_marks("o", GREY))
            names = ["published"]
            figure.legend(handles=[pair], labels=names, loc="outside lower right", frameon=False)
        level = ranked["level"].iloc[0]
        set_heading(figure, ranked.iloc[0], f", level {level:g}" if level else "")
    return figure


def _shown(ranked: pd.DataFrame, beside: pd.Series[float]) -> tuple[float, float]:
    """Return the ends of a ranking's axis, a margin around losses and published values."""
    values = [*ranked[["mean", "low", "high"]].to_numpy(dtype=np.float64).ravel(), *beside]
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    room = MARGIN * ((most - least) or abs(most) or 1.0)
    return least - room, most + room


def _draw_floors_across(ax: Axes, floors: pd.DataFrame) -> None:
    """Draw floors as lines across the rows of losses, each with its name along it.

    The name of the lowest stands left of its line, those of others right of theirs.
    """
    ordered = floors.sort_values("mean")
    for at, (name, value) in enumerate(zip(ordered["backbone"], ordered["mean"], strict=True)):
        style = floor_look(str(name))
        ax.axvline(
            value,
            color=style.color,
            linestyle=style.linestyle,
            linewidth=0.9,
            zorder=1,
            gid="floor",
        )
        ax.annotate(
            str(name),
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(1 if at else -1, -1),
            textcoords="offset points",
            rotation=90,
            ha="left" if at else "right",
            va="top",
            fontsize=6.5,
            color=style.color,
        )


def _break_off(ax: Axes, below: pd.DataFrame, above: pd.DataFrame) -> Axes:
    """Draw floors beyond `ax` on short axes beside it, and return the leftmost axis."""
    widths = [1] * (not below.empty) + [6] + [1] * (not above.empty)
    grid = ax.figure.add_gridspec(1, len(widths), width_ratios=widths)
    at = widths.index(6)
    ax.set_subplotspec(grid[at])
    if not above.empty:
        _mark_break(ax, _floors_alone(ax, grid[at + 1], above))
    if below.empty:
        return ax
    first = _floors_alone(ax, grid[0], below)
    _mark_break(first, ax)
    return first


def _floors_alone(ax: Axes, place: SubplotSpec, floors: pd.DataFrame) -> Axes:
    """Return an axis beside `ax` of nothing but floors."""
    aside = ax.figure.add_subplot(place, sharey=ax)
    _draw_floors_across(aside, floors)
    least, most = float(floors["mean"].min()), float(floors["mean"].max())
    room = 0.6 * ((most - least) or abs(most) or 1.0)
    aside.set_xlim(least - room, most + room)
    aside.set_xticks([most], [f"{most:.2g}"])
    return aside


def _mark_break(left: Axes, right: Axes) -> None:
    """Show that `right` goes on further along the axis of `left`."""
    right.tick_params(axis="y", left=False, labelleft=False)
    right.spines["left"].set_visible(False)
    stroke: dict[str, Any] = {"marker": [(-1, -2), (1, 2)], "markersize": 6, "color": "black"}
    for one, edge in ((left, 1), (right, 0)):
        one.plot([edge], [0], transform=one.transAxes, clip_on=False, label="_break", **stroke)


def _floors_in_words(floors: pd.DataFrame) -> list[str]:
    """Say what the floors reach."""
    told = (f"{floor['backbone']} {floor['mean']:.4f}" for _, floor in floors.iterrows())
    return textwrap.wrap(f"floors: {', '.join(told)}", 44) if len(floors) else []
