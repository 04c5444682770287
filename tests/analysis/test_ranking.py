"""Which loss degrades least: order, top group, and what is said in words."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from frames import frame
from scipy import stats
from statsmodels.stats.multitest import multipletests

from robustbench_rec import InputError
from robustbench_rec.analysis.ranking import RANKED, not_separable, rank, rank_all, told
from robustbench_rec.records.run import read_run

STORED = Path(__file__).parents[2] / "results" / "reference" / "false-negatives"
FALLS = {"ccl": 0.05, "softmax": 0.06, "bpr": 0.5}


def world(falls=FALLS, replicates=6, noise=0.02, start=0.4):
    """Make losses that lose a share of their clean value by level .4, and baselines beside them."""
    rng = np.random.default_rng(0)
    rows = []
    for loss, fall in falls.items():
        for r in range(replicates):
            clean = start + noise * rng.standard_normal()
            for level in (0.0, 0.1, 0.4):
                moved = noise / 4 * rng.standard_normal() * (level > 0)
                rows.append((loss, level, r, clean * (1 - fall * level / 0.4) + moved))
    trained = frame(*rows)
    baseline = frame(
        *(("untrained", x, r, 0.1) for x in (0.0, 0.1, 0.4) for r in range(replicates))
    )
    return pd.concat([trained, baseline.assign(backbone="popularity")])


def test_losses_stand_from_the_most_robust_and_the_top_group_is_what_nothing_beats():
    found = rank(world())
    assert list(found.columns) == [*RANKED, "at 0", "at 0.1", "at 0.4"]
    assert found["loss"].tolist() == ["ccl", "softmax", "bpr"]
    assert found["place"].tolist() == [1, 2, 3]
    assert found["top"].tolist() == [True, True, False]
    assert found["beaten_by"].tolist() == [(), (), ("ccl", "softmax")]
    assert (found["by"].unique().tolist(), found["level"].unique().tolist()) == (["kept"], [0.4])
    bpr = found.iloc[2]
    assert bpr["retention"] == pytest.approx(bpr["at 0.4"] / bpr["at 0"])
    assert bpr["excess"] == pytest.approx((bpr["at 0.4"] - 0.1) / (bpr["at 0"] - 0.1))
    kept = 0.1 * (1 + bpr["at 0.1"] / bpr["at 0"]) / 2
    kept += 0.3 * (bpr["at 0.1"] + bpr["at 0.4"]) / bpr["at 0"] / 2
    assert bpr["score"] == pytest.approx(kept / 0.4)
    assert bpr["low"] < bpr["score"] < bpr["high"]


def test_who_beats_whom_is_what_paired_t_tests_of_scipy_and_holm_of_statsmodels_say():
    falls = {"bpr": 0.1, "ccl": 0.12, "drrl": 0.2, "mse": 0.22, "softmax": 0.3}
    rows = world(falls, replicates=8, noise=0.03)
    at = rows[(rows["level"] == 0.4) & (rows["backbone"] == "mf")]
    table = at.pivot_table(index="replicate", columns="loss", values="value")
    pairs = list(combinations(falls, 2))
    raw = [stats.ttest_rel(table[one], table[other]).pvalue for one, other in pairs]
    sure = multipletests(raw, method="holm")[0]
    beaten = {loss: set() for loss in falls}
    for (one, other), is_sure in zip(pairs, sure, strict=True):
        worse, better = sorted((one, other), key=lambda loss: table[loss].mean())
        beaten[worse] |= {better} if is_sure else set()
    found = rank(rows, by="value").set_index("loss")["beaten_by"].map(set)
    assert found.to_dict() == beaten
    assert 0 < sum(sure) < len(pairs)


def test_another_measure_ranks_otherwise_and_the_sentence_says_so():
    """A weak loss that falls little retains more of itself, and less of its lead."""
    weak = world({"weak": 0.02}, start=0.11)
    strong = world({"strong": 0.1}, start=0.4)
    both = pd.concat([strong, weak[weak["loss"] == "weak"]])
    assert rank(both, by="retention")["loss"].iloc[0] == "weak"
    assert rank(both, by="value")["loss"].iloc[0] == "strong"
    (says,) = told(rank(both))
    assert says.startswith("Under p on d, mf weak comes first by kept of ndcg@20 (0.9")


def test_a_lead_that_may_be_none_has_no_excess():
    level = world({"level": 0.02}, start=0.1)
    assert rank(level)["excess"].isna().all()
    with pytest.raises(InputError, match="no measure named 'exces'; did you mean 'excess'"):
        rank(level, by="exces")


def test_a_loss_below_the_baseline_has_no_lead_to_keep():
    found = rank(world({"low": 0.5}, start=0.05), by="excess")
    assert found["score"].isna().all()


def test_a_loss_that_lacks_a_level_between_still_has_what_it_reaches_at_the_last():
    whole = world()
    holed = whole[~((whole["loss"] == "ccl") & (whole["level"] == 0.1))]
    assert rank(holed)["loss"].tolist() == ["softmax", "bpr", "ccl"]
    assert rank(holed, by="retention")["loss"].tolist()[0] == "ccl"


def test_who_leads_by_retention_and_by_excess_is_told_where_they_differ():
    weak = world({"weak": 0.02}, start=0.2, noise=0.001)
    both = pd.concat([world({"strong": 0.025}, noise=0.001), weak[weak["loss"] == "weak"]])
    baseline = both[both["backbone"] == "popularity"].assign(backbone="random")
    baseline["value"] = 0.01 * (1 + baseline["level"] / 5)
    found = rank(pd.concat([both, baseline]))
    assert found["random_retention"].tolist() == pytest.approx([1.08, 1.08])
    (says,) = told(found)
    assert says.endswith(
        "At level 0.4 weak retains the most of its own value, which rewards whatever has little to "
        "lose: the random baseline keeps 1.08; strong retains the most of its lead over "
        "popularity, which rewards a lead that stays."
    )
    (says,) = told(rank(both))
    assert "whatever has little to lose; strong retains the most of its lead" in says


def test_relative_error_is_of_what_a_reference_loses_and_less_is_better():
    found = rank(world(), by="relative_error", reference="bpr").set_index("loss")
    assert list(found.index) == ["ccl", "softmax", "bpr"]
    lost = found["at 0"] * 2 - found["at 0.1"] - found["at 0.4"]
    assert found["score"].tolist() == pytest.approx((lost / lost["bpr"]).tolist())
    assert found.loc["bpr", "beaten_by"] == ("ccl", "softmax")
    harmless = rank(world({"ccl": 0.0, "bpr": 0.0}), by="relative_error", reference="bpr")
    assert harmless["score"].isna().all()  # what bpr loses may be nothing
    once = rank(world(replicates=1), by="relative_error", reference="bpr")
    assert once["score"].isna().all()  # no interval says that it is something
    with pytest.raises(InputError, match="relative_error needs a reference loss: --reference"):
        rank(world(), by="relative_error")
    with pytest.raises(InputError, match="a reference does not apply to kept, only to relat"):
        rank(world(), reference="bpr")
    with pytest.raises(InputError, match="loss 'sofmax' was not run; did you mean 'softmax'"):
        rank(world(), by="relative_error", reference="sofmax")
    two = world({"psl(tau=0.1)": 0.1, "psl(tau=0.2)": 0.2})
    with pytest.raises(InputError, match=r"loss 'psl' may mean psl\(tau=0.1\) or psl\(.*; give m"):
        rank(two, by="relative_error", reference="psl")


def test_the_stability_of_lists_has_intervals_over_replicates_and_ranks():
    one, agreed = world(), []
    for loss, share in (("bpr", 0.25), ("ccl", 0.75)):
        rows = one[(one["level"] == 0.4) & (one["loss"] == loss)]
        moved = share + 0.01 * rows["replicate"]
        agreed.append(rows.assign(value=moved, metric="jaccard@20", evaluated=1.0))
    both = pd.concat([one, *agreed])
    found = rank(both).set_index("loss")
    values = 0.25 + 0.01 * np.arange(6)
    expected = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    row = found.loc["bpr", ["jaccard", "jaccard_low", "jaccard_high"]]
    assert row.tolist() == pytest.approx([values.mean(), *expected])
    assert found.loc["softmax", ["jaccard", "rbo"]].isna().all()
    by = rank(both, by="jaccard").set_index("loss")
    assert by["place"].tolist()[:2] == [1, 2]
    assert by.loc["bpr", "beaten_by"] == ("ccl",)
    assert by.loc["bpr", "score"] == pytest.approx(values.mean())
    assert np.isnan(by.loc["softmax", "score"])


def test_losses_that_a_perturbation_cannot_reach_stand_apart_and_say_why():
    run = read_run(STORED)
    pairs = (("directau", "hidden_positives"), ("llpauc", "noise"))
    run.manifest = run.manifest.model_copy(update={"not_applicable": pairs})
    found = rank(run)
    apart = found[found["flags"] == "not_applicable"]
    assert apart[["loss", "perturbation"]].to_numpy().tolist() == [list(pairs[0])]
    assert apart[["place", "score", "retention"]].isna().all(axis=None)
    assert found.groupby("perturbation", sort=False)["loss"].last().iloc[-1] == "directau"
    assert len(found) == len(rank(read_run(STORED))) + 1


def test_a_loss_without_the_hardest_level_stands_last_without_a_place():
    whole = world()
    found = rank(whole[~((whole["loss"] == "ccl") & (whole["level"] == 0.4))])
    assert found["loss"].tolist() == ["softmax", "bpr", "ccl"]
    assert found["place"].tolist()[:2] == [1, 2]
    assert found.iloc[2][["place", "score", "retention"]].isna().all()
    assert not found.iloc[2]["top"]


def test_one_replicate_without_users_ranks_and_proves_nothing():
    found = rank(world(replicates=1))
    assert found["top"].all()
    assert found["low"].isna().all()
    (says,) = told(found)
    assert "no interval" in says
    assert says.endswith("without intervals nothing is tested.")


def test_equal_losses_are_all_on_top():
    one = world({"softmax": 0.1})
    twin = one[one["loss"] == "softmax"].assign(loss="ccl")
    assert rank(pd.concat([one, twin]))["top"].tolist() == [True, True]


def test_panels_and_metrics_are_chosen_by_what_names_them():
    one = world()
    two = pd.concat([one, one.assign(perturbation="noise(weights=uniform)")])
    assert len(rank(two)) == 6
    assert set(rank(two, perturbation="noise")["perturbation"]) == {"noise(weights=uniform)"}
    recall = pd.concat([one, one.assign(metric="recall@20")])
    assert set(rank(recall)["metric"]) == {"ndcg@20"}
    assert set(rank(recall, metric="recall@20")["metric"]) == {"recall@20"}
    with pytest.raises(InputError, match=r"perturbation 'nois' was not run; did you mean 'noise"):
        rank(two, perturbation="nois")
    with pytest.raises(InputError, match=r"no metric 'recal@20' here; did you mean 'recall@20'"):
        rank(recall, metric="recal@20")
    with pytest.raises(InputError, match="nothing to rank: no perturbation has level 0 and a hig"):
        rank(one[one["level"] == 0])


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_values_that_are_all_equal_invent_nothing(value):
    found = rank(world().assign(value=value))
    assert found["top"].tolist() == ([True] * 3 if value else [False] * 3)
    assert set(found["beaten_by"]) == {()}
    assert found["score"].dropna().tolist() == ([1.0] * 3 if value else [])


@pytest.mark.simulation
def test_in_null_worlds_a_loss_beats_another_at_most_as_often_as_said():
    rng, worlds, wrong = np.random.default_rng(0), 1000, 0
    losses, levels, replicates = [f"loss{at}" for at in range(8)], (0.0, 0.2, 0.4), range(5)
    for _ in range(worlds):
        lucky = 0.02 * rng.standard_normal(5)
        rows = [
            (loss, level, r, 0.3 - 0.2 * level + lucky[r] + 0.01 * rng.standard_normal())
            for loss in losses
            for level in levels
            for r in replicates
        ]
        wrong += any(rank(frame(*rows))["beaten_by"].map(len))
    assert wrong / worlds <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / worlds), wrong / worlds


def test_losses_of_which_none_beats_another_are_one_group():
    beaten = [("a", "b", "c"), ("a",), (), ()]
    assert not_separable(["d", "c", "b", "a"], beaten) == [(1, 2), (2, 3)]
    assert not_separable(["d", "c", "b", "a"], [()] * 4) == [(0, 1, 2, 3)]
    assert not_separable(["d"], [()]) == []
    apart = [(), ("a",), (), ("a", "c")]  # c, of a wide interval, is beaten by none
    assert not_separable(["a", "b", "c", "d"], apart) == [(0, 2), (1, 2), (1, 3)]


def test_losses_share_a_group_where_neither_beats_the_other():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 9))
        names = [f"l{at}" for at in range(n)]
        beaten = [tuple(one for one in names[:at] if rng.random() < 0.5) for at in range(n)]
        groups = not_separable(names, beaten)
        for at in range(n):
            for other in range(at + 1, n):
                together = any({at, other} <= set(group) for group in groups)
                assert together == (names[at] not in beaten[other])
        sets = [set(group) for group in groups]
        assert not any(one < other for one in sets for other in sets)


def test_all_rankings_at_once_are_those_of_one_after_another(checkout):
    run = read_run(checkout / "results" / "reference" / "drrl-health")
    measures = ("kept", "value", "jaccard")
    found = list(rank_all(run, measures))
    alone = [rank(run, by, metric=metric) for metric in run.manifest.metrics for by in measures]
    assert len(found) == 6
    for one, other in zip(found, alone, strict=True):
        pd.testing.assert_frame_equal(one, other)
