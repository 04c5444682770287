"""Rankings: the losses of a panel of one level as rows, beside published values and floors."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robustbench_rec.analysis.panels import split_floors
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.marks import OF_LEVEL, OF_LOSS, OF_POINT, draw_note, marks_of
from robustbench_rec.figures.names import called
from robustbench_rec.figures.page import scaled
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
    span_of,
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
    """The line of each floor that the axis reaches, by its name."""


def drawings(frames: Frames, _: Asked) -> list[Drawing]:
    """Return a figure for each dataset, trained backbone, perturbation and metric of one level.

    Floors go into each figure of their data set and perturbation.
    """
    return [
        Drawing(key, draw_ranking, (panel, frames.losses, frames.published), table_of)
        for key, panel in panels(frames.curves).items()
        if panel["level"].nunique() == 1
    ]


def table_of(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return what `draw_ranking` draws of its arguments, published values as rows of a `source`."""
    trained, _ = split_floors(curves)
    beside = [of_panel(published, rows) for _, rows in trained.groupby("loss", sort=True)]
    filled = [rows.rename(columns={"value": "mean"}) for rows in beside if len(rows)]
    return pd.concat([curves, *filled], ignore_index=True)


def draw_ranking(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> Figure:
    """Draw the losses of a panel of one level as rows, the best on top.

    The axis spans losses and published values, and a tenth of the highest at least: less is no
    difference. Floors beyond it are told below it.

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
        lines = _draw_floors(ax, floors)
        _dress(ax, ranked, floors)
        note = interval_note("Bars", ranked)
        ax.set_title(note, loc="left", color=GREY)
        if marks:
            sample: Any = published_sample()
            names = ["published"]
            figure.legend(handles=[sample], labels=names, loc="outside lower center", frameon=False)
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
            marks += draw_published(ax, value, at, style.color)
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
    ax.set_xlabel("\n".join(notes))


def _shown(ranked: pd.DataFrame, beside: pd.Series[float]) -> tuple[float, float]:
    """Return the ends of a ranking's axis, a margin around losses and published values."""
    values = [*ranked[["mean", "low", "high"]].to_numpy(dtype=np.float64).ravel(), *beside]
    least, most = span_of(values)
    room = MARGIN * (most - least)
    return least - room, most + room


def _draw_floors(ax: Axes, floors: pd.DataFrame) -> dict[str, Line2D]:
    """Draw floors that the axis reaches as lines across the rows of losses, by their names.

    The name of the lowest stands left of its line, those of others right of theirs.
    """
    low, high = ax.get_xlim()
    ordered, lines = floors[floors["mean"].between(low, high)].sort_values("mean"), {}
    for at, (name, value) in enumerate(zip(ordered["backbone"], ordered["mean"], strict=True)):
        style = floor_look(str(name))
        line = ax.axvline(value, color=style.color, linestyle=style.linestyle, linewidth=0.9)
        line.set_zorder(1)
        lines[str(name)] = line
        ax.annotate(
            called(str(name)),
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(1 if at else -1, -1),
            textcoords="offset points",
            rotation=90,
            ha="left" if at else "right",
            va="top",
            fontsize=scaled(6.5),
            color=style.color,
        )
    return lines


def _floors_in_words(floors: pd.DataFrame) -> list[str]:
    """Say what the floors reach."""
    told = (f"{called(floor['backbone'])} {floor['mean']:.4f}" for _, floor in floors.iterrows())
    return textwrap.wrap(f"floors: {', '.join(told)}", 44) if len(floors) else []


KIND = Kind("the losses of one level as rows, beside published values", drawings, asked_for=False)
