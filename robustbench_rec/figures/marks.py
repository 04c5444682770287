"""Marks: daggers beside points, levels and losses that need caution, and their meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke

from robustbench_rec.analysis.marks import AT_EDGE, MEANINGS, joined
from robustbench_rec.figures.names import called
from robustbench_rec.figures.page import scaled
from robustbench_rec.figures.panel import Value, X, characters
from robustbench_rec.figures.style import GREY, Look

OF_POINT = {"capped": "\N{DAGGER}"}
OF_LEVEL = {"not_reached": "\N{DOUBLE DAGGER}", "few_users": "\N{SECTION SIGN}"}
OF_LOSS = {AT_EDGE: "\N{PILCROW SIGN}"}
"""Flag -> its mark. A flag caused by data is the same for every loss and marks the level; a flag of
tuning holds for a loss at all levels and marks its name."""
CHARACTERS = 15
"""Characters of a note on an inch of the figure's width."""
HALO = [withStroke(linewidth=1.6, foreground="white")]
"""A white edge around a mark, which may be on the curve of another loss."""


EVERY = OF_POINT | OF_LEVEL | OF_LOSS


def draw_note(
    figure: Figure,
    curves: pd.DataFrame,
    also: Iterable[str] = (),
    marks: Mapping[str, str] = EVERY,
) -> None:
    """Write below the panels the meaning of the marks of some curves, and further notes.

    Args:
        figure: the figure.
        curves: the curves, with `flags`.
        also: further notes.
        marks: the marks of the figure.

    """
    held = {flag for flags in curves["flags"].unique() for flag in flags.split()}
    told = [f"{mark} {MEANINGS[flag]}" for flag, mark in marks.items() if flag in held]
    add_note(figure, ";  ".join([*told, *also]))


def add_note(figure: Figure, note: str) -> None:
    """Write a note below the panels, above the legend if that is there too."""
    if not note:
        return
    lines = "\n".join(textwrap.wrap(note, characters(figure, CHARACTERS)))
    below = [one for one in figure.legends if getattr(one, "_outside_loc", None) == "lower"]
    if below:
        below[0].set_title(lines, prop=FontProperties(size=scaled(7.5)))
        below[0].get_title().set_color(GREY)
    else:
        figure.supxlabel(lines, fontsize=scaled(7.5), color=GREY)


def named(loss: str, rows: pd.DataFrame) -> str:
    """Return the name of a loss in a figure, with the marks of its rows of curves."""
    return called(loss) + marks_of(joined(rows["flags"]), OF_LOSS)


def marks_of(flags: str, marks: Mapping[str, str]) -> str:
    """Return the marks of some flags; only those in `marks`."""
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
    x: X = "level",
) -> None:
    """Draw the mark of each marked point above it, in the loss's colour."""
    shown = OF_POINT if x == "level" else OF_POINT | OF_LEVEL
    for row in rows.to_dict("records"):
        mark, y = marks_of(row["flags"], shown), row[value]
        if mark and pd.notna(y):
            ax.annotate(
                mark,
                (row[x], y),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=scaled(8),
                fontweight="bold",
                color=styles[row["loss"]].color,
                path_effects=HALO,
                zorder=3.5,
            )
