from dataclasses import replace

import numpy as np
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


class TestOwnPositivesButTheRowsOwn(PerturbationContract):
    perturbation = PERTURBATIONS["negative_contamination"]
    settings = {"own_positive": "left_out"}  # noqa: RUF012 - the contract declares it a ClassVar

    def test_the_pool_is_the_training_set_and_a_positive_is_spared(self):
        perturbed = self.at(0.3)
        assert perturbed.false_negatives == perturbed.train
        assert perturbed.spares_positive
        assert not TestOwnPositives().at(0.3).spares_positive

    def test_a_user_of_one_pair_has_no_other_positive_to_draw(self):
        clean = toy_split()
        lonely = np.isin(clean.train.users, range(15))
        first = np.isin(np.arange(len(clean.train)), clean.train.starts)
        few = replace(clean, train=clean.train[~lonely | first])  # 15 of one pair, 45 of eight
        perturbed = self.at(0.5, few)
        for settings, rate, without in ((self.settings, 0.5 * 360 / 375, 15), ({}, 0.5, 0)):
            chosen = self.perturbation(level=0.5, **settings)
            realised = chosen.realised(few, perturb(chosen, few, rng_for(0)))
            assert realised == {"contaminated": rate, "users_without_pool": without}
        assert perturbed.train == few.train


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
