"""Ownership: which folders belong to a run, and which file names a run uses.

Nothing in a foreign folder is read, replaced or removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

TABLES = ("results.csv", "diagnostics.csv", "users.npz", "tuning.csv")
"""Files at the end of a run; tuning.csv if it has studies."""
OURS = {"format", "suite", "suite_text", "protocol", "metrics", "specs", "cells"}
"""Keys of a manifest of ours, of any format."""
PARTS = ("cells", "lists", "tuning")
"""Folders whose files are named by ids."""
ID = re.compile(r"[0-9a-f]{20}")
HALF_WRITTEN = re.compile(
    rf"(manifest\.json|{'|'.join(map(re.escape, TABLES))}|{ID.pattern}\.(json|npz))\.[0-9]+\.part"
)
"""Pattern of our temporary files, before they are renamed."""
GIVEN = re.compile(rf"{ID.pattern}(\.(json|npz)(\.[0-9]+\.part)?)?")
"""Pattern of files named by ids."""


def is_begun(folder: Path) -> bool:
    """Say whether a run has begun in a folder, even if its manifest is missing or damaged."""
    return (folder / ".lock").exists() and (folder / "cells").is_dir()


def is_of_others(folder: Path) -> bool:
    """Say whether a folder's manifest is a valid table without any of our keys."""
    try:
        held = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(held, dict) and bool(held) and not OURS & held.keys()


def strangers(folder: Path) -> Iterator[str]:
    """Yield the names, in a folder without a manifest, that no run writes before its manifest."""
    begun = is_begun(folder)
    for path in sorted(folder.iterdir()):
        if path.name in TABLES or not (begun or _is_ours(path)):
            yield path.name


def _is_ours(path: Path) -> bool:
    """Say whether a run writes this file or folder before its manifest."""
    if path.name == "figures":
        return (path / "drawn.json").is_file()
    if path.name in (*PARTS, "started"):
        return path.is_dir() and all(GIVEN.fullmatch(one.name) for one in path.iterdir())
    return path.name == ".lock"


def half_written(folder: Path) -> Iterator[Path]:
    """Yield the temporary files of an interrupted run."""
    for place in (folder, *(folder / name for name in PARTS)):
        for path in place.glob("*.part"):
            if HALF_WRITTEN.fullmatch(path.name) and not path.is_dir():
                yield path
