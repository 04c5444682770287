"""One loss beside others: differences within replicates, and what they say."""

import numpy as np
import pandas as pd
import pytest
from frames import frame
from scipy import stats

from robustbench_rec import InputError
from robustbench_rec.analysis.contrasts import CONTRAST, contrasts

# In each replicate ccl starts lower than softmax, and keeps more.
TWO = frame(
    ("softmax", 0.0, 0, 0.40),
    ("softmax", 0.1, 0, 0.30),
    ("softmax", 0.5, 0, 0.20),
    ("softmax", 0.0, 1, 0.50),
    ("softmax", 0.1, 1, 0.40),
    ("softmax", 0.5, 1, 0.25),
    ("ccl", 0.0, 0, 0.30),
    ("ccl", 0.1, 0, 0.30),
    ("ccl", 0.5, 0, 0.24),
    ("ccl", 0.0, 1, 0.44),
    ("ccl", 0.1, 1, 0.44),
    ("ccl", 0.5, 1, 0.33),
)


def row(found, quantity, level, loss="ccl"):
    rows = found[
        (found["quantity"] == quantity) & (found["level"] == level) & (found["loss"] == loss)
    ]
    assert len(rows) == 1
    return rows.iloc[0]


def test_two_replicates_by_hand():
    found = contrasts(TWO, "softmax")
    assert list(found.columns) == CONTRAST
    assert set(found["against"]) == {"softmax"}
    assert set(found["pairs"]) == {2}
    assert row(found, "value", 0.0)["difference"] == pytest.approx(-0.08)
    assert row(found, "value", 0.5)["difference"] == pytest.approx(0.06)
    assert row(found, "value", 0.5)["relative"] == pytest.approx(0.06 / 0.45)
    # Kept, the mean height over [0, .5] of lines through ratios of means: softmax 1, .35 / .45,
    # .225 / .45, and ccl 1, 1, .285 / .37.
    softmax = 0.1 * (1 + 7 / 9) / 2 + 0.4 * (7 / 9 + 0.5) / 2
    ccl = 0.1 + 0.4 * (1 + 0.285 / 0.37) / 2
    assert row(found, "kept", 0.5)["difference"] == pytest.approx((ccl - softmax) / 0.5)
    assert len(found) == 3


def test_fewer_than_three_replicates_without_users_decide_nothing():
    found = contrasts(TWO, "softmax")
    assert set(found["verdict"]) == {"undecided"}
    assert found["low"].isna().all()
    assert set(found["decides"]) == {"3 replicates at least, to see their spread"}


def test_six_replicates_decide_as_holm_says_of_the_whole_family():
    more = [0.10, 0.09, 0.11, 0.10, 0.12, 0.11]
    unsure = [0.01, -0.02, 0.015, -0.01, 0.02, -0.03]
    tiny = [0.0001, -0.0002, 0.0001, 0.0, 0.0, 0.0001]
    rows = [
        one
        for r in range(6)
        for one in (
            ("softmax", 0.0, r, 0.4 + 0.1 * r),
            ("ccl", 0.0, r, 0.4 + 0.1 * r + more[r]),
            ("bpr", 0.0, r, 0.4 + 0.1 * r - more[r]),
            ("bce", 0.0, r, 0.4 + 0.1 * r + unsure[r]),
            ("mse", 0.0, r, 0.4 + 0.1 * r + tiny[r]),
        )
    ]
    found = contrasts(frame(*rows), "softmax")
    assert dict(zip(found["loss"], found["verdict"], strict=True)) == {
        "ccl": "higher",
        "bpr": "lower",
        "bce": "undecided",
        "mse": "equivalent",
    }
    low, high = stats.t.interval(0.95, 5, np.mean(more), stats.sem(more))
    ccl = row(found, "value", 0.0)
    assert ccl[["low", "high"]].tolist() == pytest.approx([low, high], rel=1e-9)
    assert ccl["interval"] == "95% over 6 splits of this data set"
    margin = 0.02 * 0.65
    raw = [stats.ttest_1samp(of, 0).pvalue for of in (more, more, unsure, tiny)]
    raw += [
        max(
            stats.ttest_1samp(of, -margin, alternative="greater").pvalue,
            stats.ttest_1samp(of, margin, alternative="less").pvalue,
        )
        for of in (more, [-x for x in more], unsure, tiny)
    ]
    order = np.argsort(raw)
    steps = np.maximum.accumulate(np.array(raw)[order] * np.arange(8, 0, -1)).clip(max=1)
    adjusted = dict(zip(order.tolist(), steps.tolist(), strict=True))
    assert found["p"].tolist() == pytest.approx([adjusted[at] for at in range(4)], rel=1e-6)
    equivalent = found["p_equivalent"].tolist()
    assert equivalent == pytest.approx([adjusted[4 + at] for at in range(4)], rel=1e-6)
    assert found["decides"].astype(bool).tolist() == [False, False, True, False]


def test_the_other_way_round_is_the_negative():
    one, other = contrasts(TWO, "softmax"), contrasts(TWO, "ccl")
    assert other["difference"].tolist() == pytest.approx((-one["difference"]).tolist())
    assert other["verdict"].tolist() == one["verdict"].tolist()


def test_a_replicate_that_lacks_a_level_is_left_out_of_what_needs_it():
    found = contrasts(TWO.drop(index=4), "softmax")  # softmax at .1 in replicate 1
    assert row(found, "value", 0.5)["pairs"] == 2
    assert row(found, "kept", 0.5)["pairs"] == 1
    # Of replicate 0 alone: softmax 1, .75, .5 and ccl 1, 1, .8.
    assert row(found, "kept", 0.5)["difference"] == pytest.approx((0.46 - 0.3375) / 0.5)


def test_a_loss_without_the_hardest_level_has_no_row_for_it():
    short = TWO[(TWO["loss"] == "softmax") | (TWO["level"] < 0.5)]
    assert contrasts(short, "softmax")["quantity"].tolist() == ["value"]


def test_where_the_loss_itself_lacks_the_hardest_level_no_row_is_of_it():
    short = TWO[(TWO["loss"] == "ccl") | (TWO["level"] < 0.5)]
    assert contrasts(short, "softmax")["level"].tolist() == [0.0]


def test_clean_data_have_one_row_a_loss_and_metric():
    clean = TWO[TWO["level"] == 0]
    recall = clean.assign(metric="recall@20", value=clean["value"] / 2)
    found = contrasts(pd.concat([recall, clean]), "softmax")
    assert found["quantity"].tolist() == ["value", "value"]
    assert found["metric"].tolist() == ["recall@20", "ndcg@20"]  # the frame's order


def test_panels_keep_to_themselves_and_one_without_the_loss_is_left_out():
    graph = TWO.assign(backbone="lightgcn", value=TWO["value"] * 2)
    alone = TWO[TWO["loss"] == "ccl"].assign(backbone="xsimgcl")
    found = contrasts(pd.concat([TWO, graph, alone]), "softmax")
    assert found["backbone"].unique().tolist() == ["mf", "lightgcn"]
    mf, lightgcn = (found[found["backbone"] == one] for one in ("mf", "lightgcn"))
    assert row(lightgcn, "value", 0.5)["difference"] == pytest.approx(0.12)
    assert row(lightgcn, "kept", 0.5)["difference"] == pytest.approx(
        row(mf, "kept", 0.5)["difference"]
    )


def test_baselines_are_no_losses():
    baseline = TWO[TWO["loss"] == "ccl"].assign(loss="untrained", backbone="popularity")
    assert set(contrasts(pd.concat([TWO, baseline]), "ccl")["loss"]) == {"softmax"}


def test_a_loss_is_asked_for_by_its_label_or_what_tells_it_apart():
    two = TWO.replace(
        {"softmax": "psl(tau=0.1, activation=relu)", "ccl": "psl(tau=0.1, activation=tanh)"}
    )
    assert contrasts(two, "psl(activation=relu)")["difference"].tolist() == pytest.approx(
        contrasts(TWO, "softmax")["difference"].tolist()
    )
    with pytest.raises(InputError, match=r"'psl' may mean psl\(.*relu\) or psl\(.*tanh\); give"):
        contrasts(two, "psl")


def test_a_loss_that_was_not_run_is_named_with_those_that_were():
    with pytest.raises(
        InputError, match=r"'softmaxx' was not run.*softmax.*recorded: softmax, ccl"
    ):
        contrasts(TWO, "softmaxx")
    with pytest.raises(InputError, match=r"'ccl' was not run \(recorded: none\)"):
        contrasts(TWO.iloc[:0], "ccl")


@pytest.mark.parametrize("other", [TWO["loss"] == "none", TWO["replicate"] == 1])
def test_a_loss_without_another_beside_it_is_told(other):
    softmax = (TWO["loss"] == "softmax") & (TWO["replicate"] == 0)
    with pytest.raises(
        InputError, match="no other loss was run where loss softmax was, at any level"
    ):
        contrasts(TWO[softmax | (other & (TWO["loss"] == "ccl"))], "softmax")


def test_losses_keep_the_order_of_the_frame_whatever_is_missing():
    more = TWO[TWO["loss"] == "ccl"].assign(loss="bpr", value=0.1)
    late = TWO[(TWO["loss"] == "softmax") | (TWO["replicate"] == 1)]
    found = contrasts(pd.concat([late, more]), "softmax")
    assert found["loss"].tolist() == ["ccl", "bpr"] * 3


def test_panels_without_values_or_without_a_unit_break_no_other():
    empty = TWO.assign(metric="recall@20", value=np.nan)
    nameless = TWO.assign(unit=np.nan)
    assert contrasts(pd.concat([TWO, empty]), "softmax").equals(contrasts(TWO, "softmax"))
    assert len(contrasts(nameless, "softmax")) == 3


def test_a_difference_is_marked_with_the_flags_of_both_losses_at_its_levels():
    marks = {("ccl", 0.1): "capped", ("softmax", 0.5): "not_reached", ("ccl", 0.5): "not_reached"}
    keys = zip(TWO["loss"], TWO["level"], strict=True)
    found = contrasts(TWO.assign(flags=[marks.get(key, "") for key in keys]), "softmax")
    assert row(found, "value", 0.0)["flags"] == ""
    assert row(found, "value", 0.5)["flags"] == "not_reached"
    assert row(found, "kept", 0.5)["flags"] == "capped not_reached"
    assert set(contrasts(TWO.drop(columns="flags"), "softmax")["flags"]) == {""}


@pytest.mark.parametrize("region", [-0.1, 1.5, float("nan")])
def test_a_region_that_is_no_share_is_refused(region):
    with pytest.raises(InputError, match=r"region is .*; it must be a share, in \[0, 1\]"):
        contrasts(TWO, "softmax", region)


def test_losses_that_are_all_zero_are_not_called_equivalent():
    found = contrasts(frame(*((loss, 0.0, r, 0.0) for loss in ("a", "b") for r in range(4))), "a")
    assert set(found["verdict"]) == {"undecided"}
