"""Manifests: what a run is of, how it was run, and what its cells are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from robustbench_rec.components.labels import AXES, short_names
from robustbench_rec.evaluation.metrics import Averaging
from robustbench_rec.experiment.reference import Published
from robustbench_rec.experiment.study import StudyOutcome

FORMAT: Final = 2
"""Of manifests and records; `old_forms` turns those of format 1 into these."""


class Kept(BaseModel):
    """What is kept as JSON, and not changed once it is made."""

    model_config = ConfigDict(frozen=True)


class PlannedStudy(Kept):
    """What a study is called: labels, and the budget of trials.

    `perturbation` is "" where the clean control chose.
    """

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    budget: int

    @property
    def title(self) -> str:
        """Its name for a person."""
        place = f" level {self.level:g}" if self.perturbation else ""
        return " ".join(getattr(self, axis) for axis in AXES if getattr(self, axis)) + place


class PlannedCell(Kept):
    """What a cell is called: labels, level and replicate, which tell it from others of its run."""

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    replicate: int

    @property
    def title(self) -> str:
        """Its name for a person."""
        names = " ".join(getattr(self, axis) for axis in AXES)
        return f"{names} level {self.level:g} replicate {self.replicate}"


class Part(Kept):
    """How a part of a merged run was run, and which cells are its."""

    command: str
    started: str
    versions: dict[str, str]
    platform: str
    protocol: tuple[str, ...]
    suite_text: str
    cells: tuple[str, ...]


class Manifest(Kept):
    """What a run is of, and how it was run.

    Attributes:
        format: of the manifest and of the records beside it.
        suite, about: of the suite.
        protocol: what the cells mean, one entry or, where some data sets hold positives out, two.
        metrics, averaging, replicates, plugins: as the suite has them.
        versions, platform, command, process, started: of the last call that ran it.
        data: full spec of a data set -> digest of its content.
        suite_text, suite_cells: the file, and the cells of the whole suite.
        references: published values.
        tuning: how losses are tuned.
        specs: axis -> label -> full spec, so that a label says all.
        studies, cells: id -> what they are called.
        parts: of a merged run.

    """

    format: Literal[2] = FORMAT
    suite: str
    about: str
    protocol: tuple[str, ...]
    metrics: tuple[str, ...]
    averaging: Averaging
    replicates: int
    versions: dict[str, str]
    platform: str
    data: dict[str, str]
    plugins: tuple[str, ...]
    command: str
    process: int
    started: str
    suite_text: str
    suite_cells: int
    references: tuple[Published, ...]
    tuning: dict[str, Any]
    specs: dict[str, dict[str, str]]
    studies: dict[str, PlannedStudy]
    cells: dict[str, PlannedCell]
    parts: tuple[Part, ...] = ()

    def short_labels(self, axis: str, shown: Sequence[str]) -> dict[str, str]:
        """Return what a figure calls each of the labels that it shows on an axis.

        The name alone, or with the settings that differ among those shown.
        """
        specs = self.specs.get(axis, {})
        short = short_names(specs.get(label, label) for label in shown)
        return {label: short[specs.get(label, label)] for label in shown}


class StudyState(PlannedStudy, StudyOutcome):
    """What a study is called, and how it stands."""


class CappedLoss(Kept):
    """How many cells of a loss were best at the last epoch allowed, of those that tell."""

    dataset: str
    backbone: str
    loss: str
    capped: int
    cells: int


class Summary(Kept):
    """How a run stands.

    Attributes:
        suite, cells, suite_cells: its name, the cells of the run, and those of the whole suite.
        done, left: how many are done, and neither done nor failed.
        failed: id -> title and reason.
        seconds: of training; None where tables are all that is left of the run.
        tuning: its studies.
        parts: of a merged run.
        capped: losses that may have had more to learn.

    """

    suite: str
    cells: int
    suite_cells: int
    done: int
    failed: dict[str, tuple[str, str]]
    left: int
    seconds: float | None
    tuning: tuple[StudyState, ...]
    parts: tuple[Part, ...]
    capped: tuple[CappedLoss, ...]
