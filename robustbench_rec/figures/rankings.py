"""Rankings: the losses of a panel of one level as rows, beside published values and baselines."""

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

from robustbench_rec.analysis.panels import split_baselines
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
    only_drawn,
    page_style,
    panels,
    published_sample,
    rows_height,
    set_heading,
    span_of,
    wrapped,
)
from robustbench_rec.figures.style import GREY, baseline_look, looks

MARGIN = 0.08
"""Margin of a ranking's axis on either side, as a share."""
BASELINE_NAME = 0.65
"""Length in inches of a baseline's name along its line."""


class Ranking(NamedTuple):
    """A ranking, and its parts."""

    figure: Figure
    losses: list[Line2D]
    """A marker for each loss, from the lowest row."""
    published: list[Line2D]
    baselines: dict[str, Line2D]
    """Name of each baseline within the axis -> its line."""


def drawings(frames: Frames, _: Asked) -> list[Drawing]:
    """Return a figure for each dataset, trained backbone, perturbation and metric of one level.

    Each figure shows the baselines of its data set and perturbation.
    """
    return [
        Drawing(key, draw_ranking, (panel, frames.losses, frames.published), table_of)
        for key, panel in panels(frames.curves).items()
        if panel["level"].nunique() == 1
    ]


def table_of(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the rows that `draw_ranking` draws; published values are rows with a `source`."""
    trained, _ = split_baselines(curves)
    beside = [of_panel(published, rows) for _, rows in trained.groupby("loss", sort=True)]
    filled = [rows.rename(columns={"value": "mean"}) for rows in beside if len(rows)]
    return only_drawn(pd.concat([curves, *filled], ignore_index=True), ["mean"])


def draw_ranking(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> Figure:
    """Draw the losses of a panel of one level as rows, the best on top.

    The axis spans losses and published values, and at least a tenth of the highest value, so that a
    tiny difference looks tiny. Values of baselines beyond the axis are printed below it.

    Args:
        curves: as for `draw_curves`, of one level.
        among: as for `draw_curves`.
        published: as for `draw_curves`.

    """
    return rank(curves, among, published).figure


def rank(
    curves: pd.DataFrame, among: Iterable[str] = (), published: pd.DataFrame | None = None
) -> Ranking:
    """Draw as `draw_ranking` does, and return the lines too.

    Args:
        curves: as for `draw_ranking`.
        among: as for `draw_ranking`.
        published: as for `draw_ranking`.

    """
    check_one_panel(curves)
    trained, baselines = split_baselines(curves)
    ranked = trained.sort_values(["mean", "loss"], ascending=[True, False], ignore_index=True)
    beside = [of_panel(published, ranked.iloc[[at]])["value"] for at in range(len(ranked))]
    with page_style():
        rows = max(rows_height(ranked["loss"], 1.3), BASELINE_NAME)
        figure = new_figure(PANEL_WIDTH, rows + 6 * LEGEND_LINE)
        ax = figure.add_subplot()
        losses, marks = _draw_rows(ax, ranked, beside, among)
        ax.set_xlim(*_shown(ranked, pd.concat(beside)))
        lines = _draw_baselines(ax, baselines)
        _label_axes(ax, ranked, baselines)
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
    """Draw a row for each loss with published values beside it; return the artists of both."""
    styles = looks([*ranked["loss"], *among])
    losses, marks = [], []
    for at, values in enumerate(beside):
        row = ranked.iloc[at]
        style = styles[row["loss"]]
        losses.append(draw_row(ax, row, at, style))
        for value in values:
            marks += draw_published(ax, value, at, style.color)
    return losses, marks


def _label_axes(ax: Axes, ranked: pd.DataFrame, baselines: pd.DataFrame) -> None:
    """Label rows and values, and print the values of the baselines below."""
    ax.margins(y=0.7 / len(ranked))
    marks = [marks_of(flags, OF_POINT | OF_LEVEL | OF_LOSS) for flags in ranked["flags"]]
    ax.set_yticks(range(len(ranked)), map(str.__add__, wrapped(ranked["loss"]), marks))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.grid(axis="x", linewidth=0.4, color="0.88")
    ax.set_axisbelow(True)
    notes = [label(ranked["metric"].iloc[0]), *_baselines_in_words(baselines)]
    ax.set_xlabel("\n".join(notes))


def _shown(ranked: pd.DataFrame, beside: pd.Series[float]) -> tuple[float, float]:
    """Return the ends of a ranking's axis, a margin around losses and published values."""
    values = [*ranked[["mean", "low", "high"]].to_numpy(dtype=np.float64).ravel(), *beside]
    least, most = span_of(values)
    room = MARGIN * (most - least)
    return least - room, most + room


def _draw_baselines(ax: Axes, baselines: pd.DataFrame) -> dict[str, Line2D]:
    """Draw the baselines within the axis as lines across all rows, with their names.

    The name of the lowest baseline is left of its line, other names are right of their lines.
    """
    low, high = ax.get_xlim()
    ordered, lines = baselines[baselines["mean"].between(low, high)].sort_values("mean"), {}
    for at, (name, value) in enumerate(zip(ordered["backbone"], ordered["mean"], strict=True)):
        style = baseline_look(str(name))
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


def _baselines_in_words(baselines: pd.DataFrame) -> list[str]:
    """Return the values of the baselines in words."""
    told = (f"{called(row['backbone'])} {row['mean']:.4f}" for _, row in baselines.iterrows())
    return textwrap.wrap(f"baselines: {', '.join(told)}", 44) if len(baselines) else []


KIND = Kind("the losses of one level as rows, beside published values", drawings, asked_for=False)
