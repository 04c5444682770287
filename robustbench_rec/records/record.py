"""Records: what is kept of a cell, and of a training that tunes, as JSON holds it."""

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
"""A level counts as reached where at least this share of it was achieved."""
FEW_USERS = 200
"""Below so many effective test users a value says little."""
LEFT_OUT_NAMED = 3
"""Users left out of training whom a record names."""
FLAGS = {
    "capped": "best in the last tenth of the allowed epochs",
    "not_reached": f"less than {REACHED:.0%} of the level was achieved",
    "few_users": f"fewer than {FEW_USERS} test users in effect",
}
"""What a cell is marked with -> what that says."""


COMPUTE = ("robustbench_rec", "torch", "numba", "numpy")
"""Whose versions may change what a cell comes to."""


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
    """What is kept of any training.

    Attributes:
        kind: of what it is kept.
        checksum: of the file, this line left empty; see `run_folder`.
        id: of the cell, or of the trial.
        status: "done" or "failed".
        dataset, backbone, loss, perturbation: what met.
        training: the spec of how it was trained.
        seed, replicate: of the suite, of the cell; a trial's replicate is "tuning".
        replicates_vary, selection: what the replicate keys, and which validation chose the epoch.
        error: one line, where it failed; `error_type`, the name of the exception, which decides on
            a retry; and `trace`, the calls that led to it.
        best_epoch, history: the selected epoch, and (epoch, validation NDCG@20).
        seconds: of the load (0 where the worker held the data already), the perturbation and the
            fit, and, within the fit, of its validation and diagnostics.
        peak_memory: bytes, the most that the worker's process had held by then; 0 where the system
            does not tell.
        threads, device: of the worker. The bits are equal for equal ones; 0 and "" in a failed
            record.
        versions: of what computed it. They say where it comes from, and are in no id.

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
        """The versions that may have changed what it came to, of `COMPUTE`."""
        return {name: self.versions[name] for name in COMPUTE if name in self.versions}

    @classmethod
    def of(cls, cell: Cell, status: Literal["done", "failed"], **outcome: Any) -> Self:
        """Describe a cell and join what came of it."""
        return cls(status=status, **cls._named(cell), **_described(cell), **outcome)

    @classmethod
    def failure(cls, cell: Cell, error: BaseException) -> Self:
        """Record why it failed."""
        return cls.of(cell, "failed", **_reason(error))

    def refuse_unless_of(self, cell: Cell) -> None:
        """Raise ValueError where what is kept is not of a cell, or of the cell of a trial.

        It was changed, or put where another was.
        """
        wanted = {**self._named(cell), **_described(cell)}
        self._refuse_unlike({key: wanted[key] for key in wanted if key not in self._open(cell)})

    def _refuse_unlike(self, wanted: Mapping[str, Any]) -> None:
        """Raise ValueError where a field is not what it is to be."""
        for key, value in wanted.items():
            held = getattr(self, key)
            found = held.model_dump() if isinstance(held, Kept) else held
            if found != value:
                raise ValueError(f"its {key} is {found!r}, that of its {self.kind} {value!r}")

    @classmethod
    def _open(cls, cell: Cell) -> frozenset[str]:
        """Return what may differ among records of one cell.

        What its study did is in the id, and not compared: it may not be known yet.
        """
        return frozenset({"versions", "tuned"})

    @classmethod
    def _named(cls, cell: Cell) -> dict[str, Any]:
        """Return what names it."""
        raise NotImplementedError


class Record(_Outcome):
    """What is kept of one cell. One that failed is shown and tried again, never counted as done.

    Attributes:
        fit_id: of the training; its cells share the seconds of load and fit, and each has those of
            its evaluation too.
        tuned: where its settings were chosen by trials, how: at, trials, failed, "validation
            ndcg@20", chosen, study; else empty.
        metrics: metric@k, the mean over the users with a test item, by their weights where the test
            is weighted; coverage, gini and popularity are of all lists together.
        metric_code: name of each metric, without its k -> digest of its code; not in the id.
        users: how many were evaluated, and how many there are; under "left_out", how many were not
            trained on as the perturbation left them no negative, where there are such.
        left_out: original ids of the first `LEFT_OUT_NAMED` of these.
        realised: what the perturbation achieved; the first entry is the severity, in the unit of
            the level.
        drawn: what its replicate drew anew: the split, validation alone, where the test is given or
            of time, or the training alone.
        capped: whether it was best in the last tenth of the allowed epochs, where it was
            evaluated more than once.
        diagnostics: how the loss weighs negatives at the best epoch, see
            `training.diagnostics.DIAGNOSTICS`.
        diagnostics_history: (epoch, diagnostics) of each evaluation.
        per_user_bytes: size of the file of per-user metrics beside it; 0 where there is none.
        has_lists: whether the lists of its training were kept.

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
        """The severity that was achieved; None where it is not known."""
        return next(iter(self.realised.values()), None)

    @property
    def flags(self) -> tuple[str, ...]:
        """Those of `FLAGS` that it is marked with."""
        severity, level = self.severity, self.perturbation.level
        marks = {
            "capped": self.capped,
            "not_reached": severity is not None and level > 0 and severity < REACHED * level,
            "few_users": self.realised.get("effective_users", FEW_USERS) < FEW_USERS,
        }
        return tuple(name for name, marked in marks.items() if marked)

    def refuse_unless_as_planned(self, cell: PlannedCell) -> None:
        """Raise ValueError where what is kept is not of what a manifest says of its cell."""
        if self.perturbation.level != cell.level:
            raise ValueError(f"its level is {self.perturbation.level:g}, not {cell.level:g}")
        self._refuse_unlike({"replicate": cell.replicate})

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Refuse a finished cell that does not say how long it trained, or of how many users."""
        if self.status == "done" and "fit" not in self.seconds:
            raise ValueError("it does not say the seconds of its fit")
        if self.status == "done" and not 0 < self.users.get("evaluated", 0) <= self.users.get(
            "all", 0
        ):
            raise ValueError("it does not say how many of its users were evaluated")
        return self

    @classmethod
    def _named(cls, cell: Cell) -> dict[str, Any]:
        tuned = cell.tuned.described() if cell.tuned else {}
        return {"id": cell.id, "fit_id": cell.fit_id, "tuned": tuned}


class Trial(_Outcome):
    """What is kept of one training that tunes; one that failed counts as tried.

    The test has no part in it.

    Attributes:
        validation: the highest NDCG@20 on validation; None where it failed.

    """

    kind: ClassVar[str] = "trial"

    validation: float | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Refuse a finished trial that does not say what it reached."""
        if self.status == "done" and self.validation is None:
            raise ValueError("it has no validation")
        return self

    @classmethod
    def _open(cls, cell: Cell) -> frozenset[str]:
        """Return what may differ: the clean training is one trial, whatever its level 0 is of."""
        return super()._open(cell) | ({"perturbation"} if cell.trains_clean else set())

    @classmethod
    def _named(cls, cell: Cell) -> dict[str, Any]:
        return {"id": cell.fit_id}

    @property
    def may_pass(self) -> bool:
        """Whether it failed by what may have passed; one that diverged would do so again."""
        return self.status == "failed" and self.error_type != "FloatingPointError"

    def tried(self, settings: Settings) -> Tried:
        """Return its outcome, as its study takes it."""
        return Tried(settings, self.validation, self.error, self.status == "failed", self.may_pass)


def computed_by(records: Iterable[Record]) -> tuple[Computed, ...]:
    """Group finished cells by the versions that computed them, those of most cells first."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for record in records:
        groups.setdefault(tuple(record.computed_by.items()), []).append(record.id)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return tuple(Computed(versions=dict(held), cells=tuple(ids)) for held, ids in largest)


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
        "replicates_vary": cell.replicates_vary,
        "selection": cell.selected_on,
        "versions": versions() | {"protocol": PROTOCOL},
    }


FRAMES = 20
"""Calls that a record of a failure keeps, the innermost."""


def _reason(error: BaseException) -> dict[str, str]:
    """Say why something failed, and where it was raised."""
    raised = (error.__cause__ or error).__traceback__
    where = "".join(traceback.format_tb(raised, limit=-FRAMES)).rstrip() if raised else ""
    told = f"{one_line(error)}{_spot(raised)}"
    return {"error": told, "error_type": type(error).__name__, "trace": where}


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
    """Return the versions of what computes a cell."""
    from robustbench_rec import __version__

    libraries = {name: version(name) for name in ("numba", "numpy", "torch")}
    python = {"python": platform.python_version()}
    return {"robustbench_rec": __version__} | libraries | python
