"""Full ranking, against a plain sort and against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_rec import Interactions
from robustbench_rec.cell import run_cells
from robustbench_rec.preparation import load
from robustbench_rec.ranking import evaluate, top_items
from robustbench_rec.seeds import rng_for
from robustbench_rec.suite import Suite
from robustbench_rec.testing import toy_split
from robustbench_rec.training import fit


def random_embeddings(n_users: int, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = rng_for(0, "embeddings")
    users, items = rng.standard_normal((n_users, 5)), rng.standard_normal((n_items, 5))
    return torch.from_numpy(users), torch.from_numpy(items)


def naive_lists(users, items, which, seen: Interactions, k: int) -> np.ndarray:
    """Sort the whole catalogue for each user, what was seen last."""
    lists = []
    for user in which:
        scores = items.numpy() @ users.numpy()[user]
        scores[seen.items[seen.users == user]] = -np.inf
        lists.append(np.argsort(-scores, kind="stable")[:k])
    return np.array(lists)


@pytest.mark.parametrize("block", [1, 3, 1024])
@pytest.mark.parametrize("k", [1, 7, 20])
def test_top_items_are_those_of_a_full_sort(block, k):
    split = toy_split()
    users, items = random_embeddings(split.n_users, split.n_items)
    which = np.array([0, 1, 4, 5, 17, 30, 58, 59])
    best = top_items(users, items, which, split.seen, k, block=block)
    np.testing.assert_array_equal(best, naive_lists(users, items, which, split.seen, k))


def test_what_was_seen_is_never_recommended_while_anything_else_is_left():
    split = toy_split()
    users, items = random_embeddings(split.n_users, split.n_items)
    which = np.arange(split.n_users)
    best = top_items(users, items, which, split.seen, 30)  # each user has 40 - 10 unseen items
    assert not split.seen.holds(which[:, None], best).any()
    assert (np.sort(best)[:, 1:] > np.sort(best)[:, :-1]).all()


def test_a_list_is_no_longer_than_the_catalogue_and_ends_empty_where_all_was_seen():
    split = toy_split()
    users, items = random_embeddings(split.n_users, split.n_items)
    which = np.array([2, 9])
    best = top_items(users, items, which, split.seen, 1000, block=3)
    assert best.shape == (2, 40)
    for user, row in zip(which, best, strict=True):
        unseen = ~split.seen.holds(np.full(40, user), np.arange(40))
        np.testing.assert_array_equal(np.sort(row[:30]), np.flatnonzero(unseen))
    assert (best[:, 30:] == -1).all()


def test_an_empty_place_is_no_hit():
    # User 1 has seen all but one item; an id of -1 must not stand for user 0's last item.
    seen = Interactions.of([0, 1, 1], [0, 0, 1], 2, 3)
    held_out = Interactions.of([0, 1], [2, 2], 2, 3)
    ranking = evaluate(torch.ones(2, 1), torch.ones(3, 1), held_out, seen, [3])
    assert ranking.per_user["precision@3"].tolist() == pytest.approx([1 / 3, 1 / 3])


SCORES = [
    [5.0, 4.0, 3.0, 2.0, 1.0],
    [5.0, 4.0, 3.0, 2.0, 1.0],
    [1.0, 2.0, 3.0, 4.0, 5.0],
]
"""Of three users for five items."""


def by_hand(held_out: dict[int, list[int]], seen: dict[int, list[int]], ks=(3,)):
    held, met = (
        Interactions.of(
            [user for user, items in part.items() for _ in items],
            [item for items in part.values() for item in items],
            3,
            5,
        )
        for part in (held_out, seen)
    )
    return evaluate(torch.eye(3), torch.tensor(SCORES).T, held, met, ks)


def test_a_ranking_worked_out_by_hand():
    # user 0 is shown 1, 2, 3 and wants 2; user 2 is shown 4, 3, 2 and wants 4 and 0.
    ranking = by_hand({0: [2], 2: [0, 4]}, {0: [0], 1: [0, 1]}, ks=(1, 3))
    assert ranking.users.tolist() == [0, 2]
    discount = 1 / np.log2(3)
    expected = {
        "recall@1": [0, 1 / 2],
        "recall@3": [1, 1 / 2],
        "precision@3": [1 / 3, 1 / 3],
        "hit_rate@1": [0, 1],
        "mrr@3": [1 / 2, 1],
        "ndcg@1": [0, 1],
        "ndcg@3": [discount, 1 / (1 + discount)],
        "map@3": [1 / 2, 1 / 2],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(ranking.per_user[name], values, rtol=1e-12, err_msg=name)
    assert ranking.lists["coverage@3"] == 4 / 5
    assert ranking.lists["coverage@1"] == 2 / 5
    # Item counts of what was seen: 2, 1, 0, 0, 0; shown are items 1, 2, 3 and 4, 3, 2.
    assert ranking.lists["popularity@3"] == pytest.approx(1 / 6)


def test_users_without_a_held_out_item_are_not_evaluated():
    ranking = by_hand({1: [4]}, {})
    assert ranking.users.tolist() == [1]
    assert {values.shape for values in ranking.per_user.values()} == {(1,)}
    assert ranking.lists["coverage@3"] == 3 / 5


def test_a_seen_item_gives_its_place_to_the_next():
    masked, unmasked = by_hand({1: [3]}, {1: [0]}), by_hand({1: [3]}, {})
    assert unmasked.per_user["hit_rate@3"].tolist() == [0]
    assert masked.per_user["mrr@3"].tolist() == [1 / 3]


SUITE = """
name = "tiny"
training = { epochs = 1 }
[[dataset]]
name = "synthetic"
n_users = 60
n_items = 50
positives = 20.0
[[backbone]]
name = "mf"
dim = 4
[[loss]]
name = "bpr"
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.5]
"""


@pytest.fixture
def cell_torch():
    """Let a cell set torch up as it likes, and put it back."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def test_a_cell_masks_the_clean_training_items_and_not_those_of_validation(tmp_path, cell_torch):
    (tmp_path / "tiny.toml").write_text(SUITE)
    suite = Suite.load(str(tmp_path / "tiny.toml"), tmp_path)
    (dataset,) = suite.datasets
    clean_cell, hidden_cell = suite.cells({dataset: dataset.fingerprint(tmp_path)})
    split = load(dataset, tmp_path, suite.seed)
    for cell in (clean_cell, hidden_cell):
        ((record, per_user),) = run_cells([cell], Path(tmp_path))
        assert record.error == ""
        trained_on = cell.perturbation.apply(split, cell.perturbation_rng())
        model = fit(trained_on, cell.backbone, cell.loss, cell.training, cell.training_seed)
        which = np.flatnonzero(split.test.user_counts)
        lists = naive_lists(model.users, model.items, which, split.seen, 20)
        hits = split.test.holds(which[:, None], lists).sum(axis=1)
        recall = hits / split.test.user_counts[which]
        np.testing.assert_array_equal(per_user["users"], which)
        np.testing.assert_allclose(per_user["recall@20"], recall, rtol=1e-6)
        assert split.valid.holds(which[:, None], lists).any()
