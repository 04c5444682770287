"""Full ranking, against a plain sort and against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from threads import MOST, using

from robustbench_rec import METRICS, Interactions
from robustbench_rec.data.preparation import load
from robustbench_rec.evaluation.ranking import _best_in_rows, _best_in_tiles, evaluate, top_items
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.running.execution import train_and_test
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import toy_split
from robustbench_rec.training.fit import fit


def random_embeddings(n_users: int, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = rng_for(0, "embeddings")
    users, items = rng.standard_normal((n_users, 5)), rng.standard_normal((n_items, 5))
    return torch.from_numpy(users), torch.from_numpy(items)


def naive_lists(users, items, which, seen: Interactions, k: int) -> np.ndarray:
    """Sort the whole catalogue for each user, what was seen last and then struck out."""
    lists = []
    for user in which:
        scores = items.numpy() @ users.numpy()[user]
        scores[seen.items[seen.users == user]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:k]
        lists.append(np.where(scores[best] > -np.inf, best, -1))
    return np.array(lists)


def whole_numbers(rng, n_users: int, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float32 embeddings whose products are exact, and often equal, zero or minus zero."""
    users, items = rng.integers(-2, 3, (n_users, 2)), rng.integers(-2, 3, (n_items, 2))
    return torch.from_numpy(users).float(), torch.from_numpy(items).float()


def some_seen(rng, n_users: int, n_items: int, rate: float) -> Interactions:
    users, items = np.nonzero(rng.random((n_users, n_items)) < rate)
    return Interactions(users, items, n_users, n_items)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 8), st.integers(1, 200)),
    k=st.integers(1, 25),
    rate=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 210)),
    rows=st.integers(1, 9),
)
def test_lists_are_those_of_a_full_sort_however_they_are_tiled(seed, shape, k, rate, tile, rows):
    rng = np.random.default_rng(seed)
    n_users, n_items = shape
    users, items = whole_numbers(rng, n_users, n_items)
    seen = some_seen(rng, n_users, n_items, rate)
    which, k = rng.permutation(n_users), min(k, n_items)
    expected = naive_lists(users, items, which, seen, k)
    in_tiles = _best_in_tiles(users, items, which, seen, k, tile)
    in_rows = _best_in_rows(users, items, which, seen, k, rows * n_items)
    np.testing.assert_array_equal(in_tiles, expected)
    np.testing.assert_array_equal(in_rows, expected)
    np.testing.assert_array_equal(top_items(users, items, which, seen, k), expected)


@pytest.mark.parametrize("k", [1, 7, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_catalogue_of_several_tiles(k, dtype):
    rng = rng_for(0, "tiles")
    users, items = (torch.from_numpy(rng.standard_normal((n, 8))).to(dtype) for n in (600, 5000))
    seen, which = some_seen(rng, 600, 5000, 0.01), np.arange(0, 600, 7)
    best = _best_in_tiles(users, items, which, seen, k, (40, 700))
    # Scores of two summation orders differ in their last bits, so places may swap: compare scores.
    scores = (users @ items.T).numpy()
    scores[seen.users, seen.items] = -np.inf
    expected = -np.sort(-scores[which], axis=1)[:, :k]
    np.testing.assert_allclose(scores[which[:, None], best], expected, rtol=1e-4)
    assert not seen.holds(which[:, None], best).any()


@pytest.mark.parametrize("rank", [_best_in_tiles, _best_in_rows])
def test_equal_scores_rank_by_item(rank):
    at_once = (1, 2) if rank is _best_in_tiles else 1
    users, items = torch.ones(2, 1), torch.tensor([[0.0], [1.0], [-0.0], [1.0], [1.0], [0.0]])
    seen = Interactions.of([1], [3], 2, 6)
    best = rank(users, items, np.array([0, 1]), seen, 5, at_once)
    assert best.tolist() == [[1, 3, 4, 0, 2], [1, 4, 0, 2, 5]]


def test_lists_do_not_depend_on_threads():
    split = toy_split()
    users, items = random_embeddings(split.n_users, split.n_items)
    lists = []
    for threads in (1, MOST):
        with using(threads):
            lists.append(top_items(users, items, np.arange(split.n_users), split.seen, 9))
    np.testing.assert_array_equal(*lists)


def test_views_and_gradients_make_no_difference():
    split = toy_split()
    users, items = random_embeddings(split.n_users, split.n_items)
    which = np.arange(split.n_users)
    expected = top_items(users, items, which, split.seen, 6)
    wide = torch.stack([users, users], dim=2).requires_grad_()
    transposed = items.T.contiguous().T
    best = top_items(wide[:, :, 1], transposed, which, split.seen, 6)
    np.testing.assert_array_equal(best, expected)
    best = top_items(users, items, np.repeat(which, 2)[::-2], split.seen, 6)
    np.testing.assert_array_equal(best, expected[::-1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("whose", [0, 1])
def test_scores_that_are_not_finite_are_refused(bad, whose):
    embeddings = torch.full((3, 2), 1e10), torch.full((4, 2), 1e10)
    seen = some_seen(rng_for(0, "seen"), 3, 4, 0.0)
    assert top_items(*embeddings, np.arange(3), seen, 2).tolist() == [[0, 1]] * 3
    embeddings[whose][1, 1] = bad
    with pytest.raises(FloatingPointError, match=r"not finite.*overflow torch\.float32"):
        top_items(*embeddings, np.arange(3), seen, 2)


def test_what_does_not_fit_is_refused():
    seen = some_seen(rng_for(0, "seen"), 3, 4, 0.0)
    with pytest.raises(ValueError, match="k is 0; a list has at least 1 place"):
        top_items(torch.ones(3, 2), torch.ones(4, 2), np.arange(3), seen, 0)
    with pytest.raises(ValueError, match="2 users and 4 items do not fit 3 x 4 interactions"):
        top_items(torch.ones(2, 2), torch.ones(4, 2), np.arange(2), seen, 1)


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
    best = top_items(users, items, which, split.seen, 1000)
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
baselines = []
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
    suite = load_suite(str(tmp_path / "tiny.toml"), tmp_path)
    (dataset,) = suite.datasets
    clean_cell, hidden_cell = suite.cells({dataset: dataset.fingerprint(tmp_path)})
    split = load(dataset, tmp_path, suite.seed, clean_cell.split_of)
    for cell in (clean_cell, hidden_cell):
        ((record, beside),) = train_and_test([cell], Path(tmp_path))
        assert record.error == ""
        trained_on = cell.perturbation.apply(split, cell.perturbation_rng())
        model = fit(trained_on, cell.backbone, cell.loss, cell.training, cell.training_seed)
        which = np.flatnonzero(split.test.user_counts)
        lists = naive_lists(model.users, model.items, which, split.seen, 20)
        hits = split.test.holds(which[:, None], lists).sum(axis=1)
        recall = hits / split.test.user_counts[which]
        np.testing.assert_array_equal(beside.users, split.user_ids[which])
        np.testing.assert_allclose(beside.per_user["recall@20"], recall, rtol=5e-4)
        np.testing.assert_array_equal(beside.lists.numbered(split.item_ids), lists)
        assert split.valid.holds(which[:, None], lists).any()


def test_metrics_are_those_asked_for_with_the_same_bits():
    split = toy_split()
    users, items = random_embeddings(split.n_users, split.n_items)
    everything = evaluate(users, items, split.test, split.seen, [3, 9])
    assert everything.per_user.keys() | everything.lists.keys() == {
        f"{name}@{k}" for name in METRICS.ours for k in (3, 9)
    }
    one = evaluate(users, items, split.test, split.seen, [3], ["ndcg"])
    assert list(one.per_user) == ["ndcg@3"]
    assert one.lists == {}
    np.testing.assert_array_equal(one.per_user["ndcg@3"], everything.per_user["ndcg@3"])


def test_weights_are_those_of_the_held_out_pairs_wherever_these_rank():
    split = toy_split()
    users, items = random_embeddings(split.n_users, split.n_items)
    weights = rng_for(0, "weights").uniform(0.1, 1, len(split.test))
    ranking = evaluate(users, items, split.test, split.seen, [9], ["recall"], weights)
    lists = top_items(users, items, ranking.users, split.seen, 9)
    for user, listed, value in zip(ranking.users, lists, ranking.per_user["recall@9"], strict=True):
        own = split.test.users == user
        found = own & np.isin(split.test.items, listed)
        assert value == pytest.approx(weights[found].sum() / weights[own].sum())
    assert 0 < ranking.per_user["recall@9"].mean() < 1
