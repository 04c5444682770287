"""Merging: join parts of a suite, which were run separately, into the tables of one run."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel

from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import InputError, counted
from robustbench_rec.evaluation.metrics import is_per_user
from robustbench_rec.records.events import TOLD_AS_WARNINGS, Events
from robustbench_rec.records.frames import STUDY, tables
from robustbench_rec.records.manifest import Computed, Manifest, Part, PlannedCell, PlannedStudy
from robustbench_rec.records.run import Run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.records.users import Arrays, UserValues, apart, gathered

CELL = (*AXES, "level", "replicate")
"""Labels that identify a cell of a run."""
SAME = (
    "seed",
    "averaging",
    "metrics",
    "replicates_vary",
    "selection",
    "training",
    "dataset",
    "backbone",
)
"""Keys of a suite's file in which parts must agree, so that replicates are comparable."""
DEFAULTS = {"seed": 0, "replicates_vary": "split", "selection": "clean"}
"""Defaults of these keys in a suite's file."""
Key = Sequence[str]
Called = TypeVar("Called", PlannedCell, PlannedStudy)


def merge(
    runs: Sequence[Path], out: Path, command: str = "", events: Events = TOLD_AS_WARNINGS
) -> Manifest:
    """Join runs of one suite into a folder of tables; if several runs have a cell, the last counts.

    Unfinished cells are left out. The runs do not change; a run in progress is read as it is now.
    The manifest is that of the last run, with the cells of all runs; `parts` says how each part was
    run, and lists its cells.

    Args:
        runs: folders of runs, with records or with tables alone.
        out: the folder of the tables: new, or tables whose cells all remain (one of `runs`, or an
            earlier merge of them).
        command: the user's command line, for the manifest.
        events: receives warnings of corrupt records, and of failed cells that are left out.

    Returns:
        The manifest.

    Raises:
        InputError: a folder holds no run; `out` holds another run, or records; the runs are of
            several suites, of versions of one suite that differ in a key of `SAME`, of different
            data, or of incomparable protocols.

    """
    read = [Run(RunFolder(folder), events) for folder in runs]
    _check(read)
    merged = _manifest([_measured(run) for run in read], command)
    _refuse_to_lose(out, runs, merged.cells)
    order = [_key(cell, CELL) for cell in merged.cells.values()]
    joined = tables(
        _joined([run.results for run in read], CELL, order),
        _joined([run.evaluations for run in read], CELL, order),
        _joined([run.trials for run in read], STUDY) if merged.studies else None,
    )
    RunFolder(out).publish(merged, joined, _users(read, merged))
    done = {_key(cell, CELL) for cell in merged.cells.values()}
    for run in read:
        failed = (one.id for one in run.records.values() if one.status == "failed")
        if lost := sum(_key(run.manifest.cells[id], CELL) not in done for id in failed):
            told = counted(lost, "failed cell")
            events.warning(f"{run.folder}: {told} left out; run again to retry")
    return merged


def _check(runs: Sequence[Run]) -> None:
    """Raise InputError unless the runs are parts of one."""
    first, *others = runs
    for run in others:
        for what, one, other in (
            ("of suite", first.manifest.suite, run.manifest.suite),
            ("of protocol", *(", ".join(sorted(one.manifest.protocols)) for one in (first, run))),
        ):
            if one != other:
                raise InputError(f"{run.folder} is {what} {other!r}, {first.folder} {what} {one!r}")
        refuse_other_suites(first, run)
    refuse_other_data(runs)


def refuse_other_suites(first: Run, run: Run, same: Iterable[str] = SAME) -> None:
    """Raise InputError unless the suites of two runs agree in some keys."""
    texts = [_suite_of(one) for one in (first, run)]
    for key in same:
        one, other = (text.get(key, DEFAULTS.get(key)) for text in texts)
        if one != other:
            raise InputError(
                f"{run.folder} and {first.folder} are of suites that differ in {key}: "
                f"{_shown(other)} and {_shown(one)}"
            )


def _suite_of(run: Run) -> dict[str, Any]:
    """Return the suite's file from a run's manifest; InputError if it is not TOML."""
    try:
        return tomllib.loads(run.manifest.suite_text)
    except tomllib.TOMLDecodeError as error:
        path = run.folder / "manifest.json"
        raise InputError(f"{path}: suite_text is not TOML ({error}); restore the file") from None


def refuse_other_data(runs: Sequence[Run]) -> None:
    """Raise InputError if a data set differs between runs."""
    seen: dict[str, tuple[str, Path]] = {}
    for run in runs:
        for dataset, digest in run.manifest.data.items():
            held, where = seen.setdefault(dataset, (digest, run.folder))
            if held != digest:
                raise InputError(
                    f"{run.folder} and {where} were run on different data for {dataset}"
                )


def _shown(value: object) -> str:
    """Print a part of a suite's file, on at most one line."""
    text = "its default" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_to_lose(out: Path, runs: Sequence[Path], cells: Iterable[str]) -> None:
    """Raise InputError if tables would replace cells that they do not hold."""
    if RunFolder(out).cells.is_dir():
        raise InputError(
            f"{out} holds the records of a run, which tables would hide; give another --out"
        )
    RunFolder(out).refuse_foreign()
    if not (out / "manifest.json").is_file() or out.resolve() in {run.resolve() for run in runs}:
        return
    if RunFolder(out).manifest().cells.keys() - set(cells):
        raise InputError(
            f"{out} holds cells that these runs lack; name it first among the runs, or give "
            "another --out"
        )


def _measured(run: Run) -> Manifest:
    """Return a run's manifest, restricted to the cells and studies in its tables."""
    return run.manifest.model_copy(
        update={
            "cells": _of(run.results, run.manifest.cells, CELL),
            "studies": _of(run.trials, run.manifest.studies, STUDY),
            "computed": run.computed,
        }
    )


def _of(table: pd.DataFrame, described: Mapping[str, Called], key: Key) -> dict[str, Called]:
    """Return the cells, or the studies, with rows in a table."""
    held = {_plain(at) for at in table[list(key)].itertuples(index=False, name=None)}
    return {id: one for id, one in described.items() if _key(one, key) in held}


def _joined(
    tables: Sequence[pd.DataFrame], key: Key, order: Iterable[tuple[object, ...]] = ()
) -> pd.DataFrame:
    """Deduplicate the rows of tables by keys: keep the last, at the position of the first.

    Args:
        tables: the tables of the runs.
        key: the columns of a key.
        order: keys that come first, in this order.

    """
    found: dict[tuple[object, ...], pd.DataFrame] = {}
    for table in tables:
        found |= {_plain(at): rows for at, rows in table.groupby(list(key), sort=False)}
    found = {at: found[at] for at in dict.fromkeys([*order, *found]) if at in found}
    return pd.concat(found.values() if found else tables, ignore_index=True)


def _users(runs: Sequence[Run], merged: Manifest) -> dict[str, UserValues]:
    """Join the values of users, of the cells of the merged run."""
    found: dict[str, dict[str, Arrays]] = {}
    for run in runs:
        for dataset, held in run.users.items():
            found.setdefault(dataset, {}).update(apart(held, merged.cells))
    metrics = [metric for metric in merged.metrics if is_per_user(metric)]
    return {
        dataset: gathered({id: cells[id] for id in merged.cells if id in cells}, metrics)
        for dataset, cells in found.items()
        if cells
    }


def _key(described: BaseModel, key: Key) -> tuple[object, ...]:
    return _plain(getattr(described, name) for name in key)


def _plain(key: Iterable[object]) -> tuple[object, ...]:
    """Return a key with its level rounded: text files may lose the last bit."""
    return tuple(round(part, 12) if isinstance(part, float) else part for part in key)


def _manifest(manifests: Sequence[Manifest], command: str) -> Manifest:
    """Return the manifest of the merged run."""
    every = _last({id: cell for one in manifests for id, cell in one.cells.items()}, CELL)
    studies = {id: study for one in manifests for id, study in one.studies.items()}
    specs = {axis: _union(one.specs.get(axis, {}) for one in manifests) for axis in AXES}
    cells = _in_order(every, specs)
    return manifests[-1].model_copy(
        update={
            "data": _union(one.data for one in manifests),
            "plugins": tuple(dict.fromkeys(plugin for one in manifests for plugin in one.plugins)),
            "protocol": tuple(sorted({entry for one in manifests for entry in one.protocol})),
            "not_applicable": tuple(
                dict.fromkeys(pair for one in manifests for pair in one.not_applicable)
            ),
            "command": command,
            "process": os.getpid(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "parts": _parts([part for one in manifests for part in _parts_of(one)], cells),
            "specs": specs,
            "studies": _last(studies, STUDY),
            "cells": cells,
            "records": "",
            "computed": _computed(manifests, cells),
        }
    )


def _in_order(
    cells: Mapping[str, PlannedCell], specs: Mapping[str, Mapping[str, str]]
) -> dict[str, PlannedCell]:
    """Return cells in the order of the suite, as a run of all of them has them.

    Old manifests do not tell it; their cells keep the order that they have.
    """
    places = {axis: {label: at for at, label in enumerate(of)} for axis, of in specs.items()}
    if any(getattr(cell, axis) not in places[axis] for cell in cells.values() for axis in AXES):
        return dict(cells)

    def place(id: str) -> tuple[float, ...]:
        cell = cells[id]
        axes = (places[axis][getattr(cell, axis)] for axis in AXES)
        return *axes, cell.level, cell.replicate

    return {id: cells[id] for id in sorted(cells, key=place)}


def _computed(manifests: Sequence[Manifest], cells: Iterable[str]) -> tuple[Computed, ...]:
    """Return which versions computed the merged cells; the last run that has a cell counts."""
    by = {id: one.versions for run in manifests for one in run.computed for id in one.cells}
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for id in cells:
        if id in by:
            groups.setdefault(tuple(by[id].items()), []).append(id)
    return tuple(Computed(versions=dict(v), cells=tuple(ids)) for v, ids in groups.items())


def _union(tables: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {key: value for table in tables for key, value in table.items()}


def _parts_of(manifest: Manifest) -> tuple[Part, ...]:
    """Return the parts of a run, each with its cells; an unmerged run is one part."""
    own = {key: getattr(manifest, key) for key in Part.model_fields}
    return manifest.parts or (Part(**own | {"cells": tuple(manifest.cells)}),)


def _parts(parts: Sequence[Part], cells: Iterable[str]) -> tuple[Part, ...]:
    """Assign each cell to the last part that has it; parts without cells are dropped."""
    left, kept = set(cells), []
    for part in reversed(parts):
        its = tuple(id for id in part.cells if id in left)
        left.difference_update(its)
        kept += [part.model_copy(update={"cells": its})] if its else []
    return tuple(reversed(kept))


def _last(described: Mapping[str, Called], key: Key) -> dict[str, Called]:
    """Deduplicate by labels: keep the last, at the position of the first."""
    ids = {_key(one, key): id for id, one in described.items()}
    return {id: described[id] for id in ids.values()}
