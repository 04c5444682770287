"""Degradation curves: a metric against level, a line for each loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import is_per_user, label
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import HALO, draw_marks, draw_note, marks_of_levels, named
from robustbench_rec.figures.names import called
from robustbench_rec.figures.page import page, scaled
from robustbench_rec.figures.panel import (
    HEIGHT,
    PANEL_WIDTH,
    WIDTH,
    Value,
    X,
    check_one_panel,
    draw_intervals,
    draw_line,
    draw_published,
    interval_note,
    is_narrow,
    line_style,
    new_figure,
    of_panel,
    only_drawn,
    page_style,
    panels,
    set_heading,
    set_level_axis,
    set_value_axis,
    span_of,
)
from robustbench_rec.figures.style import GREY, Look, baseline_look, in_order, looks

BASELINE: dict[str, Any] = {"linewidth": 0.8, "markersize": 2.6, "zorder": 1.6}
"""Style of baselines, where it differs from losses."""
FAR = 0.25
"""Largest distance of a drawn baseline from the losses, as a share of the losses' range."""
JOINED: dict[str, Any] = {"linestyle": (0, (1, 2.5)), "linewidth": 0.7, "zorder": 1.5}
"""Style of the line through published values of one source."""
ASKED: dict[str, Value] = {
    "absolute": "mean",
    "retention": "retention",
    "excess": "excess",
    "rank": "rank",
}


class Drawn(NamedTuple):
    """The lines of a panel of curves, for its legend, and notes on what the panel leaves out."""

    losses: list[Line2D]
    """A line for each loss, in the order of `style.in_order`."""
    baselines: list[Line2D]
    published: list[Line2D]
    """The markers of published values, and the lines through them."""
    told: list[str]


def drawings(frames: Frames, asked: Asked = Asked()) -> list[Drawing]:  # noqa: B008  # frozen
    """Return a figure for each panel (dataset, backbone, perturbation, metric) of many levels.

    Each figure shows the baselines of its data set and perturbation.
    """
    values = (ASKED[asked.value],) if asked.value else ()
    return [
        Drawing(
            key,
            draw_figure,
            (_with_x(panel, asked.x), frames.losses, frames.published, values, asked.x),
            table_of,
        )
        for key, panel in panels(frames.curves).items()
        if panel["level"].nunique() > 1 and _is_known(panel, values)
    ]


def _is_known(panel: pd.DataFrame, values: Sequence[Value]) -> bool:
    """Say whether a panel has any value to draw; a metric of lists has no retention."""
    trained, _ = split_baselines(panel)
    return all(value == "rank" or trained[value].notna().any() for value in values)


def _with_x(panel: pd.DataFrame, x: X) -> pd.DataFrame:
    """Return the panel; InputError if `x` is "realised" and the realised levels are not known."""
    trained, _ = split_baselines(panel)
    if x == "realised" and trained["realised"].isna().any():
        first = trained.iloc[0]
        raise InputError(
            f"--x realised: {first['perturbation']} on {first['dataset']} has no known "
            "realised levels; use --x level, or leave it out by --perturbation or --dataset"
        )
    return panel


def table_of(
    curves: pd.DataFrame,
    among: Iterable[str] = (),
    published: pd.DataFrame | None = None,
    values: Sequence[Value] = (),
    x: X = "level",
) -> pd.DataFrame:
    """Return the rows that `draw_figure` draws; published values are rows with a `source`."""
    trained, baselines = split_baselines(curves)
    drawn = _drawn_values(trained, values)
    shown = [with_ranks(trained) if "rank" in drawn else trained]
    if "mean" in drawn:
        shown.append(baselines)
    if "mean" in drawn and x == "level":
        beside = [of_panel(published, rows) for _, rows in trained.groupby("loss", sort=True)]
        shown += [rows.rename(columns={"value": "mean"}) for rows in beside]
    table = pd.concat([rows for rows in shown if len(rows)], ignore_index=True)
    return only_drawn(table, drawn)


def _drawn_values(trained: pd.DataFrame, values: Sequence[Value]) -> Sequence[Value]:
    """Return the value of each panel of a figure."""
    if values:
        return values
    retained = is_per_user(trained["metric"].iloc[0]) and trained["retention"].notna().any()
    return ("mean", "retention") if retained else ("mean",)


def with_ranks(curves: pd.DataFrame) -> pd.DataFrame:
    """Add `rank`, the place of each loss by its mean at a level, 1 for the highest.

    Where one loss has no value at a level, no loss has a rank there: the others would look better.
    """
    n = curves["loss"].nunique()
    whole = curves.groupby("level")["mean"].transform("count") == n
    ranks = curves.groupby("level")["mean"].rank(ascending=False)
    return curves.assign(rank=ranks.where(whole))


def draw_curves(
    curves: pd.DataFrame,
    ax: Axes | None = None,
    value: Value = "mean",
    among: Iterable[str] = (),
    published: pd.DataFrame | None = None,
    x: X = "level",
) -> Axes:
    """Draw a line for each loss over level, with its interval.

    Markers are at their level and intervals beside them, so that overlapping intervals stay
    readable. The title names the intervals and the number of replicates. Daggers mark points and
    levels that are flagged in the results; see `marks`.

    Args:
        curves: rows of `degradation.curves` of one dataset, backbone, perturbation and metric.
            Baselines are thin grey lines on the panel of the metric itself if they are near the
            losses; otherwise a note below the figure gives their values.
        ax: where to draw; the caller then adds the legend and the note on marks. If None, a new
            figure with both is made: `.figure` of the result.
        value: the metric itself; its retention relative to level 0, or the retained lead over
            popularity, with a line at 100%; or the rank by the metric.
        among: all losses of the related figures, so that a variant of a loss looks the same in
            all of them.
        published: values to draw beside the metric itself, as open markers, those of one source
            joined over levels: columns `dataset, backbone, perturbation, metric, loss, level,
            value, source`, under the averaging of `curves`. Rows of other panels and of losses
            that `curves` lacks are left out.
        x: the requested levels, or the mean realised levels.

    Raises:
        ValueError: no rows, or rows of more than one panel.

    """
    if ax is not None:
        draw_panel(ax, curves, value, among, published, x)
        return ax
    with page_style():
        figure = new_figure(PANEL_WIDTH)
        ax = figure.add_subplot()
        _finish(figure, curves, [draw_panel(ax, curves, value, among, published, x)])
    return ax


def draw_figure(
    curves: pd.DataFrame,
    among: Iterable[str] = (),
    published: pd.DataFrame | None = None,
    values: Sequence[Value] = (),
    x: X = "level",
) -> Figure:
    """Draw a metric against level, and its retention relative to level 0 beside it.

    A metric of whole lists, such as coverage, and a run without level 0 have the first panel only.

    Args:
        curves: as for `draw_curves`.
        among: as for `draw_curves`.
        published: as for `draw_curves`.
        values: the `value` of each panel, as for `draw_curves`; the two above if empty.
        x: as for `draw_curves`.

    """
    check_one_panel(curves)
    trained, _ = split_baselines(curves)
    first, among = trained.iloc[0], list(among)
    shown = _drawn_values(trained, values)
    width = WIDTH if len(shown) > 1 else PANEL_WIDTH
    rows = len(shown) if is_narrow(width) else 1
    with page_style():
        figure = new_figure(width, rows * HEIGHT)
        axes = figure.subplots(rows, len(shown) // rows, squeeze=False).ravel().tolist()
        drawn = [
            draw_panel(ax, curves, value, among, published, x)
            for ax, value in zip(axes, shown, strict=True)
        ]
        _finish(figure, curves, drawn, _take_common_note(axes))
        set_heading(figure, first)
    return figure


def _take_common_note(axes: Sequence[Axes]) -> list[str]:
    """Remove the note on intervals that all panels share, and return it for below the figure."""
    notes = {" ".join(ax.get_title(loc="left").split()) for ax in axes}
    if len(axes) < 2 or len(notes) > 1:
        return []
    for ax in axes:
        ax.set_title("", loc="left")
    return [*notes]


def draw_panel(
    ax: Axes,
    curves: pd.DataFrame,
    value: Value = "mean",
    among: Iterable[str] = (),
    published: pd.DataFrame | None = None,
    x: X = "level",
) -> Drawn:
    """Draw as `draw_curves` does, without a legend; return the entries of a legend.

    Args:
        ax: where to draw.
        curves: as for `draw_curves`.
        value: as for `draw_curves`.
        among: as for `draw_curves`.
        published: as for `draw_curves`.
        x: as for `draw_curves`.

    Raises:
        ValueError: no rows, or rows of more than one panel.

    """
    check_one_panel(curves)
    trained, baselines = split_baselines(curves)
    trained = trained.sort_values("level")
    if value == "rank":
        trained = with_ranks(trained)
    styles = looks([*trained["loss"].unique(), *among])
    drawn = Drawn([], [], [], _unranked(trained) if value == "rank" else [])
    if value in ("retention", "excess"):
        ax.axhline(1, color=GREY, linewidth=0.8, zorder=1)
    draw_intervals(ax, trained, value, styles, x)
    for loss in in_order(trained["loss"]):
        rows = trained[trained["loss"] == loss].sort_values(x)
        drawn.losses.append(draw_line(ax, rows, value, styles[loss], named(loss, rows), x))
        if value == "mean" and x == "level":
            drawn.published.extend(_draw_sources(ax, of_panel(published, rows), styles[loss]))
    if value == "mean":
        drawn.baselines.extend(_draw_baselines(ax, baselines, trained, x, drawn.told))
    _limit_axis(ax, trained, value)
    draw_marks(ax, trained, value, styles, x)
    _label_axes(ax, trained, value, x)
    return drawn


def _finish(
    figure: Figure, curves: pd.DataFrame, drawn: Sequence[Drawn], also: Sequence[str] = ()
) -> None:
    """Add the legend, and below the panels `also` and the notes of each panel."""
    first = drawn[0]
    draw_legend(figure, first.losses, published=any(one.published for one in drawn))
    draw_note(figure, curves, [*also, *(told for one in drawn for told in one.told)])


def _unranked(trained: pd.DataFrame) -> list[str]:
    """Name the levels without ranks."""
    lacking = trained.groupby("level")["rank"].apply(lambda ranks: ranks.isna().any())
    levels = ", ".join(f"{level:g}" for level in lacking[lacking].index)
    return [f"no rank at level {levels}, where a loss has no value"] if levels else []


def _limit_axis(ax: Axes, trained: pd.DataFrame, value: Value) -> None:
    """Keep an axis from magnifying tiny differences, and apply the limits of the page."""
    given = {metric: ends for metric, *ends in page().limits}
    metric = trained["metric"].iloc[0]
    if value == "mean" and metric in given:
        ax.set_ylim(*given[metric])
    elif value == "rank":
        ax.set_ylim(trained["loss"].nunique() + 0.5, 0.5)
        ax.yaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    else:
        low, high = span_of(ax.dataLim.intervaly)
        ax.update_datalim([(ax.dataLim.x0, low), (ax.dataLim.x0, high)], updatex=False)
        ax.autoscale_view(scalex=False)


def _draw_baselines(
    ax: Axes, baselines: pd.DataFrame, trained: pd.DataFrame, x: X, told: list[str]
) -> list[Line2D]:
    """Draw the baselines behind the losses, thin and grey, and return their lines.

    A baseline far from the losses would squeeze them: its value goes into `told` instead.
    """
    least, most = span_of(trained[["mean", "low", "high"]].to_numpy(dtype=np.float64).ravel())
    room, lines = FAR * (most - least), []
    for name, rows in baselines.groupby("backbone", sort=True):
        ordered = rows.sort_values("level")
        low, high = float(ordered["mean"].min()), float(ordered["mean"].max())
        if low < least - room or high > most + room:
            where = "below" if low < least - room else "above"
            told.append(f"{where} the axis: {called(str(name))}, {_range(low, high)}")
            continue
        style = baseline_look(str(name))
        places = ordered["level" if ordered[x].isna().any() else x]
        bars = {
            "color": style.color,
            "linewidth": BASELINE["linewidth"],
            "zorder": BASELINE["zorder"],
        }
        ax.vlines(places, ordered["low"], ordered["high"], **bars)
        lines += ax.plot(places, ordered["mean"], **line_style(style, called(str(name))) | BASELINE)
        _name_baseline(ax, lines[-1])
    return lines


def _range(low: float, high: float) -> str:
    ends = f"{low:.3g}", f"{high:.3g}"
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _name_baseline(ax: Axes, line: Line2D) -> None:
    """Write the name at the left end of a baseline's line, which is not in the legend."""
    ax.annotate(
        str(line.get_label()),
        (np.asarray(line.get_xdata())[0], np.asarray(line.get_ydata())[0]),
        xytext=(3, 1),
        textcoords="offset points",
        va="bottom",
        fontsize=scaled(6.5),
        color=line.get_color(),
        path_effects=HALO,
        zorder=1.7,
    )


def _draw_sources(ax: Axes, rows: pd.DataFrame, style: Look) -> list[Line2D]:
    """Draw published values of one loss, joined within a source; return all lines."""
    lines = []
    for _, part in rows.groupby("source", sort=False):
        ordered = part.sort_values("level")
        x = ordered["level"].to_numpy(dtype=np.float64)
        if len(x) > 1:
            lines += ax.plot(x, ordered["value"], color=style.color, **JOINED)
        lines += draw_published(ax, x, ordered["value"], style.color)
    return lines


def _label_axes(ax: Axes, curves: pd.DataFrame, value: Value, x: X) -> None:
    """Label axes, ticks and intervals."""
    metric = label(curves["metric"].iloc[0])
    set_level_axis(ax, curves, marks_of_levels(curves), x)
    if value != "rank":
        set_value_axis(ax.yaxis, percent=value in ("retention", "excess"))
    says = {
        "mean": metric,
        "retention": f"{metric} relative\nto level 0",
        "excess": f"{metric}: retained share of\nthe lead over popularity",
        "rank": f"rank by {metric}\namong {curves['loss'].nunique()} losses",
    }
    ax.set_ylabel(says[value])
    if value == "rank":
        ax.set_title("Of means over replicates; no interval", loc="left", color=GREY)
        return
    note = interval_note("Bars", curves, "n" if value == "mean" else "pairs")
    ax.set_title(note, loc="left", color=GREY)


KIND = Kind(
    "a metric against level, a line for each loss, beside its retention",
    drawings,
    takes=frozenset({"value", "x"}),
    asked_for=False,
)
