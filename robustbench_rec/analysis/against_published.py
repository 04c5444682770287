"""Published values beside a run's own, under the averaging of each publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from robustbench_rec.analysis.marks import joined
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import Averaging
from robustbench_rec.experiment.reference import Published
from robustbench_rec.records.frames import averaged
from robustbench_rec.records.run import Run

POINT = ["dataset", "backbone", "loss", "perturbation", "level", "metric"]
"""Columns in which a published value and ours must agree."""
COMPARED = [
    *POINT,
    "averaging",
    "published",
    "ours",
    "n",
    "relative",
    "tolerance",
    "verdict",
    "source",
    "approximate",
    "flags",
]
TEST = ["dataset", "perturbation", "level"]
"""Components that determine the users with a test item."""
DRAWN = ["dataset", "backbone", "perturbation", "metric", "loss", "level", "value", "source"]
HOW_TO_ADD = (
    "add tables to the suite's file, as in [[reference]] dataset = ..., backbone = ..., "
    'loss = ..., values = { "ndcg@20" = 0.0529 }, averaging = "all-users", source = ..., '
    "and run it again; finished cells are not trained again"
)


class Ours(NamedTuple):
    """Our result at a point: the mean over n replicates, NaN if not known."""

    mean: float
    n: int
    flags: str


NOTHING = Ours(float("nan"), 0, "")


def compare(run: Run) -> pd.DataFrame:
    """Put each published value of a run's suite beside ours.

    Returns:
        One row per published value, in the suite's order: its point (`perturbation` is "" for the
        clean control), `averaging`, `published`, `ours` (the mean over `n` replicates under the
        same averaging), `relative` (ours / published - 1), `tolerance`, `verdict`, `source`,
        `approximate`, and the `flags` of our cells. The verdict is "within" if
        |relative| <= tolerance, else "below" or "above"; "not run" if we have no value, and
        "needs records" if our averaging differs and a compacted run lacks the share of evaluated
        users.

    Raises:
        InputError: the suite has no published value, or a table of the run is not whole.

    """
    manifest = run.manifest
    if not manifest.references:
        told = f"{run.folder}: suite {manifest.suite!r} has no published value"
        raise InputError(f"{told}; {HOW_TO_ADD}")
    frame = _with_clean(run.results)
    ours = {
        averaging: _means(frame, manifest.averaging, averaging)
        for averaging in {one.averaging for one in manifest.references}
    }
    rows = [_compared(one, ours[one.averaging]) for one in manifest.references]
    return pd.DataFrame(rows, columns=COMPARED)


def _with_clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Add rows of the clean control, "": level 0 of the perturbation that was run first."""
    clean = frame[frame["level"] == 0].assign(perturbation="")
    return pd.concat([frame, clean.drop_duplicates([*POINT, "replicate"])])


def _means(
    frame: pd.DataFrame, held: Averaging, wanted: Averaging
) -> dict[tuple[object, ...], Ours]:
    """Return point -> our result."""
    values = frame.assign(value=averaged(frame, held, wanted))
    groups = values.groupby(POINT)
    found = groups.agg(mean=("value", "mean"), n=("value", "size"), flags=("flags", joined))
    return {
        _point(dict(zip(POINT, at, strict=True))): Ours(mean, int(n), flags)
        for at, mean, n, flags in found.itertuples()
    }


def _point(row: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the point of a row, with its level rounded: text files may lose the last bit."""
    return tuple(round(row[key], 12) if key == "level" else row[key] for key in POINT)


def _compared(published: Published, ours: Mapping[tuple[object, ...], Ours]) -> dict[str, Any]:
    row = asdict(published)
    held = ours.get(_point(row), NOTHING)
    relative = round(held.mean / published.value - 1, 12)
    return row | {
        "published": published.value,
        "ours": held.mean,
        "n": held.n,
        "relative": relative,
        "verdict": _verdict(relative, held.n, published.tolerance),
        "flags": held.flags,
    }


def _verdict(relative: float, n: int, tolerance: float) -> str:
    if n == 0:
        return "not run"
    if relative != relative:  # NaN
        return "needs records"
    if abs(relative) <= tolerance:
        return "within"
    return "below" if relative < 0 else "above"


def overlay(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the published values for the figures of a run, under the run's averaging.

    Args:
        run: the run.
        frame: the results that are drawn.

    Returns:
        Columns `dataset, backbone, perturbation, metric, loss, level, value, source`. A value of
        the clean control appears for each perturbation, at level 0. Values whose averaging cannot
        be converted to the run's are left out.

    """
    shares = frame.groupby(TEST)["evaluated"].agg(["mean"]).itertuples()
    known = {(*test, round(level, 12)): share for (*test, level), share in shares}
    rows = [
        one | {"evaluated": known.get(tuple(one[key] for key in TEST), float("nan"))}
        for published in run.manifest.references
        for one in _spread(published, frame)
    ]
    found = pd.DataFrame(rows, columns=[*DRAWN, "averaging", "evaluated"])
    for averaging in found["averaging"].unique():
        part = found[found["averaging"] == averaging]
        found.loc[part.index, "value"] = averaged(part, averaging, run.manifest.averaging)
    return found[DRAWN].dropna(subset="value")


def _spread(published: Published, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Repeat a published value for each perturbation that was run and includes it."""
    return [
        asdict(published) | {"perturbation": perturbation}
        for perturbation in frame["perturbation"].unique()
        if published.perturbation in ("", perturbation)
    ]
