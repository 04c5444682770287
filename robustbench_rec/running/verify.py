"""Verification: the files of a run against each other, and cells trained again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_rec.errors import InputError, counted
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.suite import Suite
from robustbench_rec.records import frames
from robustbench_rec.records.events import Events
from robustbench_rec.records.files import unzipped, zipped
from robustbench_rec.records.lists import Lists
from robustbench_rec.records.record import Record
from robustbench_rec.records.run import Run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.records.users import packed
from robustbench_rec.running.compute import Compute
from robustbench_rec.running.execution import Beside, train_and_test
from robustbench_rec.running.plan import make_plan
from robustbench_rec.seeds import rng_for

TOLERANCE = 0.005
"""The largest difference of a metric between versions or processors that is not worth a look."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        title: what was checked, in a few words.
        problems: one line each; none if all is well.

    """

    title: str
    problems: tuple[str, ...] = ()


class _Heard(Events):
    """Collects warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def taken(self) -> tuple[str, ...]:
        """Return the warnings since the last call."""
        found, self.warnings = tuple(self.warnings), []
        return found


def verify(folder: Path) -> Iterator[Finding]:
    """Check the files of a run against each other; nothing is written.

    Args:
        folder: the results folder, with records or only with tables.

    Yields:
        A finding for records, values of users, lists, and tables.

    Raises:
        InputError: the folder is no run.

    """
    heard = _Heard()
    held = RunFolder(folder)
    run = Run(held, heard)
    if not held.cells.is_dir():
        yield Finding("tables: no records are left, so against their digests", _changed(run))
        return
    records = [one for one in run.records.values() if one.status == "done"]
    yield Finding(f"{counted(len(run.records), 'record')}: checksums and cells", heard.taken())
    _ = run.users
    yield Finding(f"values of single users of {counted(len(records), 'cell')}", heard.taken())
    trainings = dict.fromkeys(one.fit_id for one in records if one.has_lists)
    lost = tuple(filter(None, (_damaged(held, one) for one in trainings)))
    yield Finding(f"lists of {counted(len(trainings), 'training')}", lost)
    if run.summary.left and not (folder / "results.csv").exists():
        yield Finding("tables: not written yet, as the run is not at its end")
    else:
        yield Finding("tables: against the records", _not_of_records(run))


def _changed(run: Run) -> tuple[str, ...]:
    """Return the tables that do not have the digest in the manifest."""
    held = RunFolder(run.folder)
    return tuple(
        f"{run.folder / name}: missing, or changed since it was written"
        for name, digest in run.manifest.tables.items()
        if held.digest_of_table(name) != digest
    )


def _damaged(held: RunFolder, training: str) -> str:
    """Return the reason why the lists of a training cannot be read; nothing if they can."""
    path = held.lists / f"{training}.npz"
    try:
        held.lists_of(training)
    except (OSError, ValueError) as error:
        return f"{path}: cannot be read ({error})"
    return ""


def _not_of_records(run: Run) -> tuple[str, ...]:
    """Return the tables that differ from those made of the records now."""
    tried = run.trials if run.manifest.studies else None
    texts = frames.tables(run.results, run.evaluations, tried)
    wanted = {name: text.encode() for name, text in texts.items()}
    wanted["users.npz"] = zipped(packed(run.users))
    paths = {run.folder / name: content for name, content in wanted.items()}
    return tuple(
        f"{path}: {'differs from the records' if path.is_file() else 'missing'}; run the suite "
        "again to write it"
        for path, content in paths.items()
        if not path.is_file() or path.read_bytes() != content
    )


def rerun(folder: Path, suite: Suite, data_dir: Path, n: int) -> Iterator[Finding]:
    """Train some finished cells again and compare them with their records; nothing is written.

    Args:
        folder: the results folder, with records.
        suite: the suite that was run, with its plugins loaded.
        data_dir: the folder of the data sets.
        n: the number of cells, drawn in turn from each loss; the same cells each time.

    Yields:
        A finding for each cell. On the versions of the record all numbers must be equal, bit for
        bit; else each metric within `TOLERANCE`.

    Raises:
        InputError: the suite is not the run's, or no trained cell of it is finished here.

    """
    heard = _Heard()
    held = RunFolder(folder)
    run = Run(held, heard)
    if not held.cells.is_dir():
        raise InputError("--rerun needs records; this run has only tables")
    if suite.text != run.manifest.suite_text:
        raise InputError(
            f"suite {suite.name!r} is not the one that was run; give its file by --suite"
        )
    plan = make_plan(suite, held, data_dir, events=heard)
    done = [one for one in plan.cells if one.id in plan.done and one.backbone.learns]
    if not done:
        raise InputError("no finished cell of today's code can be trained again")
    for cell in _drawn(done, n, suite.seed):
        record = run.records[cell.id]
        title = run.manifest.title(run.manifest.cells[cell.id])
        yield Finding(f"again: {title}", tuple(_differences(held, cell, record, data_dir)))


def _drawn(cells: Sequence[Cell], n: int, seed: int) -> list[Cell]:
    """Draw n cells, in turn from each loss, and return them in their order."""
    drawn: Counter[str] = Counter()
    turns = []
    for at in rng_for(seed, "verify").permutation(len(cells)).tolist():
        loss = str(cells[at].loss)
        turns.append((drawn[loss], at))
        drawn[loss] += 1
    turns.sort(key=lambda one: one[0])
    return [cells[at] for at in sorted(at for _, at in turns[:n])]


def _differences(held: RunFolder, cell: Cell, record: Record, data_dir: Path) -> Iterator[str]:
    """Train a cell again, and yield the differences from its record."""
    try:
        lists = held.lists_of(record.fit_id) if record.has_lists else None
        of_users = unzipped(held.cells / f"{record.id}.npz") if record.per_user_bytes else None
    except (OSError, ValueError) as error:
        yield f"its lists, or values of users, cannot be read ({error})"
        return
    compute = Compute(record.threads, record.device)
    ((again, beside),) = train_and_test([cell], data_dir, compute, metrics=record.metric_code)
    if again.status == "failed" or beside is None:
        yield f"it failed: {again.error}"
        return
    same = again.computed_by == record.computed_by
    bound = 0.0 if same else TOLERANCE
    yield from _apart(record.metrics, again.metrics, bound)
    if same:
        yield from _apart({"best epoch": record.best_epoch}, {"best epoch": again.best_epoch}, 0)
        yield from _apart(record.realised, again.realised, 0)
        for name in ("history", "diagnostics", "diagnostics_history"):
            if getattr(record, name) != getattr(again, name):
                yield f"{name} differs"
        if lists is not None and beside.lists is not None:
            yield from _of_lists(lists, beside.lists)
        if of_users is not None:
            yield from _of_users(of_users, beside)


def _apart(before: Mapping[str, float], now: Mapping[str, float], bound: float) -> Iterator[str]:
    """Yield the numbers that differ by more than a bound."""
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if old is None or new is None or not abs(old - new) <= bound:
            yield f"{name} was {old}, and is {new}"


def _of_lists(before: Lists, now: Lists) -> Iterator[str]:
    """Yield that the lists of a training differ, if they do."""
    arrays = ((vars(before)[name], vars(now)[name]) for name in ("users", "items", "places"))
    if not all(np.array_equal(one, other) for one, other in arrays):
        yield "lists of the training differ"


def _of_users(before: Mapping[str, Any], beside: Beside) -> Iterator[str]:
    """Yield the metrics that differ for any user."""
    now: dict[str, Any] = {"users": beside.users, **beside.per_user}
    for name in dict.fromkeys([*before, *now]):
        if not np.array_equal(before.get(name, []), now.get(name, [])):
            yield f"{name} of single users differs"
