"""Every metric of ours meets the contract that a plugin's meets."""

import pytest

from robustbench_rec import METRICS
from robustbench_rec.testing import ListMetricContract, MetricContract


class TestNDCG(MetricContract):
    metric = METRICS["ndcg"]


class TestRecall(MetricContract):
    metric = METRICS["recall"]


class TestPrecision(MetricContract):
    metric = METRICS["precision"]


class TestHitRate(MetricContract):
    metric = METRICS["hit_rate"]


class TestReciprocalRank(MetricContract):
    metric = METRICS["mrr"]


class TestAveragePrecision(MetricContract):
    metric = METRICS["map"]


class TestCoverage(ListMetricContract):
    metric = METRICS["coverage"]


class TestGini(ListMetricContract):
    metric = METRICS["gini"]


class TestPopularity(ListMetricContract):
    metric = METRICS["popularity"]


@pytest.mark.parametrize("name", METRICS.ours)
def test_ours_say_whose_they_are_and_how_a_figure_prints_them(name):
    assert METRICS[name].source
    assert METRICS[name].symbol


def test_which_are_sums_over_test_items():
    sums = {name for name in METRICS.ours if METRICS[name].additive}
    assert sums == {"ndcg", "recall", "precision"}
