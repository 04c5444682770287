"""Cells: one experiment each, named by everything that tells it from others."""

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
"""What differs between replicates: the split and the training, or the training alone."""
Drawn = Literal["split", "validation", "training"]
"""What a replicate really draws anew: where the test is given or of time, validation alone."""
Selection = Literal["clean", "noisy"]
"""Which validation pairs choose epoch and settings: clean ones, or ones that are perturbed as the
training pairs are."""


@dataclass(frozen=True)
class Tuned:
    """How a cell came to its settings, where they were chosen by trials.

    Attributes:
        study: id of the study that chose; it tells this cell from one that was given the same
            settings, though both share one training.
        entry: the loss as the suite has it, with what was searched in the place of what was found.
        at: "level-0" if the clean control chose, "each-level" if the cell's own level did.
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
        replicate: which repetition, from 0, or "tuning".
        ks: list lengths at which metrics are recorded.
        replicates_vary: whether the replicate keys the split too, or the training alone. The
            perturbation is keyed by it either way.
        selection: the validation that is asked for; see `selected_on`.
        tuned: how `loss` and `training` were chosen; None where the suite gives them.

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

    @functools.cached_property
    def id(self) -> str:
        """Digest of everything that tells the experiment apart."""
        parts = [self._fit_identity(), _identity(self.perturbation), f"k={self.ks}"]
        return digest(*parts, *([f"tuned={self.tuned.study}"] if self.tuned else []))

    @functools.cached_property
    def fit_id(self) -> str:
        """Digest of the training alone: cells that differ only in the test share it."""
        return digest(self._fit_identity(), self._training_perturbation())

    def _fit_identity(self) -> str:
        components = (self.dataset, self.backbone, self.loss)
        parts = [f"protocol={PROTOCOL}", f"seed={self.seed}", f"replicate={self.replicate}"]
        parts += [f"replicates_vary={self.replicates_vary}", f"selection={self.selected_on}"]
        parts += [_identity(component) for component in components]
        return "\n".join([*parts, self.fingerprint, _identity(self.training)])

    def _training_perturbation(self) -> str:
        return "clean" if self.trains_clean else _identity(self.perturbation)

    @property
    def trains_clean(self) -> bool:
        """Whether the perturbation leaves what is trained on as it is."""
        return self.perturbation.level == 0 or self.perturbation.acts_through == "test"

    @property
    def selected_on(self) -> Selection:
        """Which validation pairs choose its epoch: noisy ones only where training pairs are."""
        noisy = self.perturbation.level > 0 and self.perturbation.acts_through == "training pairs"
        return self.selection if noisy else "clean"

    @property
    def split_of(self) -> Replicate | None:
        """Whose split it is of; None where all replicates share one."""
        return self.replicate if self.replicates_vary == "split" else None

    @property
    def training_seed(self) -> int:
        """Equal for every loss, perturbation and level: degradations are paired differences."""
        return seed_for(self.seed, spec(self.dataset), spec(self.backbone), self.replicate, "fit")

    def perturbation_rng(self) -> np.random.Generator:
        """Return the perturbation's generator: the same for every loss and every level."""
        return perturbation_rng(self.perturbation, self.dataset, self.seed, self.replicate)

    def noisy_validation_rng(self) -> np.random.Generator:
        """Return what draws validation pairs from perturbed ones."""
        dataset, name = spec(self.dataset), self.perturbation.name
        return rng_for(self.seed, dataset, name, self.replicate, "noisy validation")

    @property
    def specs(self) -> dict[str, str]:
        """The full spec of each component, as a suite's labels are keyed by it."""
        return {
            "dataset": spec_once(self.dataset),
            "backbone": spec_once(self.backbone),
            "loss": self.tuned.entry if self.tuned else trained(self.loss, self.training),
            "perturbation": spec_once(self.perturbation, without="level"),
        }

    def to_plain(self) -> dict[str, Any]:
        """Return the cell as plain data, which a worker turns back with its own classes."""
        parts = ("dataset", "backbone", "loss", "training", "perturbation")
        rest = {key: getattr(self, key) for key in _KEPT}
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
            replicates_vary=data["replicates_vary"],
            selection=data["selection"],
            tuned=_tuned(data.get("tuned")),
        )


_KEPT = ("seed", "fingerprint", "replicate", "ks", "replicates_vary", "selection")
"""What of a cell is plain data as it is."""


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
