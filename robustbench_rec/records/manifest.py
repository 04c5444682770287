"""Manifests: the content of a run, how it was run, and the labels of its cells."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from robustbench_rec.components.labels import AXES, short_names
from robustbench_rec.evaluation.metrics import Averaging
from robustbench_rec.experiment.cell import Selection, Varies
from robustbench_rec.experiment.claim import Claim
from robustbench_rec.experiment.reference import Published
from robustbench_rec.experiment.study import StudyOutcome

FORMAT: Final = 3
"""Format of manifests and records; `old_forms` converts formats 1 and 2."""


Id = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$")]
"""Pattern of ids, which are safe as file names."""


class Kept(BaseModel):
    """An immutable model stored as JSON."""

    model_config = ConfigDict(frozen=True)


class PlannedStudy(Kept):
    """The labels of a study, and its budget of trials.

    `perturbation` is "" if the study is on the clean control; `split` is "own" for a separate
    split, otherwise "replicate 0" or another replicate.
    """

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    budget: int
    split: str = "own"


class PlannedCell(Kept):
    """The labels, level and replicate of a cell, which identify it in its run.

    `training` is the id of its training, which cells may share; "" in an old manifest.
    """

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    replicate: int
    training: str = ""


class Part(Kept):
    """A part of a merged run: its command, start and cells."""

    command: str
    started: str
    versions: dict[str, str]
    platform: str
    protocol: tuple[str, ...]
    suite_text: str
    cells: tuple[str, ...]


class Computed(Kept):
    """Cells that the same versions computed; `versions` has the keys `record.COMPUTE`."""

    versions: dict[str, str]
    cells: tuple[str, ...]


class Manifest(Kept):
    """The content of a run, and how it was run.

    Attributes:
        format: the format of the manifest and of its records.
        suite, about: name and description of the suite.
        protocol: the meaning of the cells; old runs have two entries if some data sets hold
            positives out.
        metrics, averaging, replicates, replicates_vary, selection, plugins: as in the suite.
        not_applicable: each (loss, perturbation) without cells, because the loss does not use the
            data that the perturbation changes.
        versions, platform, command, process, started: those of the last call.
        data: full spec of a data set -> digest of its content.
        suite_text, suite_cells: the suite file, and the number of cells of the whole suite.
        references, claims: published values, and claims to confirm or refute.
        tuning: how losses are tuned.
        specs: axis -> label -> full spec.
        studies, cells: id -> labels.
        parts: the parts of a merged run.
        tables: name of each table of the compacted run -> digest of the file.
        records: digest of the records that the tables were made from.
        computed: the cells of the tables, by the versions that computed them.

    """

    format: Literal[3] = FORMAT
    suite: str
    about: str
    protocol: tuple[str, ...]
    metrics: tuple[str, ...]
    averaging: Averaging
    replicates: int
    replicates_vary: Varies
    selection: Selection
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
    studies: dict[Id, PlannedStudy]
    cells: dict[Id, PlannedCell]
    parts: tuple[Part, ...] = ()
    not_applicable: tuple[tuple[str, str], ...] = ()
    claims: tuple[Claim, ...] = ()
    tables: dict[str, str] = Field(default_factory=dict)
    records: str = ""
    computed: tuple[Computed, ...] = ()

    @property
    def protocols(self) -> frozenset[str]:
        """The protocol versions of its cells, over all data sets."""
        return frozenset(entry.partition(",")[0] for entry in self.protocol)

    @cached_property
    def short_labels(self) -> dict[str, dict[str, str]]:
        """Labels in figures and messages: axis -> label -> short label.

        A short label has the settings that differ among components of the same name. Labels of old
        runs are short already, so there are no entries.
        """
        short = {axis: short_names(of.values()) for axis, of in self.specs.items()}
        return {
            axis: {label: short[axis][spec] for label, spec in of.items()}
            for axis, of in self.specs.items()
        }

    def short(self, axis: str, label: str) -> str:
        """Return the short label of a component, for figures and messages."""
        return self.short_labels.get(axis, {}).get(label, label)

    def title(self, one: PlannedCell | PlannedStudy) -> str:
        """Return the readable name of a cell or a study."""
        names = " ".join(self.short(axis, getattr(one, axis)) for axis in AXES).strip()
        if isinstance(one, PlannedCell):
            return f"{names} level {one.level:g} replicate {one.replicate}"
        names += f" level {one.level:g}" if one.perturbation else ""
        return names if one.split == "own" else f"{names} {one.split}"


class StudyState(PlannedStudy, StudyOutcome):
    """The labels of a study, and its state."""


class Capped(Kept):
    """The number of trainings of a loss at a level that may be too short, and of all."""

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    capped: int
    trainings: int


class Unreached(Kept):
    """A requested level, and the least severity that was achieved."""

    dataset: str
    perturbation: str
    level: float
    realised: float


class BelowRandom(Kept):
    """A loss that ends below the random baseline, in the first metric of the suite that it has."""

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    metric: str
    value: float
    random: float


class LeftOut(Kept):
    """Users of a data set left out of training: a perturbation left them no negative.

    Attributes:
        dataset: the label of the data set.
        perturbation, level: those of the cell with most of these users.
        users: the number of these users in that cell.
        named: original ids of some of them.
        cells: the number of cells with such users, of all perturbations.

    """

    dataset: str
    perturbation: str
    level: float
    users: int
    named: tuple[str, ...]
    cells: int


class Summary(Kept):
    """The state of a run.

    Attributes:
        suite, cells, suite_cells: the suite's name, the number of cells of the run, and of the
            whole suite.
        done, left: the numbers of finished cells, and of cells neither finished nor failed.
        failed: id -> title and reason.
        seconds: seconds of training; None if the run has only tables.
        tuning: the studies.
        parts: the parts of a merged run.
        capped: trainings that may be too short.
        unreached: levels that were not reached.
        few_users: the number of cells with fewer than `record.FEW_USERS` effective test users.
        below_random: losses that end below the random baseline.
        left_out: users left out of training under a perturbation, by data set.
        not_applicable: each (loss, perturbation) without cells, as in the manifest.
        computed: finished cells, by the versions that computed them; empty if only old tables are
            left.

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
    capped: tuple[Capped, ...]
    unreached: tuple[Unreached, ...]
    few_users: int
    below_random: tuple[BelowRandom, ...]
    not_applicable: tuple[tuple[str, str], ...]
    computed: tuple[Computed, ...]
    left_out: tuple[LeftOut, ...] = ()
