"""Old forms: conversion of files of earlier versions; no other module knows old forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustbench_rec.errors import InputError
from robustbench_rec.records.manifest import FORMAT, Manifest
from robustbench_rec.training.config import LAST, PROTOCOL

if TYPE_CHECKING:
    import pandas as pd

    from robustbench_rec.experiment.study import StudyOutcome
    from robustbench_rec.records.record import Record, Trial

Plain = dict[str, Any]
SINCE = {"split": "own", "edges": ""}
"""Columns that old tuning.csv files lack -> their values."""
SINCE_FORMAT_1: Plain = {
    "protocol": [],
    "plugins": [],
    "references": [],
    "tuning": {},
    "specs": {},
    "studies": {},
    "parts": [],
}
"""Keys that some manifests of format 1 (protocol 2 and before) lack -> their values."""


def manifest_of_today(manifest: Plain) -> Plain:
    """Convert a manifest to today's form.

    Raises:
        InputError: this version does not know the format.

    """
    version = manifest.get("format", 1)
    if version == 2:
        return _of_format_2(manifest)
    if version == 1:
        old: Plain = _with_protocols(SINCE_FORMAT_1 | manifest)
        if isinstance(old["parts"], list):
            old["parts"] = [_with_protocols(part) for part in old["parts"]]
        return _of_format_2(old)
    if version != FORMAT:
        raise InputError(
            f"it is of format {version!r}, and this version reads formats 1 to {FORMAT}; use the "
            "version that wrote it, or a newer one"
        )
    return manifest


def _of_format_2(manifest: Plain) -> Plain:
    """Convert a manifest of format 2: its replicates shared a split."""
    return {"replicates_vary": "training", "selection": "clean"} | manifest | {"format": FORMAT}


def _with_protocols(told: Any) -> Any:
    """Return a table with a list of protocols in place of a single protocol or ""."""
    held = told.get("protocol") if isinstance(told, dict) else None
    return told | {"protocol": [held] if held else []} if isinstance(held, str) else told


def results_of_today(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return results.csv with all of today's columns.

    Old files lack `evaluated`, `realised`, `replicates_vary`, `selection` or `flags`.
    """
    held = table.reindex(columns=list(columns))
    for name, value in {"replicates_vary": "training", "selection": "clean", "flags": ""}.items():
        told = held[name].astype(object)
        held[name] = told.where(told.notna(), value).astype("str")
    return held


def trials_of_today(table: pd.DataFrame) -> pd.DataFrame:
    """Return tuning.csv with all of today's columns; those of `SINCE` may be empty."""
    missing = {name: value for name, value in SINCE.items() if name not in table}
    return table.assign(**missing).fillna(SINCE)


def _was_capped(record: Plain) -> bool:
    """Say whether a record was best in the last tenth of its allowed epochs."""
    allowed = re.search(r"epochs=([0-9]+)", str(record.get("training", "")))
    best, history = record.get("best_epoch"), record.get("history")
    if allowed is None or not isinstance(best, int) or not isinstance(history, list):
        return False
    return len(history) > 1 and best > (1 - LAST) * int(allowed[1])


def is_of_today(read: Manifest | Record | Trial | StudyOutcome) -> bool:
    """Say whether a file is in today's form, so that it needs no conversion."""
    if isinstance(read, Manifest):
        return "format" in read.model_fields_set
    return bool(read.checksum)


def record_of_today(record: Plain) -> Plain:
    """Convert a record of a cell, a trial or a study to today's form.

    Raises:
        ValueError: it is in today's form, but has no checksum.

    """
    made_by = record.get("versions")
    if isinstance(made_by, dict) and made_by.get("protocol") == PROTOCOL:
        raise ValueError("it has no checksum")
    perturbation = record.get("perturbation")
    if isinstance(perturbation, dict) and "stage" in perturbation:
        told = perturbation["stage"]
        stage = "training pairs" if told == "train" else told
        noisy = "validation" in record and stage == "training pairs" and perturbation.get("level")
        were: Plain = {"replicates_vary": "training", "selection": "noisy" if noisy else "clean"}
        record = were | record
        # Its users were numbered, its shift told no exponent, and nothing said what was capped.
        record |= {"perturbation": perturbation | {"acts_through": stage}, "per_user_bytes": 0}
        record |= {"capped": _was_capped(record)} if "metrics" in record else {}
        if stage == "test":
            record["realised"] = {}
    if "error_type" in record or record.get("status") != "failed":
        return record
    kind, colon, _ = str(record.get("error", "")).partition(": ")
    return record | {"error_type": kind if colon and kind.isidentifier() else "InputError"}
