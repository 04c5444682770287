"""Which loss degrades least: order, top group, and what is said in words."""

import numpy as np
import pandas as pd
import pytest
from frames import frame

from robustbench_rec import InputError
from robustbench_rec.analysis.ranking import RANKED, rank, told

FALLS = {"ccl": 0.05, "softmax": 0.06, "bpr": 0.5}


def world(falls=FALLS, replicates=6, noise=0.02, start=0.4):
    """Make losses that lose a share of their clean value by level .4, and floors beside them."""
    rng = np.random.default_rng(0)
    rows = []
    for loss, fall in falls.items():
        for r in range(replicates):
            clean = start + noise * rng.standard_normal()
            for level in (0.0, 0.1, 0.4):
                moved = noise / 4 * rng.standard_normal() * (level > 0)
                rows.append((loss, level, r, clean * (1 - fall * level / 0.4) + moved))
    trained = frame(*rows)
    floor = frame(*(("untrained", x, r, 0.1) for x in (0.0, 0.1, 0.4) for r in range(replicates)))
    return pd.concat([trained, floor.assign(backbone="popularity")])


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
    strong = world({"strong": 0.025}, start=0.4, noise=0.001)
    (says,) = told(rank(pd.concat([strong, weak[weak["loss"] == "weak"]])))
    assert says.endswith(
        "At level 0.4 weak retains the most of its own value, which rewards whatever has little to "
        "lose, and strong the most of its lead over popularity."
    )


def test_relative_error_is_of_what_a_reference_loses_and_less_is_better():
    found = rank(world(), by="relative_error", reference="bpr").set_index("loss")
    assert list(found.index) == ["ccl", "softmax", "bpr"]
    lost = found["at 0"] * 2 - found["at 0.1"] - found["at 0.4"]
    assert found["score"].tolist() == pytest.approx((lost / lost["bpr"]).tolist())
    assert found.loc["bpr", "beaten_by"] == ("ccl", "softmax")
    harmless = rank(world({"ccl": 0.0, "bpr": 0.0}), by="relative_error", reference="bpr")
    assert harmless["score"].isna().all()  # what bpr loses may be nothing
    with pytest.raises(InputError, match="relative_error needs a reference loss: --reference"):
        rank(world(), by="relative_error")
    with pytest.raises(InputError, match="a reference means nothing by kept; it goes with relat"):
        rank(world(), reference="bpr")
    with pytest.raises(InputError, match="loss 'sofmax' was not run; did you mean 'softmax'"):
        rank(world(), by="relative_error", reference="sofmax")
    two = world({"psl(tau=0.1)": 0.1, "psl(tau=0.2)": 0.2})
    with pytest.raises(InputError, match=r"loss 'psl' may mean psl\(tau=0.1\) or psl\(.*; say w"):
        rank(two, by="relative_error", reference="psl")


def test_the_stability_of_lists_stands_beside_the_rest():
    one = world()
    agreed = one[(one["level"] == 0.4) & (one["loss"] == "bpr")].assign(value=0.25)
    both = pd.concat([one, agreed.assign(metric="jaccard@20")])
    found = rank(both).set_index("loss")
    assert found.loc["bpr", "jaccard"] == pytest.approx(0.25)
    assert found.loc["ccl", ["jaccard", "rbo"]].isna().all()


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
    assert "cannot be told from it" in says


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
    with pytest.raises(InputError, match="nothing to rank: no perturbation has a level 0 and ano"):
        rank(one[one["level"] == 0])


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_values_that_are_all_equal_invent_nothing(value):
    found = rank(world().assign(value=value))
    assert found["top"].tolist() == ([True] * 3 if value else [False] * 3)
    assert set(found["beaten_by"]) == {()}
    assert found["score"].dropna().tolist() == ([1.0] * 3 if value else [])


@pytest.mark.simulation
def test_in_null_worlds_a_loss_beats_another_at_most_as_often_as_said():
    rng, worlds, wrong = np.random.default_rng(0), 400, 0
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
