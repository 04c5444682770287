"""The table of data sets, computed from the data files: a run does not store these counts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.settings import spec
from robustbench_rec.data.catalog import default_data_dir, resolve
from robustbench_rec.data.preparation import prepare
from robustbench_rec.data.sizes import Sizes
from robustbench_rec.errors import InputError, one_line
from robustbench_rec.interactions import IntArray, Split
from robustbench_rec.records.run import Run
from robustbench_rec.tables.kind import Asked, Kind
from robustbench_rec.tables.standing import Standing, legend
from robustbench_rec.tables.table import NOTHING, Entry, Key, Table, whole

COLUMNS: list[Key] = [("users",), ("items",), ("pairs",), ("density",), ("Gini",)]


def tables(run: Run, asked: Asked) -> Sequence[Table]:
    """Return the sizes of each data set whose files are present and are those of the run."""
    standing = Standing(run)
    given = _given(run)
    rows: dict[Key, dict[Key, Entry]] = {}
    unread = []
    for label in dict.fromkeys(one.dataset for one in standing.planned):
        called = standing.short("dataset", label)
        try:
            rows[called,] = _sizes(run, label, given, asked.data_dir or default_data_dir())
        except Exception as error:  # whatever a plugin's data set raises
            rows[called,] = dict.fromkeys(COLUMNS, NOTHING)
            unread.append(f"Not read: {called} ({one_line(error).rstrip('.')}).")
    notes = [
        "Pairs: training, validation and test together, after filters. Density: their share of "
        "all pairs of a user and an item.",
        "Gini: of pairs per item; 0 if all items have equally many.",
        *unread,
        *legend([entry for row in rows.values() for entry in row.values()]),
    ]
    return [Table(f"{run.manifest.suite}: data sets", ("data set",), COLUMNS, rows, notes)]


def _given(run: Run) -> dict[str, Any]:
    """Return the suite file of a run, as a table."""
    try:
        return tomllib.loads(run.manifest.suite_text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{run.folder / 'manifest.json'}: suite_text is not TOML ({error}), so the data sets "
            "are not known"
        ) from None


def _sizes(run: Run, label: str, given: Mapping[str, Any], data_dir: Path) -> dict[Key, Entry]:
    """Return the entries of a data set.

    Raises:
        InputError: it cannot be read, or differs from the data of the run.

    """
    dataset = _dataset(run, label, given, data_dir)
    if dataset.fingerprint(data_dir) not in run.manifest.data.values():
        raise InputError("these data differ from the data of the run, or are read in another way")
    raw = dataset.read(data_dir)
    seed = given.get("seed", 0)
    split = prepare(raw, dataset, seed if isinstance(seed, int) else 0)
    sizes = Sizes.of(raw, split)
    return {
        ("users",): whole(sizes.users),
        ("items",): whole(sizes.items),
        ("pairs",): whole(sizes.pairs),
        ("density",): Entry(f"{sizes.density:.2%}", sizes.density),
        ("Gini",): Entry(f"{gini(_counts(split)):.3f}", gini(_counts(split))),
    }


def _dataset(run: Run, label: str, given: Mapping[str, Any], data_dir: Path) -> Dataset:
    """Return the data set with a label."""
    wanted = run.manifest.specs.get("dataset", {}).get(label, label)
    entries = given.get("dataset", [])
    named = [one for one in entries if isinstance(one, dict) and one.get("name")]
    alike = [one for one in named if one["name"] == label.partition("(")[0]]
    for table in alike:
        if len(alike) == 1:
            return resolve(table, data_dir, Path.cwd())
        dataset = resolve(table, data_dir, Path.cwd())
        if spec(dataset) == wanted:
            return dataset
    raise InputError("the suite file of the run does not name this data set")


def _counts(split: Split) -> IntArray:
    """Return the number of pairs of each item, (I,)."""
    return split.seen.item_counts + split.valid.item_counts + split.test.item_counts


def gini(counts: IntArray) -> float:
    """Return sum_i (2 i - n - 1) c_i / (n sum_i c_i), c (n,) ascending; 0 if all are equal."""
    n = counts.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(counts) / (n * counts.sum()))


KIND = Kind(
    "users, items, pairs, density and Gini of each data set whose files are present",
    tables,
    frozenset({"data_dir"}),
)
