"""Records: what is kept of a cell, and of a training that tunes."""

from __future__ import annotations

import functools
import platform
import sysconfig
import traceback
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from robustbench_rec.components.perturbation import Perturbation
from robustbench_rec.components.settings import spec
from robustbench_rec.errors import one_line
from robustbench_rec.experiment.cell import Cell


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What is kept of any training, as JSON holds it.

    Attributes:
        id: of the cell, or of the trial.
        status: "done" or "failed".
        dataset, backbone, loss, perturbation: each with its name and full spec; the perturbation
            with unit, stage and level too.
        training: the spec of how it was trained.
        seed, replicate: of the suite, of the cell.
        error: one line, where it failed, and `trace`, where it was raised.
        best_epoch, history: the selected epoch, and (epoch, validation NDCG@20).
        seconds: of the load (0 where the worker held the data set already), the perturbation and
            the fit.
        threads, device: of the worker. The bits are equal for equal ones; 0 and "" in a failed
            record.
        versions: of what computed it.

    """

    id: str
    status: Literal["done", "failed"]
    dataset: dict[str, str]
    backbone: dict[str, str]
    loss: dict[str, str]
    perturbation: dict[str, Any]
    training: str
    seed: int
    replicate: int
    error: str = ""
    trace: str = ""
    best_epoch: int = 0
    history: tuple[tuple[int, float], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    threads: int = 0
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cell: Cell, status: Literal["done", "failed"], **outcome: Any) -> Self:
        """Describe a cell and join what came of it."""
        return cls(status=status, **cls._named(cell), **_described(cell), **outcome)

    @classmethod
    def failure(cls, cell: Cell, error: BaseException) -> Self:
        """Record why it failed."""
        return cls.of(cell, "failed", **_reason(error))

    @classmethod
    def _named(cls, cell: Cell) -> dict[str, Any]:
        """Return what names it."""
        raise NotImplementedError

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Record(_Outcome):
    """What is kept of one cell. One that failed is shown and tried again, never counted as done.

    Attributes:
        fit_id: of the training; its cells share the seconds of load and fit, and each has those of
            its evaluation too.
        tuned: where its settings were chosen by trials, how: at, trials, failed, "validation
            ndcg@20", chosen, study; else empty.
        metrics: metric@k, the mean over the users with a test item; coverage, gini and popularity
            are of all lists together.
        users: how many were evaluated, and how many there are.
        realised: what the perturbation achieved.
        diagnostics: how the loss weighs negatives at the best epoch, see
            `diagnostics.DIAGNOSTICS`.
        diagnostics_history: (epoch, diagnostics) of each evaluation.

    """

    fit_id: str
    tuned: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    realised: dict[str, float] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    diagnostics_history: tuple[tuple[int, dict[str, float]], ...] = ()

    @classmethod
    def _named(cls, cell: Cell) -> dict[str, Any]:
        tuned = cell.tuned.described() if cell.tuned else {}
        return {"id": cell.id, "fit_id": cell.fit_id, "tuned": tuned}


@dataclass(frozen=True, kw_only=True)
class Trial(_Outcome):
    """What is kept of one training that tunes; one that failed counts as tried.

    The test has no part in it.

    Attributes:
        validation: the highest NDCG@20 on validation; None where it failed.

    """

    validation: float | None = None

    @classmethod
    def _named(cls, cell: Cell) -> dict[str, Any]:
        return {"id": cell.trial_id}


def _described(cell: Cell) -> dict[str, Any]:
    """Describe the components of a cell, and what computes it."""
    parts: dict[str, Any] = {
        part: {"name": getattr(cell, part).name, "spec": spec(getattr(cell, part))}
        for part in ("dataset", "backbone", "loss")
    }
    parts["dataset"]["fingerprint"] = cell.fingerprint
    return parts | {
        "perturbation": _describe(cell.perturbation),
        "training": spec(cell.training),
        "seed": cell.seed,
        "replicate": cell.replicate,
        "versions": versions() | {"protocol": cell.protocol},
    }


def _reason(error: BaseException) -> dict[str, str]:
    """Say why something failed, and where it was raised."""
    raised = (error.__cause__ or error).__traceback__
    where = traceback.format_tb(raised)[-1].strip() if raised else ""
    return {"error": f"{one_line(error)}{_spot(raised)}", "trace": where}


def _spot(raised: TracebackType | None) -> str:
    """Name the line of a plugin that raised, or called what did; nothing for code that is ours."""
    spots = [
        f" ({Path(frame.filename).name}, line {frame.lineno})"
        for frame in traceback.extract_tb(raised)
        if Path(frame.filename).is_file()  # else code that was made, as a dataclass's
        and not any(Path(frame.filename).is_relative_to(place) for place in _not_of_plugins())
    ]
    return spots[-1] if spots else ""


@functools.cache
def _not_of_plugins() -> tuple[Path, ...]:
    """Return where our code, Python's and the libraries' lie."""
    package = Path(__file__).parent
    libraries = (Path(path) for path in sysconfig.get_paths().values())
    return package, package.parent / "perturbations", *libraries


def _describe(perturbation: Perturbation) -> dict[str, Any]:
    return {
        "name": perturbation.name,
        "spec": spec(perturbation, without="level"),
        "unit": perturbation.unit,
        "stage": perturbation.stage,
        "level": perturbation.level,
    }


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of what computes a cell."""
    from robustbench_rec import __version__

    libraries = {name: version(name) for name in ("numba", "numpy", "torch")}
    python = {"python": platform.python_version()}
    return {"robustbench_rec": __version__} | libraries | python
