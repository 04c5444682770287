"""Frames of results, built by hand."""

import pandas as pd

from robustbench_rec.records.frames import COLUMNS


def frame(*rows) -> pd.DataFrame:
    """Build a tidy frame of (loss, level, replicate, value) rows."""
    return pd.DataFrame(
        [
            (
                *("s", "d", "mf", loss, "p", "share", level, replicate),
                *(level, "ndcg@20", value, 1.0, "split", "clean", "", "5"),
            )
            for loss, level, replicate, value in rows
        ],
        columns=list(COLUMNS),
    )
