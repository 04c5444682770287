"""The legend of figures: its lines, their order, and its position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustbench_rec.figures.page import NARROW, scaled
from robustbench_rec.figures.panel import LEGEND_LINE, published_sample

ENTRY = 1.45
"""Inches of an entry in a legend below the panels."""


def draw_legend(figure: Figure, lines: Sequence[Line2D], published: bool = False) -> None:
    """List lines by their labels, beside the panels or, on a narrow page, below them.

    A long legend makes the figure higher.

    Args:
        figure: the figure.
        lines: the lines, in order.
        published: whether published values are drawn; one entry stands for all of them.

    """
    handles: list[Any] = [*lines]
    names = [str(line.get_label()) for line in handles]
    if published:
        handles.append(published_sample())
        names.append("published")
    if not handles:
        return
    rows, look = sum(1 + name.count("\n") for name in names), {"frameon": False}
    if figure.get_figwidth() < scaled(NARROW):
        columns = min(max(int(figure.get_figwidth() / scaled(ENTRY)), 1), len(names))
        height = scaled(LEGEND_LINE) * (-(-rows // columns) + 0.5)
        figure.set_figheight(figure.get_figheight() + height)
        figure.legend(
            handles, names, loc="outside lower center", ncols=columns, handlelength=2.6, **look
        )
        return
    figure.set_figheight(max(figure.get_figheight(), scaled(LEGEND_LINE) * (rows + 2)))
    figure.legend(
        handles, names, loc="outside right center", handlelength=3.2, labelspacing=0.5, **look
    )
