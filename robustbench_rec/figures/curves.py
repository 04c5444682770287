"""Degradation curves: a metric against level, a line for each loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustbench_rec.analysis.panels import split_floors
from robustbench_rec.evaluation.metrics import is_per_user, label
from robustbench_rec.figures.kind import Drawing, Frames
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import draw_marks, draw_note, marks_of_levels, named
from robustbench_rec.figures.panel import (
    PANEL_WIDTH,
    WIDTH,
    Value,
    check_one_panel,
    draw_intervals,
    draw_line,
    draw_published,
    interval_note,
    line_style,
    new_figure,
    of_panel,
    offsets,
    page_style,
    panels,
    set_heading,
    set_level_axis,
    set_value_axis,
)
from robustbench_rec.figures.style import GREY, Look, floor_look, looks

FLOOR: dict[str, Any] = {"linewidth": 0.8, "markersize": 2.6, "zorder": 1.6}
"""How floors differ from losses."""
JOINED: dict[str, Any] = {"linestyle": (0, (1, 2.5)), "linewidth": 0.7, "zorder": 1.5}
"""How published values of one source are joined over levels."""


class Drawn(NamedTuple):
    """What stands on a panel of curves, for its legend."""

    losses: list[Line2D]
    """A line a loss, in the order of their names."""
    floors: list[Line2D]
    published: list[Line2D]
    """The marks of published values, and the lines that join them."""


def drawings(frames: Frames) -> list[Drawing]:
    """Return a figure for each dataset, trained backbone, perturbation and metric of many levels.

    Floors go into each figure of their data set and perturbation.
    """
    return [
        Drawing(key, draw_figure, (panel, frames.losses, frames.published))
        for key, panel in panels(frames.curves).items()
        if panel["level"].nunique() > 1
    ]


def draw_curves(
    curves: pd.DataFrame,
    ax: Axes | None = None,
    value: Value = "mean",
    among: Iterable[str] = (),
    published: pd.DataFrame | None = None,
) -> Axes:
    """Draw a line for each loss over level, with its interval.

    Losses are spread a little sidewise around each level, so that their intervals can be read
    where they overlap. The title says what the intervals are, and over how many replicates. Daggers
    mark points and levels that are flagged in the results; see `marks`.

    Args:
        curves: rows of `degradation.curves` of one dataset, backbone, perturbation and metric.
            Floors may stand among them: they are thin grey lines beside the metric itself.
        ax: where to draw; the legend, and the note on marks, are then the caller's. Without it on
            a figure of its own, which is `.figure` of what is returned, with both.
        value: the metric itself, or what is retained of its level 0, with a line at 100%.
        among: all losses that figures beside this one show, so that variants of a loss look
            alike in all of them.
        published: values to draw beside the metric itself, as open markers, those of one source
            joined over levels: columns `dataset, backbone, perturbation, metric, loss, level,
            value, source`, under the averaging of `curves`. Rows of other panels and of losses
            that `curves` lacks are left out.

    Raises:
        ValueError: no rows, or rows of more than one panel.

    """
    if ax is not None:
        draw_panel(ax, curves, value, among, published)
        return ax
    with page_style():
        figure = new_figure(PANEL_WIDTH)
        ax = figure.add_subplot()
        _add_legend(figure, draw_panel(ax, curves, value, among, published))
        draw_note(figure, curves)
    return ax


def draw_figure(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> Figure:
    """Draw a metric against level, and beside it what is retained of level 0.

    A metric of whole lists, such as coverage, has the first panel only, and so has a run without
    level 0.

    Args:
        curves: as for `draw_curves`.
        among: as for `draw_curves`.
        published: as for `draw_curves`.

    """
    check_one_panel(curves)
    trained, _ = split_floors(curves)
    first, among = trained.iloc[0], list(among)
    retained = is_per_user(first["metric"]) and trained["retention"].notna().any()
    values: tuple[Value, ...] = ("mean", "retention") if retained else ("mean",)
    with page_style():
        figure = new_figure(WIDTH if len(values) == 2 else PANEL_WIDTH)
        axes = figure.subplots(1, len(values), squeeze=False)[0]
        drawn = [
            draw_panel(ax, curves, value, among, published)
            for ax, value in zip(axes, values, strict=True)
        ]
        _add_legend(figure, drawn[0])
        draw_note(figure, curves)
        set_heading(figure, first)
    return figure


def draw_panel(
    ax: Axes,
    curves: pd.DataFrame,
    value: Value = "mean",
    among: Iterable[str] = (),
    published: pd.DataFrame | None = None,
) -> Drawn:
    """Draw what `draw_curves` does, without a legend, and return what a legend is made of.

    Args:
        ax: where to draw.
        curves: as for `draw_curves`.
        value: as for `draw_curves`.
        among: as for `draw_curves`.
        published: as for `draw_curves`.

    Raises:
        ValueError: no rows, or rows of more than one panel.

    """
    check_one_panel(curves)
    trained, floors = split_floors(curves)
    trained = trained.sort_values("level")
    styles, places = looks([*trained["loss"].unique(), *among]), offsets(trained)
    drawn = Drawn([], [], [])
    if value == "retention":
        ax.axhline(1, color=GREY, linewidth=0.8, zorder=1)
    else:
        drawn.floors.extend(_draw_floors(ax, floors))
    draw_intervals(ax, trained, value, styles, places)
    for name, rows in trained.groupby("loss", sort=True):
        loss = str(name)
        line = draw_line(ax, rows, value, styles[loss], places[loss], named(loss, rows))
        drawn.losses.append(line)
        if value == "mean":
            beside = of_panel(published, rows)
            drawn.published.extend(_draw_sources(ax, beside, styles[loss], places[loss]))
    draw_marks(ax, trained, value, styles, places)
    _dress(ax, trained, value)
    return drawn


def _add_legend(figure: Figure, drawn: Drawn) -> None:
    draw_legend(figure, drawn.losses, drawn.floors, published=bool(drawn.published))


def _draw_floors(ax: Axes, floors: pd.DataFrame) -> list[Line2D]:
    """Draw what trains nothing below the losses, thin and grey, and return its lines."""
    lines = []
    for name, rows in floors.groupby("backbone", sort=True):
        ordered = rows.sort_values("level")
        style = floor_look(str(name))
        x = ordered["level"]
        bars = {"color": style.color, "linewidth": FLOOR["linewidth"], "zorder": FLOOR["zorder"]}
        ax.vlines(x, ordered["low"], ordered["high"], **bars)
        lines += ax.plot(x, ordered["mean"], **line_style(style, str(name)) | FLOOR)
    return lines


def _draw_sources(ax: Axes, rows: pd.DataFrame, style: Look, offset: float) -> list[Line2D]:
    """Draw published values of one loss, joined where they are of one source; return all lines."""
    lines = []
    for _, part in rows.groupby("source", sort=False):
        ordered = part.sort_values("level")
        x = ordered["level"].to_numpy(dtype=np.float64) + offset
        if len(x) > 1:
            lines += ax.plot(x, ordered["value"], color=style.color, **JOINED)
        lines += draw_published(ax, x, ordered["value"], style.marker, style.color)
    return lines


def _dress(ax: Axes, curves: pd.DataFrame, value: Value) -> None:
    """Label axes, ticks and intervals."""
    metric = label(curves["metric"].iloc[0])
    set_level_axis(ax, curves, marks_of_levels(curves))
    set_value_axis(ax.yaxis, percent=value == "retention")
    if value == "retention":
        ax.set_ylabel(f"{metric} relative to level 0")
        note = interval_note("Bars", curves, "pairs")
    else:
        ax.set_ylabel(metric)
        note = interval_note("Bars", curves)
    ax.set_title(note, loc="left", color=GREY)
