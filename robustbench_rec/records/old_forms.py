"""Old forms: what earlier versions wrote, as today's types have it. Nobody else knows of them."""

from __future__ import annotations

from typing import Any

from robustbench_rec.errors import InputError
from robustbench_rec.records.manifest import FORMAT

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
        old = SINCE_FORMAT_1 | manifest
        parts = [_with_protocols(part) for part in old["parts"]]
        return _with_protocols(old) | {"format": FORMAT, "parts": parts}
    if version != FORMAT:
        raise InputError(
            f"it is of format {version!r}; this robustbench_rec reads formats 1 to {FORMAT}, "
            "so use the version that wrote it, or a newer one"
        )
    return manifest


def _with_protocols(told: Plain) -> Plain:
    """Return it with a list of protocols, where a single one stood once, or ""."""
    held = told["protocol"] or []
    return told | {"protocol": [held] if isinstance(held, str) else held}


def record_of_today(record: Plain) -> Plain:
    """Return a record of a cell, or of a trial, as it would be written today."""
    if "error_type" in record or record.get("status") != "failed":
        return record
    kind, colon, _ = str(record.get("error", "")).partition(": ")
    return record | {"error_type": kind if colon and kind.isidentifier() else "InputError"}
