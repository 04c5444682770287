"""Heat maps: losses against perturbations, a panel for each data set and backbone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.curves import ASKED, with_ranks
from robustbench_rec.figures.kind import Asked, Drawing, Frames, Kind
from robustbench_rec.figures.marks import OF_LEVEL, OF_POINT, draw_note, marks_of
from robustbench_rec.figures.names import called
from robustbench_rec.figures.page import BASE, page, scaled
from robustbench_rec.figures.panel import (
    Value,
    new_figure,
    only_drawn,
    page_style,
    span_of,
    wrapped,
)
from robustbench_rec.figures.style import in_order

CELL, ROW, EDGES = 0.85, 0.28, 1.6
"""Inches of a column and of a row of a panel, and of the space around them."""
UPWARDS = 18
"""Letters of a line of a name that is written upwards."""
COLOURS = "cividis"
"""A colour map for colour-blind readers, ordered also in grey."""
SAYS: dict[Value, str] = {
    "mean": "{}",
    "retention": "{}: share of the clean value",
    "excess": "{}: share of the clean lead over popularity",
    "rank": "rank by {}",
}


def drawings(frames: Frames, asked: Asked) -> list[Drawing]:
    """Return a figure for each metric that has any value above level 0."""
    value = ASKED[asked.value or "retention"]
    trained, _ = split_baselines(frames.curves)
    hardest = at_hardest(trained, value)
    losses = trained.groupby("metric")["loss"].unique()
    return [
        Drawing(
            ("heatmap", str(metric)), draw_heatmap, (rows, value, tuple(losses[metric])), table_of
        )
        for metric, rows in hardest.groupby("metric", sort=True)
        if rows[value].notna().any()
    ]


def table_of(rows: pd.DataFrame, value: Value, losses: Sequence[str]) -> pd.DataFrame:
    """Return the rows that `draw_heatmap` draws."""
    return only_drawn(rows, [value])


def at_hardest(trained: pd.DataFrame, value: Value) -> pd.DataFrame:
    """Return the rows at the hardest level of each perturbation, by data set and backbone."""
    place = ["dataset", "backbone", "perturbation", "metric"]
    most = trained.groupby(place)["level"].transform("max")
    rows = trained[(trained["level"] == most) & (most > 0)]
    if value != "rank" or rows.empty:
        return rows
    return pd.concat([with_ranks(panel) for _, panel in rows.groupby(place, sort=True)])


def draw_heatmap(
    rows: pd.DataFrame, value: Value = "retention", losses: Sequence[str] = ()
) -> Figure:
    """Draw the retention of losses under each perturbation at its hardest level.

    A cell without a value is empty; a dagger marks a value that needs caution.

    Args:
        rows: of `degradation.curves` of one metric, one for each loss, perturbation, data set and
            backbone; with `rank`, as `at_hardest` makes it, where that is the value.
        value: what a cell shows.
        losses: those that have a row, whether or not `rows` has them; those of `rows` if none.

    """
    places = list(rows.groupby(["dataset", "backbone"], sort=True))
    losses = in_order(losses or rows["loss"])
    widest = max(panel["perturbation"].nunique() for _, panel in places)
    across = max(1, min(len(places), int(7.2 / (CELL * widest))))
    down = -(-len(places) // across)
    with page_style():
        width = EDGES + across * CELL * widest
        column = ((page().width or width) - EDGES) / (across * widest)
        letters = int(13 * column / CELL * BASE / page().letters)
        words = (word for one in rows["perturbation"].unique() for word in called(str(one)).split())
        is_upright = max(map(len, words)) <= letters
        below = 1.1 if is_upright else 2.2
        figure = new_figure(width, down * (ROW * len(losses) + below))
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        axes: list[Axes] = grid.ravel().tolist()
        for ax in axes[len(places) :]:
            ax.remove()
        shown = axes[: len(places)]
        ends = span_of(rows[value])
        for ax, ((dataset, backbone), panel) in zip(shown, places, strict=True):
            _draw_panel(ax, panel, losses, value, ends, letters if is_upright else 0)
            ax.set_title(f"{called(str(dataset))}, {called(str(backbone))}", loc="left")
        empty = ["empty: no value"] if _has_empty_cell(places, losses, value) else []
        says = f"{SAYS[value].format(label(str(rows['metric'].iloc[0])))}, at the hardest level"
        draw_note(figure, rows, [says, *empty], OF_POINT | OF_LEVEL)
        if page().title:
            figure.suptitle("Losses under perturbations")
    return figure


def _has_empty_cell(
    places: list[tuple[tuple[object, ...], pd.DataFrame]], losses: list[str], value: Value
) -> bool:
    """Say whether any cell has no value."""
    return any(
        panel[value].notna().sum() < len(losses) * panel["perturbation"].nunique()
        for _, panel in places
    )


def _draw_panel(
    ax: Axes,
    panel: pd.DataFrame,
    losses: list[str],
    value: Value,
    ends: tuple[float, float],
    width: int,
) -> None:
    """Draw one panel with seaborn, imported here because its import is slow.

    Names of perturbations have `width` letters a line below a column; if 0, they are written
    upwards.
    """
    from seaborn import heatmap

    table = panel.pivot(index="loss", columns="perturbation", values=value).reindex(losses)
    flags = panel.pivot(index="loss", columns="perturbation", values="flags").reindex(losses)
    texts = [
        [_text(value, held, flag) for held, flag in zip(*both, strict=True)]
        for both in zip(table.to_numpy().tolist(), flags.to_numpy().tolist(), strict=True)
    ]
    levels = panel.groupby("perturbation")["level"].max()
    names = [called(str(one)) for one in table.columns]
    at = [f"at {levels[one]:g}" for one in table.columns]
    both = [*zip(names, at, strict=True)]
    if width:
        names = ["\n".join([*textwrap.wrap(name, width), on]) for name, on in both]
    else:
        names = ["\n".join(textwrap.wrap(f"{name} {on}", UPWARDS)) for name, on in both]
    heatmap(
        table.astype(float),
        ax=ax,
        annot=pd.DataFrame(texts),
        fmt="",
        cmap=COLOURS if value != "rank" else f"{COLOURS}_r",
        vmin=ends[0],
        vmax=ends[1],
        cbar=False,
        xticklabels=names,
        yticklabels=wrapped(losses),
        linewidths=0.6,
        annot_kws={"size": scaled(7.5)},
    )
    ax.set(xlabel="", ylabel="")
    ax.tick_params(axis="both", length=0)
    ax.tick_params(axis="x", rotation=0 if width else 90)
    ax.tick_params(axis="y", rotation=0)


def _text(value: Value, held: float, flags: object) -> str:
    """Return the text of a cell."""
    if pd.isna(held):
        return ""
    share = value in ("retention", "excess")
    text = f"{held:.0%}" if share else f"{held:g}" if value == "rank" else f"{held:.3f}"
    return text + marks_of(str(flags), OF_POINT | OF_LEVEL)


KIND = Kind(
    "losses against perturbations at their hardest level, by data set and backbone",
    drawings,
    takes=frozenset({"value"}),
)
