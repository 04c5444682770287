"""The manifest of a plan: how the run was started, and the labels of its cells."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from robustbench_rec.components.labels import spec_once
from robustbench_rec.experiment.study import Study
from robustbench_rec.records.manifest import Manifest, PlannedCell, PlannedStudy
from robustbench_rec.records.record import versions
from robustbench_rec.running.plan import Plan
from robustbench_rec.running.source import commit
from robustbench_rec.training.config import PROTOCOL

Labels = Mapping[str, Mapping[str, str]]


def manifest_of(plan: Plan, command: str = "") -> Manifest:
    """Describe a run; cells planned by earlier calls of the same suite and protocol stay.

    Args:
        plan: the plan.
        command: the user's command line.

    """
    suite, before = plan.suite, plan.before
    again = before is not None and before.suite_text == suite.text and not plan.of_old
    held = before if again else None
    labels = suite.labels
    return Manifest(
        suite=suite.name,
        about=suite.about,
        protocol=(PROTOCOL,),
        metrics=suite.metrics,
        averaging=suite.averaging,
        replicates=len(suite.replicates),
        replicates_vary=suite.replicates_vary,
        selection=suite.selection,
        versions=_versions(),
        platform=f"{platform.system()} {platform.machine()}",
        data=(held.data if held else {}) | dict(plan.fingerprints),
        plugins=suite.plugins,
        command=command,
        process=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        suite_text=suite.text,
        suite_cells=suite.n_cells,
        references=suite.references,
        claims=suite.claims,
        tuning=asdict(suite.tune) | {"selected_by": "validation ndcg@20"},
        specs={axis: {label: spec for spec, label in of.items()} for axis, of in labels.items()},
        studies=_studies(plan, held.studies if held else {}, labels),
        cells=_cells(plan, held.cells if held else {}, labels),
        not_applicable=tuple(plan.not_applicable),
    )


def _versions() -> dict[str, str]:
    """Return the versions of all software that may affect results, and the commit if known."""
    libraries = {name: version(name) for name in ("pandas", "scipy")}
    return versions() | libraries | ({"commit": commit()} if commit() else {})


def _cells(plan: Plan, before: Mapping[str, PlannedCell], labels: Labels) -> dict[str, PlannedCell]:
    """Name the planned cells by id, and the cells planned before, as far as they are still valid.

    A cell planned before is valid if the suite still has it, or if its data set is missing now.
    """
    planned = {cell.id for cell in plan.cells} | before.keys()
    named = {
        cell.id: PlannedCell(
            **_called(cell.specs, labels),
            level=cell.perturbation.level,
            replicate=int(cell.replicate),
            training=cell.fit_id,
        )
        for cell in plan.all_cells
        if cell.id in planned
    }
    here = _datasets_here(plan, labels)
    return named | {id: cell for id, cell in before.items() if cell.dataset not in here}


def _studies(
    plan: Plan, before: Mapping[str, PlannedStudy], labels: Labels
) -> dict[str, PlannedStudy]:
    """Name the studies by id, for the cells that `_cells` returns."""
    planned = plan.studies.keys() | before.keys()
    every = plan.all_studies.items()
    named = {id: _study(study, labels) for id, study in every if id in planned}
    here = _datasets_here(plan, labels)
    return named | {id: study for id, study in before.items() if study.dataset not in here}


def _study(study: Study, labels: Labels) -> PlannedStudy:
    called = _called(study.base.specs | {"loss": study.entry.text}, labels)
    if study.base.trains_clean:
        called["perturbation"] = ""
    return PlannedStudy(
        **called,
        level=study.base.perturbation.level,
        budget=study.budget,
        split="own" if (of := study.base.replicate) == "tuning" else f"replicate {of}",
    )


def _called(specs: Mapping[str, str], labels: Labels) -> dict[str, Any]:
    return {axis: labels[axis][spec] for axis, spec in specs.items()}


def _datasets_here(plan: Plan, labels: Labels) -> set[str]:
    return {labels["dataset"][spec_once(cell.dataset)] for cell in plan.all_cells}
