"""Marks: the daggers beside points, levels and losses to be read with care, and what they say."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from robustbench_rec.analysis.marks import AT_EDGE, MEANINGS, joined
from robustbench_rec.figures.panel import Value
from robustbench_rec.figures.style import GREY, Look

OF_POINT = {"capped": "\N{DAGGER}"}
OF_LEVEL = {"not_reached": "\N{DOUBLE DAGGER}", "few_users": "\N{SECTION SIGN}"}
OF_LOSS = {AT_EDGE: "\N{PILCROW SIGN}"}
"""Flag -> its mark. What data cause is the same for every loss, and marks their level; what tuning
left open holds for a loss at all levels, and marks its name."""
CHARACTERS = 15
"""Of a note, on an inch of the figure's width."""
HALO = [withStroke(linewidth=1.6, foreground="white")]
"""Around a mark, which may stand on the curve of another loss."""


def draw_note(figure: Figure, curves: pd.DataFrame) -> None:
    """Say below the panels what the marks mean that stand among some curves."""
    held = {flag for flags in curves["flags"].unique() for flag in flags.split()}
    marks = OF_POINT | OF_LEVEL | OF_LOSS
    told = [f"{mark} {MEANINGS[flag]}" for flag, mark in marks.items() if flag in held]
    if told:
        width = round(CHARACTERS * figure.get_figwidth())
        note = "\n".join(textwrap.wrap(";  ".join(told), width))
        figure.supxlabel(note, fontsize=7.5, color=GREY)


def named(loss: str, rows: pd.DataFrame) -> str:
    """Return what a loss is called in a figure, with the marks of its rows of curves."""
    return loss + marks_of(joined(rows["flags"]), OF_LOSS)


def marks_of(flags: str, marks: Mapping[str, str]) -> str:
    """Return the marks of some flags, those of `marks` alone."""
    return "".join(mark for flag, mark in marks.items() if flag in flags.split())


def marks_of_levels(curves: pd.DataFrame) -> dict[float, str]:
    """Return the marks of each level that has any."""
    pairs = zip(curves["level"], curves["flags"], strict=True)
    held: dict[float, str] = {}
    for level, flags in pairs:
        held[level] = f"{held.get(level, '')} {flags}"
    return {level: marks for level, flags in held.items() if (marks := marks_of(flags, OF_LEVEL))}


def draw_marks(
    ax: Axes,
    rows: pd.DataFrame,
    value: Value,
    styles: Mapping[str, Look],
    places: Mapping[str, float],
) -> None:
    """Put a mark above each point of losses that has one, in the loss's colour."""
    for row in rows.to_dict("records"):
        mark, y = marks_of(row["flags"], OF_POINT), row[value]
        if mark and pd.notna(y):
            ax.annotate(
                mark,
                (row["level"] + places[row["loss"]], y),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                fontweight="bold",
                color=styles[row["loss"]].color,
                path_effects=HALO,
                zorder=3.5,
            )
