"""Runs, built by hand: manifests, records and trials, and who hears of them."""

from pathlib import Path
from typing import Any

import pytest

from robustbench_rec.records.events import Events
from robustbench_rec.records.manifest import Manifest
from robustbench_rec.records.record import Record, Trial

COMPONENTS = {axis: {"name": axis, "spec": f"{axis}()"} for axis in ("dataset", "backbone", "loss")}
OUTCOME: dict[str, Any] = COMPONENTS | {
    "perturbation": {
        "name": "noise",
        "spec": "noise()",
        "unit": "share",
        "acts_through": "training pairs",
    }
    | {"level": 0.0},
    "status": "done",
    "training": "TrainConfig()",
    "seed": 0,
    "replicate": 0,
    "replicates_vary": "split",
    "selection": "clean",
}
MANIFEST: dict[str, Any] = {
    "suite": "s",
    "about": "",
    "protocol": ("5",),
    "metrics": ("ndcg@20",),
    "averaging": "test-users",
    "replicates": 1,
    "replicates_vary": "split",
    "selection": "clean",
    "versions": {},
    "platform": "",
    "data": {},
    "plugins": (),
    "command": "robustbench-rec run s",
    "process": 1,
    "started": "2026-01-02T03:04:05+00:00",
    "suite_text": "name = 's'",
    "suite_cells": 2,
    "references": (),
    "tuning": {},
    "specs": {},
    "studies": {},
    "cells": {},
}


def manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate(MANIFEST | changes)


def cell(loss: str = "bpr", level: float = 0.0, **changes: Any) -> dict[str, Any]:
    """Return what a manifest calls a cell."""
    names = {"dataset": "toy", "backbone": "mf", "loss": loss, "perturbation": "noise"}
    return names | {"level": level, "replicate": 0} | changes


def record(id: str = "a1", **changes: Any) -> Record:
    """Return the record of a cell; `level` and `unit` are those of its perturbation."""
    perturbation = dict(OUTCOME["perturbation"])
    perturbation |= {key: changes.pop(key) for key in ("level", "unit") if key in changes}
    own = {"id": id, "fit_id": f"f{id}", "perturbation": perturbation}
    users = {"evaluated": 3, "all": 4}
    return Record.model_validate(
        OUTCOME | own | {"users": users, "seconds": {"fit": 1.0}} | changes
    )


def trial(id: str, validation: float | None, **changes: Any) -> Trial:
    """Return the record of a trial; without a validation it failed."""
    failed = {"status": "failed", "error": "FloatingPointError: it diverged"}
    failed |= {"error_type": "FloatingPointError"}
    own = {"id": id, "validation": validation} | (failed if validation is None else {})
    return Trial.model_validate(OUTCOME | own | changes)


class Heard(Events):
    """Keeps all that it hears."""

    def __init__(self) -> None:
        self.plans, self.statuses, self.warnings = [], [], []

    def plan(self, plan, session) -> None:
        self.plans.append(plan)

    def progress(self, status) -> None:
        self.statuses.append(status)

    def warning(self, message) -> None:
        self.warnings.append(message)


class NoWarning(Events):
    """Fails a test at the first warning."""

    def warning(self, message) -> None:
        pytest.fail(message)


def written(folder: Path) -> dict[Path, int]:
    """Return when files and folders of a run were written, but its lock, which may be emptied."""
    held = (path for path in folder.rglob("*") if path.name != ".lock")
    return {path: path.stat().st_mtime_ns for path in held}
