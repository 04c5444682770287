"""Users: how many users keep how much. A mean may hide that a few users lose everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from robustbench_rec.components.labels import AXES, UNTRAINED
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.legend import draw_legend
from robustbench_rec.figures.marks import add_note
from robustbench_rec.figures.names import called
from robustbench_rec.figures.panel import (
    PANEL,
    PANEL_WIDTH,
    line_style,
    new_figure,
    page_style,
    set_heading,
    set_value_axis,
)
from robustbench_rec.figures.style import GREY, in_order, looks
from robustbench_rec.records.run import Run

MOST = 2.0
"""The retention at which the axis ends."""


def drawings(frames: Frames, _: Asked) -> list[Drawing]:
    """Return a figure for each data set, backbone, perturbation and metric, at the hardest level.

    Raises:
        InputError: the run has no values of single users.

    """
    run = frames.known()
    rows = list(_rows(run))
    if not rows:
        raise InputError(
            f"{run.folder}: has no values of single users at level 0 and a higher level; figure "
            "users needs them"
        )
    shown = frames.shown(pd.DataFrame(rows))
    return [
        Drawing((*map(str, key), "users"), draw_users, (its, frames.losses))
        for key, its in shown.groupby(PANEL, sort=True)
    ]


def _rows(run: Run) -> Iterator[dict[str, object]]:
    """Yield a row for each retention that a user of a loss has at the hardest level."""
    for held in run.users.values():
        for metric, values in held.values.items():
            for place, levels in _by_level(run, held.cells.tolist(), values).items():
                hardest = max(levels)
                if hardest == 0 or 0.0 not in levels:
                    continue
                kept, left_out = _retained(levels[0.0], levels[hardest])
                row = dict(zip(AXES, place, strict=True)) | {"metric": metric, "level": hardest}
                for at, retention in enumerate(kept.tolist(), 1):
                    share = {"retention": retention, "users": at / len(kept)}
                    yield row | share | {"left_out": left_out}


def _by_level(
    run: Run, cells: list[str], values: NDArray[np.float16]
) -> dict[tuple[str, ...], dict[float, dict[int, NDArray[np.float64]]]]:
    """Return the users' values by the labels of a curve, by level and by replicate."""
    found: dict[tuple[str, ...], dict[float, dict[int, NDArray[np.float64]]]] = {}
    for id, its in zip(cells, values, strict=True):
        cell = run.manifest.cells[str(id)]
        if cell.loss != UNTRAINED:
            place = tuple(str(getattr(cell, axis)) for axis in AXES)
            of_level = found.setdefault(place, {}).setdefault(cell.level, {})
            of_level[cell.replicate] = its.astype(np.float64)
    return found


def _retained(
    clean: dict[int, NDArray[np.float64]], noisy: dict[int, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], int]:
    """Return the users' retention, sorted, and the number of users with 0 at level 0.

    A user's value is the mean over the replicates that have both levels and test this user.
    """
    shared = sorted(clean.keys() & noisy.keys())
    if not shared:
        return np.empty(0), 0
    before, after = (np.array([one[at] for at in shared]) for one in (clean, noisy))  # (R, U)
    untested = np.isnan(before) | np.isnan(after)
    before, after = (np.where(untested, 0.0, one).sum(axis=0) for one in (before, after))
    some = before > 0
    nothing = ~some & ~untested.all(axis=0)
    return np.sort(after[some] / before[some]), int(nothing.sum())


def draw_users(rows: pd.DataFrame, among: Iterable[str] = ()) -> Figure:
    """Draw the share of users with at most a given retention, a line for each loss.

    Args:
        rows: of one panel, one for each user of a loss: `retention`, and `users`, the share of
            users who retain no more.
        among: as for `curves.draw_curves`.

    """
    first, styles = rows.iloc[0], looks([*rows["loss"].unique(), *among])
    with page_style():
        figure = new_figure(PANEL_WIDTH + 1.2)
        ax = figure.add_subplot()
        ax.axvline(1, color=GREY, linewidth=0.8, zorder=1)
        lines, left_out = [], []
        for loss in in_order(rows["loss"]):
            its = rows[rows["loss"] == loss].sort_values("retention")
            x = np.concatenate([[0.0], its["retention"], [max(MOST, its["retention"].max())]])
            y = np.concatenate([[0.0], its["users"], [1.0]])
            style = line_style(styles[loss], called(loss)) | {"markevery": 0.12}
            lines += ax.plot(x, y, drawstyle="steps-post", **style)
            left_out.append(int(its["left_out"].iloc[0]))
        ax.set_xlim(0, MOST)
        ax.set_ylim(0, 1)
        set_value_axis(ax.yaxis, percent=True)
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.set_xlabel(
            f"a user's {label(first['metric'])} relative to level 0, at {first['level']:g}"
        )
        ax.set_ylabel("share of users at or below")
        draw_legend(figure, lines)
        least, most = min(left_out), max(left_out)
        n = f"{least}" if least == most else f"{least} to {most}"
        beyond = float((rows["retention"] > MOST).mean())
        told = f"Users are means over replicates; {n} with nothing at level 0 are left out"
        add_note(figure, f"{told}; {beyond:.0%} keep more than {MOST:.0%}.")
        set_heading(figure, first)
    return figure


KIND = Kind("the share of users by retention, at the hardest level", drawings)
