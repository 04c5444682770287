"""Severity: the severity that perturbations achieved, against the requested level."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import OF_LEVEL, draw_note, marks_of_levels
from robustbench_rec.figures.names import called
from robustbench_rec.figures.panel import (
    PANEL_WIDTH,
    line_style,
    new_figure,
    page_style,
    set_heading,
    set_level_axis,
    set_value_axis,
)
from robustbench_rec.figures.style import GREY, SOLID, Look, in_order, looks

EVERY_LOSS = Look("#9A9A9A", "o", SOLID)
"""The look of a line that is of no single loss."""
FIGURE = ["dataset", "backbone", "perturbation"]
"""Constant within one figure."""


def drawings(frames: Frames, _: Asked) -> list[Drawing]:
    """Return a figure for each data set, backbone and perturbation with known severity."""
    trained, _baselines = split_baselines(frames.curves)
    known = trained[trained["realised"].notna()]
    once = known.drop_duplicates([*FIGURE, "loss", "level"])
    return [
        Drawing((*map(str, key), "severity"), draw_severity, (rows, frames.losses))
        for key, rows in once.groupby(FIGURE, sort=True)
        if rows["level"].nunique() > 1
    ]


def draw_severity(rows: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw the realised against the requested level, beside a line where both are equal.

    If all losses meet the same data there is one line, otherwise one for each loss.

    Args:
        rows: of `degradation.curves` of one data set, backbone and perturbation, one a loss and
            level: `realised` is the mean over its cells.
        among: as for `curves.draw_curves`.

    """
    first, styles = rows.iloc[0], looks([*rows["loss"].unique(), *among])
    spread = rows.groupby("level")["realised"].agg(np.ptp)
    alike = bool((spread <= 1e-9 * rows["realised"].abs().max()).all())
    with page_style():
        figure = new_figure(PANEL_WIDTH + 1.2)
        ax = figure.add_subplot()
        levels = np.unique(rows["level"])
        ax.plot(levels, levels, color=GREY, linestyle=(0, (4, 2.5)), linewidth=0.9, zorder=4)
        ax.annotate(
            "as requested",
            (levels[-1], levels[-1]),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize="small",
            color=GREY,
        )
        lines = []
        for loss in in_order(rows["loss"])[: 1 if alike else None]:
            its = rows[rows["loss"] == loss].sort_values("level")
            name = "every loss" if alike else called(loss)
            look = EVERY_LOSS if alike else styles[loss]
            lines += ax.plot(its["level"], its["realised"], **line_style(look, name))
        set_level_axis(ax, rows, marks_of_levels(rows))
        set_value_axis(ax.yaxis, percent=False)
        ax.set_ylabel("realised, mean over cells")
        draw_legend(figure, lines)
        draw_note(figure, rows, marks=OF_LEVEL)
        set_heading(figure, first)
    return figure


KIND = Kind(
    "the realised severity of perturbations, against the requested level",
    drawings,
    needs="a perturbation of several levels with known realised severity",
)
