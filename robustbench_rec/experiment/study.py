"""Studies: the trials by which one tuned loss comes to its settings, and what they chose."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from robustbench_rec.experiment.cell import Cell, Tuned, digest
from robustbench_rec.experiment.search_space import Entry, Settings, Space, Tuning, best
from robustbench_rec.seeds import seed_for

Plain = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """One loss of a suite, tuned on one set of data.

    Attributes:
        entry: the loss, with what is searched.
        base: the cell whose training is tried, of replicate 0, under the first candidates.
        tuning: the budget.

    """

    entry: Entry
    base: Cell
    tuning: Tuning

    @functools.cached_property
    def id(self) -> str:
        """Digest of what is searched, where, and with what budget."""
        first = self.trial({}).trial_id
        return digest("study", first, self.entry.text, f"trials={self.budget}")

    @property
    def space(self) -> Space:
        """What is searched."""
        return cast(Space, self.entry.space)

    @property
    def is_grid(self) -> bool:
        """Whether every candidate is tried; else Optuna draws."""
        return self.space.is_grid(self.tuning.trials)

    @property
    def budget(self) -> int:
        """Settings to try: the suite's number, or all where these are fewer."""
        return min(self.space.size or self.tuning.trials, self.tuning.trials)

    @property
    def seed(self) -> int:
        """What Optuna draws by: the same for every loss, 32 bits."""
        return seed_for(self.base.seed, "tune") >> 32

    def trial(self, settings: Settings) -> Cell:
        """Return the cell whose training tries some settings."""
        loss, training = self.entry.at(settings)
        if cap := self.tuning.epochs:
            training = replace(training, epochs=min(training.epochs, cap))
        return replace(self.base, loss=loss, training=training)

    def settled(self, cell: Cell, outcome: Plain | None) -> Cell:
        """Return a cell with the settings that were chosen, or as it is until these are known."""
        if outcome is None or outcome["chosen"] is None:
            return replace(cell, tuned=Tuned(self.id, self.entry.text))
        chosen = outcome["chosen"]
        loss, training = self.entry.at(chosen)
        tuned = Tuned(
            study=self.id,
            entry=self.entry.text,
            at="level-0" if self.base.trains_clean else "each-level",
            trials=len(outcome["trials"]),
            failed=outcome["failed"],
            validation=outcome["validation"],
            chosen=tuple(chosen.items()),
        )
        return replace(cell, loss=loss, training=training, tuned=tuned)

    def outcome(self, tried: Mapping[str, tuple[Settings, Plain]], ended: bool) -> Plain:
        """Describe how the study stands, as JSON holds it.

        Args:
            tried: id of each trial -> its settings and its record, in the order they were put.
            ended: whether nothing is left to try.

        """
        ids = list(tried)
        values = [(settings, record["validation"]) for settings, record in tried.values()]
        failed = [record for _, record in tried.values() if record["status"] == "failed"]
        errors = [record["error"] for record in failed]
        at = best(self.space, values) if ended else None
        chosen, validation = (None, None) if at is None else values[at]
        return {
            "id": self.id,
            "status": "running" if not ended else "failed" if at is None else "done",
            "by": "every candidate" if self.is_grid else "optuna",
            "space": self.space.plain(),
            "trials": [{"id": id, "settings": settings} for id, (settings, _) in tried.items()],
            "failed": len(failed),
            "again": sum(map(may_pass, failed)),
            "chosen": chosen,
            "best": None if at is None else ids[at],
            "validation": validation,
            "edges": self.entry.edges(chosen) if chosen is not None else [],
            "error": _why(errors, none=ended and at is None),
        }


def may_pass(record: Plain) -> bool:
    """Say whether a trial failed by what may have passed; one that diverged would do so again."""
    return record["status"] == "failed" and not record["error"].startswith("FloatingPointError")


def _why(errors: list[str], none: bool) -> str:
    first = f"the first: {errors[0]}" if errors else ""
    return f"none of {len(errors)} trials of its settings succeeded; {first}" if none else first


def study_of(cell: Cell, entry: Entry, tuning: Tuning) -> Study:
    """Return the study that chooses the settings of a cell whose loss is tuned."""
    if tuning.at == "level-0" or cell.trains_clean:
        cell = replace(cell, perturbation=replace(cell.perturbation, level=0.0))
    return _study(replace(cell, replicate=0), entry, tuning)


@functools.lru_cache(maxsize=4096)
def _study(base: Cell, entry: Entry, tuning: Tuning) -> Study:
    """Make a study once, not once for each of thousands of cells that rest on it."""
    return Study(entry, base, tuning)
