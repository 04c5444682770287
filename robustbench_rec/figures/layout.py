"""Layout: compute the positions in a figure once for all of its file formats.

Matplotlib computes positions again at each draw: the places of labels and titles depend on the
boxes of all tick labels, and measuring these boxes takes as long as drawing.
"""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PLACES: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")


def lay_out(figure: Figure) -> None:
    """Fix the layout of a finished figure, so that later saves reuse it."""
    FigureCanvasAgg(figure)  # measures each text once, for the layout and for a PNG
    for ax in figure.axes:
        _keep_title(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)  # else each file is drawn a first time for the layout alone
    for ax in figure.axes:
        _keep_label(ax.xaxis)
        _keep_label(ax.yaxis)


def _keep_title(ax: Axes) -> None:
    """Keep titles on top of their axes, where nothing else can be."""
    shown = ax.xaxis.get_tick_params()
    if not shown["top"] and not shown["labeltop"] and not _offset(ax.yaxis):
        for place in PLACES:
            if title := ax.get_title(loc=place):
                ax.set_title(title, loc=place, y=1.0)


def _keep_label(axis: Axis) -> None:
    """Keep a label beside its axis, without measuring tick labels again."""
    axis.get_tightbbox()  # moves the label
    if not _offset(axis):
        place = axis.label.get_transform().transform(axis.label.get_position())
        axis.set_label_coords(*axis.axes.transAxes.inverted().transform(place))
        for tick in axis.get_major_ticks():
            tick.label1.set_in_layout(False)


def _offset(axis: Axis) -> str:
    """Return the offset text that matplotlib writes at the end of an axis, or ""."""
    formatter = axis.get_major_formatter()
    formatter.format_ticks(axis.get_majorticklocs().tolist())
    return formatter.get_offset()
