"""The `[figures]` of a suite: names of components in figures, order, hidden losses, limits.

Nothing of it is part of an id: names and figures may change after cells are finished.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from robustbench_rec.components.labels import AXES, meant, nearest_label
from robustbench_rec.components.settings import shown as printed
from robustbench_rec.errors import InputError, nearest, placed

LABEL = "label"
"""The key of a component's table with its name in figures."""
LONGEST = 60
"""Longest label, in characters."""
OF_SUITE = ("training", "tune", "level", LABEL)
"""Keys of a component's table that are not settings in its label."""


class Shown(BaseModel):
    """The table `[figures]` of a suite.

    Attributes:
        order: losses that come first, in this order, by unambiguous parts of labels.
        hide: losses that figures show only if selected by `--loss`.
        limits: metric -> the ends of its axis.

    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    order: list[str] = []
    hide: list[str] = []
    limits: dict[str, list[float]] = {}


def read_shown(table: Mapping[str, Any]) -> Shown:
    """Read a table `[figures]`; InputError if a key or a value is wrong."""
    for key in table:
        if key not in Shown.model_fields:
            allowed = ", ".join(Shown.model_fields)
            near = nearest(key, Shown.model_fields)
            raise InputError(f"figures has no {key!r}{near} (allowed: {allowed})", (key,))
    try:
        found = Shown.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        wanted = "limits = { 'ndcg@20' = [0, 0.4] }" if first["loc"][0] == "limits" else "a list"
        told = f"{first['loc'][0]} is {table[str(first['loc'][0])]!r}; it must be as in {wanted}"
        raise InputError(told, (str(first["loc"][0]),)) from None
    for metric, ends in found.limits.items():
        if len(ends) != 2 or not all(map(math.isfinite, ends)) or ends[0] >= ends[1]:
            told = f"limits of {metric} are {ends}; they must be two numbers, the lower first"
            raise InputError(told, ("limits",))
    return found


def check_shown(table: Mapping[str, Any], losses: Mapping[str, str], metrics: list[str]) -> None:
    """Raise InputError unless all names in a table `[figures]` are in its suite.

    Args:
        table: the table from the file.
        losses: full spec -> label.
        metrics: the metrics of the suite.

    """
    found = read_shown(table)
    for key in ("order", "hide"):
        for one in getattr(found, key):
            if not meant(one, losses):
                near = nearest_label(one, losses.values())
                told = f"{key} names loss {one!r}, which this suite lacks{near}"
                raise InputError(told, (key,))
    for metric in found.limits:
        if metric not in metrics:
            known = ", ".join(metrics)
            raise InputError(f"limits names {metric!r}; metrics: {known}", ("limits",))


def without_label(table: Mapping[str, Any], before: list[str]) -> dict[str, Any]:
    """Return a component's table without its `label`, which is added to `before`.

    Raises:
        InputError: the label is not a valid name, or is used already.

    """
    if LABEL in table:
        label = table[LABEL]
        with placed(LABEL):
            if not isinstance(label, str) or not 0 < len(label.strip()) <= LONGEST:
                raise InputError(f"label is {label!r}; it must be a text of 1 to 60 characters")
            if label in before:
                raise InputError(
                    f"label {label!r} is used twice; give each component its own label"
                )
        before.append(label)
    return {key: value for key, value in table.items() if key != LABEL}


def shown_in(suite_text: str) -> Shown:
    """Return the table `[figures]` in the text of a suite."""
    return read_shown(_parsed(suite_text).get("figures", {}))


def names_in(suite_text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (axis, the component as its table describes it, its name in figures)."""
    for axis in AXES:
        for table in _parsed(suite_text).get(axis, []):
            if LABEL in table:
                given = {key: to for key, to in table.items() if key not in ("name", *OF_SUITE)}
                asked = f"{table['name']}({printed(given)})" if given else str(table["name"])
                yield axis, asked, table[LABEL]


def _parsed(suite_text: str) -> dict[str, Any]:
    """Return the tables of a suite; empty if the text was not stored, as in old runs."""
    try:
        return tomllib.loads(suite_text)
    except tomllib.TOMLDecodeError:
        return {}
