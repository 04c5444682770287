"""Rating noise: low-rated events of the raw log enter the training pairs, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from robustbench_rec import PERTURBATIONS, InputError, load_dataset
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import PerturbationContract, toy_split


class TestRatingNoise(PerturbationContract):
    perturbation = PERTURBATIONS["rating_noise"]

    def test_adds_low_rated_pairs_with_their_ratings(self):
        clean = self.split
        for level in self.levels:
            added = self.at(level).train.without(clean.train)
            assert clean.low_rated.holds(added.users, added.items).all()
            assert added.ratings.max() < 3

    def test_the_asked_share_enters(self):
        clean = toy_split(n_users=2000)
        chosen = self.perturbation(level=0.4)
        share = chosen.realised(clean, perturb(chosen, clean, rng_for(0)))["entered"]
        # 4,000 draws at 0.4: four standard deviations are 0.031.
        assert abs(share - 0.4) < 0.031


@pytest.fixture
def log(tmp_path):
    """Return the rows of a raw log, and what splits it at a `min_rating`."""
    rng = np.random.default_rng(0)
    rows = [(u, i, int(rng.integers(1, 6))) for u in range(30) for i in rng.choice(25, 12, False)]
    text = "\n".join(f"{user},{item},{rating}" for user, item, rating in rows)
    (tmp_path / "log.csv").write_text(f"user,item,rating\n{text}\n")
    return rows, lambda least: load_dataset("log", tmp_path, min_rating=least)


def test_level_1_trains_on_the_raw_log_but_for_what_is_held_out(log):
    rows, split_at = log
    split = split_at(4.0)
    every = perturb(PERTURBATIONS["rating_noise"](level=1.0), split, rng_for(0))
    users, items = split.user_ids, split.item_ids

    def ids(part):
        return set(zip(users[part.users].tolist(), items[part.items].tolist(), strict=True))

    raw = {(u, int(i)) for u, i, _ in rows if u in users and i in items}
    assert ids(every.train) == raw - ids(split.valid) - ids(split.test)
    assert every.test == split.test
    assert (every.n_users, every.n_items) == (split.n_users, split.n_items)


def test_where_nothing_was_left_out_it_says_what_to_set(log):
    _, split_at = log
    chosen = PERTURBATIONS["rating_noise"](level=0.5)
    for split in (split_at(0.0), replace(toy_split(), low_rated=None)):
        with pytest.raises(InputError, match="give the data set min_rating, and resplit = true"):
            perturb(chosen, split, rng_for(0))
