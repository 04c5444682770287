"""The standing of a run for its tables: planned values, missing values, and the reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pandas as pd

from robustbench_rec.analysis.names import given_names, named
from robustbench_rec.analysis.points import measured
from robustbench_rec.components.labels import AXES, UNTRAINED
from robustbench_rec.errors import InputError, counted
from robustbench_rec.records.manifest import PlannedCell, Summary
from robustbench_rec.records.record import FLAGS
from robustbench_rec.records.run import Run
from robustbench_rec.tables.table import NOTHING, Entry

BASELINE = "Baseline"
"""The block of baselines, never equal to a backbone: backbones have lower-case names."""
FAILED, NOT_APPLICABLE = Entry("failed"), Entry("n/a")


class Standing:
    """The planned and the finished part of a run.

    Args:
        run: any run, finished or not.

    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def results(self) -> pd.DataFrame:
        """The results, without the agreement of lists.

        Raises:
            InputError: there is no finished cell.

        """
        frame = measured(self.run)
        if frame.empty:
            told = f"{self.run.folder}: no finished cell to make a table of"
            raise InputError(f"{told}; see robustbench-rec status {self.run.folder}")
        return frame.assign(level=frame["level"].round(12))

    @cached_property
    def planned(self) -> tuple[PlannedCell, ...]:
        """Every planned cell of the run, in the suite's order."""
        return tuple(self.run.manifest.cells.values())

    def short(self, axis: str, name: str) -> str:
        """Return the short label of a component, as a part of keys."""
        return self.run.manifest.short(axis, name)

    @cached_property
    def names(self) -> dict[str, str]:
        """Part of a key that is a component -> its printed name."""
        given = given_names(self.run)
        planned = (*self.planned, *self.run.manifest.studies.values())
        labels = {self.short(axis, getattr(one, axis)) for one in planned for axis in AXES}
        return {label: named(label, given) for label in sorted(labels - {UNTRAINED, ""})}

    def called(self, axis: str, name: str) -> str:
        """Return the printed name of a component."""
        short = self.short(axis, name)
        return self.names.get(short, short)

    def row(self, backbone: str, loss: str) -> tuple[str, str]:
        """Return the block and the row of a backbone and a loss; baselines are a block."""
        if loss == UNTRAINED:
            return BASELINE, self.short("backbone", backbone)
        return self.short("backbone", backbone), self.short("loss", loss)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Each planned (backbone, loss) once, the backbones in order, baselines last."""
        pairs = list(dict.fromkeys((one.backbone, one.loss) for one in self.planned))
        backbones = list(dict.fromkeys(backbone for backbone, _ in pairs))
        return sorted(pairs, key=lambda pair: (pair[1] == UNTRAINED, backbones.index(pair[0])))

    @cached_property
    def _outcomes(self) -> dict[tuple[str, str, str, str, float], set[bool]]:
        """Return each point with records -> whether these failed."""
        found: dict[tuple[str, str, str, str, float], set[bool]] = {}
        for id, record in self.run.records.items():
            one = self.run.manifest.cells[id]
            point = one.dataset, one.backbone, one.loss, one.perturbation, round(one.level, 12)
            found.setdefault(point, set()).add(record.status == "failed")
        return found

    def missing(
        self, dataset: str, backbone: str, loss: str, level: float, perturbation: str | None = None
    ) -> Entry:
        """Say why a value is missing: failed, not applicable, or unknown reason.

        Components are labels; without a perturbation, any perturbation counts.
        """
        here = [
            outcome
            for (of, on, by, under, at), outcome in self._outcomes.items()
            if (of, on, by, at) == (dataset, backbone, loss, level)
            and perturbation in (None, under)
        ]
        if here and set().union(*here) == {True}:
            return FAILED
        apart = perturbation and (loss, perturbation) in self.run.manifest.not_applicable
        return NOT_APPLICABLE if apart else NOTHING

    def notes(self) -> Iterator[str]:
        """Yield notes on missing values, and on cells that need caution."""
        held = self.run.summary
        if held.left:
            yield f"Not finished: {held.done} of {counted(held.cells, 'cell')} done."
        if held.failed:
            yield f"{counted(len(held.failed), 'cell')} failed."
        if held.cells < held.suite_cells:
            yield f"A part: the whole suite has {counted(held.suite_cells, 'cell')}."
        if cautions := list(_cautions(held)):
            yield f"Caution, see robustbench-rec status: {'; '.join(cautions)}."


def _cautions(held: Summary) -> Iterator[str]:
    """Yield notes on the marks of values that allow no strong conclusion."""
    if capped := sum(one.capped for one in held.capped):
        yield f"{counted(capped, 'training')} best in the last tenth of the allowed epochs"
    if held.unreached:
        yield f"{counted(len(held.unreached), 'level')} not reached"
    if held.few_users:
        yield f"{counted(held.few_users, 'cell')} with {FLAGS['few_users']}"
    if below := {(one.dataset, one.backbone, one.loss) for one in held.below_random}:
        yield f"{counted(len(below), 'curve')} below the random baseline"


def over_replicates(n: int, least: str = "") -> str:
    """Describe the number of replicates; `least` comes before it, as in "2 to "."""
    return "one replicate" if n == 1 else f"mean over {least}{n} replicates"


def legend(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the meaning of the signs in place of values."""
    if NOTHING in entries:
        yield f"{NOTHING.text}: no value was recorded."
    if NOT_APPLICABLE in entries:
        yield f"{NOT_APPLICABLE.text}: the perturbation does not affect the loss."
