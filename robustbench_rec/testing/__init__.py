"""Contracts for all kinds of components; plugin authors test their plugins with the same classes.

from robustbench_rec import PERTURBATIONS
from robustbench_rec.testing import PerturbationContract

class TestMyNoise(PerturbationContract):
    perturbation = PERTURBATIONS["my_noise"]

Each method `test_...` is a clause: its docstring is the requirement, and it raises AssertionError
with the violation. `robustbench-rec check` runs the clauses without pytest.
"""

from robustbench_rec.testing.backbones import BackboneContract
from robustbench_rec.testing.datasets import DatasetContract
from robustbench_rec.testing.losses import LossContract, batch_of
from robustbench_rec.testing.metrics import ListMetricContract, MetricContract
from robustbench_rec.testing.perturbations import PerturbationContract
from robustbench_rec.testing.toys import toy_split

__all__ = [
    "BackboneContract",
    "DatasetContract",
    "ListMetricContract",
    "LossContract",
    "MetricContract",
    "PerturbationContract",
    "batch_of",
    "toy_split",
]
