"""Panels: the curves of all losses on one data set and backbone, under one perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robustbench_rec.analysis.estimate import Values
from robustbench_rec.analysis.measures import Curve, Levels
from robustbench_rec.analysis.points import of_suite, points
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.records.run import Run

PANEL = ["dataset", "backbone", "perturbation", "unit", "metric"]
"""What a panel holds constant."""
KEY = [name for name in PANEL if name != "unit"]
"""What tells panels apart; the unit hangs on the perturbation, and may be missing."""
BASELINE = "popularity"
"""The floor above which a lead is counted."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Curves that can be held against each other.

    Attributes:
        names: of `PANEL`.
        curves: of each loss; of a floor's panel, its alone.

    """

    names: dict[str, Any]
    curves: Mapping[str, Curve]

    @property
    def losses(self) -> list[str]:
        """Their labels, in the order of the results."""
        return list(self.curves)

    @property
    def levels(self) -> Levels:
        """Those that any loss has, ascending."""
        return tuple(sorted({level for one in self.curves.values() for level in one.values}))

    @property
    def is_floor(self) -> bool:
        """Whether it is of what trains nothing."""
        return self.losses == [UNTRAINED]


def panels_of(results: Run | pd.DataFrame) -> list[Panel]:
    """Return the panels of results, those of floors too, in the order of the results.

    Args:
        results: as `degradation.curves` takes them.

    Raises:
        InputError: as `degradation.curves`.

    """
    frame = of_suite(results)
    units = dict(frame.groupby("perturbation")["unit"].first())
    panels: dict[tuple[str, ...], dict[str, dict[float, Values]]] = {}
    for (dataset, backbone, loss, perturbation, metric, level), values in points(results).items():
        its = panels.setdefault((dataset, backbone, perturbation, metric), {})
        its.setdefault(loss, {})[level] = values
    found = []
    order = frame[KEY].drop_duplicates().itertuples(index=False, name=None)
    for dataset, backbone, perturbation, metric in order:
        losses = panels.get((dataset, backbone, perturbation, metric), {})
        floor = panels.get((dataset, BASELINE, perturbation, metric), {}).get(UNTRAINED, {})
        names = (dataset, backbone, perturbation, units[perturbation], metric)
        curves = {
            loss: Curve(dict(sorted(values.items())), floor) for loss, values in losses.items()
        }
        found.append(Panel(dict(zip(PANEL, names, strict=True)), curves))
    return found


def split_floors(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of trained losses, and those of floors, of any frame with a `loss`.

    A floor is a backbone that trains nothing, such as popularity. It stands beside every backbone
    of its data set and perturbation, as what a loss has to be better than.
    """
    floors = frame["loss"] == UNTRAINED
    return frame[~floors], frame[floors]
