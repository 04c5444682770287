import numpy as np
import pytest
from robustbench_rec.perturbations import false_positives

from robustbench_rec import PERTURBATIONS, Interactions, Split
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import PerturbationContract, toy_split


def dense_split(n_users: int = 30, n_items: int = 400) -> Split:
    """Make a split whose users train on 60 % of the catalogue and are tested on 2 items."""
    rng = rng_for(0, "dense split")
    items = rng.permuted(np.tile(np.arange(n_items), (n_users, 1)), axis=1)
    train, test = (
        Interactions.of(
            np.repeat(np.arange(n_users), part.shape[1]), part.ravel(), n_users, n_items
        )
        for part in (items[:, : n_items * 6 // 10], items[:, -2:])
    )
    return Split.of(train, train.none(), test)


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


class TestRace:
    """What holds of the drawn order whatever the weights are."""

    def noise(self, split: Split, weights: str = "uniform", level: float = 1.0) -> Interactions:
        chosen = PERTURBATIONS["false_positives"](level=level, weights=weights)
        return perturb(chosen, split, rng_for(0)).train.without(split.train)

    @pytest.mark.parametrize("weights", ["uniform", "popularity"])
    def test_users_who_hold_most_of_the_catalogue_get_all_that_is_left(self, weights):
        split = dense_split()
        noise = self.noise(split, weights)
        assert np.all(noise.user_counts == 400 - 240 - 2)
        assert not split.met().holds(noise.users, noise.items).any()
        assert np.all(self.noise(split, weights, 0.5).user_counts == 120)

    @pytest.mark.parametrize("cells", [1, 400, 7 * 400 + 1])
    def test_the_size_of_a_block_changes_nothing(self, monkeypatch, cells):
        split = dense_split()
        whole = self.noise(split, "popularity", 0.1)
        monkeypatch.setattr(false_positives, "CELLS", cells)
        assert self.noise(split, "popularity", 0.1) == whole

    def test_items_are_drawn_by_weight_and_then_by_weight_among_the_rest(self):
        n = 60_000
        two_each = Interactions.of(np.repeat(np.arange(n), 2), np.tile([3, 4], n), n, 5)
        split = Split.of(two_each, two_each.none(), two_each.none())
        weights = np.array([1.0, 2.0, 3.0, 1.0, 1.0])
        users, items, ranks = false_positives._noise(split, weights, rng_for(0))
        orders = np.empty((n, 2), dtype=np.int64)
        orders[users, ranks] = items
        # Standard error of a share: at most 0.002.
        for first, second, chance in ((2, 1, 1 / 2 * 2 / 3), (0, 2, 1 / 6 * 3 / 5)):
            share = np.mean((orders == [first, second]).all(axis=1))
            assert abs(share - chance) < 0.01


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
        # The ratio is 1.27 in the mean of many draws, with a standard deviation of 0.02.
        assert means["popularity"] > 1.15 * means["uniform"]
