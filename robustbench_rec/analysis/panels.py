"""Panels: the curves of all losses on one data set and backbone, under one perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from robustbench_rec.analysis.estimate import Values
from robustbench_rec.analysis.measures import Curve, Levels
from robustbench_rec.analysis.points import Point, of_suite, points
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.records.run import Run

PANEL = ["dataset", "backbone", "perturbation", "unit", "metric"]
"""Constant within a panel."""
KEY = [name for name in PANEL if name != "unit"]
"""Columns that identify a panel; the unit depends on the perturbation, and may be missing."""
POPULARITY, RANDOM = "popularity", "random"
"""The baseline of the lead in `excess`, and the baseline that has nothing to lose."""
LISTS = ("jaccard", "rbo")
"""Metrics of the agreement of lists with those of level 0, at any k."""
Points = dict[tuple[str, ...], dict[str, dict[float, Values]]]


@dataclass(frozen=True, eq=False)
class Panel:
    """Curves that can be compared with each other.

    Attributes:
        names: the values of `PANEL`.
        curves: loss -> its curve; a baseline's panel has one curve.

    """

    names: dict[str, Any]
    curves: Mapping[str, Curve]

    @cached_property
    def losses(self) -> list[str]:
        """The labels of the losses, in the order of the results."""
        return list(self.curves)

    @cached_property
    def levels(self) -> Levels:
        """The levels that any loss has, ascending."""
        return tuple(sorted({level for one in self.curves.values() for level in one.values}))

    @property
    def is_baseline(self) -> bool:
        """Whether it is the panel of a baseline."""
        return self.losses == [UNTRAINED]


def panels_of(results: Run | pd.DataFrame, with_lists: bool = False) -> list[Panel]:
    """Return the panels of results, including baselines, in the order of the results.

    Args:
        results: as `degradation.curves` takes them.
        with_lists: whether to tell how far lists agree, which takes as long as all the rest.

    Raises:
        InputError: as `degradation.curves`.

    """
    frame = of_suite(results)
    units = dict(frame.groupby("perturbation")["unit"].first())
    panels = _by_panel(points(results))
    lists = [_of_lists(results, name) if with_lists else {} for name in LISTS]
    found = []
    order = frame[KEY].drop_duplicates().itertuples(index=False, name=None)
    for dataset, backbone, perturbation, metric in order:
        losses = panels.get((dataset, backbone, perturbation, metric), {})
        baseline, random = (
            panels.get((dataset, name, perturbation, metric), {}).get(UNTRAINED, {})
            for name in (POPULARITY, RANDOM)
        )
        jaccard, rbo = (its.get((dataset, backbone, perturbation), {}) for its in lists)
        curves = {
            loss: Curve(
                dict(sorted(values.items())),
                baseline,
                random,
                jaccard=jaccard.get(loss, {}),
                rbo=rbo.get(loss, {}),
            )
            for loss, values in losses.items()
        }
        names = (dataset, backbone, perturbation, units[perturbation], metric)
        found.append(Panel(dict(zip(PANEL, names, strict=True)), curves))
    return found


def _by_panel(held: Mapping[Point, Values]) -> Points:
    """Return points by (dataset, backbone, perturbation, metric), loss and level."""
    found: Points = {}
    for (dataset, backbone, loss, perturbation, metric, level), values in held.items():
        its = found.setdefault((dataset, backbone, perturbation, metric), {})
        its.setdefault(loss, {})[level] = values
    return found


def _of_lists(results: Run | pd.DataFrame, name: str) -> Points:
    """Return the agreement of lists by (dataset, backbone, perturbation), loss and level."""
    frame = results.results if isinstance(results, Run) else results
    rows = frame[frame["metric"].str.startswith(f"{name}@")]
    return {key[:-1]: its for key, its in _by_panel(points(rows)).items()} if len(rows) else {}


def split_baselines(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of trained losses, and those of baselines, of any frame with a `loss`.

    A baseline is a backbone that trains nothing, such as popularity. It is beside every backbone of
    its data set and perturbation: a loss should be better than a baseline.
    """
    baselines = frame["loss"] == UNTRAINED
    return frame[~baselines], frame[baselines]
