"""Panels: the parts that all kinds of figures share: page style, axes, lines and markers.

Figures are made without pyplot, so that the caller's figures, backend and settings do not change.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from robustbench_rec.analysis.intervals import REPLICATES, intervals_text
from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.analysis.two_way import LEAST
from robustbench_rec.figures.names import called, plain
from robustbench_rec.figures.page import BASE, NARROW, page, scaled
from robustbench_rec.figures.style import GREY, Look, in_order

Value = Literal["mean", "retention", "excess", "rank"]
X = Literal["level", "realised"]
COLUMNS: dict[str, tuple[str, ...]] = {
    "mean": ("mean", "low", "high"),
    "drop": ("drop", "drop_low", "drop_high"),
    "retention": ("retention", "retention_low", "retention_high"),
    "excess": ("excess", "excess_low", "excess_high"),
    "rank": ("rank",),
}
"""The columns of each value of a curve."""
PANEL = ["dataset", "backbone", "perturbation", "metric"]
"""Constant within one panel, except the backbone of baselines, which are beside every backbone."""
WIDTH, PANEL_WIDTH, HEIGHT, LEGEND_LINE = 7.2, 4.6, 2.9, 0.19
"""Inches: a figure of two panels over the full page width, or of one; a line of the legend."""
LEGEND_WRAP = 22
"""Characters of a line of the legend."""
SEEDS_ONLY = "seeds only, one split"
"""Name of replicates in intervals without users."""
NOTE_WRAP = 46
"""Characters of a line above a panel."""
TICK_ROOM = 0.12
"""Share of the axis that a printed level needs."""
BESIDE, STEP = 3.6, 1.7
"""Points from a marker to the first interval beside it, and from one interval to the next."""
MARGIN = 0.07
"""Share of an axis on either side of its levels, for the intervals there."""
ROOM = 130.0
"""Points of an axis that intervals may fill to a half."""
LEAST_SPAN = 0.1
"""Least span of an axis of values, as a share of the largest: tiny differences must look tiny."""
MARKER_SIZE = 5.2
MARKER_SIZES = {"*": 8.5, "P": 7.0, "X": 7.0, "d": 6.5, "p": 6.0}
"""Sizes in points of markers whose default size looks too small or large."""
RING = 7.8
"""Points of a published value's ring, larger than any marker of ours."""
END = 9.0
"""Points of the end of an interval across a row."""


def panels(curves: pd.DataFrame) -> dict[tuple[str, ...], pd.DataFrame]:
    """Return the curves of each panel that has a trained loss, by the values of PANEL, sorted.

    Baselines come last in each panel of their data set, perturbation and metric.
    """
    trained, baselines = split_baselines(curves)
    shared = [column for column in PANEL if column != "backbone"]
    found = {}
    for key, panel in trained.groupby(PANEL, sort=True):
        beside = baselines[(baselines[shared] == panel[shared].iloc[0]).all(axis=1)]
        found[tuple(str(part) for part in key)] = pd.concat([panel, beside])
    return found


def check_one_panel(curves: pd.DataFrame) -> None:
    """Raise ValueError unless there is a curve and all curves are of one panel."""
    trained, _ = split_baselines(curves)
    if trained.empty:
        raise ValueError("there is no curve to draw")
    for column in PANEL:
        found = sorted((trained if column == "backbone" else curves)[column].unique())
        if len(found) > 1:
            raise ValueError(f"one panel shows one {column}, not {len(found)}: {', '.join(found)}")


def of_panel(published: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the published values of the curve of `rows`."""
    if published is None or published.empty:
        return pd.DataFrame(columns=["source", "level", "value"])
    first = rows.iloc[0]
    same = (published[[*PANEL, "loss"]] == first[[*PANEL, "loss"]]).all(axis=1)
    return published[same]


SIZES = {
    "axes.labelsize": 9,
    "axes.titlesize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "figure.titlesize": 9.5,
}
"""Font sizes in points, on a page of `page.BASE`."""


LINES = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "figure.dpi": 200,
    "pdf.fonttype": 42,  # publishers refuse the default, Type 3
    "svg.hashsalt": "robustbench_rec",
}
LAYOUT = {"figure.autolayout": False, "figure.constrained_layout.use": False}
"""Settings that no style file changes: `new_figure` sets the layout."""


def page_style() -> AbstractContextManager[None]:
    """Set fonts and lines for the figures made inside a `with`, and restore the caller's."""
    style = page().styled
    if page().font_size is not None:
        style = {name: to for name, to in style.items() if name not in {"font.size", *SIZES}}
    settings: dict[Any, Any] = {
        "font.size": page().letters,
        "font.sans-serif": _installed(*mpl.rcParams["font.sans-serif"]),
    }
    settings |= {name: scaled(size) for name, size in SIZES.items()} | LINES | dict(style)
    return mpl.rc_context(settings | LAYOUT)


@cache
def _installed(*families: str) -> list[str]:
    """Return the installed families: matplotlib looks for the others again at each text."""
    names = frozenset(get_font_names())
    return [family for family in families if family in names] or [*families]


def only_drawn(table: pd.DataFrame, values: Sequence[Value]) -> pd.DataFrame:
    """Return a table of curves without the columns of values that a figure does not draw."""
    hidden = [name for value in COLUMNS if value not in values for name in COLUMNS[value]]
    return table.drop(columns=hidden, errors="ignore")


def new_figure(width: float, height: float = HEIGHT) -> Figure:
    """Return an empty figure; sizes in inches; as wide as the page if the page has a width."""
    layout = ConstrainedLayoutEngine(wspace=0.05)
    return Figure(figsize=(page().width or width, scaled(height)), layout=layout)


def is_narrow(width: float) -> bool:
    """Say whether the page is too narrow for panels side by side in a figure of this width."""
    return (page().width or width) < min(scaled(NARROW), width)


def beside(losses: Iterable[str], n_levels: int) -> dict[str, float]:
    """Return the distance in points between the marker and the interval of each loss."""
    names = in_order(losses)
    most = ROOM / 2 / max(n_levels, 1) / 2
    step = min(STEP, max(most - BESIDE, 0.5) / max(len(names) // 2, 1))
    places = {}
    for at, loss in enumerate(names):
        side, steps = (1, at // 2) if at % 2 == 0 else (-1, at // 2)
        places[loss] = side * (BESIDE + step * steps)
    return places


def draw_intervals(
    ax: Axes, curves: pd.DataFrame, value: Value, styles: Mapping[str, Look], x: X = "level"
) -> None:
    """Draw the intervals of all losses of a panel beside their markers, none behind a marker."""
    if value == "rank":
        return
    low, high = ("low", "high") if value == "mean" else (f"{value}_low", f"{value}_high")
    places = beside(curves["loss"].unique(), curves["level"].nunique())
    for loss, rows in curves.groupby("loss", sort=True):
        aside = ScaledTranslation(places[str(loss)] / 72, 0, ax.figure.dpi_scale_trans)
        ax.vlines(
            rows[x].to_numpy(),
            rows[low].to_numpy(),
            rows[high].to_numpy(),
            colors=styles[str(loss)].color,
            linewidth=1.1,
            zorder=2,
            transform=ax.transData + aside,
            clip_on=False,
        )
        ends = rows[[low, high]].to_numpy(dtype=np.float64)
        ax.update_datalim(np.column_stack([np.tile(rows[x], 2), ends.T.ravel()]), updatex=False)
    ax.margins(x=MARGIN)


def draw_line(
    ax: Axes, rows: pd.DataFrame, value: Value, style: Look, name: str, x: X = "level"
) -> Line2D:
    """Draw the curve of a loss with markers at the values of `x`; return its line."""
    places = rows[x].to_numpy(dtype=np.float64)
    (line,) = ax.plot(places, rows[value].to_numpy(), **line_style(style, name))
    return line


def line_style(style: Look, name: str) -> dict[str, Any]:
    """Return the line style of a loss, and its name in the legend."""
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
    """Draw the mean of a loss as the row `at`, with its interval; return its marker.

    The ends of the interval are higher than the marker, so that the marker does not hide them.
    """
    ax.hlines(at, row["low"], row["high"], color=style.color, linewidth=1.3)
    if np.isfinite([row["low"], row["high"]]).all():
        ends = [row["low"], row["high"]]
        ax.plot(ends, [at, at], "|", color=style.color, markersize=END, label="_ends")
    name = called(str(row["loss"]))
    (mark,) = ax.plot(row["mean"], at, **line_style(style, name) | {"linestyle": ""})
    return mark


def draw_published(ax: Axes, x: Any, y: Any, color: str) -> list[Line2D]:
    """Draw published values as crossed rings, larger than our markers; return their artists."""
    return [line for mark in _published_marks(color) for line in ax.plot(x, y, **mark)]


def published_sample() -> tuple[Line2D, ...]:
    """Return the legend entry of all published values."""
    return tuple(Line2D([], [], **mark) for mark in _published_marks(GREY))


def _published_marks(color: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the style of a published value: a ring, and a cross in it."""
    both = {"linestyle": "", "markeredgecolor": color, "markeredgewidth": 0.7, "zorder": 2.5}
    ring = {"marker": "o", "markersize": RING, "markerfacecolor": "none"}
    return both | ring, both | {"marker": "x", "markersize": RING * 0.42}


def set_level_axis(
    ax: Axes,
    curves: pd.DataFrame,
    marks: Mapping[float, str] = MappingProxyType({}),
    x: X = "level",
) -> None:
    """Label the axis of levels and each level, with its mark if it has one.

    On a logarithmic axis level 0 is at the left end, a factor of ten away from the first level.
    """
    unit = plain(str(curves["unit"].iloc[0]))
    across = ax.figure.bbox.width / ax.figure.dpi / _columns(ax)
    width = round(11 * across * BASE / page().letters)
    ax.set_xlabel("\n".join(textwrap.wrap(unit, max(min(width, 40), 12))))
    levels = np.unique(curves[x].dropna()).tolist()
    positive = [level for level in levels if level > 0]
    if page().log_x and positive:
        ax.set_xscale("symlog", linthresh=positive[0])
        ax.xaxis.set_minor_locator(NullLocator())
        _set_ends(ax, levels)
    if x == "realised":
        ax.set_xlabel(f"{ax.get_xlabel()}\n(realised)")
        return
    at = ax.xaxis.get_transform().transform(np.array(levels))
    names = zip(levels, _tick_labels(levels, at.tolist()), strict=True)
    ax.set_xticks(levels, [name + marks.get(level, "") for level, name in names])


def _set_ends(ax: Axes, levels: Sequence[float]) -> None:
    """Leave as much room beside the levels of a scaled axis as beside those of a plain one."""
    scale = ax.xaxis.get_transform()
    first, last = scale.transform(np.array([levels[0], levels[-1]])).tolist()
    room = MARGIN * (last - first)
    if room:
        ax.set_xlim(*scale.inverted().transform(np.array([first - room, last + room])).tolist())


def _columns(ax: Axes) -> int:
    """Return the number of panels in the row of this panel."""
    spec = ax.get_subplotspec()
    return spec.get_gridspec().ncols if spec else 1


def _tick_labels(levels: Sequence[float], places: Sequence[float]) -> list[str]:
    """Print the last level, and each other that has room beside those printed on both sides."""
    room = TICK_ROOM * (places[-1] - places[0])
    printed, before = [], -np.inf
    for level, place in zip(levels, places, strict=True):
        is_last = place == places[-1]
        fits = is_last or (place - before >= room and places[-1] - place >= room)
        printed.append(f"{level:g}" if fits else "")
        before = place if fits else before
    return printed


def span_of(values: Iterable[float]) -> tuple[float, float]:
    """Return the least and largest value as ends of an axis, widened if closer than LEAST_SPAN."""
    finite = [one for one in values if np.isfinite(one)]
    if not finite:
        return 0.0, 1.0
    least, most = min(finite), max(finite)
    lacks = (LEAST_SPAN * max(abs(least), abs(most)) or 1.0) - (most - least)
    return (least - lacks / 2, most + lacks / 2) if lacks > 0 else (least, most)


def set_value_axis(axis: Axis, percent: bool) -> None:
    """Label round values, as percentages or plain numbers, with faint grid lines."""
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.grid(visible=True, linewidth=0.4, color="0.88")
    axis.axes.set_axisbelow(True)
    if percent:
        axis.set_major_formatter(FuncFormatter(_percent))


def _percent(share: float, _: object) -> str:
    return f"{round(100 * share, 6):g}%"


def interval_note(bars: str, rows: pd.DataFrame, n: str = "n") -> str:
    """Describe in words the bars of some rows.

    Args:
        bars: the name of the bars.
        rows: of `degradation.curves` or `degradation.means`.
        n: the column with the number of replicates.

    """
    first = rows.iloc[0]
    told = intervals_text(rows[n], first["replicates"], bool(first["users"]))
    if not rows["users"].any():
        told = told.replace(REPLICATES["training"], SEEDS_ONLY)
    drawn = bool(rows["users"].any()) or rows[n].max() >= LEAST
    note = f"{bars}: {told}" if drawn else told.capitalize()
    return "\n".join(textwrap.wrap(note, NOTE_WRAP))


def rows_height(losses: Sequence[str] | pd.Series[str], lines: float) -> float:
    """Return the height in inches of losses as rows; a one-line name takes `lines` lines."""
    longest = max(name.count("\n") for name in wrapped(losses))
    return LEGEND_LINE * (lines + longest / 2) * len(losses)


def wrapped(losses: Iterable[str]) -> list[str]:
    """Return the names of losses, long names over several lines."""
    return ["\n".join(textwrap.wrap(called(loss), LEGEND_WRAP)) for loss in losses]


def set_heading(figure: Figure, row: pd.Series[Any], what: str = "") -> None:
    """Write the data set, backbone and perturbation of a figure above it."""
    if not page().title:
        return
    dataset, backbone, under = (called(str(row[axis])) for axis in PANEL[:3])
    heading = f"{dataset}, {backbone}: {under}{what}"
    if row.get("selection") == "noisy":
        heading += "; epochs chosen on noisy validation"
    figure.suptitle("\n".join(textwrap.wrap(heading, characters(figure, 13))))


def characters(figure: Figure, on_an_inch: float) -> int:
    """Return the number of characters on a line of a figure, in letters of BASE points."""
    return max(round(on_an_inch * figure.get_figwidth() * BASE / page().letters), 12)
