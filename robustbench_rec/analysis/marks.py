"""Marks: flags of cells, passed on to conclusions from them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd

from robustbench_rec.records.record import FLAGS
from robustbench_rec.records.run import Run

AT_EDGE = "at_edge"
"""A mark of tuned losses; it is in no record, because a study covers many cells."""
NOT_APPLICABLE = "not_applicable"
"""A mark of losses that a perturbation does not affect; they have no cells to record it."""
MEANINGS = FLAGS | {
    AT_EDGE: "settings chosen at an edge of what was tried",
    NOT_APPLICABLE: "draws no negatives, so it has no cells here",
}
"""Mark -> its meaning."""
MARKS = ["realised", "flags"]
"""Columns of results on the reliability of a value."""


def joined(marks: Iterable[object]) -> str:
    """Return the distinct flags of some cells, sorted, separated by spaces."""
    told = (one for one in marks if isinstance(one, str))  # others are missing
    return " ".join(sorted({flag for one in told for flag in one.split()}))


def marked(rows: pd.DataFrame, frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Add to rows the realised severity and the flags of their cells.

    Args:
        rows: the rows, with the columns `by`.
        frame: the results; `realised` and `flags` are optional columns.
        by: the columns that identify a row.

    Returns:
        The rows, with `realised`, the mean over the cells of a row (NaN if not known), and `flags`,
        the flags of any of the cells.

    """
    told = frame.reindex(columns=[*by, "value", *MARKS]).dropna(subset="value")
    told = told.sort_values("realised")  # a sum's last bits hang on its order
    told["flags"] = told["flags"].astype(object).where(told["flags"].notna(), "")
    groups = told.groupby(list(by), sort=False, dropna=False)
    found = groups.agg(realised=("realised", "mean"), flags=("flags", joined))
    return rows.merge(found.reset_index(), on=list(by), how="left")


def with_edges(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Mark the cells whose settings were chosen at an edge of the search space.

    The study of a cell is that of its own perturbation and level, or of clean data; and that of its
    own replicate, or of the split for tuning alone: whichever the run has.
    """
    studies: dict[tuple[object, ...], bool] = {}
    for one in run.summary.tuning:
        data = (one.perturbation, round(one.level, 12))
        studies[one.dataset, one.backbone, one.loss, *data, one.split] = bool(one.edges)
    if not any(studies.values()):
        return frame

    @functools.cache
    def is_at_edge(*cell: object) -> bool:
        *entry, perturbation, level, replicate = cell
        its = product([(perturbation, level), ("", 0.0)], [f"replicate {replicate}", "own"])
        at = ((*entry, *data, split) for data, split in its)
        return next((studies[one] for one in at if one in studies), False)

    place = frame[["dataset", "backbone", "loss", "perturbation", "level", "replicate"]]
    cells = place.assign(level=place["level"].astype(float).round(12))
    found = [is_at_edge(*cell) for cell in cells.itertuples(index=False, name=None)]
    at_edge = np.array(found, dtype=bool)  # of no cells too
    flags = frame["flags"].astype(object)
    return frame.assign(flags=flags.where(~at_edge, (flags + f" {AT_EDGE}").str.strip()))
