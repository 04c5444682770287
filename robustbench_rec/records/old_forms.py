"""Old forms: what earlier versions wrote, as today's types have it. Nobody else knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from robustbench_rec.errors import InputError
from robustbench_rec.records.manifest import FORMAT, Manifest

if TYPE_CHECKING:
    from robustbench_rec.experiment.study import StudyOutcome
    from robustbench_rec.records.record import Record, Trial

Plain = dict[str, Any]
SINCE_FORMAT_1: Plain = {
    "protocol": [],
    "plugins": [],
    "references": [],
    "tuning": {},
    "specs": {},
    "studies": {},
    "parts": [],
}
"""What some manifests of format 1, those of protocol 2 and before, did not have yet."""


def manifest_of_today(manifest: Plain) -> Plain:
    """Return a manifest as it would be written today.

    Raises:
        InputError: it is of a format that this version does not know.

    """
    version = manifest.get("format", 1)
    if version == 1:
        old: Plain = _with_protocols(SINCE_FORMAT_1 | manifest)
        if isinstance(old["parts"], list):
            old["parts"] = [_with_protocols(part) for part in old["parts"]]
        return old | {"format": FORMAT}
    if version != FORMAT:
        raise InputError(
            f"it is of format {version!r}; this robustbench_rec reads formats 1 to {FORMAT}, "
            "so use the version that wrote it, or a newer one"
        )
    return manifest


def _with_protocols(told: Any) -> Any:
    """Return a table with a list of protocols, where a single one stood once, or ""."""
    held = told.get("protocol") if isinstance(told, dict) else None
    return told | {"protocol": [held] if held else []} if isinstance(held, str) else told


def results_of_today(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return results.csv with all of today's columns; `evaluated` was once not among them."""
    return table.reindex(columns=list(columns))


def trials_of_today(table: pd.DataFrame) -> pd.DataFrame:
    """Return tuning.csv with all of today's columns; `edges` was once not among them."""
    return table if "edges" in table else table.assign(edges="")


def is_of_today(read: Manifest | Record | Trial | StudyOutcome) -> bool:
    """Say whether what was read as it stands needs no `manifest_of_today` or `record_of_today`."""
    if isinstance(read, Manifest):
        return "format" in read.model_fields_set
    return read.status != "failed" or "error_type" in read.model_fields_set


def record_of_today(record: Plain) -> Plain:
    """Return a record of a cell, or of a trial, as it would be written today."""
    if "error_type" in record or record.get("status") != "failed":
        return record
    kind, colon, _ = str(record.get("error", "")).partition(": ")
    return record | {"error_type": kind if colon and kind.isidentifier() else "InputError"}
