"""Cells: one experiment each, and the record that comes of it."""

from __future__ import annotations

import functools
import hashlib
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.backbone import BACKBONES, Backbone
from robustbench_rec.compute import COMPUTE, Compute
from robustbench_rec.dataset import Dataset
from robustbench_rec.datasets.catalog import resolve
from robustbench_rec.interactions import Split
from robustbench_rec.loss import LOSSES, Loss
from robustbench_rec.perturbation import PERTURBATIONS, Perturbation, perturb
from robustbench_rec.preparation import load
from robustbench_rec.protocol import PROTOCOL, TrainConfig
from robustbench_rec.ranking import Ranking, evaluate
from robustbench_rec.registry import code_of, make, one_line
from robustbench_rec.seeds import rng_for, seed_for
from robustbench_rec.settings import plain, spec
from robustbench_rec.training import Fit, fit
from robustbench_rec.tuning import noisy

PerUser = dict[str, NDArray[Any]]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Tuned:
    """How a cell came to its settings, where they were chosen by trials.

    Attributes:
        study: id of the study that chose; it tells this cell from one that was given the same
            settings, though both share one training.
        entry: the loss as the suite has it, with what was searched in the place of what was found.
        at: "level-0" if the clean control chose, "each-level" if the cell's own noisy data did.
        trials, failed: settings that were tried, and how many of them failed.
        validation: NDCG@20 of the best.
        chosen: its settings.

    """

    study: str
    entry: str
    at: str = ""
    trials: int = 0
    failed: int = 0
    validation: float = 0.0
    chosen: tuple[tuple[str, Any], ...] = ()

    def described(self) -> dict[str, Any]:
        """Return what a record keeps of it."""
        return {
            "at": self.at,
            "trials": self.trials,
            "failed": self.failed,
            "validation ndcg@20": self.validation,
            "chosen": dict(self.chosen),
            "study": self.study,
        }


@dataclass(frozen=True)
class Cell:
    """One experiment: equal id if and only if equal experiment.

    Attributes:
        seed: of the suite.
        dataset, backbone, loss, training, perturbation: what meets.
        fingerprint: digest of the data's content.
        replicate: which repetition, from 0.
        ks: list lengths at which metrics are recorded.
        tuned: how `loss` and `training` were chosen; None where the suite gives them.

    """

    seed: int
    dataset: Dataset
    fingerprint: str
    backbone: Backbone
    loss: Loss
    training: TrainConfig
    perturbation: Perturbation
    replicate: int
    ks: tuple[int, ...]
    tuned: Tuned | None = None

    @functools.cached_property
    def id(self) -> str:
        """Digest of everything that tells the experiment apart."""
        parts = [self._fit_identity(), _identity(self.perturbation), f"k={self.ks}"]
        return digest(*parts, *([f"tuned={self.tuned.study}"] if self.tuned else []))

    @functools.cached_property
    def fit_id(self) -> str:
        """Digest of the training alone: cells that differ only in the test share it."""
        return digest(self._fit_identity(), self._training_perturbation())

    @functools.cached_property
    def trial_id(self) -> str:
        """Digest of a training that tunes: by `fit_id`, but for noisy validation."""
        return digest(self.fit_id, "noisy validation") if self._carves() else self.fit_id

    def _fit_identity(self) -> str:
        components = (self.dataset, self.backbone, self.loss)
        parts = [f"protocol={PROTOCOL}", f"seed={self.seed}", f"replicate={self.replicate}"]
        parts += [_identity(component) for component in components]
        return "\n".join([*parts, self.fingerprint, _identity(self.training)])

    def _training_perturbation(self) -> str:
        return "clean" if self.trains_clean else _identity(self.perturbation)

    @property
    def trains_clean(self) -> bool:
        """Whether the perturbation leaves what is trained on as it is."""
        return self.perturbation.level == 0 or self.perturbation.stage == "test"

    def _carves(self) -> bool:
        """Say whether a trial's validation is carved from perturbed pairs."""
        return not self.trains_clean and self.perturbation.stage == "train"

    @property
    def training_seed(self) -> int:
        """Equal for every loss, perturbation and level: degradations are paired differences."""
        return seed_for(self.seed, spec(self.dataset), spec(self.backbone), self.replicate, "fit")

    def perturbation_rng(self) -> np.random.Generator:
        """Return the perturbation's generator: the same for every loss and every level."""
        dataset, name = spec(self.dataset), self.perturbation.name
        return rng_for(self.seed, dataset, name, self.replicate, "perturbation")

    def tuned_on(self, clean: Split) -> Split:
        """Return what a trial trains on and is selected by; the test pairs are not in it."""
        blind = replace(clean, test=clean.test.none())
        if self.trains_clean:
            return blind
        if not self._carves():
            return perturb(self.perturbation, blind, self.perturbation_rng())
        dataset, name = spec(self.dataset), self.perturbation.name
        carve = rng_for(self.seed, dataset, name, self.replicate, "noisy validation")
        return noisy(blind, self.perturbation, self.perturbation_rng(), carve)

    def to_plain(self) -> dict[str, Any]:
        """Return the cell as plain data, which a worker turns back with its own classes."""
        parts = ("dataset", "backbone", "loss", "training", "perturbation")
        rest = {key: getattr(self, key) for key in ("seed", "fingerprint", "replicate", "ks")}
        tuned = {"tuned": asdict(self.tuned)} if self.tuned else {}
        return rest | {part: plain(getattr(self, part)) for part in parts} | tuned

    @classmethod
    def from_plain(cls, data: Mapping[str, Any], data_dir: Path) -> Cell:
        """Rebuild a cell; InputError where a plugin it needs is not registered here."""
        return cls(
            seed=data["seed"],
            dataset=resolve(data["dataset"], data_dir, Path.cwd()),
            fingerprint=data["fingerprint"],
            backbone=BACKBONES.build(data["backbone"]),
            loss=LOSSES.build(data["loss"]),
            training=make(TrainConfig, data["training"], "training"),
            perturbation=PERTURBATIONS.build(data["perturbation"]),
            replicate=data["replicate"],
            ks=tuple(data["ks"]),
            tuned=_tuned(data.get("tuned")),
        )


def _tuned(data: Mapping[str, Any] | None) -> Tuned | None:
    """Rebuild what `asdict` made, also where JSON has made lists of its pairs."""
    if data is None:
        return None
    return Tuned(**{**data, "chosen": tuple((key, value) for key, value in data["chosen"])})


@functools.lru_cache(maxsize=4096)
def _identity(component: Any) -> str:
    cls: Any = type(component)
    return f"{spec(component)} {code_of(cls)}"


def digest(*parts: str) -> str:
    """Return the name of what the parts tell apart."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Record:
    """What is kept of one cell, as JSON holds it.

    Attributes:
        id, fit_id: of the cell.
        status: "done" or "failed"; a failed cell is shown and tried again, never counted as done.
        dataset, backbone, loss, perturbation: each with its name and full spec; the perturbation
            with unit, stage and level too.
        training: the spec of how it was trained.
        tuned: where its settings were chosen by trials, how: at, trials, failed, "validation
            ndcg@20", chosen, study; else empty.
        seed, replicate: of the suite, of the cell.
        error: one line, where it failed, and `trace`, where it was raised.
        metrics: metric@k, the mean over the users with a test item; coverage, gini and popularity
            are of all lists together.
        users: how many were evaluated, and how many there are.
        realised: what the perturbation achieved.
        best_epoch, history: the selected epoch, and (epoch, validation NDCG@20).
        diagnostics: how the loss weighs negatives at that epoch, see `diagnostics.DIAGNOSTICS`.
        diagnostics_history: (epoch, diagnostics) of each evaluation.
        seconds: of the load (0 where the worker held the data set already) and the fit, shared by
            all cells of one `fit_id`; of the perturbation and the evaluation.
        threads, device: of the worker. The bits are equal for equal ones; 0 and "" in a failed
            record.
        versions: of what computed it.

    """

    id: str
    fit_id: str
    status: Literal["done", "failed"]
    dataset: dict[str, str]
    backbone: dict[str, str]
    loss: dict[str, str]
    perturbation: dict[str, Any]
    training: str
    seed: int
    replicate: int
    tuned: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    realised: dict[str, float] = field(default_factory=dict)
    best_epoch: int = 0
    history: tuple[tuple[int, float], ...] = ()
    diagnostics: dict[str, float] = field(default_factory=dict)
    diagnostics_history: tuple[tuple[int, dict[str, float]], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    threads: int = 0
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cell: Cell, status: Literal["done", "failed"], **outcome: Any) -> Record:
        """Describe a cell and join what came of it."""
        return cls(
            id=cell.id,
            fit_id=cell.fit_id,
            status=status,
            tuned=cell.tuned.described() if cell.tuned else {},
            **_described(cell),
            **outcome,
        )

    @classmethod
    def failure(cls, cell: Cell, error: BaseException) -> Record:
        """Record why a cell failed."""
        return cls.of(cell, "failed", **_reason(error))

    def to_plain(self) -> dict[str, Any]:
        """Return the record as JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class Trial:
    """What is kept of one training that tunes, as JSON holds it; the test has no part in it.

    Attributes:
        id: the cell's `trial_id`.
        status: "done" or "failed"; a failed one counts as tried.
        dataset, backbone, loss, perturbation, training, seed, replicate: as in `Record`.
        validation: the highest NDCG@20 on validation; None where it failed.
        best_epoch, history: the epoch of that, and (epoch, validation NDCG@20).
        seconds: of the load, the perturbation and the fit.
        error, trace, threads, device, versions: as in `Record`.

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
    validation: float | None = None
    best_epoch: int = 0
    history: tuple[tuple[int, float], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    threads: int = 0
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cell: Cell, status: Literal["done", "failed"], **outcome: Any) -> Trial:
        """Describe a cell that tunes and join what came of it."""
        return cls(id=cell.trial_id, status=status, **_described(cell), **outcome)

    @classmethod
    def failure(cls, cell: Cell, error: BaseException) -> Trial:
        """Record why a trial failed."""
        return cls.of(cell, "failed", **_reason(error))

    def to_plain(self) -> dict[str, Any]:
        """Return the trial as JSON-able data."""
        return asdict(self)


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
        "versions": versions(),
    }


def _reason(error: BaseException) -> dict[str, str]:
    """Say why something failed, and where it was raised."""
    raised = (error.__cause__ or error).__traceback__
    where = traceback.format_tb(raised)[-1].strip() if raised else ""
    return {"error": one_line(error), "trace": where}


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
    ours = {"robustbench_rec": __version__, "protocol": PROTOCOL}
    return ours | libraries | {"python": platform.python_version()}


@functools.lru_cache(maxsize=2)
def _loaded(dataset: Dataset, data_dir: Path, seed: int) -> Split:
    """Load and prepare a data set once a worker, not once a cell."""
    return load(dataset, data_dir, seed)


def run_cells(
    cells: Sequence[Cell], data_dir: Path, compute: Compute = COMPUTE
) -> Iterator[tuple[Record, PerUser]]:
    """Run cells that share one training; a cell that fails yields a failed record.

    Args:
        cells: of one `fit_id`.
        data_dir: where data sets lie.
        compute: threads and device.

    Yields:
        Each record as soon as it is known, with the per-user metrics beside it: `users` (U,) and
        each metric (U,) float32.

    Raises:
        InputError: torch or numba does not take so many threads.

    """
    compute.take()
    first = cells[0]
    try:
        clean, loading = _timed(_loaded, first.dataset, data_dir, first.seed)
        trained_on, perturbing = _timed(_trained_on, first, clean)
        model, fitting = _timed(_fitted, first, trained_on, compute.device)
    except (Exception, SystemExit) as error:
        yield from ((Record.failure(cell, error), {}) for cell in cells)
        return
    for cell in cells:
        try:
            perturbed, seconds = trained_on, perturbing
            if cell.perturbation.stage == "test":
                perturbed, seconds = _timed(_perturbed, cell, clean)
            spent = {"load": loading, "perturbation": seconds, "fit": fitting}
            yield _evaluated(cell, clean, perturbed, model, spent, compute)
        except (Exception, SystemExit) as error:
            yield Record.failure(cell, error), {}


def run_trial(cell: Cell, data_dir: Path, compute: Compute = COMPUTE) -> Trial:
    """Train under settings that are tried, and keep the best validation; the test is not met.

    Raises:
        InputError: torch or numba does not take so many threads.

    """
    compute.take()
    try:
        clean, loading = _timed(_loaded, cell.dataset, data_dir, cell.seed)
        split, perturbing = _timed(cell.tuned_on, clean)
        model, fitting = _timed(_fitted, cell, split, compute.device)
    except (Exception, SystemExit) as error:
        return Trial.failure(cell, error)
    return Trial.of(
        cell,
        "done",
        validation=max(value for _, value in model.history),
        best_epoch=model.best_epoch,
        history=model.history,
        seconds={"load": loading, "perturbation": perturbing, "fit": fitting},
        threads=compute.threads,
        device=compute.device,
    )


def _timed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """Return what a call returns, and the seconds it took."""
    started = time.perf_counter()
    return work(*args, **kwargs), time.perf_counter() - started


def _trained_on(cell: Cell, clean: Split) -> Split:
    return clean if cell.perturbation.stage == "test" else _perturbed(cell, clean)


def _fitted(cell: Cell, split: Split, device: str) -> Fit:
    return fit(split, cell.backbone, cell.loss, cell.training, cell.training_seed, device)


def _perturbed(cell: Cell, clean: Split) -> Split:
    return perturb(cell.perturbation, clean, cell.perturbation_rng())


def _evaluated(
    cell: Cell,
    clean: Split,
    perturbed: Split,
    model: Fit,
    spent: Mapping[str, float],
    compute: Compute,
) -> tuple[Record, PerUser]:
    ranking, evaluating = _timed(
        evaluate, model.users, model.items, perturbed.test, clean.seen, cell.ks
    )
    record = Record.of(
        cell,
        "done",
        metrics=_means(ranking),
        users={"evaluated": int(ranking.users.size), "all": clean.n_users},
        realised=_realised(cell.perturbation, clean, perturbed),
        best_epoch=model.best_epoch,
        history=model.history,
        diagnostics=dict(model.mechanism).get(model.best_epoch, {}),
        diagnostics_history=model.mechanism,
        seconds={**spent, "evaluation": evaluating},
        threads=compute.threads,
        device=compute.device,
    )
    per_user = {name: values.astype(np.float32) for name, values in ranking.per_user.items()}
    return record, {"users": ranking.users.astype(np.int32), **per_user}


def _realised(perturbation: Perturbation, clean: Split, perturbed: Split) -> dict[str, float]:
    realised = {key: float(value) for key, value in perturbation.realised(clean, perturbed).items()}
    for key, value in realised.items():
        if not np.isfinite(value):
            raise ValueError(f"{type(perturbation).__name__}.realised gave {key} = {value}")
    return realised


def _means(ranking: Ranking) -> dict[str, float]:
    means = {name: float(values.mean()) for name, values in ranking.per_user.items()}
    return means | ranking.lists
