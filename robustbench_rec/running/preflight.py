"""Preflight: what a worker on any machine must have before it gets a training."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_rec.components.overheard import overheard
from robustbench_rec.components.registry import code_of, load_plugins
from robustbench_rec.data.catalog import data_here
from robustbench_rec.errors import InputError, is_interrupt, one_line
from robustbench_rec.evaluation.metrics import codes_of
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.records.record import versions
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.compute import Compute
from robustbench_rec.running.plan import Plan

LOADED: dict[str, float] = {}
"""Module -> a time before its import, of the modules that a preflight imported."""
STARTED = time.time()
"""The same for all other modules."""
PARTS = ("dataset", "backbone", "loss", "perturbation")


@dataclass(frozen=True)
class Wanted:
    """What each worker must have.

    Attributes:
        versions: name of a software -> its version, from `record.versions`.
        compute: the resources of a worker.
        plugins: the plugins of the suite.
        codes: (part, name) of each component of the run -> digest of its code.
        metrics: name of each metric -> digest of its code.
        cells: cells as plain data in which each component occurs.
        data_dir: the folder of the data sets, on the machine that planned.
        token: a file in the results folder, and its text; None if results are returned.

    """

    versions: Mapping[str, str]
    compute: Compute
    plugins: tuple[str, ...]
    codes: Mapping[tuple[str, str], str]
    metrics: Mapping[str, str]
    cells: tuple[Mapping[str, Any], ...]
    data_dir: str
    token: tuple[str, str] | None


@contextmanager
def wanted(
    plan: Plan, compute: Compute, data_dir: Path, folder: RunFolder, shares_folder: bool
) -> Iterator[Wanted]:
    """Return what a plan wants of workers; inside the `with`, the token lies in the folder.

    Args:
        plan: the plan.
        compute: the resources of a worker.
        data_dir: the folder of the data sets.
        folder: the results folder, locked.
        shares_folder: whether workers write to it.

    """
    cells = _covering(
        [
            *(cell for cells in plan.left.values() for cell in cells),
            *(study.base for study in plan.untuned.values()),
        ]
    )
    with _token(folder) if shares_folder else _no_token() as token:
        yield Wanted(
            versions=versions(),
            compute=compute,
            plugins=plan.suite.plugins,
            codes={key: code_of(cls) for cell in cells for key, cls in _classes(cell).items()},
            metrics=plan.metrics,
            cells=tuple(cell.to_plain() for cell in cells),
            data_dir=str(data_dir.absolute()),
            token=token,
        )


def _covering(cells: Iterable[Cell]) -> list[Cell]:
    """Return some cells in which each component class and each data set occurs."""
    seen: set[Any] = set()
    kept = []
    for cell in cells:
        its = {cell.dataset, *_classes(cell).values()}
        if not its <= seen:
            seen |= its
            kept.append(cell)
    return kept


def _classes(cell: Cell) -> dict[tuple[str, str], Any]:
    return {(part, getattr(cell, part).name): type(getattr(cell, part)) for part in PARTS}


@contextmanager
def _token(folder: RunFolder) -> Iterator[tuple[str, str]]:
    """Put a file with a random text beside the marks of trainings, named like one."""
    path, text = folder.marks.folder.absolute() / secrets.token_hex(10), secrets.token_hex(16)
    try:
        path.write_text(text, encoding="ascii")
        yield str(path), text
    finally:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _no_token() -> Iterator[None]:
    yield None


def unfit(wanted: Wanted) -> tuple[int, str]:
    """Check this worker.

    Returns:
        Its process, and the reason why it cannot be used; "" if it can.

    """
    try:
        _check_software(wanted)
        _check_data(wanted, _check_code(wanted))
        _check_folder(wanted)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return os.getpid(), one_line(error)
    return os.getpid(), ""


def _check_software(wanted: Wanted) -> None:
    here = versions()
    for name, version in wanted.versions.items():
        if here.get(name) != version:
            raise InputError(f"has {name} {here.get(name, 'of no known version')}, not {version}")
    os.environ.update(wanted.compute.environment())


def _check_code(wanted: Wanted) -> list[Cell]:
    """Return the cells, with the components of this worker; InputError if their code differs."""
    before, now = set(sys.modules), time.time()
    with overheard():  # who planned the run was told
        load_plugins(wanted.plugins)
    cells = [Cell.from_plain(cell, data_here(wanted.data_dir)) for cell in wanted.cells]
    LOADED.update(dict.fromkeys(sys.modules.keys() - before, now))
    for cell in cells:
        for (part, name), cls in _classes(cell).items():
            if Path(_file(cls)).stat().st_mtime > LOADED.get(cls.__module__, STARTED):
                raise InputError(
                    f"runs {part} {name!r} as it was before {_file(cls)} changed; restart it"
                )
            if code_of(cls) != wanted.codes[part, name]:
                raise InputError(f"has other code of {part} {name!r}: {_file(cls)}")
    if codes_of(wanted.metrics) != wanted.metrics:
        raise InputError("has other code of the metrics")
    return cells


def _file(cls: Any) -> str:
    return str(sys.modules[cls.__module__].__file__)


def _check_data(wanted: Wanted, cells: Iterable[Cell]) -> None:
    """Raise InputError unless the data sets are here, with the same content."""
    folder = data_here(wanted.data_dir)
    for dataset, digest in {cell.dataset: cell.fingerprint for cell in cells}.items():
        if dataset.fingerprint(folder) != digest:
            raise InputError(f"has other data of {dataset.name!r} in {folder}")


def _check_folder(wanted: Wanted) -> None:
    """Raise InputError unless the results folder can be reached and written."""
    if wanted.token is None:
        return
    path, text = Path(wanted.token[0]), wanted.token[1]
    held = RunFolder(path.parents[1])
    try:
        reached = path.read_text(encoding="ascii") == text
        mine = path.with_name(secrets.token_hex(10))
        mine.write_text(text, encoding="ascii")
        mine.unlink()
    except OSError:
        reached = False
    if not reached:
        raise InputError(
            f"cannot write to {held.folder}; put the results on a folder that all machines share, "
            "or give --results return"
        )
