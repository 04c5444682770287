"""Rankings: the losses of a panel of one level as rows, beside published values and floors."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robustbench_rec.analysis.panels import split_floors
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.kind import Drawing, Frames
from robustbench_rec.figures.marks import OF_LEVEL, OF_LOSS, OF_POINT, draw_note, marks_of
from robustbench_rec.figures.panel import (
    LEGEND_LINE,
    PANEL_WIDTH,
    check_one_panel,
    draw_published,
    draw_row,
    interval_note,
    new_figure,
    of_panel,
    page_style,
    panels,
    published_sample,
    rows_height,
    set_heading,
    wrapped,
)
from robustbench_rec.figures.style import GREY, floor_look, looks

MARGIN = 0.08
"""Share of a ranking's axis on either side of what it shows."""
FLOOR_NAME = 0.65
"""Inches that the name of a floor takes along its line."""


class Ranking(NamedTuple):
    """A ranking, and what stands in it."""

    figure: Figure
    losses: list[Line2D]
    """A marker a loss, from the lowest row."""
    published: list[Line2D]
    floors: dict[str, Line2D]
    """The line of each floor, by its name, on whichever axis it stands."""


def drawings(frames: Frames) -> list[Drawing]:
    """Return a figure for each dataset, trained backbone, perturbation and metric of one level.

    Floors go into each figure of their data set and perturbation.
    """
    return [
        Drawing(key, draw_ranking, (panel, frames.losses, frames.published))
        for key, panel in panels(frames.curves).items()
        if panel["level"].nunique() == 1
    ]


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
    return rank(curves, among, published).figure


def rank(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> Ranking:
    """Draw what `draw_ranking` does, and return its lines too.

    Args:
        curves: as for `draw_ranking`.
        among: as for `draw_ranking`.
        published: as for `draw_ranking`.

    """
    check_one_panel(curves)
    trained, floors = split_floors(curves)
    ranked = trained.sort_values(["mean", "loss"], ascending=[True, False], ignore_index=True)
    beside = [of_panel(published, ranked.iloc[[at]])["value"] for at in range(len(ranked))]
    with page_style():
        rows = max(rows_height(ranked["loss"], 1.3), FLOOR_NAME)
        figure = new_figure(PANEL_WIDTH, rows + 6 * LEGEND_LINE)
        ax = figure.add_subplot()
        losses, marks = _draw_rows(ax, ranked, beside, among)
        ax.set_xlim(*_shown(ranked, pd.concat(beside)))
        first, lines = _draw_floors(ax, floors)
        _dress(ax, ranked, floors)
        note = interval_note("Bars", ranked)
        first.set_title(note, loc="left", color=GREY)
        if marks:
            sample: Any = published_sample()
            names = ["published"]
            figure.legend(handles=[sample], labels=names, loc="outside lower right", frameon=False)
        level = ranked["level"].iloc[0]
        draw_note(figure, ranked)
        set_heading(figure, ranked.iloc[0], f", level {level:g}" if level else "")
    return Ranking(figure, losses, marks, lines)


def _draw_rows(
    ax: Axes, ranked: pd.DataFrame, beside: Sequence[pd.Series[float]], among: Iterable[str]
) -> tuple[list[Line2D], list[Line2D]]:
    """Draw a row a loss with published values beside it; return the marks of both."""
    styles = looks([*ranked["loss"], *among])
    losses, marks = [], []
    for at, values in enumerate(beside):
        row = ranked.iloc[at]
        style = styles[row["loss"]]
        losses.append(draw_row(ax, row, at, style))
        for value in values:
            marks += draw_published(ax, value, at, "o", style.color)
    return losses, marks


def _dress(ax: Axes, ranked: pd.DataFrame, floors: pd.DataFrame) -> None:
    """Name rows and values, and say below what the floors reach."""
    ax.margins(y=0.7 / len(ranked))
    marks = [marks_of(flags, OF_POINT | OF_LEVEL | OF_LOSS) for flags in ranked["flags"]]
    ax.set_yticks(range(len(ranked)), map(str.__add__, wrapped(ranked["loss"]), marks))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.grid(axis="x", linewidth=0.4, color="0.88")
    ax.set_axisbelow(True)
    notes = [label(ranked["metric"].iloc[0]), *_floors_in_words(floors)]
    ax.set_xlabel("\n".join(notes), loc="center" if len(ax.figure.axes) == 1 else "right")


def _shown(ranked: pd.DataFrame, beside: pd.Series[float]) -> tuple[float, float]:
    """Return the ends of a ranking's axis, a margin around losses and published values."""
    values = [*ranked[["mean", "low", "high"]].to_numpy(dtype=np.float64).ravel(), *beside]
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    room = MARGIN * ((most - least) or abs(most) or 1.0)
    return least - room, most + room


def _draw_floors(ax: Axes, floors: pd.DataFrame) -> tuple[Axes, dict[str, Line2D]]:
    """Draw floors across the rows, those beyond `ax` on short axes beside it.

    Returns the leftmost axis, and the line of each floor by its name.
    """
    low, high = ax.get_xlim()
    lines = _draw_floors_across(ax, floors[floors["mean"].between(low, high)])
    below, above = floors[floors["mean"] < low], floors[floors["mean"] > high]
    widths = [1] * (not below.empty) + [6] + [1] * (not above.empty)
    grid = ax.figure.add_gridspec(1, len(widths), width_ratios=widths)
    at, first = widths.index(6), ax
    ax.set_subplotspec(grid[at])
    if not above.empty:
        last = _add_axis(ax, grid[at + 1])
        lines |= _draw_floors_alone(last, above)
        _mark_break(ax, last)
    if not below.empty:
        first = _add_axis(ax, grid[0])
        lines |= _draw_floors_alone(first, below)
        _mark_break(first, ax)
    return first, lines


def _add_axis(ax: Axes, place: SubplotSpec) -> Axes:
    return ax.figure.add_subplot(place, sharey=ax)


def _draw_floors_alone(ax: Axes, floors: pd.DataFrame) -> dict[str, Line2D]:
    """Draw floors on an axis that shows nothing else, and return the line of each."""
    lines = _draw_floors_across(ax, floors)
    least, most = float(floors["mean"].min()), float(floors["mean"].max())
    room = 0.6 * ((most - least) or abs(most) or 1.0)
    ax.set_xlim(least - room, most + room)
    ax.set_xticks([most], [f"{most:.2g}"])
    return lines


def _draw_floors_across(ax: Axes, floors: pd.DataFrame) -> dict[str, Line2D]:
    """Draw floors as lines across the rows of losses, and return these by the names of floors.

    The name of the lowest stands left of its line, those of others right of theirs.
    """
    ordered, lines = floors.sort_values("mean"), {}
    for at, (name, value) in enumerate(zip(ordered["backbone"], ordered["mean"], strict=True)):
        style = floor_look(str(name))
        line = ax.axvline(value, color=style.color, linestyle=style.linestyle, linewidth=0.9)
        line.set_zorder(1)
        lines[str(name)] = line
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
    return lines


def _mark_break(left: Axes, right: Axes) -> None:
    """Show that `right` goes on further along the axis of `left`."""
    right.tick_params(axis="y", left=False, labelleft=False)
    right.spines["left"].set_visible(False)
    stroke: dict[str, Any] = {"marker": [(-1, -2), (1, 2)], "markersize": 6, "color": "black"}
    for one, edge in ((left, 1), (right, 0)):
        one.plot([edge], [0], transform=one.transAxes, clip_on=False, **stroke)


def _floors_in_words(floors: pd.DataFrame) -> list[str]:
    """Say what the floors reach."""
    told = (f"{floor['backbone']} {floor['mean']:.4f}" for _, floor in floors.iterrows())
    return textwrap.wrap(f"floors: {', '.join(told)}", 44) if len(floors) else []
