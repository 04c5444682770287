import numpy as np

from robustbench_rec import PERTURBATIONS
from robustbench_rec.perturbation import perturb
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import PerturbationContract, toy_split


class TestUniform(PerturbationContract):
    perturbation = PERTURBATIONS["false_positives"]

    def test_each_user_gets_exactly_the_asked_number(self):
        clean = toy_split()
        for level, each in ((0.1, 1), (0.125, 1), (0.13, 2), (0.25, 2), (1.0, 8)):
            noise = self.at(level).train.without(clean.train)
            assert np.all(noise.user_counts == each)

    def test_no_noise_is_a_pair_known_to_be_positive(self):
        clean = toy_split()
        noise = self.at(1.0).train.without(clean.train)
        assert not clean.met().holds(noise.users, noise.items).any()

    def test_a_user_who_runs_out_of_items_gets_what_is_left(self):
        clean = toy_split(n_items=16)
        assert np.all(self.at(1.0, clean).train.user_counts == 8 + 2)

    def test_a_rounding_error_adds_no_pair(self):
        # 0.7 * 10 is 7.000000000000001 in floating point.
        split = toy_split()
        assert np.all(self.at(0.375, split).train.user_counts == 8 + 3)


class TestPopularityWeighted(PerturbationContract):
    perturbation = PERTURBATIONS["false_positives"]
    settings = {"weights": "popularity"}  # noqa: RUF012 - the contract declares it a ClassVar

    def test_noise_is_more_popular_than_uniform_noise(self):
        clean = toy_split(n_users=500)
        means = {}
        for weights in ("uniform", "popularity"):
            chosen = self.perturbation(level=0.25, weights=weights)
            noise = perturb(chosen, clean, rng_for(0)).train.without(clean.train)
            means[weights] = clean.seen.item_counts[noise.items].mean()
        assert means["popularity"] > 1.3 * means["uniform"]
