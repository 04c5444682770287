"""Layout: the places of all that stands in a figure, found once for all of its files.

Matplotlib finds them again at each draw: where labels and titles go follows from the boxes of all
tick labels, and measuring these takes as long as drawing does.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def lay_out(figure: Figure) -> None:
    """Place all that stands in a figure that is drawn to its end; a file saved later keeps it."""
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
    """Leave a title at the left on top of its axes, where nothing else can stand."""
    title = ax.get_title(loc="left")
    if title and ax.xaxis.get_ticks_position() == "bottom" and not _offset(ax.yaxis):
        ax.set_title(title, loc="left", y=1.0)


def _keep_label(axis: Axis) -> None:
    """Leave a label where it is beside its axis, and measure no tick label again."""
    axis.get_tightbbox()  # moves the label
    if not _offset(axis):
        place = axis.label.get_transform().transform(axis.label.get_position())
        axis.set_label_coords(*axis.axes.transAxes.inverted().transform(place))
        for tick in axis.get_major_ticks():
            tick.label1.set_in_layout(False)


def _offset(axis: Axis) -> str:
    """Return what matplotlib writes at the end of an axis of tiny or very close values, or ""."""
    formatter = axis.get_major_formatter()
    formatter.format_ticks(axis.get_majorticklocs().tolist())
    return formatter.get_offset()
