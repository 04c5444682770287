"""From a tidy frame of results to degradation curves, retention and areas, with intervals.

Seeds do not depend on the loss, so a replicate meets the same data and the same initial
embeddings at every level: a drop is a difference within a replicate, never between means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustbench_rec.analysis.marks import joined, marked
from robustbench_rec.components.labels import UNTRAINED

if TYPE_CHECKING:
    from pandas.api.typing import SeriesGroupBy

PANEL = ["dataset", "backbone", "perturbation", "unit", "metric"]
"""What one panel of a figure holds constant."""
CURVE = ["dataset", "backbone", "loss", "perturbation", "unit", "metric"]
"""What tells curves apart; a curve runs over `level`."""
T_FROM = 6
"""Replicates from which a t interval is drawn."""


REPLICATES = {
    "split": "splits",
    "validation": "validation draws of one test",
    "training": "seeds of one split",
}
"""What replicates are called, by what differs between them."""


def replicates_on(datasets: pd.Series[str], frame: pd.DataFrame) -> pd.Series[str]:
    """Return what the replicates of a frame of results are called, on each of some data sets."""
    if "replicates_vary" not in frame:
        return pd.Series("replicates", index=datasets.index)
    return datasets.map(frame.groupby("dataset")["replicates_vary"].first()).map(REPLICATES)


def interval_text(n: int, most: int | None = None, called: str = "replicates") -> str:
    """Say what interval is drawn over n replicates, or over n to `most` of one kind."""
    if n == 0:
        return "no replicate"
    if n == 1:
        return "one replicate, no interval"
    over = f"{n} {called}" if most in (None, n) else f"{n} to {most} {called}"
    return f"{'range' if n < T_FROM else '95% t interval'} over {over}"


def intervals_text(counts: Iterable[int], called: str = "replicates") -> str:
    """Say what intervals are drawn over so many replicates each, the most common kind first."""
    found = Counter(counts)
    kinds: dict[int, list[int]] = {}
    for n in sorted(found):
        kind = min(n, 2) + (n >= T_FROM)  # none, one, a range, a t interval
        kinds.setdefault(kind, []).append(n)
    common = sorted(kinds.values(), key=lambda kind: -sum(found[n] for n in kind))
    return "; ".join(interval_text(kind[0], kind[-1], called) for kind in common)


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise replicates at each level of each curve.

    With v_r(l) the value of replicate r at level l, `mean` summarises v_r(l), `drop` summarises
    v_r(l) - v_r(0), negative where the metric fell, and `retention` v_r(l) / v_r(0).

    One replicate has no interval. From 2 to 5 the interval is their range: with 2 values a 95% t
    interval is 12.7 standard errors wide on each side, which says nothing of the data, and its
    normality cannot be looked at; the range claims no more than what was seen. From 6 replicates
    it is the 95% t interval of the mean, mean +- t_(n-1)(0.975) * s / sqrt(n).

    Args:
        frame: columns `suite, dataset, backbone, loss, perturbation, unit, level, replicate,
            metric, value`, one row a value, any order. A row without a value is a missing cell.
            `replicates_vary`, `selection`, `realised`, `flags` are taken up where they are there.

    Returns:
        One row for each (dataset, backbone, loss, perturbation, unit, metric, level), sorted,
        with `n`, `mean, low, high`, `pairs`, `drop, drop_low, drop_high`, `retention,
        retention_low, retention_high`, `replicates`, what these are called, `interval`,
        `paired_interval`, which say in words what the intervals over `n` and over `pairs`
        replicates are, `selection`, "noisy" where it was so at a level of the perturbation,
        `realised`, the mean of what the cells achieved, and `flags`, those that any of them is
        marked with. A replicate without a level 0 is missing from the paired columns only; one
        whose level 0 is 0 is missing from `retention` only. What nothing is left for is NaN.

    Raises:
        ValueError: a replicate has two values for one point, as in a frame of two suites.

    """
    groups = paired(frame).groupby([*CURVE, "level"], sort=True)
    parts = [
        summary(groups["value"], ["n", "mean", "low", "high"]),
        summary(groups["drop"], ["pairs", "drop", "drop_low", "drop_high"]),
        summary(groups["retention"], ["", "retention", "retention_low", "retention_high"]),
    ]
    found = pd.concat(parts, axis=1).drop(columns="")
    rows = found.reset_index()
    rows["replicates"] = replicates_on(rows["dataset"], frame)
    for name, n in (("interval", "n"), ("paired_interval", "pairs")):
        both = zip(rows[n], rows["replicates"], strict=True)
        rows[name] = [interval_text(n, called=called) for n, called in both]
    rows = rows.assign(selection=_selection(frame, rows["perturbation"]))
    return marked(rows, frame, [*CURVE, "level"])


def _selection(frame: pd.DataFrame, perturbations: pd.Series[str]) -> NDArray[np.str_]:
    """Return what chose the epochs under each of some perturbations; noisy if it was at a level."""
    told = frame if "selection" in frame else frame.assign(selection="clean")
    noisy = told.loc[told["selection"] == "noisy", "perturbation"]
    return np.where(perturbations.isin(noisy), "noisy", "clean")


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise replicates at each level of each curve, whether there is a level 0 or not.

    Args:
        frame: as `curves` takes it.

    Returns:
        The rows of `curves`, with `n`, `mean, low, high` and `replicates` alone.

    Raises:
        ValueError: as `curves`.

    """
    groups = _values(frame).groupby([*CURVE, "level"], sort=True)
    found = summary(groups["value"], ["n", "mean", "low", "high"]).reset_index()
    return found.assign(replicates=replicates_on(found["dataset"], frame))


def paired(frame: pd.DataFrame) -> pd.DataFrame:
    """Put beside each value its drop and its retention against its replicate's level 0.

    Args:
        frame: as `curves` takes it.

    Returns:
        Columns of `CURVE`, `level`, `replicate`, `value`, `clean`, `drop`, `retention`, sorted;
        missing cells are left out.

    Raises:
        ValueError: as `curves`.

    """
    values = _values(frame)
    pair = [*CURVE, "replicate"]
    clean = values[values["level"] == 0].drop(columns="level").rename(columns={"value": "clean"})
    values = values.merge(clean, on=pair, how="left", validate="many_to_one")
    values["drop"] = values["value"] - values["clean"]
    values["retention"] = values["value"] / values["clean"].where(values["clean"] != 0)
    return values


def _values(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the values that are there, sorted; each point has one."""
    keys = [*CURVE, "level", "replicate"]
    values = frame[[*keys, "value"]].dropna(subset="value").sort_values(keys)
    _check_unique(values, keys)
    return values


def _check_unique(values: pd.DataFrame, keys: list[str]) -> None:
    repeated = values[values.duplicated(keys)]
    if len(repeated):
        where = ", ".join(f"{key} {repeated.iloc[0][key]}" for key in keys)
        raise ValueError(f"two values for one point ({where}); take one suite at a time")


def summary(groups: SeriesGroupBy[float, Any], names: list[str]) -> pd.DataFrame:
    """Return count, mean, low and high of each group, NaN left out, under the given names.

    One value has no interval, 2 to 5 have their range, from 6 on it is the 95% t interval of the
    mean; `curves` says why.
    """
    found = groups.agg(["count", "mean", "std", "min", "max"])
    n = found["count"].to_numpy()
    half = _t_factor(n) * found["std"] / np.sqrt(n.clip(1))
    many = n >= T_FROM
    lows = (found["mean"] - half).where(many, found["min"]).where(n >= 2)
    highs = (found["mean"] + half).where(many, found["max"]).where(n >= 2)
    parts = [found["count"], found["mean"], lows, highs]
    return pd.DataFrame(dict(zip(names, parts, strict=True)))


def _t_factor(n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the 97.5% point of Student's t for the mean of n values; NaN where it is not used."""
    factor = np.full(n.shape, np.nan)
    many = n >= T_FROM
    if many.any():
        from scipy.special import stdtrit

        factor[many] = stdtrit(n[many] - 1, 0.975)
    return factor


def areas(curves: pd.DataFrame) -> pd.DataFrame:
    """Rank losses by the area under their retention curves; floors are left out.

    area = integral of retention over level (trapezoids) / (highest - lowest level): 1 where
    nothing is lost, the mean retention over the levels in general.

    Args:
        curves: as `curves` returns them.

    Returns:
        One row a curve: its names, `levels` (how many it has), `area`, and the `flags` of all its
        levels; within each (dataset, backbone, perturbation, unit, metric) the most robust loss
        first. The area is NaN where a
        retention is, where there is one level only, and for a curve that lacks a level that
        another loss has: without its hardest level it would look the most robust.

    """
    trained, _ = split_floors(curves)
    rows = [
        dict(zip(PANEL, names, strict=True)) | row
        for names, panel in trained.groupby(PANEL, sort=True)
        for row in _panel_areas(panel)
    ]
    found = pd.DataFrame(rows, columns=[*CURVE, "levels", "area", "flags"])
    order = [*PANEL, "area", "loss"]
    return found.sort_values(order, ascending=[key != "area" for key in order], ignore_index=True)


def split_floors(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of trained losses, and those of floors, of any frame with a `loss`.

    A floor is a backbone that trains nothing, such as popularity. It stands beside every backbone
    of its data set and perturbation, as what a loss has to be better than.
    """
    floors = frame["loss"] == UNTRAINED
    return frame[~floors], frame[floors]


def _panel_areas(panel: pd.DataFrame) -> list[dict[str, object]]:
    grid = panel.pivot(index="level", columns="loss", values="retention").sort_index()
    levels = grid.index.to_numpy(dtype=np.float64)
    counts = panel.groupby("loss")["level"].count()
    flags = panel.groupby("loss")["flags"].agg(joined)
    return [
        {
            "loss": loss,
            "levels": int(counts[loss]),
            "area": float(area(levels, grid[loss].to_numpy(dtype=np.float64))),
            "flags": flags[loss],
        }
        for loss in grid.columns
    ]


def area(levels: NDArray[np.float64], kept: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean height of lines through (levels, kept): (L,) and (L, ...) to (...).

    It is NaN for a line that lacks a level, and where there is one level only.
    """
    if levels.size < 2:
        return np.full(kept.shape[1:], np.nan)
    widths = np.diff(levels)
    return np.asarray(np.tensordot(widths, kept[1:] + kept[:-1], axes=1) / 2 / widths.sum())
