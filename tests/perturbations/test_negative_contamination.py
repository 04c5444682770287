from dataclasses import replace

import pytest

from robustbench_rec import PERTURBATIONS, InputError
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import PerturbationContract, toy_split


class TestOwnPositives(PerturbationContract):
    perturbation = PERTURBATIONS["negative_contamination"]

    def test_the_pool_is_the_training_set(self):
        perturbed = self.at(0.3)
        assert perturbed.false_negatives == perturbed.train
        assert perturbed.contamination == 0.3


class TestHeldOutPositives(PerturbationContract):
    perturbation = PERTURBATIONS["negative_contamination"]
    settings = {"pool": "held_out"}  # noqa: RUF012 - the contract declares it a ClassVar

    def test_the_pool_is_what_was_held_out(self):
        assert self.at(0.3).false_negatives == toy_split().false_negatives

    def test_users_without_a_pool_are_counted_and_lower_the_rate(self):
        clean = toy_split()
        half = replace(
            clean, false_negatives=clean.false_negatives[clean.false_negatives.users < 30]
        )
        chosen = self.perturbation(level=0.5, **self.settings)
        realised = chosen.realised(half, perturb(chosen, half, rng_for(0)))
        assert realised == {"contaminated": 0.25, "users_without_pool": 30}

    def test_without_a_pool_it_says_which_setting_gives_one(self):
        clean = toy_split()
        bare = replace(clean, false_negatives=clean.train.none())
        with pytest.raises(InputError, match=r"set hold_out = 0.1 on the data set"):
            self.at(0.3, bare)
