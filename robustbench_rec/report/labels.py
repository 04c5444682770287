"""Labels of a run in its page: each component once, by its name and its look in figures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from robustbench_rec.analysis.names import first_of, given_names, hidden_of, named
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.errors import visible
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.figures.style import Look, baseline_look, in_order, looks
from robustbench_rec.records.run import Run
from robustbench_rec.report.numbers import isolated
from robustbench_rec.tables.standing import Standing


class Labels:
    """The components of a run, each with a number on its axis.

    Args:
        run: any run.

    """

    def __init__(self, run: Run) -> None:
        self.run, self.standing = run, Standing(run)

    @cached_property
    def axes(self) -> dict[str, list[str]]:
        """Axis -> its labels in the order of the page; baselines are an axis of their own."""
        cells = self.standing.planned
        trained = [one for one in cells if one.loss != UNTRAINED]
        found = {
            axis: list(dict.fromkeys(getattr(one, axis) for one in trained))
            for axis in ("dataset", "backbone", "perturbation")
        }
        apart = (loss for loss, _ in self.run.manifest.not_applicable)
        found["loss"] = self._in_order({*(one.loss for one in trained), *apart})
        baselines = (one.backbone for one in cells if one.loss == UNTRAINED)
        return found | {
            "baseline": list(dict.fromkeys(baselines)),
            "metric": list(self.run.manifest.metrics),
        }

    def _in_order(self, losses: Iterable[str]) -> list[str]:
        """Return losses in the order of figures, those that the suite puts first before others."""
        short = {self.run.manifest.short("loss", one): one for one in losses}
        first = [one for one in first_of(self.run) if one in short.values()]
        return list(dict.fromkeys([*first, *(short[one] for one in in_order(short))]))

    @cached_property
    def numbers(self) -> dict[str, dict[str, int]]:
        """Axis -> label -> its number."""
        return {axis: {one: at for at, one in enumerate(of)} for axis, of in self.axes.items()}

    def name(self, axis: str, of: str) -> str:
        """Return the printed name of a component or a metric."""
        if axis == "metric":
            return label(of)
        short = self.run.manifest.short("backbone" if axis == "baseline" else axis, of)
        return visible(named(short, self._given))

    @cached_property
    def _given(self) -> dict[str, str]:
        return given_names(self.run)

    def said(self, axis: str, of: str) -> str:
        """Return the printed name of a component for use in a sentence."""
        return isolated(self.name(axis, of))

    def content(self) -> dict[str, Any]:
        """Return axis -> its components: `key` (in addresses and CSV), `name`, and the look."""
        manifest = self.run.manifest
        found: dict[str, Any] = {
            axis: [{"key": manifest.short(axis, of), "name": self.name(axis, of)} for of in labels]
            for axis, labels in self.axes.items()
        }
        styles = looks(one["key"] for one in found["loss"])
        hidden = hidden_of(self.run)
        for of, one in zip(self.axes["loss"], found["loss"], strict=True):
            one |= _look(styles[one["key"]]) | ({"hidden": True} if of in hidden else {})
        for of, one in zip(self.axes["baseline"], found["baseline"], strict=True):
            short = manifest.short("backbone", of)
            one |= {"key": short, **_look(baseline_look(short))}
        return found


def _look(look: Look) -> dict[str, str]:
    color = look.color if look.color.startswith("#") else "#595959"  # a grey of matplotlib
    return {"color": color, "marker": look.marker, "dash": look.pattern, "fill": look.fill}
