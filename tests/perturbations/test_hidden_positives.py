import numpy as np

from robustbench_rec import PERTURBATIONS
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import PerturbationContract, toy_split


class TestHiddenPositives(PerturbationContract):
    perturbation = PERTURBATIONS["hidden_positives"]

    def test_hides_the_asked_share_and_remembers_it(self):
        clean, perturbed = toy_split(n_users=2000), None
        perturbed = perturb(self.perturbation(level=0.4), clean, rng_for(0))
        hidden = clean.train.without(perturbed.train)
        # 16,000 draws at 0.4: four standard deviations are 0.0155.
        assert abs(len(hidden) / len(clean.train) - 0.4) < 0.0155
        assert perturbed.false_negatives == clean.false_negatives + hidden

    def test_at_level_1_each_user_keeps_exactly_one(self):
        assert np.all(self.at(1.0).train.user_counts == 1)
