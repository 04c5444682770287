"""Published values: a suite's `[[reference]]` tables, checked against its grid."""

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
    """A published value, and the point of a run to compare with.

    Attributes:
        dataset, backbone, loss, perturbation: labels, as in results; the perturbation "" is the
            clean control, which is level 0 of every perturbation.
        level: the level of the perturbation.
        metric, value: `name@k`, and the published value.
        averaging: over which users the source averages.
        source: the publication.
        tolerance: the largest relative difference of our value.
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
        """The point of the value; a source has one value for a point."""
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
    """The components, levels and list lengths of a suite, for references and claims.

    Attributes:
        labels: axis -> full spec -> label.
        levels: label of a perturbation -> the levels of its sweep.
        ks: the list lengths of the recorded metrics.

    """

    labels: Mapping[str, Mapping[str, str]]
    levels: Mapping[str, Sequence[float]]
    ks: Sequence[int]


def read_reference(
    table: Mapping[str, Any], grid: Grid, before: Iterable[Published] = ()
) -> list[Published]:
    """Check one `[[reference]]` table, and return its values one by one.

    Args:
        table: the table, as parsed from TOML.
        grid: the grid of the suite.
        before: the values of earlier tables.

    Raises:
        InputError: an unknown key, a value of a wrong type or out of bounds, a name that the suite
            does not have, or a second value for one point.

    """
    row: Reference = make(Reference, table, "reference")
    asked = {axis: getattr(row, axis) for axis in AXES}
    names = {axis: one and label_meant(axis, one, axis, grid) for axis, one in asked.items()}
    if row.perturbation and "level" not in table:
        raise InputError(
            f"a perturbation needs its level; give a level of {row.perturbation}",
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
        message = f"values: {again[5]} of {again[2]} is given twice for this source"
        raise InputError(message, ("values", str(again[5])))
    return found


def label_meant(axis: str, asked: str, key: str, grid: Grid) -> str:
    """Return the label that a text means on an axis.

    Args:
        axis: an axis of the grid.
        asked: an unambiguous part of the label.
        key: the key with this text.
        grid: the grid of the suite.

    Raises:
        InputError: no label of the suite matches, or several do.

    """
    labels = grid.labels[axis]
    found = one_meant(asked, labels)
    if len(found) == 1:
        return found[0]
    if found:
        told = f"{key} {asked!r} may mean {' or '.join(found)}"
        raise InputError(f"{told}; give more settings", (key,))
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
            f"values: {metric} is not recorded by this suite (list lengths: {allowed}); add a "
            f"metric at {k} to `metrics`"
        )
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"values: {metric} is {value:g}; it must be finite and above 0")
    is_share = METRICS[name].per_user and name in METRICS.ours  # a plugin's may be anything
    if is_share and value > 1:
        raise InputError(
            f"values: {metric} is {value:g}; it must be at most 1 (a share, not a percentage)"
        )
