"""Manifests: what a run is of, how it was run, and what its cells are called."""

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
"""Of manifests and records; `old_forms` turns those of formats 1 and 2 into these."""


Id = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$")]
"""Names a file, in the folder where it belongs and nowhere else."""


class Kept(BaseModel):
    """What is kept as JSON, and not changed once it is made."""

    model_config = ConfigDict(frozen=True)


class PlannedStudy(Kept):
    """What a study is called: labels, and the budget of trials.

    `perturbation` is "" where the clean control chose; `split` is "own" where that of no replicate
    did, else "replicate 0" or another.
    """

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    budget: int
    split: str = "own"


class PlannedCell(Kept):
    """What a cell is called: labels, level and replicate, which tell it from others of its run.

    `training` is the id of its training, which cells may share; "" in a manifest of old.
    """

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    replicate: int
    training: str = ""


class Part(Kept):
    """How a part of a merged run was run, and which cells are its."""

    command: str
    started: str
    versions: dict[str, str]
    platform: str
    protocol: tuple[str, ...]
    suite_text: str
    cells: tuple[str, ...]


class Computed(Kept):
    """Cells that equal versions computed; `versions` are those of `record.COMPUTE`."""

    versions: dict[str, str]
    cells: tuple[str, ...]


class Manifest(Kept):
    """What a run is of, and how it was run.

    Attributes:
        format: of the manifest and of the records beside it.
        suite, about: of the suite.
        protocol: what the cells mean; of old there were two entries where some data sets held
            positives out.
        metrics, averaging, replicates, replicates_vary, selection, plugins: as the suite has them.
        not_applicable: (loss, perturbation) of each that has no cells, as the perturbation acts
            through what the loss does not use.
        versions, platform, command, process, started: of the last call that ran it.
        data: full spec of a data set -> digest of its content.
        suite_text, suite_cells: the file, and the cells of the whole suite.
        references, claims: published values, and what is to be confirmed or refuted.
        tuning: how losses are tuned.
        specs: axis -> label -> full spec, so that a label says all.
        studies, cells: id -> what they are called.
        parts: of a merged run.
        tables: name of each table that the run was compacted to -> digest of the file.
        records: digest of the records that these were made of.
        computed: their cells, by the versions that computed them.

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
        """The versions of the protocol that its cells are of, whatever data sets they are of."""
        return frozenset(entry.partition(",")[0] for entry in self.protocol)

    @cached_property
    def short_labels(self) -> dict[str, dict[str, str]]:
        """What figures and messages call components: axis -> label -> the name alone.

        It has the settings that differ among those of its name. In a run of old, whose labels are
        short themselves, there are none.
        """
        short = {axis: short_names(of.values()) for axis, of in self.specs.items()}
        return {
            axis: {label: short[axis][spec] for label, spec in of.items()}
            for axis, of in self.specs.items()
        }

    def short(self, axis: str, label: str) -> str:
        """Return what a figure or a message calls a component."""
        return self.short_labels.get(axis, {}).get(label, label)

    def title(self, one: PlannedCell | PlannedStudy) -> str:
        """Return the name of a cell, or of a study, for a person."""
        names = " ".join(self.short(axis, getattr(one, axis)) for axis in AXES).strip()
        if isinstance(one, PlannedCell):
            return f"{names} level {one.level:g} replicate {one.replicate}"
        names += f" level {one.level:g}" if one.perturbation else ""
        return names if one.split == "own" else f"{names} {one.split}"


class StudyState(PlannedStudy, StudyOutcome):
    """What a study is called, and how it stands."""


class Capped(Kept):
    """How many trainings of a loss at a level may have had more to learn, of how many."""

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    capped: int
    trainings: int


class Unreached(Kept):
    """A level that was asked for, and the least severity that was achieved of it."""

    dataset: str
    perturbation: str
    level: float
    realised: float


class BelowRandom(Kept):
    """Where a loss ends below the random baseline, in the first metric that the suite has there."""

    dataset: str
    backbone: str
    loss: str
    perturbation: str
    level: float
    metric: str
    value: float
    random: float


class LeftOut(Kept):
    """Users of a data set who were not trained on: a perturbation left them no negative.

    Attributes:
        dataset: its label.
        perturbation, level: of the cell with most of them.
        users: how many there are in it.
        named: original ids of some.
        cells: with such users, of all perturbations.

    """

    dataset: str
    perturbation: str
    level: float
    users: int
    named: tuple[str, ...]
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
        capped: trainings that may have had more to learn.
        unreached: levels that were not achieved.
        few_users: cells whose test has fewer than `record.FEW_USERS` users in effect.
        below_random: losses that end below the random baseline.
        left_out: users who were not trained on under a perturbation, by data set.
        not_applicable: (loss, perturbation) of those without cells, as in the manifest.
        computed: finished cells, by the versions that computed them; none where tables of old are
            all that is left.

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
