"""The plan of a run: which cells a suite has, which are done, and how the run is described."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.labels import meant, spec_once, trained
from robustbench_rec.components.perturbation import PERTURBATIONS, perturb
from robustbench_rec.data.preparation import load
from robustbench_rec.errors import InputError, nearest
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.search_space import Entry
from robustbench_rec.experiment.study import Study, study_of
from robustbench_rec.experiment.suite import Suite
from robustbench_rec.records.record import versions
from robustbench_rec.records.run_folder import RunFolder

OURS = f"{PERTURBATIONS.package}."
"""How the modules of our own perturbations begin."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what is done already.

    Attributes:
        suite: what was asked.
        cells: of the suite, less what `only` leaves out; in stable order.
        all_cells: of the whole suite, as far as its data are here.
        fingerprints: data set -> digest of its content.
        done: ids that are recorded and need not run.
        seconds: what trainings that are recorded here took in the mean, floors left out, by
            `_kind`.
        studies: of the losses that are tuned, by id; `cells` rest on these.
        outcomes: of those begun, as `Study.outcome` tells it; a cell whose study has not ended
            stands under the first candidates.
        all_studies: of the whole suite, as `all_cells`.
        retry: whether studies are run again of which trials failed by what may have passed.

    """

    suite: Suite
    cells: tuple[Cell, ...]
    all_cells: tuple[Cell, ...]
    fingerprints: Mapping[str, str]
    done: frozenset[str]
    seconds: Mapping[tuple[object, ...], float]
    studies: Mapping[str, Study] = field(default_factory=dict)
    outcomes: Mapping[str, Any] = field(default_factory=dict)
    all_studies: Mapping[str, Study] = field(default_factory=dict)
    retry: bool = True

    @property
    def untuned(self) -> dict[str, Study]:
        """The studies that are to be run before the cells."""
        return {id: study for id, study in self.studies.items() if not self._has_ended(id)}

    def _has_ended(self, study: str) -> bool:
        outcome = self.outcomes.get(study, {"status": "running"})
        return outcome["status"] != "running" and not (self.retry and outcome.get("again"))

    @cached_property
    def blocked(self) -> dict[str, tuple[Cell, str]]:
        """The cells that cannot run as every trial of their settings failed, by id, and why."""
        failed = {id for id, one in self.outcomes.items() if one["status"] == "failed"}
        return {
            cell.id: (cell, self.outcomes[cell.tuned.study]["error"])
            for cell in self.cells
            if cell.tuned and cell.tuned.study in failed
        }

    @cached_property
    def left(self) -> dict[str, list[Cell]]:
        """The cells to run, by the training they share, in stable order."""
        groups: dict[str, list[Cell]] = {}
        for cell in self.cells:
            if cell.id not in self.done and cell.id not in self.blocked:
                groups.setdefault(cell.fit_id, []).append(cell)
        return groups

    @property
    def n_trainings(self) -> int:
        """How many trainings the whole plan has."""
        return len({cell.fit_id for cell in self.cells})

    @cached_property
    def costs(self) -> dict[str, float]:
        """What each training that is left may take: what its like took, or else all took.

        In seconds; where none is recorded, 1 each. Floors take nothing.
        """
        usual = fmean(self.seconds.values()) if self.seconds else 1.0
        return {
            fit: self.seconds.get(_kind(cells[0]), usual) if cells[0].backbone.learns else 0.0
            for fit, cells in self.left.items()
        }

    def estimate(self, jobs: int) -> float | None:
        """Return the seconds left, from recorded trainings; None where none is recorded."""
        return sum(self.costs.values()) / jobs if self.seconds else None


def _kind(cell: Cell) -> tuple[object, ...]:
    """Return what mostly decides how long a training takes."""
    training = cell.training
    parts = map(spec_once, (cell.dataset, cell.backbone, cell.loss))
    return *parts, training.epochs, training.batch_size, training.patience


def make_plan(
    suite: Suite,
    store: RunFolder,
    data_dir: Path,
    only: Sequence[tuple[str, str]] = (),
    force: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    retry: bool = True,
) -> Plan:
    """Find out what is to be run.

    Args:
        suite: what is asked.
        store: where its results lie.
        data_dir: where its data sets lie.
        only: (axis, name) of what to keep, as in [("dataset", "synthetic"), ("replicate", "0")].
        force: whether to run again what is done.
        warn: told of corrupt records.
        retry: as `Plan.retry`; no longer once they were.

    Raises:
        InputError: missing data, or `only` names what the suite does not have.

    """
    part = _restricted(suite, only)
    prints = {dataset: dataset.fingerprint(data_dir) for dataset in part.datasets}
    outcomes = _Outcomes(suite, store, warn)
    cells = tuple(part.cells(prints, outcomes.settle))
    studies = dict(outcomes.studies)
    here = _fingerprints(suite.datasets, data_dir) if only else prints
    every = tuple(suite.cells(here, outcomes.settle)) if only else cells
    records = store.records((cell.id for cell in cells), warn)
    done = {id for id, record in records.items() if record["status"] == "done"}
    took: dict[tuple[object, ...], dict[str, float]] = {}
    for cell in cells:
        if cell.id in done and cell.backbone.learns:
            seconds = records[cell.id]["seconds"]["fit"]
            took.setdefault(_kind(cell), {})[cell.fit_id] = seconds
    return Plan(
        suite=suite,
        cells=cells,
        all_cells=every,
        fingerprints={str(dataset): digest for dataset, digest in prints.items()},
        done=frozenset() if force else frozenset(done),
        seconds={kind: fmean(fits.values()) for kind, fits in took.items()},
        studies=studies,
        outcomes=outcomes.held,
        all_studies=outcomes.studies,
        retry=retry,
    )


class _Outcomes:
    """Gathers the studies that cells rest on, and settles the cells by what these chose."""

    def __init__(self, suite: Suite, store: RunFolder, warn: Callable[[str], None]) -> None:
        self.tuning, self.store, self.warn = suite.tune, store, warn
        self.studies: dict[str, Study] = {}
        self.held: dict[str, Any] = {}

    def settle(self, cell: Cell, entry: Entry) -> Cell:
        study = study_of(cell, entry, self.tuning)
        if study.id not in self.studies:
            self.studies[study.id] = study
            self.held |= self.store.studies([study.id], self.warn)
        return study.settled(cell, self.held.get(study.id))


def check_data(plan: Plan, data_dir: Path) -> None:
    """Prepare and perturb each data set that is left to run on, so that a misfit is told at once.

    A plugin's perturbation is left to the workers, which survive what it does.

    Raises:
        InputError: as `preparation.prepare` and the readers do, or a perturbation of ours that the
            data set has nothing for.

    """
    left = [cell for group in plan.left.values() for cell in group]
    ours = (cell for cell in left if type(cell.perturbation).__module__.startswith(OURS))
    worst = {
        (cell.dataset, spec_once(cell.perturbation, without="level")): cell
        for cell in sorted(ours, key=lambda cell: cell.perturbation.level)
    }
    for dataset in dict.fromkeys(cell.dataset for cell in left):
        split = load(dataset, data_dir, plan.suite.seed)
        try:
            for cell in (cell for (on, _), cell in worst.items() if on == dataset):
                perturb(cell.perturbation, split, cell.perturbation_rng())
        except InputError as error:
            raise InputError(f"data set {dataset.name}: {error}") from None


def _fingerprints(datasets: Iterable[Dataset], data_dir: Path) -> dict[Dataset, str]:
    """Return the digests of the data sets that are here; one that is missing is left out."""
    found = {}
    for dataset in datasets:
        with suppress(InputError):
            found[dataset] = dataset.fingerprint(data_dir)
    return found


def _restricted(suite: Suite, only: Sequence[tuple[str, str]]) -> Suite:
    """Keep of each axis in `only` what it names, as labels do; floors stay: they train nothing."""
    for axis, name in only:
        if axis not in ONLY:
            raise InputError(
                f"--only {axis}={name}: no axis {axis!r}{nearest(axis, ONLY)} "
                f"(axes: {', '.join(ONLY)})"
            )
        called = _called(suite, axis)
        if not _meant(name, axis, suite):
            names = list(dict.fromkeys(called.values()))
            raise InputError(
                f"--only {axis}={name}: suite {suite.name!r} has no such {axis}"
                f"{nearest(name, names)} (it has: {', '.join(names)})"
            )
    changes: dict[str, Any] = {}
    for axis in dict.fromkeys(axis for axis, _ in only):
        wanted = {one for among, name in only if among == axis for one in _meant(name, axis, suite)}
        held = changes.get(ONLY[axis], getattr(suite, ONLY[axis]))
        called = _called(suite, axis)
        changes[ONLY[axis]] = tuple(one for one in held if called[one] in wanted)
    return replace(suite, **changes)


ONLY = {
    "dataset": "datasets",
    "backbone": "backbones",
    "loss": "losses",
    "perturbation": "perturbations",
    "level": "perturbations",
    "replicate": "replicates",
}
"""What --only restricts -> the suite's field."""
NUMBERS = ("level", "replicate")


def _called(suite: Suite, axis: str) -> dict[Any, str]:
    """Return what --only calls each component, or number, of an axis."""
    held = getattr(suite, ONLY[axis])
    if axis in NUMBERS:
        return {one: _number(getattr(one, axis, one)) for one in held}
    labels = suite.labels[axis]
    without = "level" if axis == "perturbation" else ""
    return {one: labels[one.text if axis == "loss" else spec_once(one, without)] for one in held}


def _meant(name: str, axis: str, suite: Suite) -> list[str]:
    """Return the labels that a name given to --only means."""
    if axis in NUMBERS:
        with suppress(ValueError):
            name = _number(float(name))
        return [name] if name in _called(suite, axis).values() else []
    return meant(name, suite.labels[axis])


def _number(value: float) -> str:
    """Print a level or replicate, in as many digits as tell any two apart."""
    return f"{value:.12g}"


def manifest(plan: Plan, store: RunFolder, command: str) -> dict[str, Any]:
    """Describe a run; what an earlier call of the same suite planned stays in it."""
    data, before, studies_before = dict(plan.fingerprints), {}, {}
    with suppress(InputError):
        held = store.manifest()
        if held["suite_text"] == plan.suite.text:
            data, before = held["data"] | data, held["cells"]
            studies_before = held.get("studies", {})
    return {
        "suite": plan.suite.name,
        "about": plan.suite.about,
        "protocol": sorted({cell.protocol for cell in plan.cells}),
        "metrics": plan.suite.metrics,
        "averaging": plan.suite.averaging,
        "replicates": len(plan.suite.replicates),
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "data": data,
        "plugins": plan.suite.plugins,
        "command": command,
        "process": os.getpid(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite_text": plan.suite.text,
        "suite_cells": plan.suite.n_cells,
        "references": [asdict(one) for one in plan.suite.references],
        "tuning": asdict(plan.suite.tune) | {"selected_by": "validation ndcg@20"},
        "studies": _tuned(plan, studies_before),
        "cells": _described(plan, before),
    }


def _described(plan: Plan, before: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Describe the planned cells by id, and those planned before, as far as they still stand.

    A cell planned before stands if the suite still has it, or if its data set is not here now.
    """
    planned = {cell.id for cell in plan.cells} | before.keys()
    labels = plan.suite.labels
    described = {
        cell.id: {axis: labels[axis][text] for axis, text in _specs(cell).items()}
        | {"level": cell.perturbation.level, "replicate": cell.replicate}
        for cell in plan.all_cells
        if cell.id in planned
    }
    here = {labels["dataset"][spec_once(cell.dataset)] for cell in plan.all_cells}
    away = {id: cell for id, cell in before.items() if cell["dataset"] not in here}
    return described | away


def _tuned(plan: Plan, before: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Describe the studies by id, as `_described` does the cells that rest on them."""
    planned = plan.studies.keys() | before.keys()
    labels = plan.suite.labels
    described = {}
    for study in plan.all_studies.values():
        texts = _specs(study.base) | {"loss": study.entry.text}
        called = {axis: labels[axis][text] for axis, text in texts.items()}
        if study.base.trains_clean:
            called["perturbation"] = ""
        if study.id in planned:
            level = {"level": study.base.perturbation.level, "budget": study.budget}
            described[study.id] = called | level
    here = {labels["dataset"][spec_once(cell.dataset)] for cell in plan.all_cells}
    away = {id: study for id, study in before.items() if study["dataset"] not in here}
    return described | away


def _specs(cell: Cell) -> dict[str, str]:
    return {
        "dataset": spec_once(cell.dataset),
        "backbone": spec_once(cell.backbone),
        "loss": cell.tuned.entry if cell.tuned else trained(cell.loss, cell.training),
        "perturbation": spec_once(cell.perturbation, without="level"),
    }
