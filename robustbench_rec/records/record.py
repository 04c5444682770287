"""Records: the stored results of a cell, and of a trial, as in their JSON files."""

from __future__ import annotations

import functools
import platform
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, StrictFloat, StrictInt, model_validator

from robustbench_rec.components.perturbation import Perturbation
from robustbench_rec.components.settings import spec
from robustbench_rec.errors import one_line
from robustbench_rec.experiment.cell import Cell, Drawn, Selection, Varies
from robustbench_rec.experiment.search_space import Settings
from robustbench_rec.experiment.study import Tried
from robustbench_rec.records.manifest import Computed, Kept, PlannedCell
from robustbench_rec.seeds import Replicate
from robustbench_rec.training.config import PROTOCOL

Number = StrictFloat | StrictInt
REACHED = 0.8
"""A level counts as reached if at least this share of it was achieved."""
FEW_USERS = 200
"""With fewer effective test users a value is uncertain."""
LEFT_OUT_NAMED = 3
"""Number of left-out users that a record names."""
FLAGS = {
    "capped": "best in the last tenth of the allowed epochs",
    "not_reached": f"less than {REACHED:.0%} of the level was achieved",
    "few_users": f"fewer than {FEW_USERS} test users in effect",
}
"""Flags of cells -> their meaning."""


COMPUTE = ("robustbench_rec", "torch", "numba", "numpy")
"""Software whose versions may change a result."""


class Component(Kept):
    """A component of a cell: its name, and its full spec."""

    name: str
    spec: str


class DataSet(Component):
    """A data set, with the digest of its content."""

    fingerprint: str = ""


class Perturbed(Component):
    """A perturbation, its spec without the level."""

    unit: str
    acts_through: str
    level: float


class _Outcome(Kept):
    """The stored result of any training.

    Attributes:
        kind: "cell" or "trial".
        checksum: the checksum of the file with this field empty; see `whole`.
        id: the id of the cell or the trial.
        status: "done" or "failed".
        dataset, backbone, loss, perturbation: the components.
        training: the spec of the training settings.
        seed, replicate: the suite's seed and the cell's replicate; a trial's replicate is "tuning".
        replicates_vary, selection: what differs by replicate, and the validation that chose the
            epoch.
        error: one line, if it failed; `error_type`, the name of the exception, which decides on
            a retry; and `trace`, the calls that led to it.
        best_epoch, history: the selected epoch, and (epoch, validation NDCG@20).
        seconds: seconds of the load (0 if the worker already had the data), the perturbation and
            the fit, and, within the fit, of validation and diagnostics.
        peak_memory: peak memory of the worker's process so far, in bytes; 0 if the system does
            not report it.
        threads, device: those of the worker; results are bit-identical if both are equal. 0 and ""
            in a failed record.
        versions: versions of the software that computed it; not part of any id.

    """

    kind: ClassVar[str]

    checksum: str = ""
    id: str
    status: Literal["done", "failed"]
    dataset: DataSet
    backbone: Component
    loss: Component
    perturbation: Perturbed
    training: str
    seed: int
    replicate: Replicate
    replicates_vary: Varies
    selection: Selection
    error: str = ""
    error_type: str = ""
    trace: str = ""
    best_epoch: int = 0
    history: tuple[tuple[int, float], ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory: int = 0
    threads: int = 0
    device: str = ""
    versions: dict[str, str] = Field(default_factory=dict)

    model_config = ConfigDict(allow_inf_nan=False)

    @property
    def computed_by(self) -> dict[str, str]:
        """The versions, of `COMPUTE`, that may have affected the result."""
        return {name: self.versions[name] for name in COMPUTE if name in self.versions}

    @classmethod
    def of(cls, cell: Cell, status: Literal["done", "failed"], **outcome: Any) -> Self:
        """Describe a cell and add its result."""
        return cls(status=status, **cls._identity(cell), **_described(cell), **outcome)

    @classmethod
    def failure(cls, cell: Cell, error: BaseException) -> Self:
        """Return the fields of a failure."""
        return cls.of(cell, "failed", **_reason(error))

    def refuse_unless_of(self, cell: Cell) -> None:
        """Raise ValueError if the record is not of a cell, or of the cell of a trial.

        The file was changed, or moved here from elsewhere.
        """
        wanted = {**self._identity(cell), **_described(cell)}
        self._refuse_unlike(
            {key: wanted[key] for key in wanted if key not in self._may_differ(cell)}
        )

    def _refuse_unlike(self, wanted: Mapping[str, Any]) -> None:
        """Raise ValueError if a field differs from its expected value."""
        for key, value in wanted.items():
            held = getattr(self, key)
            found = held.model_dump() if isinstance(held, Kept) else held
            if found != value:
                raise ValueError(f"its {key} is {found!r}, that of its {self.kind} {value!r}")

    @classmethod
    def _may_differ(cls, cell: Cell) -> frozenset[str]:
        """Return the fields that may differ among records of one cell.

        The outcome of its study is in the id and is not compared: it may not be known yet.
        """
        return frozenset({"versions", "tuned"})

    @classmethod
    def _identity(cls, cell: Cell) -> dict[str, Any]:
        """Return the fields that identify the record."""
        raise NotImplementedError


class Record(_Outcome):
    """The stored result of one cell; a failed cell is tried again, never counted as done.

    Attributes:
        fit_id: the id of the training; its cells share the seconds of load and fit, and each has
            the seconds of its own evaluation.
        tuned: how trials chose its settings: at, trials, failed, "validation ndcg@20", chosen,
            study; empty if not tuned.
        metrics: metric@k, the mean over users with a test item, weighted if the test is weighted;
            coverage, gini and popularity are of all lists together.
        metric_code: name of each metric, without its k -> digest of its code; not in the id.
        users: the numbers of evaluated users and of all users; under "left_out", the number of
            users left out of training because the perturbation left them no negative, if any.
        left_out: original ids of the first `LEFT_OUT_NAMED` of the users left out.
        realised: the effect that the perturbation achieved; the first entry is the severity, in the
            unit of the level.
        drawn: what its replicate draws: the split, validation alone (if the test is given or by
            time), or the training alone.
        capped: whether it was best in the last tenth of the allowed epochs, if evaluated more
            than once.
        diagnostics: how the loss weighs negatives at the best epoch, see
            `training.diagnostics.DIAGNOSTICS`.
        diagnostics_history: (epoch, diagnostics) of each evaluation.
        per_user_bytes: size of its file of per-user metrics; 0 if there is none.
        has_lists: whether the lists of its training are stored.

    """

    kind: ClassVar[str] = "cell"

    fit_id: str
    tuned: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Number] = Field(default_factory=dict)
    metric_code: dict[str, str] = Field(default_factory=dict)
    users: dict[str, int] = Field(default_factory=dict)
    realised: dict[str, float] = Field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    drawn: Drawn = "training"
    capped: bool = False
    diagnostics: dict[str, float] = Field(default_factory=dict)
    diagnostics_history: tuple[tuple[int, dict[str, float]], ...] = ()
    per_user_bytes: int = 0
    has_lists: bool = False

    @property
    def severity(self) -> float | None:
        """The severity that was achieved; None if not known."""
        return next(iter(self.realised.values()), None)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags, of `FLAGS`, of the cell."""
        severity, level = self.severity, self.perturbation.level
        marks = {
            "capped": self.capped,
            "not_reached": severity is not None and level > 0 and severity < REACHED * level,
            "few_users": self.realised.get("effective_users", FEW_USERS) < FEW_USERS,
        }
        return tuple(name for name, marked in marks.items() if marked)

    def refuse_unless_as_planned(self, cell: PlannedCell) -> None:
        """Raise ValueError if the record differs from the manifest's entry of its cell."""
        if self.perturbation.level != cell.level:
            raise ValueError(f"its level is {self.perturbation.level:g}, not {cell.level:g}")
        self._refuse_unlike({"replicate": cell.replicate})

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Refuse a finished cell without the seconds of its training, or its number of users."""
        if self.status == "done" and "fit" not in self.seconds:
            raise ValueError("the seconds of its fit are missing")
        if self.status == "done" and not 0 < self.users.get("evaluated", 0) <= self.users.get(
            "all", 0
        ):
            raise ValueError("the number of evaluated users is missing")
        return self

    @classmethod
    def _identity(cls, cell: Cell) -> dict[str, Any]:
        tuned = cell.tuned.described() if cell.tuned else {}
        return {"id": cell.id, "fit_id": cell.fit_id, "tuned": tuned}


class Trial(_Outcome):
    """The stored result of one trial; a failed trial counts as tried.

    The test is not used.

    Attributes:
        validation: the highest NDCG@20 on validation; None if it failed.

    """

    kind: ClassVar[str] = "trial"

    validation: float | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Refuse a finished trial without its validation."""
        if self.status == "done" and self.validation is None:
            raise ValueError("its validation is missing")
        return self

    @classmethod
    def _may_differ(cls, cell: Cell) -> frozenset[str]:
        """Return the fields that may differ: all perturbations share the trial on clean data."""
        return super()._may_differ(cell) | ({"perturbation"} if cell.trains_clean else set())

    @classmethod
    def _identity(cls, cell: Cell) -> dict[str, Any]:
        return {"id": cell.fit_id}

    @property
    def may_pass(self) -> bool:
        """Whether the cause of its failure may have passed; a divergence would occur again."""
        return self.status == "failed" and self.error_type != "FloatingPointError"

    def tried(self, settings: Settings) -> Tried:
        """Return its outcome, for its study."""
        return Tried(settings, self.validation, self.error, self.status == "failed", self.may_pass)


def computed_by(records: Iterable[Record]) -> tuple[Computed, ...]:
    """Group finished cells by the versions that computed them, the largest group first."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for record in records:
        groups.setdefault(tuple(record.computed_by.items()), []).append(record.id)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return tuple(Computed(versions=dict(held), cells=tuple(ids)) for held, ids in largest)


def _described(cell: Cell) -> dict[str, Any]:
    """Describe the components of a cell, and the software that computes it."""
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
        "replicates_vary": cell.replicates_vary,
        "selection": cell.selected_on,
        "versions": versions() | {"protocol": PROTOCOL},
    }


FRAMES = 20
"""Number of innermost calls stored in a record of a failure."""


def _reason(error: BaseException) -> dict[str, str]:
    """Describe a failure, and where it was raised."""
    raised = (error.__cause__ or error).__traceback__
    where = "".join(traceback.format_tb(raised, limit=-FRAMES)).rstrip() if raised else ""
    told = f"{one_line(error)}{_spot(raised)}"
    return {"error": told, "error_type": type(error).__name__, "trace": where}


def _spot(raised: TracebackType | None) -> str:
    """Name the line of a plugin that raised or called the failing code; "" if all code is ours."""
    spots = [
        f" ({Path(frame.filename).name}, line {frame.lineno})"
        for frame in traceback.extract_tb(raised)
        if Path(frame.filename).is_file()  # else code that was made, as a dataclass's
        and not any(Path(frame.filename).is_relative_to(place) for place in _not_of_plugins())
    ]
    return spots[-1] if spots else ""


@functools.cache
def _not_of_plugins() -> tuple[Path, ...]:
    """Return the folders of our code, of Python and of the libraries."""
    package = Path(__file__).parents[1]
    libraries = (Path(path) for path in sysconfig.get_paths().values())
    return package, package.parent / "perturbations", *libraries


def _describe(perturbation: Perturbation) -> dict[str, Any]:
    return {
        "name": perturbation.name,
        "spec": spec(perturbation, without="level"),
        "unit": perturbation.unit,
        "acts_through": perturbation.acts_through,
        "level": perturbation.level,
    }


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of the software that computes a cell."""
    from robustbench_rec import __version__

    libraries = {name: version(name) for name in ("numba", "numpy", "torch")}
    python = {"python": platform.python_version()}
    return {"robustbench_rec": __version__} | libraries | python
