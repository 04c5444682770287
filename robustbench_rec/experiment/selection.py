"""Selections: the cells of a suite that `--only` selects, and shards for several machines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.labels import AXES, meant, nearest_label, spec_once
from robustbench_rec.errors import InputError, nearest
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.suite import Suite

Only = Iterable[tuple[str, str]] | Mapping[str, Any]
"""A selection from a suite; see `pairs_of`."""
NUMBERS = ("level", "replicate")
SELECTABLE = (*AXES, *NUMBERS)
"""The axes of `--only`."""


class Shard(NamedTuple):
    """One of `of` shares of a suite; each cell is in exactly one share.

    The unit is a curve: one loss on one data set, backbone and replicate, with all perturbations
    and levels. So a share has level 0 of all its cells, with which lists are compared. Shares
    differ by one curve at most.
    """

    at: int
    """The number of the share, from 1."""
    of: int

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """Read a text such as "3/16".

        Raises:
            InputError: the text is not K/N with K from 1 to N.

        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        at, of = map(int, found.groups()) if found else (0, 0)
        if not 1 <= at <= of:
            raise InputError(
                f"--shard is {text!r}; it must be K/N with K from 1 to N, such as 3/16 for the "
                "third of 16 shares"
            )
        return cls(at, of)

    def keeps(self, suite: Suite) -> Callable[[Cell], bool]:
        """Return a function that says whether a cell of a suite is in this share."""
        losses = [(spec_once(backbone), entry.text) for backbone, entry in suite.trainings]
        datasets = map(spec_once, suite.datasets)
        curves = product(datasets, losses, suite.replicates)
        share: dict[tuple[object, ...], int] = {
            curve: at % self.of + 1 for at, curve in enumerate(curves)
        }

        def kept(cell: Cell) -> bool:
            specs = cell.specs
            loss = specs["backbone"], specs["loss"]
            return share[specs["dataset"], loss, cell.replicate] == self.at

        return kept


@dataclass(frozen=True)
class Selection:
    """The selected cells of a suite. Baselines are always selected.

    Attributes:
        suite: the suite.
        names: axis -> the selected labels or numbers; a missing axis selects all.
        shard: the share of these that is selected; None for all.

    """

    suite: Suite
    names: Mapping[str, frozenset[str]]
    shard: Shard | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every cell of the suite is kept."""
        return not self.names and self.shard is None

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The selected data sets."""
        labels, names = self.suite.labels["dataset"], self.names.get("dataset")
        return tuple(
            one for one in self.suite.datasets if names is None or labels[spec_once(one)] in names
        )

    def of(self, cells: Iterable[Cell]) -> tuple[Cell, ...]:
        """Return the selected cells, in order."""
        labels = self.suite.labels
        kept = cells if not self.names else (one for one in cells if self._keeps(one, labels))
        return tuple(kept if self.shard is None else filter(self.shard.keeps(self.suite), kept))

    def _keeps(self, cell: Cell, labels: Mapping[str, Mapping[str, str]]) -> bool:
        called = {axis: labels[axis][spec] for axis, spec in cell.specs.items()}
        called |= {"level": _number(cell.perturbation.level), "replicate": str(cell.replicate)}
        free = () if cell.backbone.learns else ("backbone", "loss")
        return all(called[axis] in names for axis, names in self.names.items() if axis not in free)


def pairs_of(only: Only) -> tuple[tuple[str, str], ...]:
    """Return a selection as (axis, name) pairs.

    Args:
        only: pairs, or axis -> a name or a list of names.

    Raises:
        InputError: it is neither.

    """
    items = list(only.items() if isinstance(only, Mapping) else only)
    if not all(isinstance(one, tuple | list) and len(one) == 2 for one in items):
        raise InputError(
            f"only is {only!r}; it must be pairs, as in [('loss', 'softmax')], or a table, "
            "as in {'loss': ['softmax', 'bpr']}"
        )
    return tuple(
        (str(axis), str(name))
        for axis, names in items
        for name in (names if isinstance(names, list | tuple) else [names])
    )


def select(
    suite: Suite, only: Iterable[tuple[str, str]] = (), shard: Shard | None = None
) -> Selection:
    """Return the selection of a suite by names on its axes.

    Args:
        suite: the whole suite.
        only: (axis, name) to keep, as in [("dataset", "synthetic"), ("replicate", "0")]; several
            names of one axis are all kept.
        shard: the share of these to keep.

    Raises:
        InputError: the suite does not have an axis or a name; the message suggests the nearest.

    """
    names: dict[str, set[str]] = {}
    for axis, name in only:
        names.setdefault(axis, set()).update(_matches(suite, axis, name))
    return Selection(suite, {axis: frozenset(found) for axis, found in names.items()}, shard)


def _matches(suite: Suite, axis: str, name: str) -> list[str]:
    """Return the labels or numbers that a name means."""
    if axis not in SELECTABLE:
        raise InputError(
            f"--only {axis}={name}: no axis {axis!r}{nearest(axis, SELECTABLE)} "
            f"(axes: {', '.join(SELECTABLE)})"
        )
    known = _selectable(suite, axis)
    found = _numbered(name, known) if axis in NUMBERS else meant(name, suite.labels[axis])
    found = [one for one in found if one in known]
    if not found:
        raise InputError(
            f"--only {axis}={name}: suite {suite.name!r} has no such {axis}"
            f"{nearest_label(name, known)} (it has: {', '.join(known)})"
        )
    return found


def _selectable(suite: Suite, axis: str) -> list[str]:
    """Return the selectable names on an axis, without baselines, which are always selected."""
    if axis == "level":
        return list(dict.fromkeys(_number(one.level) for one in suite.perturbations))
    if axis == "replicate":
        return [_number(one) for one in suite.replicates]
    labels = suite.labels[axis]
    if axis == "loss":
        return [labels[entry.text] for entry in suite.losses]
    if axis == "backbone":
        return [labels[spec_once(one)] for one in suite.backbones]
    return list(dict.fromkeys(labels.values()))


def _numbered(name: str, known: Iterable[str]) -> list[str]:
    with suppress(ValueError):
        name = _number(float(name))
    return [name] if name in known else []


def _number(value: float) -> str:
    """Print a level or replicate with enough digits to distinguish any two."""
    return f"{value:.12g}"
