import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import METRICS, label, list_metrics, parse, ranking_metrics

# Ranks 2 and 5 hit for the first user, rank 1 for the second, none for the third.
HITS = np.array([[0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=bool)
N_RELEVANT = np.array([3, 1, 2])


def log2(x):
    return np.log2(x)


BY_HAND = {
    "recall@5": [2 / 3, 1, 0],
    "precision@5": [2 / 5, 1 / 5, 0],
    "hit_rate@5": [1, 1, 0],
    "mrr@5": [1 / 2, 1, 0],
    "map@5": [(1 / 2 + 2 / 5) / 3, 1, 0],
    "ndcg@5": [(1 / log2(3) + 1 / log2(6)) / (1 + 1 / log2(3) + 1 / log2(4)), 1, 0],
    "recall@2": [1 / 3, 1, 0],
    "precision@2": [1 / 2, 1 / 2, 0],
    "ndcg@2": [(1 / log2(3)) / (1 + 1 / log2(3)), 1, 0],
    "map@2": [(1 / 2) / 3, 1, 0],
    "hit_rate@1": [0, 1, 0],
    "mrr@1": [0, 1, 0],
    "ndcg@1": [0, 1, 0],
}


@pytest.mark.parametrize("metric", BY_HAND)
def test_five_item_lists_by_hand(metric):
    values = ranking_metrics(HITS, N_RELEVANT, [1, 2, 5])
    np.testing.assert_allclose(values[metric], BY_HAND[metric], rtol=1e-14)


def test_every_per_user_metric_is_given_at_every_cutoff():
    values = ranking_metrics(HITS, N_RELEVANT, [2, 5])
    names = [name for name, metric in METRICS.items() if metric.per_user]
    assert set(values) == {f"{name}@{k}" for name in names for k in (2, 5)}
    assert all(v.shape == (3,) and v.dtype == np.float64 for v in values.values())


def test_a_list_shorter_than_k_ends_there():
    short = ranking_metrics(HITS, N_RELEVANT, [20])
    long = ranking_metrics(np.pad(HITS, ((0, 0), (0, 30))), N_RELEVANT, [20])
    for metric, values in short.items():
        np.testing.assert_array_equal(values, long[metric])
    assert short["precision@20"][0] == 2 / 20


def test_no_user_gives_empty_values():
    assert ranking_metrics(np.zeros((0, 5), bool), np.zeros(0, int), [5])["ndcg@5"].shape == (0,)


@pytest.mark.parametrize(
    ("hits", "n_relevant", "ks", "text"),
    [
        (HITS, [3, 1, 0], [5], "at least 1"),
        (HITS, [1, 1, 1], [5], "at least the hits"),
        (HITS, [3, 1], [5], "not \\(U, K\\)"),
        (HITS, [3, 1, 2], [0], "at least 1"),
        (HITS, [3, 1, 2], [], "there must be one"),
    ],
)
def test_unfit_input_is_refused(hits, n_relevant, ks, text):
    with pytest.raises(ValueError, match=text):
        ranking_metrics(hits, np.array(n_relevant), ks)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 1))
def test_bounds_and_monotony(seed, k, rate):
    rng = np.random.default_rng(seed)
    hits = rng.random((6, 12)) < rate
    relevant = np.maximum(hits.sum(axis=1) + rng.integers(0, 4, 6), 1)
    values = ranking_metrics(hits, relevant, [k, k + 1])
    assert all(np.all((v >= 0) & (v <= 1 + 1e-12)) for v in values.values())
    for name in ("recall", "hit_rate", "mrr", "map"):
        assert np.all(values[f"{name}@{k + 1}"] >= values[f"{name}@{k}"])


@given(st.integers(0, 2**32 - 1), st.integers(0, 10))
def test_a_hit_moved_up_never_lowers_a_metric(seed, rank):
    rng = np.random.default_rng(seed)
    hits = rng.random((1, 12)) < 0.4
    hits[0, rank : rank + 2] = False, True
    better = hits.copy()
    better[0, rank : rank + 2] = True, False
    relevant = hits.sum(axis=1) + rng.integers(0, 4)
    low, high = (ranking_metrics(h, relevant, [5, 12]) for h in (hits, better))
    assert all(high[metric] >= low[metric] - 1e-15 for metric in low)


def test_a_perfect_list_scores_one():
    relevant = np.array([1, 3, 5, 9])
    hits = np.arange(5) < relevant[:, None]
    values = ranking_metrics(hits, relevant, [5])
    np.testing.assert_allclose(values["ndcg@5"], 1, rtol=1e-15)
    np.testing.assert_allclose(values["mrr@5"], 1)


def test_equal_to_an_independent_library():
    rng = np.random.default_rng(7)
    n_users, n_items, depth, ks = 200, 60, 30, [1, 5, 10, 20, 30]
    lists = np.array([rng.permutation(n_items)[:depth] for _ in range(n_users)])
    relevant = rng.random((n_users, n_items)) < rng.uniform(0.02, 0.6, (n_users, 1))
    relevant[relevant.sum(axis=1) == 0, 0] = True
    ours = ranking_metrics(np.take_along_axis(relevant, lists, axis=1), relevant.sum(axis=1), ks)
    theirs = {"ndcg": nDCG, "recall": R, "precision": P, "mrr": RR, "map": AP, "hit_rate": Success}
    measures = {measure @ k: f"{name}@{k}" for name, measure in theirs.items() for k in ks}
    qrels = {str(u): {str(i): 1 for i in np.flatnonzero(relevant[u])} for u in range(n_users)}
    run = {str(u): {str(i): -float(r) for r, i in enumerate(lists[u])} for u in range(n_users)}
    found = list(ir_measures.iter_calc(list(measures), qrels, run))
    assert len(found) == n_users * len(measures)
    for value in found:
        mine = ours[measures[value.measure]][int(value.query_id)]
        assert mine == pytest.approx(value.value, abs=1e-12), value


RECOMMENDED = np.array([[0, 1], [0, 2]])
COUNTS = np.array([10, 4, 2, 1, 1])


def test_list_metrics_by_hand():
    values = list_metrics(RECOMMENDED, COUNTS, [1, 2])
    assert values["coverage@1"] == 1 / 5
    assert values["coverage@2"] == 3 / 5
    assert values["popularity@1"] == 10
    assert values["popularity@2"] == (10 + 4 + 10 + 2) / 4
    assert values["gini@1"] == pytest.approx(4 / 5)  # one item takes every place of five
    # counts 0, 0, 1, 1, 2 with weights -4, -2, 0, 2, 4 over 5 * 4
    assert values["gini@2"] == pytest.approx((2 + 8) / 20)


def test_even_exposure_has_no_gini():
    values = list_metrics(np.arange(6).reshape(3, 2), np.ones(6, int), [2])
    assert values == {"coverage@2": 1.0, "gini@2": 0.0, "popularity@2": 1.0}


def test_empty_places_and_short_lists_do_not_count():
    padded = np.array([[0, 1, -1], [0, 2, -1]])
    assert list_metrics(padded, COUNTS, [3]) == list_metrics(RECOMMENDED, COUNTS, [3])


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_list_metrics_bounds(seed, n_items):
    rng = np.random.default_rng(seed)
    values = list_metrics(rng.integers(0, n_items, (5, 4)), rng.integers(0, 9, n_items), [3])
    assert 0 < values["coverage@3"] <= 1
    assert -1e-12 <= values["gini@3"] <= (n_items - 1) / n_items + 1e-12
    assert 0 <= values["popularity@3"] <= 8


@pytest.mark.parametrize("lists", [[[0, 5]], [[-1, -1]]])
def test_lists_outside_the_catalogue_are_refused(lists):
    with pytest.raises(ValueError, match="below 5"):
        list_metrics(np.array(lists), COUNTS, [2])


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_parses_and_has_a_label(name):
    assert parse(f"{name}@20") == (name, 20)
    assert label(f"{name}@20") == f"{METRICS[name].symbol}@20"


@pytest.mark.parametrize(
    "metric", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@2.5", "ndcg@02", "@20", "NDCG@20", ""]
)
def test_malformed_metrics_are_input_errors(metric):
    with pytest.raises(InputError):
        parse(metric)


def test_messages_name_the_form_and_the_nearest():
    with pytest.raises(InputError, match=r"metric 'ndcg20' must have the form name@k"):
        parse("ndcg20")
    with pytest.raises(InputError, match=r"no metric named 'ndgc'; did you mean 'ndcg'\?"):
        parse("ndgc@20")
