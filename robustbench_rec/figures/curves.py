"""Degradation curves: frame -> Axes.

Figures are made without pyplot: the caller's figures, backend and settings stay as they are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
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

from robustbench_rec.analysis.degradation import intervals_text, split_floors
from robustbench_rec.evaluation.metrics import is_per_user, label
from robustbench_rec.figures.style import GREY, Look, floor_look, looks

Value = Literal["mean", "retention"]
FIGURE = ["dataset", "backbone", "perturbation", "metric"]
"""What one figure holds constant, but for floors, which stand beside every backbone."""
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
FLOOR: dict[str, Any] = {"linewidth": 0.8, "markersize": 2.6, "zorder": 1.6, "gid": "floor"}
"""How floors differ from losses."""
MARKER_SIZES = {"*": 8.5, "P": 7.0, "X": 7.0, "d": 6.5, "p": 6.0}
"""Points, where equal sizes would not look equal."""
RING = 1.5
"""Size of a published value's marker, relative to ours."""
JOINED: dict[str, Any] = {"linestyle": (0, (1, 2.5)), "linewidth": 0.7, "zorder": 1.5}
PUBLISHED = "_published"
"""Label of what is drawn of published values; a legend leaves out what begins with "_"."""


def draw_curves(
    curves: pd.DataFrame,
    ax: Axes | None = None,
    value: Value = "mean",
    among: Iterable[str] = (),
    published: pd.DataFrame | None = None,
) -> Axes:
    """Draw a line for each loss over level, with its interval.

    Losses are spread a little sidewise around each level, so that their intervals can be read
    where they overlap. The title says what the intervals are, and over how many replicates.

    Args:
        curves: rows of `degradation.curves` of one dataset, backbone, perturbation and metric.
            Floors may stand among them: they are thin grey lines beside the metric itself.
        ax: where to draw; the legend is then the caller's. Without it on a figure of its own,
            which is `.figure` of what is returned, with a legend.
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
    check_one_panel(curves)
    if ax is None:
        return _draw_alone(curves, value, among, published)
    trained, floors = split_floors(curves)
    styles = looks([*trained["loss"], *among])
    if value == "retention":
        ax.axhline(1, color=GREY, linewidth=0.8, zorder=1)
    else:
        _draw_floors(ax, floors)
    for loss, offset in offsets(trained).items():
        rows = trained[trained["loss"] == loss].sort_values("level")
        draw_line(ax, rows, value, styles[loss], offset, loss)
        if value == "mean":
            _draw_published(ax, of_panel(published, rows), styles[loss], offset)
    _dress(ax, trained, value)
    return ax


def _draw_alone(
    curves: pd.DataFrame, value: Value, among: Iterable[str], published: pd.DataFrame | None
) -> Axes:
    with page_style():
        figure = new_figure(PANEL_WIDTH)
        ax = draw_curves(curves, figure.add_subplot(), value, among, published)
        draw_legend(figure, ax)
    return ax


def check_one_panel(curves: pd.DataFrame) -> None:
    """Raise ValueError unless there is a curve, and every one is of one panel."""
    trained, _ = split_floors(curves)
    if trained.empty:
        raise ValueError("there is no curve to draw")
    for column in FIGURE:
        found = sorted((trained if column == "backbone" else curves)[column].unique())
        if len(found) > 1:
            raise ValueError(f"one panel shows one {column}, not {len(found)}: {', '.join(found)}")


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


def draw_line(
    ax: Axes, rows: pd.DataFrame, value: Value, style: Look, offset: float, name: str
) -> None:
    """Draw the curve of a loss, with its intervals, `offset` beside its levels."""
    x = rows["level"].to_numpy(dtype=np.float64) + offset
    low, high = ("low", "high") if value == "mean" else ("retention_low", "retention_high")
    ax.vlines(x, rows[low], rows[high], color=style.color, linewidth=1.3, alpha=0.8, zorder=2)
    ax.plot(x, rows[value], **line_style(style, name))


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


def _draw_floors(ax: Axes, floors: pd.DataFrame) -> None:
    """Draw what trains nothing below the losses, thin and grey."""
    for name, rows in floors.groupby("backbone", sort=True):
        ordered = rows.sort_values("level")
        style = floor_look(str(name))
        x = ordered["level"]
        bars = {"color": style.color, "linewidth": FLOOR["linewidth"], "zorder": FLOOR["zorder"]}
        ax.vlines(x, ordered["low"], ordered["high"], **bars)
        ax.plot(x, ordered["mean"], **line_style(style, str(name)) | FLOOR)


def of_panel(published: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the published values of the curve that `rows` are of."""
    if published is None or published.empty:
        return pd.DataFrame(columns=["source", "level", "value"])
    first = rows.iloc[0]
    same = (published[[*FIGURE, "loss"]] == first[[*FIGURE, "loss"]]).all(axis=1)
    return published[same]


def _draw_published(ax: Axes, rows: pd.DataFrame, style: Look, offset: float) -> None:
    """Draw published values of one loss: larger than ours, open and crossed, a line a source."""
    for _, part in rows.groupby("source", sort=False):
        ordered = part.sort_values("level")
        x = ordered["level"].to_numpy(dtype=np.float64) + offset
        if len(x) > 1:
            ax.plot(x, ordered["value"], color=style.color, label=PUBLISHED, **JOINED)
        for mark in published_marks(style.marker, style.color):
            ax.plot(x, ordered["value"], label=PUBLISHED, **mark)


def published_marks(marker: str, color: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how a published value is drawn: a ring of the loss's shape, and a cross in it."""
    size = RING * MARKER_SIZES.get(marker, MARKER_SIZE)
    both = {"linestyle": "", "markeredgecolor": color, "markeredgewidth": 0.7, "zorder": 2.5}
    ring = {"marker": marker, "markersize": size, "markerfacecolor": "none"}
    return both | ring, both | {"marker": "x", "markersize": size * 0.42}


def _dress(ax: Axes, curves: pd.DataFrame, value: Value) -> None:
    """Label axes, ticks and intervals."""
    metric = label(curves["metric"].iloc[0])
    set_level_axis(ax, curves)
    set_value_axis(ax.yaxis, percent=value == "retention")
    if value == "retention":
        ax.set_ylabel(f"{metric} relative to level 0")
        note = interval_note("Paired", curves["pairs"])
    else:
        ax.set_ylabel(metric)
        note = interval_note("Bars", curves["n"])
    ax.set_title(note, loc="left", color=GREY)


def set_level_axis(ax: Axes, curves: pd.DataFrame) -> None:
    """Say what the levels are, and mark each."""
    levels = np.unique(curves["level"])
    ax.set_xlabel("\n".join(textwrap.wrap(curves["unit"].iloc[0], 40)))
    ax.set_xticks(levels, _tick_labels(levels.tolist()))


def set_value_axis(axis: Axis, percent: bool) -> None:
    """Mark round values, as shares or as they are, with faint lines across."""
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.grid(visible=True, linewidth=0.4, color="0.88")
    axis.axes.set_axisbelow(True)
    if percent:
        axis.set_major_formatter(FuncFormatter(_percent))


def _percent(share: float, _: object) -> str:
    return f"{round(100 * share, 6):g}%"


def _tick_labels(levels: Sequence[float]) -> list[str]:
    """Print each level that has room for it beside the one printed before."""
    room = TICK_ROOM * (levels[-1] - levels[0])
    printed, last = [], -np.inf
    for level in levels:
        fits = level - last >= room
        printed.append(f"{level:g}" if fits else "")
        last = level if fits else last
    return printed


def interval_note(bars: str, counts: pd.Series[int]) -> str:
    """Say in words what the bars over so many replicates each are."""
    told = intervals_text(counts)
    note = f"{bars}: {told}" if counts.max() > 1 else told.capitalize()
    return "\n".join(textwrap.wrap(note, 46))


def draw_legend(figure: Figure, ax: Axes) -> None:
    """List the losses of `ax` beside it, ordered as the lines end, and then the floors.

    Many make the figure higher.
    """
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    crossed = any(line.get_label() == PUBLISHED for line in ax.get_lines())
    ends = np.array([np.asarray(line.get_ydata(), dtype=np.float64)[-1] for line in lines])
    apart = [line.get_gid() is not None for line in lines]
    order = np.lexsort((-np.nan_to_num(ends, nan=-np.inf), apart))
    handles: list[Any] = [lines[i] for i in order]
    names = [str(line.get_label()) for line in handles]
    if crossed:
        handles.append(tuple(Line2D([], [], **mark) for mark in published_marks("o", GREY)))
        names.append("published")
    rows = sum(1 + name.count("\n") for name in names)
    figure.set_figheight(max(figure.get_figheight(), LEGEND_LINE * (rows + 2)))
    figure.legend(
        handles=handles,
        labels=names,
        loc="outside right center",
        frameon=False,
        handlelength=3.2,
        labelspacing=0.5,
    )


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
    first = trained.iloc[0]
    retained = is_per_user(first["metric"]) and trained["retention"].notna().any()
    values: tuple[Value, ...] = ("mean", "retention") if retained else ("mean",)
    with page_style():
        figure = new_figure(WIDTH if len(values) == 2 else PANEL_WIDTH)
        axes = figure.subplots(1, len(values), squeeze=False)[0]
        for ax, value in zip(axes, values, strict=True):
            draw_curves(curves, ax, value, among, published)
        draw_legend(figure, axes[0])
        set_heading(figure, first)
    return figure


def draw_row(ax: Axes, row: Mapping[Any, Any] | pd.Series[Any], at: float, style: Look) -> None:
    """Draw the mean of a loss, with its interval, as the row `at`."""
    ax.hlines(at, row["low"], row["high"], color=style.color, linewidth=1.3)
    ax.plot(row["mean"], at, **line_style(style, row["loss"]) | {"linestyle": ""})


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
    figure.suptitle("\n".join(textwrap.wrap(heading, round(13 * figure.get_figwidth()))))
