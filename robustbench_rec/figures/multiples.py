"""Small multiples: curves of all data sets and backbones on one page."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.figures.curves import ASKED, draw_panel
from robustbench_rec.figures.curves import table_of as of_curves
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import draw_note
from robustbench_rec.figures.names import called
from robustbench_rec.figures.page import page, scaled
from robustbench_rec.figures.panel import (
    WIDTH,
    Value,
    X,
    new_figure,
    page_style,
    panels,
)
from robustbench_rec.figures.style import in_order

LEAST, HEIGHT = 2.1, 2.9
"""Inches of a panel: the least width, and the height."""


def drawings(frames: Frames, asked: Asked) -> list[Drawing]:
    """Return a figure for each perturbation and metric that several panels share."""
    value = ASKED[asked.value or "retention"]
    shared: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for (_, _, perturbation, metric), panel in panels(frames.curves).items():
        trained, _baselines = split_baselines(panel)
        if panel["level"].nunique() > 1 and (value == "rank" or trained[value].notna().any()):
            shared.setdefault((perturbation, metric), []).append(panel)
    return [
        Drawing(
            (*key, "multiples"),
            draw_multiples,
            (pd.concat(its), frames.losses, value, asked.x),
            table_of,
        )
        for key, its in shared.items()
        if len(its) > 1
    ]


def table_of(
    curves: pd.DataFrame, among: Iterable[str] = (), value: Value = "retention", x: X = "level"
) -> pd.DataFrame:
    """Return the rows that `draw_multiples` draws."""
    found = panels(curves).values()
    return pd.concat([of_curves(panel, among, None, [value], x) for panel in found])


def draw_multiples(
    curves: pd.DataFrame, among: Iterable[str] = (), value: Value = "retention", x: X = "level"
) -> Figure:
    """Draw the curves of one perturbation and metric, a panel for each data set and backbone.

    Panels of one data set share a row if the page is wide enough.

    Args:
        curves: rows of `degradation.curves`, with baselines.
        among: as for `curves.draw_curves`.
        value: as for `curves.draw_curves`.
        x: as for `curves.draw_curves`.

    """
    shown = list(panels(curves).values())
    backbones = split_baselines(curves)[0]["backbone"].nunique()
    fits = max(1, int(((page().width or WIDTH) - scaled(1.4)) / scaled(LEAST)))
    across = backbones if 1 < backbones <= fits else min(fits, len(shown))
    down = -(-len(shown) // across)
    with page_style():
        figure = new_figure(WIDTH, down * HEIGHT)
        axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
        for ax in axes[len(shown) :]:
            ax.remove()
        lines: dict[str, Line2D] = {}
        told: list[str] = []
        bars: dict[str, None] = {}
        for at, (ax, panel) in enumerate(zip(axes, shown, strict=False)):
            drawn = draw_panel(ax, panel, value, among, x=x)
            first = panel.iloc[0]
            place = f"{called(first['dataset'])}, {called(first['backbone'])}"
            bars[" ".join(ax.get_title(loc="left").split())] = None
            ax.set_title(place, loc="left")
            if at % across:
                ax.set_ylabel("")
            if at + across < len(shown):
                ax.set_xlabel("")
            told += [f"{place}: {one}" for one in drawn.told]
            losses = in_order(split_baselines(panel)[0]["loss"])
            lines |= dict(zip(losses, drawn.losses, strict=True))
        draw_legend(figure, [lines[loss] for loss in in_order(lines)])
        draw_note(figure, curves, [*filter(None, bars), *told])
        if page().title:
            figure.suptitle(called(str(shown[0]["perturbation"].iloc[0])))
    return figure


KIND = Kind(
    "curves of all data sets and backbones on one page",
    drawings,
    takes=frozenset({"value", "x"}),
    needs="several data sets or backbones under one perturbation of several levels",
)
