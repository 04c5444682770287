"""Published values: a suite's `[[reference]]` tables, checked against what the suite has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robustbench_rec.components.labels import AXES, nearest_label, one_meant
from robustbench_rec.components.metric import METRICS
from robustbench_rec.components.registry import make
from robustbench_rec.components.settings import Settings, setting
from robustbench_rec.errors import InputError, placed
from robustbench_rec.evaluation.metrics import Averaging, parse


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published value, and what of a run it stands beside.

    Attributes:
        dataset, backbone, loss, perturbation: labels, as results show them; no perturbation, "",
            is the clean control, which every perturbation has as its level 0.
        level: of the perturbation.
        metric, value: `name@k`, and what was published.
        averaging: over which users the source averages.
        source: where it was published.
        tolerance: how far ours may lie from it, relative to it.
        approximate: whether it was read off a figure.

    """

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    metric: str
    value: float
    averaging: Averaging
    source: str
    tolerance: float
    approximate: bool

    @property
    def point(self) -> tuple[object, ...]:
        """What the value is of; a source has one value for it."""
        axes = (self.dataset, self.backbone, self.loss, self.perturbation)
        return *axes, self.level, self.metric, self.averaging, self.source


@dataclass(frozen=True, kw_only=True)
class Reference(Settings):
    """A `[[reference]]` table as it is written."""

    dataset: str
    backbone: str
    loss: str
    values: Mapping[str, float]
    averaging: Averaging
    source: str
    perturbation: str = ""
    level: float = 0.0
    tolerance: float = setting(0.04, above=0, at_most=1)
    approximate: bool = False


@dataclass(frozen=True)
class Grid:
    """What a suite has, for references and claims to name.

    Attributes:
        labels: axis -> full spec -> label.
        levels: perturbation's label -> the levels of its sweep.
        ks: the list lengths at which metrics are recorded.

    """

    labels: Mapping[str, Mapping[str, str]]
    levels: Mapping[str, Sequence[float]]
    ks: Sequence[int]


def read_reference(
    table: Mapping[str, Any], grid: Grid, before: Iterable[Published] = ()
) -> list[Published]:
    """Check one `[[reference]]` table, and return its values one by one.

    Args:
        table: as TOML gives it.
        grid: what the suite has.
        before: the values that stand above it.

    Raises:
        InputError: an unknown key, a value of a wrong type or out of bounds, what the suite does
            not have, or a second value for one point.

    """
    row: Reference = make(Reference, table, "reference")
    asked = {axis: getattr(row, axis) for axis in AXES}
    names = {axis: one and label_meant(axis, one, axis, grid) for axis, one in asked.items()}
    if row.perturbation and "level" not in table:
        raise InputError(
            f"a perturbation needs its level; say at which one of {row.perturbation}",
            ("perturbation",),
        )
    with placed("level"):
        _check_level(row, names["perturbation"], grid)
    if not row.source.strip():
        message = "source is empty; it must say where the values were published"
        raise InputError(message, ("source",))
    if not row.values:
        message = 'values is empty; it must hold a metric, as in { "ndcg@20" = 0.0529 }'
        raise InputError(message, ("values",))
    for metric, value in row.values.items():
        with placed("values", metric):
            _check_value(metric, value, grid)
    found = [
        Published(
            **names,
            level=row.level,
            metric=metric,
            value=value,
            averaging=row.averaging,
            source=" ".join(row.source.split()),
            tolerance=row.tolerance,
            approximate=row.approximate,
        )
        for metric, value in row.values.items()
    ]
    for again in {one.point for one in before} & {one.point for one in found}:
        message = f"values: {again[5]} of {again[2]} stands above already, by this source"
        raise InputError(message, ("values", str(again[5])))
    return found


def label_meant(axis: str, asked: str, key: str, grid: Grid) -> str:
    """Return the one label that is meant on an axis.

    Args:
        axis: of the grid.
        asked: as much of the label as tells it apart.
        key: where it is asked.
        grid: what the suite has.

    Raises:
        InputError: the suite has none that fits, or several.

    """
    labels = grid.labels[axis]
    found = one_meant(asked, labels)
    if len(found) == 1:
        return found[0]
    if found:
        told = f"{key} {asked!r} may mean {' or '.join(found)}"
        raise InputError(f"{told}; give the settings that tell them apart", (key,))
    known = list(dict.fromkeys(labels.values()))
    told = f"{key} {asked!r} is not in the suite{nearest_label(asked, known)}"
    raise InputError(f"{told} (it has: {', '.join(known)})", (key,))


def _check_level(row: Reference, perturbation: str, grid: Grid) -> None:
    if perturbation and row.level not in grid.levels[perturbation]:
        allowed = ", ".join(f"{level:g}" for level in grid.levels[perturbation])
        raise InputError(
            f"level is {row.level:g}; it must be one of {allowed}, the sweep of {perturbation}"
        )
    if not perturbation and row.level != 0:
        raise InputError(
            f"level is {row.level:g}; without a perturbation it must be 0, the clean control"
        )


def _check_value(metric: str, value: float, grid: Grid) -> None:
    try:
        name, k = parse(metric)
    except InputError as error:
        raise InputError(f"values: {error}") from None
    if k not in grid.ks:
        allowed = ", ".join(map(str, grid.ks))
        raise InputError(
            f"values: {metric} is not recorded by this suite, whose lists are of {allowed}; name a "
            f"metric at {k} in `metrics` too"
        )
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"values: {metric} is {value:g}; it must be finite and above 0")
    is_share = METRICS[name].per_user and name in METRICS.ours  # a plugin's may be anything
    if is_share and value > 1:
        raise InputError(
            f"values: {metric} is {value:g}; it must be at most 1, a share and not a percentage"
        )
