"""The legend of figures: which lines it lists, in which order, and where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustbench_rec.figures.panel import LEGEND_LINE, published_sample


def draw_legend(
    figure: Figure, losses: Iterable[Line2D], apart: Iterable[Line2D] = (), published: bool = False
) -> None:
    """List lines beside the panels, by their labels. Many make the figure higher.

    Args:
        figure: where to.
        losses: ordered by how high they end, the highest first.
        apart: lines of no loss, such as floors; likewise ordered, below the losses.
        published: whether published values are drawn; they get one entry for all.

    """
    handles: list[Any] = [*_by_ends(losses), *_by_ends(apart)]
    names = [str(line.get_label()) for line in handles]
    if published:
        handles.append(published_sample())
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


def _by_ends(lines: Iterable[Line2D]) -> list[Line2D]:
    """Sort lines by their last value, the highest first and those without one last."""
    drawn = list(lines)
    ends = np.array([np.asarray(line.get_ydata(), dtype=np.float64)[-1] for line in drawn])
    order = np.argsort(-np.nan_to_num(ends, nan=-np.inf), kind="stable")
    return [drawn[at] for at in order]
