import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from robustbench_rec import METRICS, InputError, ListMetric, Metric, Ranks
from robustbench_rec.evaluation.metrics import (
    is_per_user,
    label,
    list_values,
    parse,
    recorded,
    up_to_date,
    user_values,
)

# Ranks 2 and 5 hit for the first user, rank 1 for the second, none for the third.
HITS = np.array([[0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=bool)
N_RELEVANT = np.array([3, 1, 2])


def ranking_metrics(hits, n_relevant, ks, weights=None):
    return user_values(Ranks.of(hits, n_relevant, weights), ks, METRICS.ours)


def list_metrics(recommended, item_counts, ks):
    return list_values(recommended, item_counts, ks, METRICS.ours)


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
    names = [name for name in METRICS.ours if METRICS[name].per_user]
    assert len(names) == 6
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
        (HITS, [3, 1, 2], [], "give at least one"),
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


def formula_of_hits(hits, relevant, ks):
    """Compute the metrics as we did before they were a registry, from hits alone."""
    hits = np.pad(hits, ((0, 0), (0, max(max(ks) - hits.shape[1], 0))))
    ranks = np.arange(1, hits.shape[1] + 1)
    found = np.cumsum(hits, axis=1)
    gain = np.cumsum(hits / np.log2(1 + ranks), axis=1)
    precisions = np.cumsum(hits * found / ranks, axis=1)
    ideal = np.cumsum(1 / np.log2(1 + ranks))
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    values = {}
    for k in ks:
        values[f"recall@{k}"] = found[:, k - 1] / relevant
        values[f"ndcg@{k}"] = gain[:, k - 1] / ideal[np.minimum(k, relevant) - 1]
        values[f"precision@{k}"] = found[:, k - 1] / k
        values[f"hit_rate@{k}"] = (first <= k).astype(np.float64)
        values[f"mrr@{k}"] = np.where(first <= k, 1 / first, 0.0)
        values[f"map@{k}"] = precisions[:, k - 1] / relevant
    return values


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.7])
def test_bits_are_those_of_the_formula_on_hits(rate):
    rng = np.random.default_rng(3)
    ks = [1, 2, 3, 5, 7, 10, 20, 33, 50, 100, 120]
    hits = rng.random((3000, 100)) < rate * rng.random((3000, 1))
    relevant = np.maximum(hits.sum(axis=1) + rng.integers(0, 30, 3000), 1)
    ours, before = ranking_metrics(hits, relevant, ks), formula_of_hits(hits, relevant, ks)
    assert ours.keys() == before.keys()
    for metric, values in before.items():
        assert np.array_equal(ours[metric], values), metric


def test_weights_by_hand():
    """Two users: weights 3 and 1 at ranks 2 and nowhere; weights 1, 4 and 2 at 1, 3, nowhere."""
    hits = np.array([[0, 1, 0], [1, 0, 1]], dtype=bool)
    values = ranking_metrics(hits, [2, 3], [1, 3], np.array([3.0, 1, 1, 4, 2]))
    best = [1 + 1 / log2(3), 1 + 1 / log2(3) + 1 / log2(4)]  # of weight 1 each
    expected = {
        "recall@3": [3 / 4, 5 / 7],
        "precision@3": [3 / 3, 5 / 3],
        "ndcg@3": [3 / log2(3) / best[0], (1 + 4 / log2(4)) / best[1]],
        "ndcg@1": [0, 1],
        "hit_rate@1": [0, 1],  # those that follow do not weigh
        "mrr@3": [1 / 2, 1],
        "map@3": [1 / 2 / 2, (1 + 2 / 3) / 3],
    }
    for metric, value in expected.items():
        np.testing.assert_allclose(values[metric], value, rtol=1e-14, err_msg=metric)


def test_one_weight_for_all_multiplies_what_is_not_over_the_total_weight():
    rng = np.random.default_rng(5)
    hits = rng.random((50, 20)) < 0.3
    relevant = hits.sum(axis=1) + rng.integers(1, 4, 50)
    ones = ranking_metrics(hits, relevant, [5, 20])
    halves = ranking_metrics(hits, relevant, [5, 20], np.full(relevant.sum(), 0.5))
    for metric, values in ones.items():
        share = 0.5 if metric.startswith(("precision", "ndcg")) else 1
        np.testing.assert_allclose(halves[metric], share * values, rtol=1e-14)


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


@pytest.mark.parametrize("name", METRICS.ours)
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


def test_what_is_not_known_here_is_printed_as_it_is():
    assert label("mine@10") == "mine@10"
    assert is_per_user("mine@10")
    assert not is_per_user("gini@10")
    with pytest.raises(InputError, match="must have the form name@k"):
        label("mine")


@pytest.fixture
def metric(monkeypatch):
    """Return a function that registers a metric of what a function returns, as `mine`."""

    def made(function, base=Metric):
        cls = type("Mine", (base,), {"__call__": lambda self, *arguments: function(*arguments)})
        cls.name = "mine"
        METRICS["ndcg"]  # so that ours are there
        monkeypatch.setitem(METRICS._classes, "mine", cls)

    return made


BAD = {
    "NaN": (
        lambda found, k: np.array([0.5, np.nan, np.nan]),
        r"^metric 'mine' returned NaN for user 11 and 1 other at k = 5; "
        "it must return finite numbers$",
    ),
    "infinity": (
        lambda found, k: 1 / np.array([0, 1, 1]),
        "^metric 'mine' returned inf for user 10 at k = 5; ",
    ),
    "minus infinity": (lambda found, k: [1, 2, -np.inf], "returned -inf for user 12 at k = 5;"),
    "the wrong length": (
        lambda found, k: np.ones(5),
        "^metric 'mine' returned 5 values for 3 users$",
    ),
    "one of each item": (
        lambda found, k: np.ones((3, 2)),
        r"^metric 'mine' returned an array \(3, 2\) of values for 3 users$",
    ),
    "nothing": (lambda found, k: None, "mine' returned None; it must return 3 numbers, one a user"),
    "text": (lambda found, k: ["a", "b", "c"], "mine' returned list of <U1; it must return 3"),
    "ragged": (lambda found, k: [[1], [1, 2], 3], "mine' returned .*; it must return 3 numbers"),
    "complex": (lambda found, k: np.ones(3) * 1j, "returned ndarray of complex128; it must"),
    "an error": (lambda found, k: {}[k], "^metric 'mine' failed: KeyError: 5$"),
    "what all share": (
        lambda found, k: found.ranks.sort() or found.first,
        "^metric 'mine' failed: ValueError: .*read-only",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_a_metric_returns_is_checked(case, metric):
    function, says = BAD[case]
    metric(function)
    with pytest.raises(ValueError, match=says):
        user_values(Ranks.of(HITS, N_RELEVANT), [5], ["mine"], np.array([10, 11, 12]))


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (np.nan, "returned NaN for the lists of all users; it must return a finite number"),
        (np.ones(3), "returned 3 values for all lists"),
        ("much", "returned 'much'; it must return one number"),
    ],
)
def test_what_a_metric_of_lists_returns_is_checked(returned, says, metric):
    metric(lambda *_: returned, ListMetric)
    with pytest.raises(ValueError, match=f"^metric 'mine' {says}"):
        list_values(RECOMMENDED, COUNTS, [2], ["mine"])


def test_numbers_of_other_types_become_float64(metric):
    for values in ([1, 0, 2], np.array([True, False, True]), np.ones(3, np.float32)):
        metric(lambda found, k, values=values: values)
        found = user_values(Ranks.of(HITS, N_RELEVANT), [5], ["mine"])["mine@5"]
        assert found.dtype == np.float64
        assert found.tolist() == list(values)


def test_a_cell_records_ours_and_what_is_asked_for_of_plugins(metric):
    assert list(recorded(["ndcg@20"])) == list(METRICS.ours)
    assert all(len(digest) == 12 for digest in recorded([]).values())


def test_a_record_has_a_metric_by_todays_code_or_not_at_all():
    codes = recorded([])
    held = {"ndcg@20": 0.5}
    assert up_to_date("ndcg@20", held, codes, codes)
    assert not up_to_date("ndcg@10", held, codes, codes)
    assert not up_to_date("ndcg@20", held, {}, codes)
    assert not up_to_date("ndcg@20", held, codes | {"ndcg": "another"}, codes)
