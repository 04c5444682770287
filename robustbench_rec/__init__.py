"""A robustness benchmark for the loss functions of recommender systems."""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
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
        Rows,
        View,
    )
    from robustbench_rec.components.metric import METRICS, FloatArray, ListMetric, Metric, Ranks
    from robustbench_rec.components.perturbation import (
        PERTURBATIONS,
        ActsThrough,
        Perturbation,
        perturb,
        perturbation_rng,
    )
    from robustbench_rec.components.settings import setting, spec
    from robustbench_rec.data.catalog import FileDataset
    from robustbench_rec.data.preparation import load_dataset
    from robustbench_rec.errors import InputError
    from robustbench_rec.evaluation.ranking import Ranking, evaluate
    from robustbench_rec.experiment.suite import Suite
    from robustbench_rec.experiment.suite_file import load_suite
    from robustbench_rec.interactions import IntArray, Interactions, Split
    from robustbench_rec.records.events import Events
    from robustbench_rec.records.run import Run, read_run
    from robustbench_rec.running.session import run
    from robustbench_rec.seeds import rng_for
    from robustbench_rec.training.config import TrainConfig
    from robustbench_rec.training.fit import Fit, fit

__version__ = "0.1.0"

__all__ = [
    "BACKBONES",
    "DATASETS",
    "LOSSES",
    "METRICS",
    "PERTURBATIONS",
    "ActsThrough",
    "Backbone",
    "Batch",
    "Bound",
    "Dataset",
    "Estimate",
    "Events",
    "FileDataset",
    "Fit",
    "FloatArray",
    "InputError",
    "IntArray",
    "Interactions",
    "ListMetric",
    "Loss",
    "Metric",
    "Move",
    "Objective",
    "Perturbation",
    "Ranking",
    "Ranks",
    "Raw",
    "Rows",
    "Run",
    "Split",
    "Suite",
    "Table",
    "TrainConfig",
    "View",
    "__version__",
    "evaluate",
    "fit",
    "load_dataset",
    "load_suite",
    "perturb",
    "perturbation_rng",
    "read_run",
    "rng_for",
    "run",
    "setting",
    "spec",
]

_PUBLIC = {
    "components.backbone": ("BACKBONES", "Backbone"),
    "components.dataset": ("DATASETS", "Dataset", "Raw", "Table"),
    "components.loss": (
        "LOSSES",
        "Batch",
        "Bound",
        "Estimate",
        "Loss",
        "Move",
        "Objective",
        "Rows",
        "View",
    ),
    "components.metric": ("METRICS", "FloatArray", "ListMetric", "Metric", "Ranks"),
    "components.perturbation": (
        "PERTURBATIONS",
        "Perturbation",
        "ActsThrough",
        "perturb",
        "perturbation_rng",
    ),
    "components.settings": ("setting", "spec"),
    "data.catalog": ("FileDataset",),
    "data.preparation": ("load_dataset",),
    "errors": ("InputError",),
    "evaluation.ranking": ("Ranking", "evaluate"),
    "experiment.suite": ("Suite",),
    "experiment.suite_file": ("load_suite",),
    "interactions": ("IntArray", "Interactions", "Split"),
    "records.events": ("Events",),
    "records.run": ("Run", "read_run"),
    "running.session": ("run",),
    "seeds": ("rng_for",),
    "training.config": ("TrainConfig",),
    "training.fit": ("Fit", "fit"),
}
"""Where public names come from, when they are first asked for: most bring numpy, torch or pandas.

A command's `--help` asks for none of them.
"""
_LATE = {name: module for module, names in _PUBLIC.items() for name in names}


def __getattr__(name: str) -> _Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f"{__name__}.{_LATE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})


_package = _Path(__file__).resolve().parent
if not (_package / "perturbations").is_dir():
    # A checkout: perturbations/ and suites/ stand at its top, not inside the package.
    __path__.append(str(_package.parent))
