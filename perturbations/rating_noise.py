"""Rating noise: low-rated events are among the positives, as in raw logs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from robustbench_rec import PERTURBATIONS, ActsThrough, InputError, Perturbation, Split


@PERTURBATIONS.add("rating_noise")
@dataclass(frozen=True, kw_only=True)
class RatingNoise(Perturbation):
    """Add each event rated below `min_rating` to the training positives with probability `level`.

    Without ratings every click counts as positive. Level 1 trains on the raw log without its
    validation and test events; these, and users and items, are those of the clean data.
    """

    unit: ClassVar[str] = "share of low-rated events among the positives"
    acts_through: ClassVar[ActsThrough] = "training pairs"
    source: ClassVar[str] = "Wang et al., Denoising Implicit Feedback for Recommendation, WSDM 2021"

    def apply(self, split: Split, rng: np.random.Generator) -> Split:
        """Add a share of `Split.low_rated`; see `Perturbation.apply`."""
        if split.low_rated is None or not len(split.low_rated):
            raise InputError(
                "rating_noise needs a raw log with ratings, some of them below min_rating; give "
                "the data set min_rating, and resplit = true where it comes split"
            )
        entered = rng.random(len(split.low_rated)) < self.level
        return replace(split, train=split.train + split.low_rated[entered])

    def realised(self, clean: Split, perturbed: Split) -> dict[str, float]:
        """Return the share of events added, and the pairs added per clean training pair."""
        added = len(perturbed.train) - len(clean.train)
        low = 0 if clean.low_rated is None else len(clean.low_rated)
        return {"entered": added / max(low, 1), "added": added / len(clean.train)}
