"""Values of each user: their storage in a run, by data set, under original ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHT = "weight"
"""Key, among the metrics, of the weight of a user if the test is weighted; of mean 1."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class UserValues:
    """The metrics of each user, of the cells of one data set.

    Attributes:
        users: (U,) original ids, ascending.
        cells: (C,) ids.
        values: metric@k -> (C, U) float16; NaN if a cell did not test a user.
        weights: (C, U) float16, the weight of a user; 1 if the test is not weighted.

    """

    users: NDArray[Any]
    cells: NDArray[np.str_]
    values: Mapping[str, NDArray[np.float16]]
    weights: NDArray[np.float16] = field(repr=False)


def gathered(cells: Mapping[str, Arrays], metrics: Sequence[str]) -> UserValues:
    """Collect the users of cells in one table.

    Args:
        cells: id -> `users` (u,), and (u,) for each stored metric, and `WEIGHT` if the test is
            weighted.
        metrics: the metrics to take.

    """
    users = np.unique(np.concatenate([arrays["users"] for arrays in cells.values()]))
    shape = len(cells), users.size
    values = {metric: np.full(shape, np.nan, dtype=np.float16) for metric in metrics}
    weights = np.ones(shape, dtype=np.float16)
    for row, arrays in enumerate(cells.values()):
        at = np.searchsorted(users, arrays["users"])
        weights[row, at] = arrays.get(WEIGHT, 1.0)
        for metric in metrics:
            if metric in arrays:
                values[metric][row, at] = arrays[metric]
    return UserValues(users, np.array(list(cells), dtype=np.str_), values, weights)


def apart(held: UserValues, wanted: Iterable[str]) -> dict[str, Arrays]:
    """Split a table back into the cells that `gathered` took, for the `wanted` cells in it."""
    rows = {str(id): row for row, id in enumerate(held.cells)}
    found: dict[str, Arrays] = {}
    for id in wanted if held.values else ():
        if id not in rows:
            continue
        values = {metric: of[rows[id]] for metric, of in held.values.items()}
        tested = np.any([~np.isnan(one) for one in values.values()], axis=0)
        own = {"users": held.users, WEIGHT: held.weights[rows[id]], **values}
        found[id] = {name: one[tested] for name, one in own.items()}
    return found


def packed(by_dataset: Mapping[str, UserValues]) -> Arrays:
    """Return the arrays of a file; equal rows of weights, as of all losses, are stored once."""
    arrays: Arrays = {"datasets": np.array(list(by_dataset), dtype=np.str_)}
    for at, held in enumerate(by_dataset.values()):
        rows, which = np.unique(held.weights, axis=0, return_inverse=True)
        own = {"users": held.users, "cells": held.cells, "weights": rows, "weighted": which}
        arrays |= {f"{at}/{name}": array for name, array in (own | dict(held.values)).items()}
    return arrays


def unpacked(arrays: Mapping[str, NDArray[Any]]) -> dict[str, UserValues]:
    """Return label of a data set -> its values; KeyError if an array is missing."""
    found = {}
    for at, label in enumerate(arrays["datasets"]):
        its = {name.partition("/")[2]: one for name, one in arrays.items() if _is_of(name, at)}
        weights = its.pop("weights")[its.pop("weighted").reshape(-1)]
        users, cells = its.pop("users"), its.pop("cells")
        found[str(label)] = UserValues(users, cells, its, weights)
    return found


def _is_of(name: str, at: int) -> bool:
    return name.startswith(f"{at}/")
