"""Cells: single experiments, identified by everything that affects their result."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robustbench_rec.components.backbone import BACKBONES, Backbone
from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.labels import spec_once, trained
from robustbench_rec.components.loss import LOSSES, Loss
from robustbench_rec.components.perturbation import PERTURBATIONS, Perturbation, perturbation_rng
from robustbench_rec.components.registry import code_of, make
from robustbench_rec.components.settings import plain, spec
from robustbench_rec.data.catalog import resolve
from robustbench_rec.seeds import Replicate, rng_for, seed_for
from robustbench_rec.training.config import PROTOCOL, TrainConfig

Varies = Literal["split", "training"]
"""The difference between replicates: split and training, or training alone."""
Drawn = Literal["split", "validation", "training"]
"""The parts that a replicate draws: if the test is given or by time, validation alone."""
Selection = Literal["clean", "noisy"]
"""Validation pairs that choose epoch and settings: clean, or perturbed like the training pairs."""


@dataclass(frozen=True)
class Tuned:
    """The choice of a cell's settings by trials.

    Attributes:
        study: id of the study. A cell with the same settings given by hand has another id, although
            both share one training.
        entry: the loss of the suite, with search spaces in place of the chosen values.
        at: "level-0" if chosen on the clean control, "each-level" if at the cell's own level.
        trials, failed: the number of trials, and of failed trials.
        validation: NDCG@20 of the best trial.
        chosen: the settings of the best trial.

    """

    study: str
    entry: str
    at: str = ""
    trials: int = 0
    failed: int = 0
    validation: float = 0.0
    chosen: tuple[tuple[str, Any], ...] = ()

    def described(self) -> dict[str, Any]:
        """Return the fields of a record."""
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
    """One experiment: two cells have equal ids if and only if they are the same experiment.

    Attributes:
        seed: the seed of the suite.
        dataset, backbone, loss, training, perturbation: the components.
        fingerprint: digest of the data's content.
        replicate: which repetition, from 0, or "tuning".
        ks: list lengths at which metrics are recorded.
        replicates_vary: whether replicates differ in split and training, or in training alone. The
            perturbation differs in both cases.
        selection: the requested validation; see `selected_on`.
        tuned: how `loss` and `training` were chosen; None if the suite gives them.

    """

    seed: int
    dataset: Dataset
    fingerprint: str
    backbone: Backbone
    loss: Loss
    training: TrainConfig
    perturbation: Perturbation
    replicate: Replicate
    ks: tuple[int, ...]
    replicates_vary: Varies = "split"
    selection: Selection = "clean"
    tuned: Tuned | None = None

    @property
    def id(self) -> str:
        """Digest of everything that identifies the experiment."""
        return self._ids[0]

    @property
    def fit_id(self) -> str:
        """Digest of the training alone; cells that differ only in the test share it."""
        return self._ids[1]

    @functools.cached_property
    def _ids(self) -> tuple[str, str]:
        """Both ids, as their common part takes long in a large plan."""
        fit = self._fit_identity()
        tuned = [f"tuned={self.tuned.study}"] if self.tuned else []
        own = digest(fit, _identity(self.perturbation), f"k={self.ks}", *tuned)
        return own, digest(fit, self._training_perturbation())

    def _fit_identity(self) -> str:
        components = (self.dataset, self.backbone, self.loss)
        parts = [f"protocol={PROTOCOL}", f"seed={self.seed}", f"replicate={self.replicate}"]
        selection = _SELECTIONS[self.selected_on]
        parts += [f"replicates_vary={self.replicates_vary}", f"selection={selection}"]
        parts += [_identity(component) for component in components]
        return "\n".join([*parts, self.fingerprint, _identity(self.training)])

    def _training_perturbation(self) -> str:
        return "clean" if self.trains_clean else _identity(self.perturbation)

    @property
    def changed_code(self) -> str:
        """The message for a worker whose code gives this cell another id than the plan's."""
        return (
            f"the code of data set {self.dataset.name}, backbone {self.backbone.name}, loss "
            f"{self.loss.name} or perturbation {self.perturbation.name} changed after the run was "
            "planned; run again"
        )

    @property
    def trains_clean(self) -> bool:
        """Whether the perturbation leaves the training data unchanged."""
        return self.perturbation.level == 0 or self.perturbation.acts_through == "test"

    @property
    def selected_on(self) -> Selection:
        """The validation pairs that choose the epoch; noisy only if training pairs are noisy."""
        noisy = self.perturbation.level > 0 and self.perturbation.acts_through == "training pairs"
        return self.selection if noisy else "clean"

    @property
    def split_of(self) -> Replicate | None:
        """The replicate that defines the split; None if all replicates share one."""
        return self.replicate if self.replicates_vary == "split" else None

    @property
    def training_seed(self) -> int:
        """The same for every loss, perturbation and level: degradations are paired differences."""
        return seed_for(self.seed, spec(self.dataset), spec(self.backbone), self.replicate, "fit")

    def perturbation_rng(self) -> np.random.Generator:
        """Return the generator of the perturbation, the same for every loss and level."""
        return perturbation_rng(self.perturbation, self.dataset, self.seed, self.replicate)

    def noisy_validation_rng(self) -> np.random.Generator:
        """Return the generator that draws validation pairs from perturbed pairs."""
        dataset, name = spec(self.dataset), self.perturbation.name
        return rng_for(self.seed, dataset, name, self.replicate, "noisy validation")

    @property
    def specs(self) -> dict[str, str]:
        """The full spec of each component, the keys of a suite's labels."""
        return {
            "dataset": spec_once(self.dataset),
            "backbone": spec_once(self.backbone),
            "loss": self.tuned.entry if self.tuned else trained(self.loss, self.training),
            "perturbation": spec_once(self.perturbation, without="level"),
        }

    def to_plain(self) -> dict[str, Any]:
        """Return the cell as plain data; a worker converts it back with its own classes."""
        parts = ("dataset", "backbone", "loss", "training", "perturbation")
        rest = {key: getattr(self, key) for key in _KEPT}
        tuned = {"tuned": asdict(self.tuned)} if self.tuned else {}
        return rest | {part: plain(getattr(self, part)) for part in parts} | tuned

    @classmethod
    def from_plain(cls, data: Mapping[str, Any], data_dir: Path) -> Cell:
        """Rebuild a cell; InputError if a plugin that it needs is not registered here."""
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
            replicates_vary=data["replicates_vary"],
            selection=data["selection"],
            tuned=_tuned(data.get("tuned")),
        )


_SELECTIONS = {"clean": "clean", "noisy": "noisy, rounded at random"}
"""Selection -> its part of an id, which changes with the pairs that it draws."""
_KEPT = ("seed", "fingerprint", "replicate", "ks", "replicates_vary", "selection")
"""The fields of a cell that are plain data."""


def _tuned(data: Mapping[str, Any] | None) -> Tuned | None:
    """Rebuild the result of `asdict`, also if JSON has made lists of its pairs."""
    if data is None:
        return None
    return Tuned(**{**data, "chosen": tuple((key, value) for key, value in data["chosen"])})


@functools.lru_cache(maxsize=4096)
def _identity(component: Any) -> str:
    cls: Any = type(component)
    return f"{spec(component)} {code_of(cls)}"


def digest(*parts: str) -> str:
    """Return a digest of parts, as an id."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
