"""Merging: parts of a suite that were run apart, joined into the tables of one run."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import InputError, counted
from robustbench_rec.records.frames import evaluations, read, tables, trials
from robustbench_rec.records.run_folder import Plain, RunFolder

STUDY = (*AXES, "level")
CELL = (*STUDY, "replicate")
"""What tells a cell from the others of its run, by labels; a study chose for all replicates."""
SAME = ("seed", "averaging", "metrics", "training", "dataset", "backbone")
"""What of a suite's file parts must have in common, to be compared within replicates."""
PART = ("command", "started", "versions", "platform", "protocol", "suite_text")
"""What is kept of how a part was run."""


def merge(
    runs: Sequence[Path],
    out: Path,
    command: str = "",
    warn: Callable[[str], None] = lambda _: None,
) -> Plain:
    """Join runs of one suite into a folder of tables; of a cell that several have, the last counts.

    Cells that are not done are left out. The runs stay as they are; one that goes on is read as far
    as it is. The manifest is that of the last run, with the cells of all, and in `parts` how each
    was run, and which cells are its.

    Args:
        runs: folders, of records or of tables alone.
        out: where the tables go; new, or tables alone of which no cell is lost: one of `runs`, or
            what came of an earlier merge of them.
        command: what the user typed, for the manifest.
        warn: told of corrupt records.

    Returns:
        The manifest.

    Raises:
        InputError: a folder holds no run, or `out` another one, or one with records; the runs are
            of several suites, or of versions of one that differ in what `SAME` names, of different
            data, or of protocols that do not compare.

    """
    manifests = [RunFolder(run).manifest() for run in runs]
    _check(runs, manifests)
    results = [read(run, warn) for run in runs]
    tried = [trials(run) for run in runs]
    measured = [
        manifest
        | {
            "cells": _of(results[at], manifest["cells"], CELL),
            "studies": _of(tried[at], manifest.get("studies", {}), STUDY),
        }
        for at, manifest in enumerate(manifests)
    ]
    merged = _manifest(measured, command)
    _keep(out, runs, merged["cells"])
    joined = tables(
        _joined(results, CELL),
        _joined([evaluations(run) for run in runs], CELL),
        _joined(tried, STUDY) if merged["studies"] else None,
    )
    RunFolder(out).publish(merged, joined)
    done = {_key(cell, CELL) for cell in merged["cells"].values()}
    for run, manifest in zip(runs, manifests, strict=True):
        cells = manifest["cells"]
        held = RunFolder(run).records(cells, warn).values()
        failed = [one["id"] for one in held if one["status"] == "failed"]
        if lost := sum(_key(cells[id], CELL) not in done for id in failed):
            warn(f"{run}: {counted(lost, 'failed cell')} left out; run again to retry")
    return merged


def _check(runs: Sequence[Path], manifests: Sequence[Plain]) -> None:
    """Raise InputError unless the runs are parts of one."""
    first, *others = zip(runs, manifests, strict=True)
    for run, manifest in others:
        for what, one, other in (
            ("of suite", first[1]["suite"], manifest["suite"]),
            ("of protocol", _protocol(first[1]), _protocol(manifest)),
        ):
            if one != other:
                raise InputError(f"{run} is {what} {other!r}, {first[0]} {what} {one!r}")
        texts = [tomllib.loads(one["suite_text"]) for one in (first[1], manifest)]
        for key in SAME:
            one, other = (text.get(key) for text in texts)
            if one != other:
                raise InputError(
                    f"{run} and {first[0]} are of versions of suite {manifest['suite']!r} that "
                    f"differ in {key}: {_shown(other)} and {_shown(one)}"
                )
    seen: dict[str, tuple[str, Path]] = {}
    for run, manifest in zip(runs, manifests, strict=True):
        for dataset, digest in manifest["data"].items():
            held, where = seen.setdefault(dataset, (digest, run))
            if held != digest:
                raise InputError(f"{run} and {where} were run on different data for {dataset}")


def _protocol(manifest: Plain) -> str:
    """Return the protocol of a run's cells, whatever data sets they are of."""
    return ", ".join(sorted({one.partition(",")[0] for one in manifest.get("protocol", [])}))


def _shown(value: object) -> str:
    """Print a part of a suite's file, at most a line of it."""
    text = "its default" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keep(out: Path, runs: Sequence[Path], cells: Iterable[str]) -> None:
    """Raise InputError where tables would replace what they do not hold."""
    if RunFolder(out).cells.is_dir():
        raise InputError(f"{out} holds the records of a run, and tables would hide them")
    if not (out / "manifest.json").is_file() or out.resolve() in {run.resolve() for run in runs}:
        return
    if RunFolder(out).manifest()["cells"].keys() - set(cells):
        raise InputError(
            f"{out} holds cells that these runs lack; name it first among those to merge, or give "
            "another --out"
        )


def _of(table: pd.DataFrame, described: Mapping[str, Plain], key: Sequence[str]) -> dict[str, Any]:
    """Return what of the described a table has rows of."""
    held = {_plain(at) for at in table[list(key)].itertuples(index=False, name=None)}
    return {id: one for id, one in described.items() if _key(one, key) in held}


def _joined(tables: Sequence[pd.DataFrame], key: Sequence[str]) -> pd.DataFrame:
    """Join tables: of a key that several have the rows of the last, in the place of the first."""
    found: dict[tuple[object, ...], pd.DataFrame] = {}
    for table in tables:
        found |= {_plain(at): rows for at, rows in table.groupby(list(key), sort=False)}
    return pd.concat(found.values() if found else tables, ignore_index=True)


def _key(described: Plain, key: Sequence[str]) -> tuple[object, ...]:
    return _plain(described[name] for name in key)


def _plain(key: Iterable[object]) -> tuple[object, ...]:
    """Return a key; a level may have lost its last bit in a file of text."""
    return tuple(round(part, 12) if isinstance(part, float) else part for part in key)


def _manifest(manifests: Sequence[Plain], command: str) -> Plain:
    """Describe what was merged."""
    cells = _last({id: cell for one in manifests for id, cell in one["cells"].items()}, CELL)
    studies = {id: study for one in manifests for id, study in one["studies"].items()}
    parts, left = [], set(cells)
    for part in reversed([part for one in manifests for part in _parts(one)]):
        its = [id for id in part["cells"] if id in left]
        left.difference_update(its)
        parts += [part | {"cells": its}] if its else []
    return manifests[-1] | {
        "data": {key: digest for one in manifests for key, digest in one["data"].items()},
        "plugins": list(dict.fromkeys(p for one in manifests for p in one.get("plugins", []))),
        "protocol": sorted({p for one in manifests for p in one.get("protocol", [])}),
        "command": command,
        "process": os.getpid(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "parts": parts[::-1],
        "studies": _last(studies, STUDY),
        "cells": cells,
    }


def _parts(manifest: Plain) -> list[Plain]:
    """Return how the parts of a run were run, each with its cells; a run is its own part."""
    own = {key: manifest.get(key, "") for key in PART} | {"cells": list(manifest["cells"])}
    parts: list[Plain] = manifest.get("parts", [own])
    return parts


def _last(described: Mapping[str, Plain], key: Sequence[str]) -> dict[str, Plain]:
    """Keep of what is described in the same words the last, in the place of the first."""
    ids = {_key(one, key): id for id, one in described.items()}
    return {id: described[id] for id in ids.values()}
