"""Panels: what all kinds of figures share: the page's style, axes, lines and markers.

Figures are made without pyplot: the caller's figures, backend and settings stay as they are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from robustbench_rec.analysis.intervals import intervals_text
from robustbench_rec.analysis.panels import split_floors
from robustbench_rec.analysis.two_way import LEAST
from robustbench_rec.figures.style import GREY, Look

Value = Literal["mean", "retention"]
PANEL = ["dataset", "backbone", "perturbation", "metric"]
"""What one panel holds constant, but for floors, which stand beside every backbone."""
WIDTH, PANEL_WIDTH, HEIGHT, LEGEND_LINE = 7.2, 4.6, 2.9, 0.19
"""Inches: a figure of two panels over the full width of a page, or of one; a line of the legend."""
LEGEND_WRAP = 22
"""Characters of a line of the legend."""
TICK_ROOM = 0.12
"""Share of the axis that a printed level needs to itself."""
DODGE_OF_GAP, DODGE_OF_RANGE = 0.5, 0.06
"""Bounds on how far the losses of one level are spread: shares of the least distance of two levels,
and of the whole axis."""
MARKER_SIZE = 5.2
MARKER_SIZES = {"*": 8.5, "P": 7.0, "X": 7.0, "d": 6.5, "p": 6.0}
"""Points, where equal sizes would not look equal."""
RING = 1.5
"""Size of a published value's marker, relative to ours."""


def panels(curves: pd.DataFrame) -> dict[tuple[str, ...], pd.DataFrame]:
    """Return the curves of each panel that has a trained loss, by PANEL's values, sorted.

    Floors stand last in each panel of their data set, perturbation and metric.
    """
    trained, floors = split_floors(curves)
    shared = [column for column in PANEL if column != "backbone"]
    found = {}
    for key, panel in trained.groupby(PANEL, sort=True):
        beside = floors[(floors[shared] == panel[shared].iloc[0]).all(axis=1)]
        found[tuple(str(part) for part in key)] = pd.concat([panel, beside])
    return found


def check_one_panel(curves: pd.DataFrame) -> None:
    """Raise ValueError unless there is a curve, and every one is of one panel."""
    trained, _ = split_floors(curves)
    if trained.empty:
        raise ValueError("there is no curve to draw")
    for column in PANEL:
        found = sorted((trained if column == "backbone" else curves)[column].unique())
        if len(found) > 1:
            raise ValueError(f"one panel shows one {column}, not {len(found)}: {', '.join(found)}")


def of_panel(published: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the published values of the curve that `rows` are of."""
    if published is None or published.empty:
        return pd.DataFrame(columns=["source", "level", "value"])
    first = rows.iloc[0]
    same = (published[[*PANEL, "loss"]] == first[[*PANEL, "loss"]]).all(axis=1)
    return published[same]


def page_style() -> AbstractContextManager[None]:
    """Set fonts and lines for the figures made inside a `with`, and restore the caller's."""
    return mpl.rc_context(
        {
            "font.size": 9,
            "axes.labelsize": 9,
            "axes.titlesize": 8,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "legend.fontsize": 8.5,
            "figure.titlesize": 9.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.7,
            "figure.dpi": 200,
            "figure.autolayout": False,
            "figure.constrained_layout.use": False,  # `new_figure` names its layout
            "pdf.fonttype": 42,  # publishers refuse the default, Type 3
            "svg.hashsalt": "robustbench_rec",
        }
    )


def new_figure(width: float, height: float = HEIGHT) -> Figure:
    """Return an empty figure, in inches."""
    layout = ConstrainedLayoutEngine(wspace=0.05)
    return Figure(figsize=(width, height), layout=layout)


def offsets(curves: pd.DataFrame) -> dict[str, float]:
    """Return how far from its level each loss is drawn, centred on 0."""
    losses = sorted(curves["loss"].unique())
    levels = np.unique(curves["level"])
    gap = float(np.diff(levels).min()) if levels.size > 1 else 0.0
    room = min(DODGE_OF_GAP * gap, DODGE_OF_RANGE * float(np.ptp(levels)))
    places = np.linspace(-room / 2, room / 2, len(losses)) if len(losses) > 1 else [0.0]
    return {loss: float(place) for loss, place in zip(losses, places, strict=True)}


def draw_intervals(
    ax: Axes,
    curves: pd.DataFrame,
    value: Value,
    styles: Mapping[str, Look],
    places: Mapping[str, float],
) -> None:
    """Draw the intervals of all losses of a panel, `places` of these beside the levels."""
    rows = curves.sort_values(["loss", "level"])
    low, high = ("low", "high") if value == "mean" else ("retention_low", "retention_high")
    losses = rows["loss"].tolist()
    ax.vlines(
        rows["level"].to_numpy() + [places[loss] for loss in losses],
        rows[low].to_numpy(),
        rows[high].to_numpy(),
        colors=[styles[loss].color for loss in losses],
        linewidth=1.3,
        alpha=0.8,
        zorder=2,
    )


def draw_line(
    ax: Axes, rows: pd.DataFrame, value: Value, style: Look, offset: float, name: str
) -> Line2D:
    """Draw the curve of a loss, `offset` beside its levels; return its line."""
    x = rows["level"].to_numpy(dtype=np.float64) + offset
    (line,) = ax.plot(x, rows[value].to_numpy(), **line_style(style, name))
    return line


def line_style(style: Look, name: str) -> dict[str, Any]:
    """Return how the line of a loss is drawn, and called in the legend."""
    return {
        "color": style.color,
        "linestyle": style.linestyle,
        "linewidth": 1.2,
        "marker": style.marker,
        "fillstyle": style.fill,
        "markerfacecoloralt": "white",
        "markersize": MARKER_SIZES.get(style.marker, MARKER_SIZE),
        "markeredgecolor": "white" if style.fill == "full" else style.color,
        "markeredgewidth": 0.4 if style.fill == "full" else 0.8,
        "label": "\n".join(textwrap.wrap(name, LEGEND_WRAP)),
        "zorder": 3,
    }


def draw_row(ax: Axes, row: Mapping[Any, Any] | pd.Series[Any], at: float, style: Look) -> Line2D:
    """Draw the mean of a loss, with its interval, as the row `at`; return its marker."""
    ax.hlines(at, row["low"], row["high"], color=style.color, linewidth=1.3)
    (mark,) = ax.plot(row["mean"], at, **line_style(style, row["loss"]) | {"linestyle": ""})
    return mark


def draw_published(ax: Axes, x: Any, y: Any, marker: str, color: str) -> list[Line2D]:
    """Draw published values: larger than ours, open and crossed; return their marks."""
    return [line for mark in _published_marks(marker, color) for line in ax.plot(x, y, **mark)]


def published_sample() -> tuple[Line2D, ...]:
    """Return what stands for all published values in a legend."""
    return tuple(Line2D([], [], **mark) for mark in _published_marks("o", GREY))


def _published_marks(marker: str, color: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how a published value is drawn: a ring of the loss's shape, and a cross in it."""
    size = RING * MARKER_SIZES.get(marker, MARKER_SIZE)
    both = {"linestyle": "", "markeredgecolor": color, "markeredgewidth": 0.7, "zorder": 2.5}
    ring = {"marker": marker, "markersize": size, "markerfacecolor": "none"}
    return both | ring, both | {"marker": "x", "markersize": size * 0.42}


def set_level_axis(
    ax: Axes, curves: pd.DataFrame, marks: Mapping[float, str] = MappingProxyType({})
) -> None:
    """Say what the levels are, and name each, with its mark where it has one."""
    levels = np.unique(curves["level"]).tolist()
    ax.set_xlabel("\n".join(textwrap.wrap(curves["unit"].iloc[0], 40)))
    names = zip(levels, _tick_labels(levels), strict=True)
    ax.set_xticks(levels, [name + marks.get(level, "") for level, name in names])


def _tick_labels(levels: Sequence[float]) -> list[str]:
    """Print each level that has room for it beside the one printed before."""
    room = TICK_ROOM * (levels[-1] - levels[0])
    printed, last = [], -np.inf
    for level in levels:
        fits = level - last >= room
        printed.append(f"{level:g}" if fits else "")
        last = level if fits else last
    return printed


def set_value_axis(axis: Axis, percent: bool) -> None:
    """Mark round values, as shares or as they are, with faint lines across."""
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.grid(visible=True, linewidth=0.4, color="0.88")
    axis.axes.set_axisbelow(True)
    if percent:
        axis.set_major_formatter(FuncFormatter(_percent))


def _percent(share: float, _: object) -> str:
    return f"{round(100 * share, 6):g}%"


def interval_note(bars: str, rows: pd.DataFrame, n: str = "n") -> str:
    """Say in words what the bars of some rows are.

    Args:
        bars: what to call them.
        rows: of `degradation.curves` or `degradation.means`.
        n: the column that says over how many replicates each is.

    """
    first = rows.iloc[0]
    told = intervals_text(rows[n], first["replicates"], bool(first["users"]))
    drawn = bool(rows["users"].any()) or rows[n].max() >= LEAST
    note = f"{bars}: {told}" if drawn else told.capitalize()
    return "\n".join(textwrap.wrap(note, 46))


def rows_height(losses: Sequence[str] | pd.Series[str], lines: float) -> float:
    """Return the inches that losses take as rows, of so many lines where a name has one alone."""
    longest = max(name.count("\n") for name in wrapped(losses))
    return LEGEND_LINE * (lines + longest / 2) * len(losses)


def wrapped(losses: Iterable[str]) -> list[str]:
    """Return the names of losses, over several lines where they are long."""
    return ["\n".join(textwrap.wrap(loss, LEGEND_WRAP)) for loss in losses]


def set_heading(figure: Figure, row: pd.Series[Any], what: str = "") -> None:
    """Say of what data, backbone and perturbation a figure is."""
    heading = f"{row['dataset']}, {row['backbone']}: {row['perturbation']}{what}"
    if row.get("selection") == "noisy":
        heading += "; epochs chosen on noisy validation"
    figure.suptitle("\n".join(textwrap.wrap(heading, round(13 * figure.get_figwidth()))))
