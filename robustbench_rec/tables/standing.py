"""How a run stands, as its tables say it: what is planned, what is missing, and why."""

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

FLOOR = "Floor"
"""The block of what trains nothing, which no backbone is called: names are of small letters."""
FAILED, NOT_APPLICABLE = Entry("failed"), Entry("n/a")


class Standing:
    """What a run was to have, and what it has.

    Args:
        run: any, finished or not.

    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def results(self) -> pd.DataFrame:
        """The results, without how far lists agree.

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
        """Every cell that the run was to have, in the suite's order."""
        return tuple(self.run.manifest.cells.values())

    def short(self, axis: str, name: str) -> str:
        """Return the part of a key that stands for a component."""
        return self.run.manifest.short(axis, name)

    @cached_property
    def names(self) -> dict[str, str]:
        """Part of a key that stands for a component -> its name in print."""
        given = given_names(self.run)
        labels = {self.short(axis, getattr(one, axis)) for one in self.planned for axis in AXES} - {
            UNTRAINED
        }
        return {label: named(label, given) for label in sorted(labels)}

    def called(self, axis: str, name: str) -> str:
        """Return the name of a component in print."""
        short = self.short(axis, name)
        return self.names.get(short, short)

    def row(self, backbone: str, loss: str) -> tuple[str, str]:
        """Return the block and the row of a backbone and a loss; floors have a block of theirs."""
        if loss == UNTRAINED:
            return FLOOR, self.short("backbone", backbone)
        return self.short("backbone", backbone), self.short("loss", loss)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Each planned (backbone, loss) once, the backbones in order, floors last."""
        pairs = list(dict.fromkeys((one.backbone, one.loss) for one in self.planned))
        backbones = list(dict.fromkeys(backbone for backbone, _ in pairs))
        return sorted(pairs, key=lambda pair: (pair[1] == UNTRAINED, backbones.index(pair[0])))

    @cached_property
    def _outcomes(self) -> dict[tuple[str, str, str, str, float], set[bool]]:
        """Return each point of which there are records -> whether these failed."""
        found: dict[tuple[str, str, str, str, float], set[bool]] = {}
        for id, record in self.run.records.items():
            one = self.run.manifest.cells[id]
            point = one.dataset, one.backbone, one.loss, one.perturbation, round(one.level, 12)
            found.setdefault(point, set()).add(record.status == "failed")
        return found

    def missing(
        self, dataset: str, backbone: str, loss: str, level: float, perturbation: str | None = None
    ) -> Entry:
        """Say why a value is missing: failed, not applicable, or nothing that is known.

        Components are labels; without a perturbation it may be any.
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
        """Yield sentences on what the run lacks, and on cells that are to be taken with care."""
        held = self.run.summary
        if held.left:
            yield f"Not finished: {held.done} of {counted(held.cells, 'cell')} done."
        if held.failed:
            yield f"{counted(len(held.failed), 'cell')} failed."
        if held.cells < held.suite_cells:
            yield f"A part: the whole suite has {counted(held.suite_cells, 'cell')}."
        if cautions := list(_cautions(held)):
            yield f"With care, as robustbench-rec status tells: {'; '.join(cautions)}."


def _cautions(held: Summary) -> Iterator[str]:
    """Yield what marks cells of which nobody should conclude too much."""
    if capped := sum(one.capped for one in held.capped):
        yield f"{counted(capped, 'training')} best within the last tenth of the epochs allowed"
    if held.unreached:
        yield f"{counted(len(held.unreached), 'level')} not reached"
    if held.few_users:
        yield f"{counted(held.few_users, 'cell')} with {FLAGS['few_users']}"
    if below := {(one.dataset, one.backbone, one.loss) for one in held.below_random}:
        yield f"{counted(len(below), 'curve')} below the random floor"


def over_replicates(n: int, least: str = "") -> str:
    """Say what values are of; `least` stands before the number, as in "2 to "."""
    return "one replicate" if n == 1 else f"mean over {least}{n} replicates"


def legend(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what the signs mean that stand in the place of values."""
    if NOTHING in entries:
        yield f"{NOTHING.text}: no value was recorded."
    if NOT_APPLICABLE in entries:
        yield f"{NOT_APPLICABLE.text}: the loss has no part in it."
