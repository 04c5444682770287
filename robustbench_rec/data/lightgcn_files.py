"""Reader of LightGCN's text files: a line holds a user and then its items."""

from __future__ import annotations

import re

import numpy as np

from robustbench_rec.components.dataset import Table
from robustbench_rec.data.columns import Columns, Rows, table_of
from robustbench_rec.data.source import Source
from robustbench_rec.errors import InputError
from robustbench_rec.interactions import IntArray

WHOLE_NUMBER = re.compile(rb"-?[0-9]{1,18}")


def read_lightgcn(source: Source, name: str, columns: Columns) -> Table:
    """Read lines `user item item ...`, whole numbers separated by spaces or tabs.

    A user without items is no pair. There are no columns, so `columns` plays no part.
    """
    import pandas as pd

    where = source.where(name)
    with source.open(name) as stream:
        lines = stream.read().splitlines()
    if not lines:
        raise InputError(f"{where} is empty")
    rows = Rows(where, "line", 1)
    ids = [_numbers(line, row, rows) for row, line in enumerate(lines)]
    lengths = np.array([max(line.size - 1, 0) for line in ids])
    users = np.repeat([line[0] if line.size else 0 for line in ids], lengths)
    items = np.concatenate([line[1:] for line in ids])
    frame = pd.DataFrame({"user": users, "item": items})
    frame.index = pd.Index(np.repeat(np.arange(len(lines)), lengths))
    return table_of(frame, rows)


def _numbers(line: bytes, row: int, rows: Rows) -> IntArray:
    fields = line.removeprefix(b"\xef\xbb\xbf").split()
    for field in fields:
        if not WHOLE_NUMBER.fullmatch(field):
            raise rows.fault(
                row,
                f"{field.decode(errors='replace')[:40]!r} is no whole number; "
                "expected a user and then its items, separated by spaces",
            )
    return np.array(fields, dtype=np.int64)
