import numpy as np
import pandas as pd
import pytest
from frames import frame
from scipy import stats

from robustbench_rec.analysis.degradation import areas, curves, means
from robustbench_rec.analysis.intervals import interval_text, intervals_text
from robustbench_rec.analysis.panels import split_baselines

TWO = frame(
    ("bpr", 0.0, 0, 0.40),
    ("bpr", 0.0, 1, 0.50),
    ("bpr", 0.5, 0, 0.30),
    ("bpr", 0.5, 1, 0.25),
)


def at(found, level, loss="bpr"):
    rows = found[(found["level"] == level) & (found["loss"] == loss)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_two_replicates_by_hand():
    row = at(curves(TWO), 0.5)
    assert row["n"] == row["pairs"] == 2
    assert row["mean"] == pytest.approx(0.275)
    assert row["drop"] == pytest.approx(-0.175)
    assert row["retention"] == pytest.approx(0.275 / 0.45)  # a ratio of means
    assert row[["low", "high", "drop_low", "retention_high"]].isna().all()
    assert row["interval"] == row["paired_interval"] == "2 splits of this data set, no interval"


def test_level_zero_loses_nothing():
    row = at(curves(TWO), 0.0)
    assert row[["drop", "retention"]].tolist() == [0, 1]
    row = at(curves(frame(*[("bpr", 0.0, r, 0.4 + 0.01 * r) for r in range(3)])), 0.0)
    assert row[["drop", "drop_low", "drop_high"]].tolist() == [0, 0, 0]
    assert row[["retention", "retention_low", "retention_high"]].tolist() == [1, 1, 1]


def test_one_replicate_has_no_interval():
    row = at(curves(TWO[TWO["replicate"] == 0]), 0.5)
    assert row["mean"] == 0.30
    assert row["retention"] == pytest.approx(0.75)
    assert row[["low", "high", "drop_low", "drop_high"]].isna().all()
    assert row[["retention_low", "retention_high"]].isna().all()
    assert row["interval"] == "one replicate, no interval"


@pytest.mark.parametrize("n", [3, 6])
def test_replicates_alone_have_a_t_interval(n):
    values = [0.31, 0.28, 0.33, 0.30, 0.27, 0.35][:n]
    rows = [("bpr", 0.5, r, v) for r, v in enumerate(values)]
    clean = [("bpr", 0.0, r, 0.5) for r in range(n)]
    row = at(curves(frame(*rows, *clean)), 0.5)
    low, high = stats.t.interval(0.95, n - 1, np.mean(values), stats.sem(values))
    assert row[["low", "high"]].tolist() == pytest.approx([low, high], rel=1e-9)
    kept = row[["retention_low", "retention_high"]].tolist()
    assert kept == pytest.approx([low / 0.5, high / 0.5], rel=1e-9)
    assert row["interval"] == f"95% over {n} splits of this data set"
    summary = at(means(frame(*rows)), 0.5)
    assert summary[["low", "high"]].tolist() == pytest.approx([low, high], rel=1e-9)


def test_retention_is_a_ratio_of_means_with_the_variance_of_one():
    clean, noisy = np.array([0.4, 0.5, 0.45, 0.52]), np.array([0.3, 0.42, 0.3, 0.4])
    rows = [("bpr", x, r, v) for x, of in ((0.0, clean), (0.5, noisy)) for r, v in enumerate(of)]
    row = at(curves(frame(*rows)), 0.5)
    rho = noisy.mean() / clean.mean()
    error = stats.sem(noisy - rho * clean) / clean.mean()
    low, high = stats.t.interval(0.95, 3, rho, error)
    assert row["retention"] == pytest.approx(rho)
    kept = row[["retention_low", "retention_high"]].tolist()
    assert kept == pytest.approx([low, high], rel=1e-9)


def test_a_missing_level_zero_drops_out_of_paired_columns_only():
    row = at(curves(TWO.drop(index=1)), 0.5)
    assert row["n"] == 2
    assert row["pairs"] == 1
    assert row["mean"] == pytest.approx(0.275)
    assert row["drop"] == pytest.approx(-0.1)
    assert row["retention"] == pytest.approx(0.75)
    assert row["interval"] == "2 splits of this data set, no interval"
    assert row["paired_interval"] == "one replicate, no interval"


def test_no_level_zero_leaves_the_metric():
    row = at(curves(TWO[TWO["level"] > 0]), 0.5)
    assert row["mean"] == pytest.approx(0.275)
    assert row["pairs"] == 0
    assert row[["drop", "retention"]].isna().all()
    assert row["paired_interval"] == "no replicate"


def test_a_level_zero_of_zero_has_a_drop_and_no_retention():
    row = at(curves(frame(("bpr", 0.0, 0, 0.0), ("bpr", 0.5, 0, 0.2))), 0.5)
    assert row["drop"] == 0.2
    assert np.isnan(row["retention"])


def test_a_missing_value_is_a_missing_cell():
    holed = TWO.copy()
    holed.loc[2, "value"] = np.nan
    pd.testing.assert_frame_equal(curves(holed), curves(TWO.drop(index=2)))


def test_pairs_are_made_within_a_curve():
    other = TWO.assign(loss="bce", value=TWO["value"] * 2)
    found = curves(pd.concat([TWO, other]))
    assert at(found, 0.5)["retention"] == at(found, 0.5, "bce")["retention"]
    assert at(found, 0.5, "bce")["drop"] == pytest.approx(2 * at(found, 0.5)["drop"])


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_rows_give_the_same_bits(seed):
    rng = np.random.default_rng(0)
    rows = [
        (loss, level, r, rng.random())
        for loss in ("bpr", "bce")
        for level in (0.0, 0.1, 0.2)
        for r in range(7)
    ]
    tidy = frame(*rows)
    shuffled = tidy.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(curves(tidy), curves(shuffled), check_exact=True)
    pd.testing.assert_frame_equal(areas(tidy), areas(shuffled), check_exact=True)


def test_two_values_for_one_point_are_refused():
    with pytest.raises(ValueError, match=r"two values for one point .*loss bpr.*one suite"):
        curves(pd.concat([TWO, TWO.assign(suite="other")]))


def test_replicates_of_two_kinds_are_refused():
    other = TWO.assign(replicates_vary="training", loss="bce")
    with pytest.raises(
        ValueError, match="replicates on d vary in split and training; analyse runs"
    ):
        curves(pd.concat([TWO, other]))


@pytest.mark.parametrize("protocol", [4, "4"])
def test_cells_of_two_protocols_are_refused(protocol):
    other = TWO.assign(protocol=protocol, dataset="other")
    with pytest.raises(
        ValueError, match="cells of protocols 4 and 5 mean different things; select"
    ):
        curves(pd.concat([TWO, other]))
    unknown = other.assign(protocol=np.nan)
    assert len(curves(pd.concat([TWO.assign(protocol=5.0), TWO.assign(loss="x"), unknown]))) == 6


def test_an_empty_frame_gives_no_curves_and_no_areas():
    found = curves(TWO.iloc[:0])
    assert len(found) == 0
    assert len(areas(TWO.iloc[:0])) == 0
    assert {"mean", "retention_low", "interval"} <= set(found.columns)


@pytest.mark.parametrize(
    ("n", "users", "text"),
    [
        (0, True, "no replicate"),
        (1, True, "95% over users only, one replicate"),
        (1, False, "one replicate, no interval"),
        (2, True, "about 92% over users and 2 replicates, settings fixed"),
        (2, False, "2 replicates, no interval"),
        (3, True, "95% over users and 3 replicates, settings fixed"),
        (3, False, "95% over 3 replicates"),
    ],
)
def test_interval_text(n, users, text):
    assert interval_text(n, users=users) == text


def test_intervals_of_one_kind_are_told_once_and_the_most_common_first():
    told = intervals_text([6, 3, 6, 5, 1, 6, 3, 3, 5, 0], users=False)
    assert told == "95% over 3 to 6 replicates; no replicate; one replicate, no interval"
    assert intervals_text([8, 8], users=False) == "95% over 8 replicates"


def test_areas_by_hand_and_most_robust_first():
    found = areas(
        frame(
            ("bpr", 0.0, 0, 0.4),
            ("bpr", 0.1, 0, 0.2),
            ("bpr", 0.4, 0, 0.2),
            ("ccl", 0.0, 0, 0.2),
            ("ccl", 0.1, 0, 0.2),
            ("ccl", 0.4, 0, 0.2),
        )
    )
    assert found["loss"].tolist() == ["ccl", "bpr"]
    # bpr: (1 + 0.5) / 2 * 0.1 + 0.5 * 0.3 over 0.4
    assert found["area"].tolist() == pytest.approx([1.0, 0.225 / 0.4])
    assert found["levels"].tolist() == [3, 3]


def test_a_curve_without_its_hardest_level_has_no_area_and_stands_last():
    rows = [(loss, x, 0, 1 - x) for loss in ("bce", "bpr") for x in (0.0, 0.1, 0.4)]
    found = areas(frame(*[row for row in rows if row[:2] != ("bce", 0.4)]))
    assert found["loss"].tolist() == ["bpr", "bce"]
    assert found["levels"].tolist() == [3, 2]
    assert np.isnan(found["area"].iloc[1])


def test_one_level_has_no_area():
    assert areas(TWO[TWO["level"] == 0])["area"].isna().all()


def test_baselines_have_curves_but_no_area():
    rows = [(loss, x, 0, 1 - x) for loss in ("bpr", "untrained") for x in (0.0, 0.5)]
    tidy = frame(*rows)
    tidy.loc[tidy["loss"] == "untrained", "backbone"] = "popularity"
    found = curves(tidy)
    trained, baselines = split_baselines(found)
    assert set(trained["loss"]) == {"bpr"}
    assert baselines[["backbone", "level", "mean"]].to_numpy().tolist() == [
        ["popularity", 0.0, 1.0],
        ["popularity", 0.5, 0.5],
    ]
    assert areas(tidy)["loss"].tolist() == ["bpr"]


def test_curves_say_what_replicates_are_and_where_selection_was_noisy():
    clean = frame(("bpr", 0.0, 0, 0.5), ("bpr", 0.5, 0, 0.25))
    noisy = clean.assign(perturbation="noise")
    noisy.loc[noisy["level"] > 0, "selection"] = "noisy"
    found = curves(pd.concat([clean, noisy]))
    assert set(found["replicates"]) == {"splits of this data set"}
    told = found.groupby("perturbation")["selection"].unique().str[0]
    assert told.to_dict() == {"noise": "noisy", "p": "clean"}
    shared = curves(clean.assign(replicates_vary="training"))
    assert set(shared["replicates"]) == {"seeds of one split"}
    bare = curves(clean.drop(columns=["replicates_vary", "selection"]))
    assert (set(bare["replicates"]), set(bare["selection"])) == ({"replicates"}, {"clean"})


def test_what_was_achieved_and_what_cells_are_marked_with_go_along():
    tidy = TWO.copy()
    tidy["realised"] = [0.0, 0.0, 0.1, 0.2]
    tidy["flags"] = ["", "capped", "not_reached capped", "few_users not_reached"]
    found = curves(tidy)
    assert found["flags"].tolist() == ["capped", "capped few_users not_reached"]
    assert found["realised"].tolist() == pytest.approx([0.0, 0.15])
    assert areas(tidy)["flags"].tolist() == ["capped few_users not_reached"]
    bare = curves(tidy.drop(columns=["realised", "flags"]))
    assert bare["flags"].tolist() == ["", ""]
    assert bare["realised"].isna().all()
    gone = curves(tidy.assign(value=tidy["value"].where(tidy.index != 1)))
    assert gone["flags"].tolist() == ["", "capped few_users not_reached"]
