"""Standings: losses from most to least robust, and groups of losses that do not differ clearly."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustbench_rec.analysis.ranking import is_tested, not_separable, rank
from robustbench_rec.errors import InputError, counted
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.marks import EVERY, draw_note, marks_of
from robustbench_rec.figures.panel import (
    LEGEND_LINE,
    PANEL,
    PANEL_WIDTH,
    characters,
    draw_row,
    new_figure,
    page_style,
    rows_height,
    set_heading,
    set_value_axis,
    span_of,
    wrapped,
)
from robustbench_rec.figures.style import GREY, looks

BY = {"absolute": "value", "retention": "retention", "excess": "excess", None: "kept"}
"""Value of the option -> the measure of the ranking."""
SAYS = {
    "value": "{} at the hardest level",
    "retention": "{} at the hardest level relative to level 0",
    "excess": "{} at the hardest level: share of the clean lead over popularity",
    "kept": "{}: mean retention up to the hardest level",
}
GROUP, APART = 1.04, 0.035
"""Position of the first group, and distance to the next, as shares of the axis."""


def drawings(frames: Frames, asked: Asked) -> list[Drawing]:
    """Return a figure for each data set, backbone, perturbation and metric that can be ranked."""
    if asked.value == "rank":
        raise InputError("--value rank does not apply to figure standing, whose rows are places")
    run, by = frames.known(), BY[asked.value]
    found = []
    for metric in dict.fromkeys(frames.curves["metric"]):
        try:
            table = rank(run, by, metric=str(metric))
        except InputError:  # nothing to rank in this metric
            continue
        loss = frames.labels.get("loss", {})
        renamed = frames.shown(table.dropna(subset=["score"]))
        renamed["beaten_by"] = renamed["beaten_by"].map(
            lambda beaten, loss=loss: tuple(loss.get(one, one) for one in beaten)
        )
        found += [
            Drawing((*map(str, key), "standing"), draw_standing, (rows, frames.losses))
            for key, rows in renamed.groupby(PANEL, sort=True)
        ]
    return found


def draw_standing(rows: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw the score of each loss with its interval, the most robust on top.

    A bar on the right spans losses that are not separable: none of them beats another.

    Args:
        rows: of `ranking.rank` of one panel, in its order.
        among: as for `curves.draw_curves`.

    """
    rows = rows.assign(flags=rows["flags"].fillna(""))
    ranked = rows.iloc[::-1].rename(columns={"score": "mean"})
    styles = looks([*ranked["loss"], *among])
    first = rows.iloc[0]
    with page_style():
        figure = new_figure(PANEL_WIDTH, rows_height(ranked["loss"], 1.3) + 6 * LEGEND_LINE)
        ax = figure.add_subplot()
        for at, row in enumerate(ranked.to_dict("records")):
            draw_row(ax, row, at, styles[row["loss"]])
        marks = [marks_of(flags, EVERY) for flags in ranked["flags"]]
        ax.set_yticks(range(len(ranked)), map(str.__add__, wrapped(ranked["loss"]), marks))
        ax.margins(y=0.7 / len(ranked))
        ends = ranked[["mean", "low", "high"]].to_numpy(dtype=float).ravel()
        low, high = span_of(ends)
        ax.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        set_value_axis(ax.xaxis, percent=first["by"] != "value")
        says = SAYS[first["by"]].format(label(first["metric"]))
        ax.set_xlabel("\n".join(textwrap.wrap(says, characters(figure, 11))))
        groups = (
            not_separable(ranked["loss"].tolist(), ranked["beaten_by"].tolist())
            if is_tested(rows)
            else []
        )
        _draw_groups(ax, groups)
        called_by = str(first["interval"]).partition(" settings")[0].rstrip(",")
        ax.set_title(f"Bars: {called_by}", loc="left", color=GREY)
        spans = ["a bar on the right spans losses of which none beats another"] if groups else []
        if any(group[-1] - group[0] >= len(group) for group in groups):
            spans = [f"{spans[0]}, thin beside those that are not of it"]
        family = counted(int(first["family"]), "pair")
        tests = f"p adjusted by Holm over {family}" if is_tested(rows) else "nothing was tested"
        draw_note(figure, rows, [*spans, tests])
        set_heading(figure, first)
    return figure


def _draw_groups(ax: Axes, groups: list[tuple[int, ...]]) -> None:
    """Draw a bar for each group, on the right of the axis, those that overlap side by side.

    It is thin beside losses that are not of the group.
    """
    line: dict[str, Any] = {"color": GREY, "clip_on": False, "transform": ax.get_yaxis_transform()}
    for number, group in enumerate(groups):
        x = GROUP + APART * (number % 3)
        ax.plot([x, x], [group[0], group[-1]], linewidth=0.6, **line)
        for at in group:
            up, down = (0.5 if at + step in group else 0.25 for step in (1, -1))
            ax.plot([x, x], [at - down, at + up], linewidth=2.2, solid_capstyle="butt", **line)


KIND = Kind(
    "losses from most to least robust, with groups that are not separable",
    drawings,
    takes=frozenset({"value"}),
)
