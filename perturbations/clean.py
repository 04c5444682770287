"""No perturbation: accuracy on the clean data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustbench_rec import PERTURBATIONS, ActsThrough, Perturbation, Split


@PERTURBATIONS.add("clean")
@dataclass(frozen=True, kw_only=True)
class Clean(Perturbation):
    """Change nothing. It only has level 0; a suite without perturbations runs this."""

    unit: ClassVar[str] = "clean data"
    acts_through: ClassVar[ActsThrough] = "test"
    max_level: ClassVar[float] = 0.0
    source: ClassVar[str] = "the control; published tables of accuracy"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Return the split unchanged."""
        return split
