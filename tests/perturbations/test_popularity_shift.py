from dataclasses import replace

import numpy as np
import pytest

from robustbench_rec import PERTURBATIONS, InputError
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import PerturbationContract, toy_split


class TestPopularityShift(PerturbationContract):
    perturbation = PERTURBATIONS["popularity_shift"]
    levels = (0.25, 0.5, 1.0, 2.0)

    def test_every_level_has_as_many_test_pairs_out_of_the_pool(self):
        clean = toy_split()
        for level in self.levels:
            test = self.at(level).test
            assert len(test) == len(clean.test)
            assert clean.test_pool.holds(test.users, test.items).all()

    def test_level_1_weighs_items_inversely_to_their_popularity(self):
        clean = toy_split(n_users=4000)
        small = replace(clean, test=clean.test[np.arange(0, len(clean.test), 20)])
        shifted = perturb(self.perturbation(level=1), small, rng_for(0)).test
        drawn = np.bincount(shifted.items, minlength=40) / len(shifted)
        # Few of many are drawn, so chances are close to drawing with replacement: even on items.
        present = clean.test_pool.item_counts > 50
        weights = clean.test_pool.item_counts / (clean.seen.item_counts + 1)
        expected = weights / weights.sum()
        assert np.abs(drawn - expected)[present].max() < 0.03

    def test_the_realised_divergences_are_those_of_a_hand_worked_pair(self):
        clean = toy_split()
        realised = self.perturbation(level=1).realised(clean, self.at(1.0))
        counts = clean.seen.item_counts + 1.0
        trained = counts / counts.sum()
        tested = self.at(1.0).test.item_counts / len(clean.test)
        kl = sum(q * np.log(q / p) for p, q in zip(trained, tested, strict=True) if q)
        renyi = np.log(sum(q * q / p for p, q in zip(trained, tested, strict=True)))
        assert realised["kl"] == pytest.approx(kl)
        assert realised["renyi_2"] == pytest.approx(renyi)
        assert realised["renyi_2"] >= realised["kl"] > 0

    def test_without_a_larger_pool_it_says_which_setting_gives_one(self):
        clean = toy_split()
        with pytest.raises(InputError, match=r"set test_sample = 0.25 on the data set"):
            self.at(0.5, replace(clean, test=clean.test_pool))
