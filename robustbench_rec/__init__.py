"""A robustness benchmark for the loss functions of recommender systems."""

from pathlib import Path as _Path

from robustbench_rec.components.backbone import BACKBONES, Backbone
from robustbench_rec.components.dataset import DATASETS, Dataset, Raw, Table
from robustbench_rec.components.loss import (
    LOSSES,
    Batch,
    Bound,
    Estimate,
    Loss,
    Move,
    Objective,
    View,
)
from robustbench_rec.components.perturbation import PERTURBATIONS, Perturbation, Stage
from robustbench_rec.components.settings import setting, spec
from robustbench_rec.data.catalog import FileDataset
from robustbench_rec.errors import InputError
from robustbench_rec.interactions import IntArray, Interactions, Split
from robustbench_rec.seeds import rng_for

__version__ = "0.1.0"

__all__ = [
    "BACKBONES",
    "DATASETS",
    "LOSSES",
    "PERTURBATIONS",
    "Backbone",
    "Batch",
    "Bound",
    "Dataset",
    "Estimate",
    "FileDataset",
    "InputError",
    "IntArray",
    "Interactions",
    "Loss",
    "Move",
    "Objective",
    "Perturbation",
    "Raw",
    "Split",
    "Stage",
    "Table",
    "View",
    "__version__",
    "rng_for",
    "setting",
    "spec",
]

_package = _Path(__file__).resolve().parent
if not (_package / "perturbations").is_dir():
    # A checkout: perturbations/ and suites/ stand at its top, not inside the package.
    __path__.append(str(_package.parent))
