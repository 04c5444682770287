"""Figures of the diagnostics: how each loss weighs its negatives, by level and along training.

Diagnostics are measured on a probe batch that is the same for every loss, for any number of
training negatives. Effective share and divergences cover the rows that have any weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robustbench_rec.analysis import degradation
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import add_note
from robustbench_rec.figures.names import BY_LEVEL, EVEN, ON_FALSE, PUSH, called
from robustbench_rec.figures.panel import (
    HEIGHT,
    WIDTH,
    draw_intervals,
    draw_line,
    draw_row,
    interval_note,
    is_narrow,
    line_style,
    new_figure,
    page_style,
    rows_height,
    set_heading,
    set_level_axis,
    set_value_axis,
    wrapped,
)
from robustbench_rec.figures.style import GREY, Look, in_order, looks

FIGURE = ["dataset", "backbone", "perturbation"]
"""Constant within one figure."""
MOST_PANELS = 6
"""A figure shows the first six measured diagnostics. The divergence of order 2 comes last: in a
row, it is the logarithm of the effective share."""
ALONG_TRAINING = (ON_FALSE, "effective_sample_size")
NO_SHARES = (PUSH, "kl", "renyi_2")
WEIGHT = "Weight, push: slope of the loss in a negative's score; pull: in a positive's."
ALL = 0.995
"""A share from here on prints as 100%."""
INSIDE: dict[str, Any] = {"frameon": False, "fontsize": "small", "handlelength": 1.8}
"""Style of the legend of even weights on its panel."""
TWO_ROWS, THREE_ROWS = 4.6, 6.3
"""Heights in inches of figures with two and three rows of panels."""
EVEN_LINE: dict[str, Any] = {
    "color": GREY,
    "linestyle": (0, (4, 2.5)),
    "linewidth": 0.9,
    "zorder": 1.6,
    "label": "even weights",
}


class Weights(NamedTuple):
    """The lines of a panel: one for each loss, and one for even weights if that is known."""

    losses: list[Line2D]
    even: list[Line2D]


def drawings(frames: Frames, _: Asked) -> list[Drawing]:
    """Return the figures for each dataset, backbone and perturbation that has diagnostics.

    If training is the same at all levels (clean data, a perturbation of the test), the first figure
    has the losses as rows in place of levels, and the second shows one level.

    Returns:
        DATASET-BACKBONE-PERTURBATION-diagnostics, and -diagnostics_training.

    """
    if frames.diagnostics is None:
        return []
    return [
        Drawing(
            (*(str(part) for part in key), name),
            draw,
            (rows, frames.losses),
            _courses_of_levels if draw is draw_along_training else _means,
        )
        for key, panel in frames.diagnostics.groupby(FIGURE, sort=True)
        for name, draw, rows in _figures(panel)
    ]


def _figures(panel: pd.DataFrame) -> Iterator[tuple[str, Callable[..., Figure], pd.DataFrame]]:
    """Yield the figures of a panel: the name, the function, and its rows."""
    drawn = panel[panel["diagnostic"].isin(BY_LEVEL)]  # nothing where no negative has a weight
    ends = {drawn["level"].min()}
    if _differs(drawn):
        ends.add(drawn["level"].max())
        kept, draw = panel["best"], draw_by_level
    else:
        kept, draw = panel["best"] & panel["level"].isin(ends), draw_by_loss
    if drawn["best"].any():
        yield "diagnostics", draw, _of(panel, kept, BY_LEVEL)
    if drawn["diagnostic"].isin(ALONG_TRAINING).any():
        shown = _of(panel, panel["level"].isin(ends), ALONG_TRAINING)
        yield "diagnostics_training", draw_along_training, shown


def _differs(panel: pd.DataFrame) -> bool:
    """Say whether training depends on the level."""
    points = panel.groupby(["loss", "replicate", "epoch", "diagnostic"])["value"]
    return bool((points.max() > points.min()).any())


def _of(panel: pd.DataFrame, rows: pd.Series[bool], names: Iterable[str]) -> pd.DataFrame:
    return panel[rows & panel["diagnostic"].isin([*names, EVEN])]


def _means(diagnostics: pd.DataFrame, *_: Any) -> pd.DataFrame:
    """Return the means over replicates of the diagnostics of the kept models."""
    return degradation.means(diagnostics.rename(columns={"diagnostic": "metric"}))


def _courses_of_levels(diagnostics: pd.DataFrame, *_: Any) -> pd.DataFrame:
    """Return the means over replicates along training, by level and epoch."""
    return pd.concat(
        [
            _courses(rows).rename(columns={"level": "epoch"}).assign(level=level)
            for level, rows in diagnostics.groupby("level", sort=True)
        ],
        ignore_index=True,
    )


def draw_by_level(diagnostics: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw how the kept models weigh negatives, against level.

    Args:
        diagnostics: rows of `Run.diagnostics` of one dataset, backbone and perturbation, at the
            best epochs.
        among: as for `curves.draw_curves`.

    """
    found = _means(diagnostics)
    styles = looks([*found["loss"].unique(), *among])
    with page_style():
        figure, axes = _panels(found, THREE_ROWS, sharex=True)
        drawn = []
        for ax, (name, title) in zip(axes, _shown(found), strict=False):
            shown = found[found["metric"] == name]
            draw_intervals(ax, shown, "mean", styles)
            lines = [
                draw_line(ax, shown[shown["loss"] == loss], "mean", styles[loss], called(loss))
                for loss in in_order(shown["loss"])
            ]
            _label_axes(ax, name, title)
            drawn.append(Weights(lines, _draw_even(ax, found) if name == ON_FALSE else []))
        for ax in axes[-1 if is_narrow(WIDTH) else -2 :]:
            set_level_axis(ax, found)
        bars = interval_note("Bars", found)
        _finish(figure, drawn, found, f"{bars}. Models of the best epochs.")
    return figure


def draw_by_loss(diagnostics: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw how the kept models weigh negatives, a row for each loss, of a single training each.

    Args:
        diagnostics: rows of `Run.diagnostics` of one dataset, backbone, perturbation and level,
            at the best epochs.
        among: as for `curves.draw_curves`.

    """
    found = _means(diagnostics)
    measured = found[found["metric"].isin(BY_LEVEL)]
    styles = looks([*measured["loss"].unique(), *among])
    losses = in_order(measured["loss"])[::-1]
    height = MOST_PANELS / 2 * (rows_height(losses, 1.0) + 0.75)
    with page_style():
        figure, axes = _panels(found, height, sharey=True)
        axes[0].set_yticks(range(len(losses)), wrapped(losses))
        for ax, (name, title) in zip(axes, _shown(found), strict=False):
            for row in measured[measured["metric"] == name].to_dict("records"):
                mark = draw_row(ax, row, losses.index(row["loss"]), styles[row["loss"]])
                mark.set_clip_on(False)
            ax.set_title(title, loc="left")
            set_value_axis(ax.xaxis, percent=name not in NO_SHARES)
        rates = found.loc[found["metric"] == EVEN, "mean"]
        if len(rates):
            axes[0].axvline(rates.mean(), **EVEN_LINE)
            axes[0].legend(handles=axes[0].get_lines()[-1:], loc="lower right", **INSIDE)
        for ax in figure.axes:
            ax.margins(y=0.7 / len(losses))
            ax.set_xlim(left=0)
        set_heading(figure, found.iloc[0])
        bars = interval_note("Bars", measured)
        _add_note(figure, f"{bars}. Models of the best epochs.")
    return figure


def draw_along_training(diagnostics: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw how losses weigh negatives along training, a column for each level.

    Args:
        diagnostics: rows of `Run.diagnostics` of one dataset, backbone and perturbation.
        among: as for `curves.draw_curves`.

    """
    styles = looks([*diagnostics["loss"].unique(), *among])
    levels = np.unique(diagnostics["level"])
    alone = len(levels) == 1
    with page_style():
        figure = new_figure(WIDTH, HEIGHT if alone else TWO_ROWS)
        rows, columns = (1, 2) if alone else (2, len(levels))
        if is_narrow(WIDTH):
            rows, columns = (2, 1) if alone else (rows, columns)
        axes = figure.subplots(rows, columns, sharex=True)
        for ax in axes.flat[-columns:]:
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        drawn, summaries = [], []
        for level, column in zip(levels, axes.reshape(2, -1).T, strict=True):
            rows_of_level = diagnostics[diagnostics["level"] == level]
            found = _courses(rows_of_level)
            summaries.append(found[["n", "replicates", "users"]])
            drawn += _draw_courses(column, found, rows_of_level, styles, not alone)
        counts = pd.concat(summaries)
        bands = interval_note("Bands", counts)
        ends = "Lines end where the first replicate did. Markers: best epochs before that."
        _finish(figure, drawn, diagnostics, f"{bands}. {ends}")
    return figure


def _shown(found: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the first MOST_PANELS diagnostics with an informative value, and their titles."""
    means = found.groupby("metric")["mean"]
    tells = (means.min() < ALL) | (means.max() > 2 - ALL)  # 100% for every loss tells nothing
    named = [(name, title) for name, title in BY_LEVEL.items() if tells.get(name, False)]
    return named[:MOST_PANELS]


def _panels(
    found: pd.DataFrame, height: float, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels in rows of two; `height` is the height of three rows."""
    n, columns = len(_shown(found)), 1 if is_narrow(WIDTH) else 2
    rows = -(-n // columns)
    figure = new_figure(WIDTH, height * rows / 3 + (0.4 if rows < 3 else 0.0))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    axes: list[Axes] = grid.ravel().tolist()
    for ax in axes[n:]:
        ax.remove()
    for ax in axes[n - columns : n] if sharex else ():
        ax.xaxis.set_tick_params(labelbottom=True)
    return figure, axes[:n]


def _draw_courses(
    axes: Iterable[Axes],
    found: pd.DataFrame,
    diagnostics: pd.DataFrame,
    styles: Mapping[str, Look],
    say_level: bool,
) -> list[Weights]:
    """Draw the courses of one level, an axis for each of ALONG_TRAINING; return the lines by axis.

    `found` is `_courses` of the diagnostics.
    """
    suffix = f", level {diagnostics['level'].iloc[0]:g}" if say_level else ""
    best = diagnostics[diagnostics["best"]]
    drawn = []
    for ax, name in zip(axes, ALONG_TRAINING, strict=True):
        lines = []
        courses = found[found["metric"] == name]
        for loss in in_order(courses["loss"]):
            kept = best.loc[best["loss"] == loss, "epoch"]
            lines.append(
                _draw_course(ax, courses[courses["loss"] == loss], kept, styles[loss], called(loss))
            )
        drawn.append(Weights(lines, _draw_even(ax, found) if name == ON_FALSE else []))
        _label_axes(ax, name, BY_LEVEL[name] + suffix)
    return drawn


def _courses(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Summarise replicates at each epoch that all of a loss reached; `level` is the epoch.

    At later epochs the mean would jump where a replicate ended.
    """
    renamed = diagnostics.drop(columns="level").rename(
        columns={"epoch": "level", "diagnostic": "metric"}
    )
    found = degradation.means(renamed)
    most = found.groupby(["loss", "metric"])["n"].transform("max")
    return found[found["n"] == most]


def _draw_course(
    ax: Axes, course: pd.DataFrame, kept: pd.Series[int], style: Look, loss: str
) -> Line2D:
    """Draw a loss over epochs, with a marker at the best epochs; return its line."""
    epochs, low, mean, high = (course[of].to_numpy() for of in ("level", "low", "mean", "high"))
    ax.fill_between(epochs, low, high, color=style.color, alpha=0.18, linewidth=0)
    marked = np.flatnonzero(np.isin(epochs, kept)).tolist()
    (line,) = ax.plot(epochs, mean, **line_style(style, loss), markevery=marked)
    return line


def _draw_even(ax: Axes, found: pd.DataFrame) -> list[Line2D]:
    """Draw the share of known false negatives among the negatives, the same for all losses.

    Returns:
        The line, which is in the legend of its panel; none if the share is not known.

    """
    rates = found[found["metric"] == EVEN].groupby("level")["mean"].mean()
    lines = ax.plot(rates.index, rates, **EVEN_LINE) if len(rates) else []
    if lines:
        ax.legend(handles=lines, loc="best", **INSIDE)
    return lines


def _label_axes(ax: Axes, name: str, title: str) -> None:
    ax.set_title(title, loc="left")
    set_value_axis(ax.yaxis, percent=name not in NO_SHARES)


def _finish(figure: Figure, drawn: Sequence[Weights], rows: pd.DataFrame, note: str) -> None:
    """Add the legend, the heading and the note below.

    Args:
        figure: the figure of the panels.
        drawn: the lines of each panel.
        rows: the rows shown; all of one data set, backbone and perturbation.
        note: the note on the intervals.

    """
    for ax in figure.axes:
        ax.set_ylim(bottom=0)  # once all is drawn, for it ends the scaling
    for line in chain.from_iterable(panel.losses + panel.even for panel in drawn):
        line.set_clip_on(False)  # markers at 0 and 100% are shown whole
    lines = {line.get_label(): line for panel in drawn for line in panel.losses}
    given = {called(loss): loss for loss in rows["loss"].unique()}
    draw_legend(
        figure, [lines[called(one)] for one in in_order(given.values()) if called(one) in lines]
    )
    set_heading(figure, rows.iloc[0])
    _add_note(figure, note)


def _add_note(figure: Figure, note: str) -> None:
    """Write a note on the data below the panels."""
    add_note(figure, f"{note} {WEIGHT}")


KIND = Kind(
    "how losses weigh their negatives, by level and along training", drawings, asked_for=False
)
