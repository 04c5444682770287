import numpy as np
import pytest
import torch

from robustbench_rec import BACKBONES, InputError, Interactions
from robustbench_rec.evaluation.ranking import evaluate
from robustbench_rec.testing import toy_split

# Items 0 to 3 have 2, 0, 1 and 3 training pairs.
TRAIN = Interactions.of([0, 0, 1, 1, 2, 2], [0, 3, 3, 0, 3, 2], 3, 4)


def test_popularity_scores_an_item_by_its_training_pairs():
    users, items = BACKBONES["popularity"]().build(TRAIN, torch.Generator())()
    assert users.dtype == items.dtype == torch.float32
    assert (users @ items.T).tolist() == [[2, 0, 1, 3]] * 3


def test_popularity_draws_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    BACKBONES["popularity"]().build(TRAIN, generator)
    assert torch.equal(generator.get_state(), before)


def test_popularity_has_one_width():
    assert str(BACKBONES["popularity"]()) == "popularity(dim=1)"
    with pytest.raises(InputError, match=r"^Popularity.dim is 64; it must be in \[1, 1\]$"):
        BACKBONES.build({"name": "popularity", "dim": 64})


def test_popularity_reaches_more_than_chance():
    # Popular items are met more often in the toy split; 32 of its 40 items are unseen by a user.
    split = toy_split()
    recall = {}
    for name in ("popularity", "random"):
        tables = BACKBONES[name]().build(split.train, torch.Generator().manual_seed(0))()
        per_user = evaluate(*tables, split.test, split.train, [8]).per_user
        recall[name] = per_user["recall@8"].mean()
    assert recall["random"] == pytest.approx(8 / 32, abs=0.1)
    assert recall["popularity"] > recall["random"] + 0.1


def test_random_embeddings_are_of_unit_variance_and_know_no_training_pair():
    backbone = BACKBONES["random"](dim=50)
    assert str(backbone) == "random(dim=50)"
    one, other = (
        backbone.build(train, torch.Generator().manual_seed(1))()
        for train in (toy_split().train, toy_split(seed=1).train)
    )
    for table, same in zip(one, other, strict=True):
        assert torch.equal(table, same)
        assert abs(table.mean()) < 0.1
        assert table.std().item() == pytest.approx(1, rel=0.05)
    assert not np.array_equal(one[0][:40], one[1])
