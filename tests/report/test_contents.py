"""What a page holds: the numbers of the analyses, words, marks; and what it says of odd runs."""

import pandas as pd
import pytest
from pages import LOSSES, content, falling, run_with
from tables_by_hand import run_of

from robustbench_rec import InputError
from robustbench_rec.analysis.claims import claims
from robustbench_rec.analysis.degradation import curves
from robustbench_rec.analysis.ranking import rank
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.figures.style import looks
from robustbench_rec.records.run import read_run
from robustbench_rec.report.panels import BY, POINT
from robustbench_rec.training.config import PROTOCOL


@pytest.fixture(scope="module")
def study(checkout):
    """Return a reference run."""
    return read_run(checkout / "results" / "reference" / "drrl-health")


@pytest.fixture(scope="module")
def held(study):
    """Return the content of its page."""
    (run,) = content(study)["runs"]
    return run


def test_points_are_those_of_the_curves(study, held):
    frame = curves(study)
    frame = frame[(frame["metric"] == "recall@20") & (frame["loss"] != UNTRAINED)]
    found = 0
    for panel in held["panels"]:
        perturbation = held["labels"]["perturbation"][panel["at"][2]]["key"]
        for number, points in panel["curves"]["1"].items():
            label = held["labels"]["loss"][int(number)]["key"]
            its = frame[
                (frame["perturbation"] == perturbation) & (frame["loss"].map(short) == label)
            ]
            table = its.sort_values("level")[list(POINT)].to_numpy(dtype=float).tolist()
            assert [one[:-1] for one in points] == [pytest.approx(row, rel=1e-5) for row in table]
            assert [one[-1] for one in points] == its.sort_values("level")["flags"].tolist()
            found += len(points)
    assert found == len(frame)


def short(label):
    return label.partition("(")[0]


@pytest.mark.parametrize("by", ["kept", "excess"])
def test_ranks_are_those_of_the_command_rank(study, held, by):
    ranked = rank(study, by)
    found = []
    for panel in held["panels"]:
        losses = [one["key"] for one in held["labels"]["loss"]]
        its = panel["ranks"]["0"][by]
        assert its["family"] == ranked["family"].iloc[0]
        found += [
            (losses[row[0]], row[1], row[5], [losses[at] for at in row[7]]) for row in its["rows"]
        ]
    columns = (ranked[name] for name in ("loss", "place", "top", "beaten_by"))
    assert found == [
        (short(loss), place, top, [short(one) for one in beaten])
        for loss, place, top, beaten in zip(*columns, strict=True)
    ]


def test_losses_share_a_letter_only_where_neither_beats_the_other(held):
    n = 0
    for panel in held["panels"]:
        for by in BY:
            rows = panel["ranks"]["0"].get(by, {"rows": []})["rows"]
            for one in rows:
                for other in rows:
                    if one is not other and set(one[6]) & set(other[6]):
                        assert one[0] not in other[7]
                        n += 1
    assert n


def test_claims_are_those_of_the_command_claims(study, held):
    found = claims(study)
    assert [row["verdict"] for row in held["claims"]["rows"]] == found["verdict"].tolist()
    assert held["claims"]["family"] == found["family"].iloc[0]
    assert held["claims"]["summary"].startswith("12 claims of the suite: ")


def test_claims_on_several_data_sets_are_counted_once(tmp_path):
    claim = {"says": "BPR keeps more", "kind": "keeps-more", "loss": "bpr", "than": "ccl"}
    twice = falling() | {(loss, level, r + 10): one for (loss, level, r), one in falling().items()}
    elsewhere = {cell: {"dataset": "other"} for cell in twice if cell[2] >= 10}
    claims = [claim | {"perturbation": "noise"}]
    held = run_of(tmp_path / "r", twice, users=True, elsewhere=elsewhere, claims=claims)
    (run,) = content(held)["runs"]
    assert run["claims"]["summary"] == (
        "1 claim of the suite, each on 2 pairs of a data set and a backbone: 2 confirmed."
    )


def test_a_loss_looks_as_in_figures(held):
    styles = looks(one["key"] for one in held["labels"]["loss"])
    for one in held["labels"]["loss"]:
        look = styles[one["key"]]
        assert (one["color"], one["marker"], one["dash"]) == (look.color, look.marker, look.pattern)


def test_diagnostics_are_means_over_replicates_at_the_kept_epoch(study, held):
    rows = study.diagnostics
    rows = rows[rows["best"] & (rows["diagnostic"] == "utilisation") & (rows["level"] == 0.5)]
    rows = rows[rows["perturbation"] == "negative_contamination"]
    wanted = rows.groupby(rows["loss"].map(short))["value"].mean()
    (panel,) = [one for one in held["panels"] if one["at"][2] == 0]
    for number, points in panel["diagnostics"]["utilisation"].items():
        label = held["labels"]["loss"][int(number)]["key"]
        (mean,) = [one[2] for one in points if one[0] == 0.5]
        assert mean == pytest.approx(wanted[label], rel=1e-4)


def test_the_answer_names_first_company_and_last(tmp_path):
    values = falling() | {
        ("bce", *rest): value for (loss, *rest), value in falling(("bpr",)).items()
    }
    (run,) = content(run_of(tmp_path / "r", values, users=True))["runs"]
    (answer,) = run["answer"]
    (said,) = answer["panels"]
    assert said.startswith("On toy, MF, BCE keeps most: 0.9")
    assert "No loss beats BPR significantly either." in said
    assert (
        said.endswith("Softmax (SL) keeps least: 0.805 [0.802, 0.807].")
        or "Softmax (SL) keeps least" in said
    )
    assert answer["summary"] == ""


def test_the_answer_over_several_data_sets_counts_top_groups(tmp_path):
    values = falling()
    twice = values | {
        (f"{loss}", level, r + 10): value for (loss, level, r), value in values.items()
    }
    elsewhere = {cell: {"dataset": "other"} for cell in twice if cell[2] >= 10}
    (run,) = content(run_of(tmp_path / "r", twice, users=True, elsewhere=elsewhere))["runs"]
    (answer,) = run["answer"]
    told = (
        "In the top group, of 2 pairs of a data set and a backbone: BPR on 2; the others on none."
    )
    assert answer["summary"] == told
    assert len(answer["panels"]) == 2


def test_where_nothing_can_be_tested_no_loss_is_in_the_top_group(tmp_path):
    (run,) = content(run_of(tmp_path / "r", falling(replicates=1)))["runs"]
    (panel,) = run["panels"]
    rows = panel["ranks"]["0"]["kept"]["rows"]
    assert [(row[1], row[5], row[6]) for row in rows] == [(n, False, "") for n in (1, 2, 3)]
    (answer,) = run["answer"]
    assert answer["panels"] == [
        "On toy, MF, BPR keeps most: 0.938 (no interval) of its clean NDCG@20, on average up to "
        "level 0.5. Differences cannot be tested: too few replicates, without values of single "
        "users. Softmax (SL) keeps least: 0.812 (no interval)."
    ]


def test_a_loss_that_nothing_was_compared_with_is_not_in_the_top_group(tmp_path):
    coming = [("ccl", level, 0) for level in (0.0, 0.2, 0.5)]
    held = run_of(tmp_path / "r", falling(("bpr",)), users=True, to_come=coming)
    (run,) = content(held)["runs"]
    ((row,),) = [panel["ranks"]["0"]["kept"]["rows"] for panel in run["panels"]]
    assert (row[1], row[5], row[6]) == (1, False, "")
    (answer,) = run["answer"]
    (said,) = answer["panels"]
    assert said.startswith("On toy, MF, only BPR has a score: it keeps 0.938 [")


def test_a_loss_that_is_not_applicable_has_no_place_and_is_marked(tmp_path):
    held = run_with(tmp_path / "r", not_applicable=(("mse", "noise"),))
    (run,) = content(held)["runs"]
    number = [one["key"] for one in run["labels"]["loss"]].index("mse")
    (panel,) = run["panels"]
    assert panel["absent"] == [number]
    assert all(row[0] != number for row in panel["ranks"]["0"]["kept"]["rows"])
    (sheet,) = [one for one in run["cautions"] if one["name"] == "not-applicable"]
    assert sheet["rows"] == [["MSE", "noise"]]


def test_failed_capped_and_missing_cells_are_told_with_reasons(tmp_path):
    values = falling() | {("mse", 0.0, 0): None, ("mse", 0.2, 0): 0.1}
    coming = [("mse", 0.5, 0)]
    records = {"capped": True}
    held = run_of(tmp_path / "r", values, users=True, to_come=coming, records=records)
    (run,) = content(held)["runs"]
    assert run["failures"]["rows"] == [["toy mf mse noise level 0 replicate 0", "it diverged"]]
    assert run["state"] == "28 of 30 cells done, 1 failed, 1 left"
    care = " ".join(run["care"])
    assert "The run is not finished: 1 cell of 30 left." in care
    assert "1 cell failed; the reasons are under Cautions." in care
    assert "28 trainings may be too short (capped)." in care
    (capped,) = [one for one in run["cautions"] if one["name"] == "not-converged"]
    assert capped["title"] == "Perhaps not converged: 28 trainings"
    assert capped["rows"][0] == ["toy", "MF", "BPR", "noise", "0", ["3 of 3", 3]]


def test_a_run_that_has_just_begun_is_refused_in_words(tmp_path):
    held = run_of(tmp_path / "r", {}, to_come=falling())
    with pytest.raises(InputError, match="no finished cell to report; see robustbench-rec status"):
        content(held)


def test_a_run_without_levels_shows_values_and_ranks_nothing(tmp_path):
    (run,) = content(run_of(tmp_path / "r", falling(levels=(0.0,)), users=True))["runs"]
    (panel,) = run["panels"]
    assert (run["answer"], panel["ranks"], panel["levels"]) == ([], {}, [0.0])
    assert len(panel["curves"]["0"]) == len(LOSSES)


def test_an_older_protocol_is_told(tmp_path, checkout):
    old = read_run(checkout / "results" / "reference" / "health")
    (run,) = content(old)["runs"]
    told = f"The cells are of protocol 2, not of today's {PROTOCOL}"
    assert any(one.startswith(told) for one in run["care"])
    assert [one["name"] for one in run["tables"]] == ["main", "published", "time"]


def test_runs_of_different_suites_and_protocols_stand_side_by_side(checkout, tmp_path):
    old = read_run(checkout / "results" / "reference" / "health")
    today = {"protocol": (PROTOCOL,)}
    found = content(old, run_with(tmp_path / "a", **today), run_with(tmp_path / "b", **today))
    assert [one["name"] for one in found["runs"]] == ["health", "a", "b"]
    assert found["title"] == "health, a, b"
    assert [bool(one["warning"]) for one in found["runs"]] == [True, False, False]


def test_runs_of_one_suite_in_folders_of_one_name_are_numbered(tmp_path):
    found = content(run_with(tmp_path / "a" / "r"), run_with(tmp_path / "b" / "r"))
    assert [one["name"] for one in found["runs"]] == ["r (1)", "r (2)"]


def test_a_suite_hides_orders_and_names_losses(tmp_path):
    text = 'name = "s"\n[figures]\norder = ["softmax"]\nhide = ["ccl"]\n'
    text += '[[loss]]\nname = "bpr"\nlabel = "Mine"\n'
    specs = {"loss": {one: f"{one}()" for one in LOSSES}}
    (run,) = content(run_with(tmp_path / "r", suite_text=text, specs=specs))["runs"]
    labels = run["labels"]["loss"]
    assert [one["key"] for one in labels] == ["softmax", "bpr", "ccl"]
    assert [one.get("hidden", False) for one in labels] == [False, False, True]
    assert labels[1]["name"] == "Mine"


def test_numbers_have_six_digits_and_nan_is_nothing(tmp_path):
    (run,) = content(run_of(tmp_path / "r", falling(replicates=1)))["runs"]
    (panel,) = run["panels"]
    point = panel["curves"]["0"]["0"][1]
    assert point[3:6] == [0.285, None, None]
    assert pd.isna(curves(run_of(tmp_path / "q", falling(replicates=1)))["low"]).all()
