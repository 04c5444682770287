"""The plan of a run: the cells of a suite, and which of them are finished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.labels import spec_once
from robustbench_rec.components.perturbation import PERTURBATIONS, perturb
from robustbench_rec.data.doubts import doubts
from robustbench_rec.data.preparation import prepare
from robustbench_rec.data.sizes import Sizes
from robustbench_rec.errors import InputError, counted
from robustbench_rec.evaluation.metrics import (
    defined_under_weights,
    parse,
    recorded,
    up_to_date,
)
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.search_space import Entry
from robustbench_rec.experiment.selection import Shard, select
from robustbench_rec.experiment.study import Study, StudyOutcome, study_of
from robustbench_rec.experiment.suite import Suite
from robustbench_rec.interactions import Split
from robustbench_rec.processes import without_gc
from robustbench_rec.records.events import TOLD_AS_WARNINGS, Events
from robustbench_rec.records.manifest import Computed, Manifest
from robustbench_rec.records.record import COMPUTE, Record, Trial, computed_by, versions
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.training.config import PROTOCOL

OURS = f"{PERTURBATIONS.package}."
"""Prefix of the modules of our own perturbations."""
Kind = tuple[object, ...]


@dataclass(frozen=True)
class Plan:
    """The work of a run, finished and to do.

    Attributes:
        suite: the suite.
        cells: the cells of the suite that `only` and `shard` select, in stable order.
        all_cells: the cells of the whole suite, on data sets that are present.
        fingerprints: data set -> digest of its content.
        done: ids of recorded cells that need not run.
        seconds: mean seconds of the trainings recorded here, without baselines, by `_kind`.
        studies: id -> study of the tuned losses; `cells` depend on these.
        outcomes: id -> outcome of each study that has begun; until a study ends, its cells have the
            first candidates.
        all_studies: the studies of the whole suite, as `all_cells`.
        retry: whether to rerun studies whose trials failed for a reason that may have passed.
        before: the manifest in the folder; None if there is none.
        metrics: the metrics that a cell records, name -> digest of its code.
        outdated: id of a finished cell -> the `name@k` of the suite that its record lacks, or has
            by other code than today's. These cells are not `done`.
        sizes: label of a data set with cells left to run -> its sizes, once checked.
        computed: the cells of `done`, by the versions that computed them.
        known: trials of another run to take over before any is run.

    """

    suite: Suite
    cells: tuple[Cell, ...]
    all_cells: tuple[Cell, ...]
    fingerprints: Mapping[str, str]
    done: frozenset[str]
    seconds: Mapping[Kind, float]
    studies: Mapping[str, Study] = field(default_factory=dict)
    outcomes: Mapping[str, StudyOutcome] = field(default_factory=dict)
    all_studies: Mapping[str, Study] = field(default_factory=dict)
    retry: bool = True
    before: Manifest | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    outdated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    computed: tuple[Computed, ...] = ()
    known: Sequence[Trial] = ()

    @property
    def untuned(self) -> dict[str, Study]:
        """The studies to run before the cells."""
        return {id: study for id, study in self.studies.items() if not self._has_ended(id)}

    def _has_ended(self, study: str) -> bool:
        outcome = self.outcomes.get(study)
        if outcome is None or outcome.status == "running":
            return False
        return not (self.retry and outcome.again)

    @cached_property
    def blocked(self) -> dict[str, tuple[Cell, str]]:
        """Id -> reason of the cells that cannot run because all trials of their study failed."""
        failed = {id for id, one in self.outcomes.items() if one.status == "failed"}
        return {
            cell.id: (cell, self.outcomes[cell.tuned.study].error)
            for cell in self.cells
            if cell.tuned and cell.tuned.study in failed
        }

    @cached_property
    def left(self) -> dict[str, list[Cell]]:
        """The cells to run, by the training they share, ordered by replicate."""
        groups: dict[str, list[Cell]] = {}
        for cell in sorted(self.cells, key=lambda cell: cell.replicate):
            if cell.id not in self.done and cell.id not in self.blocked:
                groups.setdefault(cell.fit_id, []).append(cell)
        return groups

    @cached_property
    def again(self) -> tuple[tuple[str, ...], int, int]:
        """Reasons to rerun finished cells: metrics, and the numbers of baselines and others."""
        names = {metric for metrics in self.outdated.values() for metric in metrics}
        baselines = [not cell.backbone.learns for cell in self.cells if cell.id in self.outdated]
        asked = tuple(metric for metric in self.suite.metrics if metric in names)
        return asked, sum(baselines), len(baselines) - sum(baselines)

    @cached_property
    def left_out(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The `name@k` that cells can never have, and the perturbations for which this holds."""
        weighing = [cell.perturbation.name for cell in self.cells if _is_weighted(cell)]
        defined = _defined(self.suite.metrics, is_weighted=bool(weighing))
        lacking = tuple(metric for metric in self.suite.metrics if metric not in defined)
        return lacking, tuple(dict.fromkeys(weighing))

    @property
    def by_other_versions(self) -> list[Computed]:
        """The finished cells that other versions than today's computed."""
        today = {name: versions()[name] for name in COMPUTE}
        return [one for one in self.computed if one.versions != today]

    @property
    def n_trainings(self) -> int:
        """The number of trainings of the whole plan."""
        return len({cell.fit_id for cell in self.cells})

    @property
    def n_to_run(self) -> int:
        """The largest number of trainings left to run, including trials."""
        return len(self.left) + sum(study.budget for study in self.untuned.values())

    @cached_property
    def costs(self) -> dict[str, float]:
        """The expected cost of each training left: the mean of similar trainings, or of all.

        In seconds; 1 each if none is recorded. Baselines cost 0.
        """
        usual = fmean(self.seconds.values()) if self.seconds else 1.0
        return {
            training: self.seconds.get(_kind(cells[0]), usual) if cells[0].backbone.learns else 0.0
            for training, cells in self.left.items()
        }

    @property
    def not_applicable(self) -> list[tuple[str, str]]:
        """Losses and perturbations without cells: the loss does not use the perturbed data."""
        losses, perturbations = (self.suite.labels[axis] for axis in ("loss", "perturbation"))
        return [
            (losses[entry.text], perturbations[spec_once(one, without="level")])
            for entry, one in self.suite.not_applicable
        ]

    @property
    def of_old(self) -> str:
        """Say why records of an earlier version run again; "" if there are none."""
        old = self.before.protocols - {PROTOCOL} if self.before else None
        if not old:
            return ""
        return (
            f"the records here are of protocol {', '.join(sorted(old))} and cannot be reused: all "
            f"cells run again under protocol {PROTOCOL}"
        )

    def estimate(self, jobs: int) -> float | None:
        """Return the seconds left, from recorded trainings; None if none is recorded."""
        return sum(self.costs.values()) / jobs if self.seconds else None


def _kind(cell: Cell) -> tuple[object, ...]:
    """Return the components that mostly determine the time of a training."""
    training = cell.training
    parts = map(spec_once, (cell.dataset, cell.backbone, cell.loss))
    return *parts, training.epochs, training.batch_size, training.patience


@without_gc()
def make_plan(
    suite: Suite,
    folder: RunFolder,
    data_dir: Path,
    only: Sequence[tuple[str, str]] = (),
    force: bool = False,
    events: Events = TOLD_AS_WARNINGS,
    retry: bool = True,
    shard: Shard | None = None,
) -> Plan:
    """Compare a suite with its results folder, and return the work to do.

    Args:
        suite: the suite.
        folder: its results folder. If it is locked, corrupt records are set aside.
        data_dir: the folder of the data sets.
        only: (axis, name) to keep, as in [("dataset", "synthetic"), ("replicate", "0")].
        force: whether to rerun finished cells.
        events: receives warnings of corrupt records.
        retry: see `Plan.retry`; False once the studies were rerun.
        shard: the share to keep of the cells that `only` keeps.

    Raises:
        InputError: data are missing, or the suite does not have a name of `only`.

    """
    selected = select(suite, only, shard)
    prints = {dataset: dataset.fingerprint(data_dir) for dataset in selected.datasets}
    outcomes = _Outcomes(suite, folder, events)
    cells = selected.of(suite.cells(prints, outcomes.choose))
    studies = outcomes.of(cells)
    here = _fingerprints(suite.datasets, data_dir) if only else prints
    every = cells if selected.is_whole else tuple(suite.cells(here, outcomes.choose))
    records = folder.read_records({cell.id: cell for cell in cells}, events, folder.is_locked)
    ended = {id: record for id, record in records.items() if record.status == "done"}
    if folder.is_locked:
        trainings = dict.fromkeys(record.fit_id for record in ended.values())
        damaged = folder.with_damaged_lists(trainings, events)
        ended = {id: record for id, record in ended.items() if record.fit_id not in damaged}
    metrics = recorded(suite.metrics)
    outdated = {} if force else _outdated(cells, ended, suite.metrics, metrics)
    done = {} if force else {id: one for id, one in ended.items() if id not in outdated}
    return Plan(
        suite=suite,
        cells=cells,
        all_cells=every,
        fingerprints={str(dataset): digest for dataset, digest in prints.items()},
        done=frozenset(done),
        seconds=_seconds(cells, ended),
        studies=studies,
        outcomes=outcomes.held,
        all_studies=outcomes.studies,
        retry=retry,
        before=folder.manifest_or_aside(events),
        metrics=metrics,
        outdated=outdated,
        computed=computed_by(done.values()),
    )


def _outdated(
    cells: Iterable[Cell],
    records: Mapping[str, Record],
    asked: Sequence[str],
    codes: Mapping[str, str],
) -> dict[str, tuple[str, ...]]:
    """Return id -> metrics of the records that lack a metric, or have it by other code.

    Models are not kept, so such a cell trains again; a baseline trains nothing and is only ranked
    again. Metrics that are not defined for a cell do not count: it would lack them for ever.
    """
    wanted = {is_weighted: _defined(asked, is_weighted) for is_weighted in (False, True)}
    lacking = {
        cell.id: tuple(
            one
            for one in wanted[_is_weighted(cell)]
            if not up_to_date(one, record.metrics, record.metric_code, codes)
        )
        for cell in cells
        if (record := records.get(cell.id))
    }
    return {id: metrics for id, metrics in lacking.items() if metrics}


def _is_weighted(cell: Cell) -> bool:
    """Say whether the test pairs of a cell are weighted."""
    return cell.perturbation.weighs_test and cell.perturbation.level > 0


def _defined(asked: Iterable[str], is_weighted: bool) -> tuple[str, ...]:
    """Return the `name@k` that a cell can have, with a weighted test or not."""
    return tuple(
        metric for metric in asked if not is_weighted or defined_under_weights(parse(metric)[0])
    )


def _seconds(cells: Iterable[Cell], done: Mapping[str, Record]) -> dict[Kind, float]:
    """Return the mean seconds of trainings, by the components that determine them."""
    took: dict[Kind, dict[str, float]] = {}
    for cell in cells:
        if cell.id in done and cell.backbone.learns:
            took.setdefault(_kind(cell), {})[cell.fit_id] = done[cell.id].seconds["fit"]
    return {kind: fmean(trainings.values()) for kind, trainings in took.items()}


class _Outcomes:
    """Collects the studies that cells depend on, and sets the chosen settings in the cells."""

    def __init__(self, suite: Suite, folder: RunFolder, events: Events) -> None:
        self.tuning, self.folder, self.events = suite.tune, folder, events
        self.studies: dict[str, Study] = {}
        self.held: dict[str, StudyOutcome] = {}

    def choose(self, cell: Cell, entry: Entry) -> Cell:
        study = study_of(cell, entry, self.tuning)
        if study.id not in self.studies:
            self.studies[study.id] = study
            self.held |= self.folder.read_studies([study.id], self.events, self.folder.is_locked)
        return study.with_chosen(cell, self.held.get(study.id))

    def of(self, cells: Iterable[Cell]) -> dict[str, Study]:
        """Return the studies that some cells depend on."""
        wanted = {cell.tuned.study for cell in cells if cell.tuned}
        return {id: study for id, study in self.studies.items() if id in wanted}


def check_data(plan: Plan, data_dir: Path, events: Events = TOLD_AS_WARNINGS) -> Plan:
    """Prepare and perturb each data set that is left to run on, to detect problems early.

    Perturbations of plugins are left to the workers, which survive crashes.

    Returns:
        The plan with the sizes of these data sets.

    Raises:
        InputError: as `preparation.prepare` and the readers; no cell can train on the data; or a
            perturbation of ours has no effect on the data set.

    """
    left = [cell for group in plan.left.values() for cell in group]
    ours = [cell for cell in plan.cells if type(cell.perturbation).__module__.startswith(OURS)]
    worst = {
        (cell.dataset, spec_once(cell.perturbation, without="level")): cell
        for cell in sorted(ours, key=lambda cell: (cell.perturbation.level, -int(cell.replicate)))
    }
    labels, sizes = plan.suite.labels["dataset"], {}
    for dataset in dict.fromkeys(cell.dataset for cell in left):
        its = [cell for (on, _), cell in worst.items() if on == dataset]
        first = its[0] if its else next(cell for cell in left if cell.dataset == dataset)
        raw = dataset.read(data_dir)
        split = prepare(raw, dataset, plan.suite.seed, first.split_of)
        sizes[labels[spec_once(dataset)]] = Sizes.of(raw, split)
        try:
            _refuse_untrainable(split)
            for cell in its:
                _refuse_out_of_reach(cell, split)
        except InputError as error:
            raise InputError(f"data set {dataset.name}: {error}") from None
        for doubt in (*doubts(raw), *_left_out(split)):
            events.warning(f"data set {dataset.name}: {doubt}")
    return replace(plan, sizes=sizes)


def _refuse_untrainable(split: Split) -> None:
    """Raise InputError if the split would make every cell fail."""
    if not len(split.valid):
        raise InputError(
            "no user has a validation pair, which needs two training pairs of a user; lower test, "
            "raise k_core, or give a validation part"
        )
    if not (split.train.user_counts[split.train.users] < split.n_items).any():
        raise InputError("every user has met every item, so there is no negative to train on")


def _left_out(split: Split) -> Iterator[str]:
    """Return a warning about users who have met every item, if any."""
    full = np.flatnonzero(split.train.user_counts == split.n_items)
    if full.size:
        named = [str(user) for user in (full if split.user_ids is None else split.user_ids[full])]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        yield (
            f"{counted(len(named), 'user')} met every item in training: {', '.join(named[:3])}"
            f"{more}; they have no negatives, so their pairs are not used in training"
        )


def _refuse_out_of_reach(cell: Cell, split: Split) -> None:
    """Raise InputError if a perturbation fails on a split, or has no effect at its level."""
    perturbation = cell.perturbation
    if not perturbation.level:
        return
    made = perturb(perturbation, split, cell.perturbation_rng())
    severity = next(iter(perturbation.realised(split, made).values()))
    if not severity > 0:
        raise InputError(
            f"{spec_once(perturbation, without='level')} reaches no level on these data: "
            f"{severity:g} was achieved instead of {perturbation.level:g}; leave it out here"
        )


def _fingerprints(datasets: Iterable[Dataset], data_dir: Path) -> dict[Dataset, str]:
    """Return the digests of the data sets that are present."""
    found = {}
    for dataset in datasets:
        with suppress(InputError):
            found[dataset] = dataset.fingerprint(data_dir)
    return found
