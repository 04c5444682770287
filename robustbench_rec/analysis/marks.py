"""Marks: what cells are flagged with, carried to whatever is concluded from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from robustbench_rec.records.record import FLAGS
from robustbench_rec.records.run import Run

AT_EDGE = "at_edge"
"""A mark of losses that were tuned; it is in no record, as a study stands for many cells."""
NOT_APPLICABLE = "not_applicable"
"""A mark of losses that a perturbation cannot reach; they have no cell that could hold it."""
MEANINGS = FLAGS | {
    AT_EDGE: "settings chosen at an edge of what was tried",
    NOT_APPLICABLE: "draws no negatives, so it has no cells here",
}
"""What marks say."""
MARKS = ["realised", "flags"]
"""Columns of results that say how far a value is to be believed."""


def joined(marks: Iterable[object]) -> str:
    """Return each flag that is among some cells' `flags` once, sorted, with a space between."""
    told = (one for one in marks if isinstance(one, str))  # others are missing
    return " ".join(sorted({flag for one in told for flag in one.split()}))


def marked(rows: pd.DataFrame, frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Add to rows what the cells behind them achieved, and what these are flagged with.

    Args:
        rows: with the columns `by`.
        frame: of results; without `realised` or `flags` nothing is known of them.
        by: what tells the rows apart.

    Returns:
        The rows, with `realised`, the mean over the cells of a row, NaN where it is not known, and
        `flags`, those that any of them has.

    """
    told = frame.reindex(columns=[*by, "value", *MARKS]).dropna(subset="value")
    told = told.sort_values("realised")  # a sum's last bits hang on its order
    told["flags"] = told["flags"].astype(object).where(told["flags"].notna(), "")
    groups = told.groupby(list(by), sort=False, dropna=False)
    found = groups.agg(realised=("realised", "mean"), flags=("flags", joined))
    return rows.merge(found.reset_index(), on=list(by), how="left")


def with_edges(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Mark the cells of losses whose settings were chosen at an edge of what was tried."""
    place = ["dataset", "backbone", "loss"]
    edges = {(one.dataset, one.backbone, one.loss) for one in run.summary.tuning if one.edges}
    if not edges:
        return frame
    at_edge = pd.MultiIndex.from_frame(frame[place]).isin(list(edges))
    flags = frame["flags"].astype(object)
    return frame.assign(flags=flags.where(~at_edge, (flags + f" {AT_EDGE}").str.strip()))
