"""Studies: the trials of one tuned loss, and the choice of its settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

from pydantic import BaseModel, ConfigDict

from robustbench_rec.experiment.cell import Cell, Tuned, digest
from robustbench_rec.experiment.search_space import Entry, Settings, Space, Tuning, best
from robustbench_rec.seeds import seed_for


class Tried(NamedTuple):
    """A trial's settings and its result.

    `validation` is None if the trial failed; `may_pass` says that the cause may be gone next time.
    """

    settings: Settings
    validation: float | None
    error: str = ""
    failed: bool = False
    may_pass: bool = False


class TriedSettings(BaseModel):
    """A trial of a study: its id, and the settings."""

    model_config = ConfigDict(frozen=True)

    id: str = ""
    settings: Settings


class StudyOutcome(BaseModel):
    """The state of a study; without arguments, of one that has not begun.

    Attributes:
        checksum: the checksum of its file; see `records.whole`.
        id: the id of the study.
        status: "failed" if no trial succeeded.
        by: "every candidate", or "optuna".
        space: the search space.
        trials: the trials, in order.
        failed, again: the number of failed trials, and of those whose cause may have passed.
        chosen, best, validation: the best settings, their trial, and its NDCG@20.
        edges: the chosen settings at an edge of the search space.
        error: why trials failed.

    """

    model_config = ConfigDict(frozen=True)

    checksum: str = ""
    id: str
    status: Literal["running", "done", "failed"] = "running"
    by: str = ""
    space: dict[str, Any] = {}
    trials: tuple[TriedSettings, ...] = ()
    failed: int = 0
    again: int = 0
    chosen: Settings | None = None
    best: str | None = None
    validation: float | None = None
    edges: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Study:
    """The tuning of one loss of a suite on one set of data.

    Attributes:
        entry: the loss, with its search space.
        base: the cell to train, with the first candidates, of replicate "tuning" or, if each
            replicate is tuned, of that replicate.
        tuning: the budget.

    """

    entry: Entry
    base: Cell
    tuning: Tuning

    @functools.cached_property
    def id(self) -> str:
        """Digest of the search space, the data and the budget."""
        first = self.trial({}).fit_id
        return digest("study", first, self.entry.text, f"trials={self.budget}")

    @property
    def space(self) -> Space:
        """The search space."""
        return cast(Space, self.entry.space)

    @property
    def is_grid(self) -> bool:
        """Whether every candidate is tried; otherwise Optuna draws."""
        return self.space.is_grid(self.tuning.trials)

    @property
    def budget(self) -> int:
        """The number of trials: the suite's number, or all combinations if fewer."""
        return min(self.space.size or self.tuning.trials, self.tuning.trials)

    @property
    def seed(self) -> int:
        """The seed of Optuna: the same for every loss, 32 bits."""
        of_its_own = () if self.base.replicate == "tuning" else (self.base.replicate,)
        return seed_for(self.base.seed, "tune", *of_its_own) >> 32

    def trial(self, settings: Settings) -> Cell:
        """Return the cell that trains with some settings."""
        loss, training = self.entry.at(settings)
        if cap := self.tuning.epochs:
            training = replace(training, epochs=min(training.epochs, cap))
        return replace(self.base, loss=loss, training=training)

    def with_chosen(self, cell: Cell, outcome: StudyOutcome | None) -> Cell:
        """Return a cell with the chosen settings, or unchanged until these are known."""
        if outcome is None or outcome.chosen is None:
            return replace(cell, tuned=Tuned(self.id, self.entry.text))
        loss, training = self.entry.at(outcome.chosen)
        tuned = Tuned(
            study=self.id,
            entry=self.entry.text,
            at="level-0" if self.base.trains_clean else "each-level",
            trials=len(outcome.trials),
            failed=outcome.failed,
            validation=outcome.validation or 0.0,
            chosen=tuple(outcome.chosen.items()),
        )
        return replace(cell, loss=loss, training=training, tuned=tuned)

    def outcome(self, tried: Mapping[str, Tried], ended: bool) -> StudyOutcome:
        """Return the state of the study.

        Args:
            tried: id of each trial -> its result, in order.
            ended: whether nothing is left to try.

        """
        ids, trials = list(tried), list(tried.values())
        at = best(self.space, [(one.settings, one.validation) for one in trials]) if ended else None
        chosen = None if at is None else trials[at]
        errors = [one.error for one in trials if one.failed]
        return StudyOutcome(
            id=self.id,
            status="running" if not ended else "failed" if chosen is None else "done",
            by="every candidate" if self.is_grid else "optuna",
            space=self.space.plain(),
            trials=tuple(TriedSettings(id=id, settings=tried[id].settings) for id in ids),
            failed=len(errors),
            again=sum(one.may_pass for one in trials),
            chosen=chosen and chosen.settings,
            best=None if at is None else ids[at],
            validation=chosen and chosen.validation,
            edges=tuple(self.entry.edges(chosen.settings)) if chosen else (),
            error=_why(errors, none=ended and chosen is None),
        )


def _why(errors: list[str], none: bool) -> str:
    first = f"the first: {errors[0]}" if errors else ""
    return f"none of {len(errors)} trials of its settings succeeded; {first}" if none else first


def study_of(cell: Cell, entry: Entry, tuning: Tuning) -> Study:
    """Return the study that chooses the settings of a cell with a tuned loss."""
    if tuning.at == "level-0" or cell.trains_clean:
        cell = replace(cell, perturbation=replace(cell.perturbation, level=0.0))
    if tuning.split == "own":
        cell = replace(cell, replicate="tuning")
    return _study(cell, entry, tuning)


@functools.lru_cache(maxsize=4096)
def _study(base: Cell, entry: Entry, tuning: Tuning) -> Study:
    """Make a study once, not once for each of the thousands of cells that depend on it."""
    return Study(entry, base, tuning)
