"""Claims of a run: confirmed, refuted, undecided or untested, and what contradicts them."""

import json
from copy import copy
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import runs
from click.testing import CliRunner
from frames import frame

from robustbench_rec import InputError
from robustbench_rec.analysis.claims import CLAIMED, claims
from robustbench_rec.cli.main import main
from robustbench_rec.experiment.claim import Claim
from robustbench_rec.records.run import read_run
from robustbench_rec.records.run_folder import RunFolder

STORED = Path(__file__).parents[2] / "results" / "reference" / "false-negatives"
KEEPS = {"softmax": 0.7, "drrl": 0.9, "ccl": 0.98, "twin": 0.7}
"""Loss -> what it keeps of .4 at the hardest level."""
LEVELS = (0.0, 0.2, 0.4)
CLEAN: dict[str, float] = {}
"""What losses reach more, at every level."""
LOWER: tuple[str, float] | None = None
CAPPED: tuple[str, float] | None = None
USED = {"softmax": 1.0, "drrl": 0.8, "ccl": 0.1, "twin": 1.0}


def claim(kind="keeps-more", loss="drrl", than="softmax", perturbation="noise", **more):
    asks = {"says": f"{loss} {kind} {than}", "kind": kind, "loss": loss}
    asks |= {"than": than} if kind != "not-beaten" else {}
    asks |= {"perturbation": perturbation} if kind in ("keeps-more", "not-beaten") else {}
    return Claim(**asks | more)


def told(*words: object) -> str:
    """Return what a command prints."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def judged(tmp_path):
    """Return a function that judges claims of a run of six replicates, by what they say."""

    def judge(*made, spread=0.003, specs=None, replicates=6):
        rng = np.random.default_rng(0)
        cells = {
            f"{loss}{level}-{r}": runs.cell(loss, level, replicate=r)
            for loss in KEEPS
            for level in LEVELS
            for r in range(replicates)
        }
        made = runs.manifest(cells=cells, suite_cells=len(cells), claims=made, specs=specs or {})
        folder = RunFolder(tmp_path / "run")
        easy = {r: 0.4 + 0.02 * rng.standard_normal() for r in range(replicates)}
        with folder.locked():
            folder.begin(made)
            for id, cell in cells.items():
                loss, level, r = cell["loss"], cell["level"], cell["replicate"]
                lost = 1 - (1 - KEEPS[loss]) * level / LEVELS[-1]
                noise = spread * rng.standard_normal() * (level > 0 or loss == "ccl")
                lower = 0.2 if (loss, level) == LOWER else 0.0
                own = {"ndcg@20": easy[r] * lost + noise + CLEAN.get(loss, 0.0) - lower}
                used = [(2, {"utilisation": USED[loss] + 0.001 * rng.standard_normal()})]
                told = {"metrics": own, "best_epoch": 2, "capped": (loss, level) == CAPPED}
                record = runs.record(id, level=level, replicate=r, **told)
                folder.write(record.model_copy(update={"diagnostics_history": tuple(used)}), {})
        found = claims(read_run(folder.folder))
        assert list(found.columns) == CLAIMED
        return found.set_index("says").to_dict("index")

    return judge


def test_what_keeps_more_at_each_level_is_confirmed_and_the_other_way_round_refuted(judged):
    more, less = claim(), claim(loss="softmax", than="drrl")
    found = judged(more, less)
    assert found[more.says]["verdict"] == "confirmed"
    assert found[more.says]["about"] == "retention at 0.2, 0.4"
    least = found[more.says]["effect"]
    assert least == pytest.approx(0.1, abs=0.02)  # at .2, the less certain of both
    assert (found[more.says]["at"], found[less.says]["at"]) == (0.2, 0.4)
    assert found[more.says]["p"] <= 0.05
    assert found[less.says]["verdict"] == "refuted"
    assert found[less.says]["effect"] == pytest.approx(-0.2, abs=0.02)  # at .4, the surer of both


def test_each_level_of_a_claim_is_told_with_its_own_test(judged, tmp_path):
    more = claim()
    found = judged(more, claim(level=0.4, says="of one level"))
    held = found[more.says]
    assert [one["at"] for one in held["levels"]] == [0.2, 0.4]
    assert [one["effect"] for one in held["levels"]] == pytest.approx([0.1, 0.2], abs=0.02)
    assert max(one["p"] for one in held["levels"]) == held["p"] <= 0.05
    (decides,) = (one for one in held["levels"] if one["at"] == held["at"])
    assert {key: held[key] for key in decides} == decides
    assert found["of one level"]["levels"] == ()
    lines = told("claims", tmp_path / "run", "--levels").splitlines()
    assert [line.split(":")[0].split()[-2:] for line in lines[1:4]] == [
        ["at", "0.2"],
        ["at", "0.2"],
        ["at", "0.4"],
    ]
    assert told("claims", tmp_path / "run").splitlines()[:4] == [*lines[:2], "", lines[5]]


def test_what_beats_the_loss_there_stands_beside_the_claim(judged):
    more, best = claim(), claim("not-beaten", loss="ccl")
    found = judged(more, best, claim("not-beaten", loss="drrl", says="drrl is best"))
    assert found[more.says]["beaten_by"] == ("ccl",)
    assert (found[best.says]["verdict"], found[best.says]["beaten_by"]) == ("not refuted", ())
    assert found["drrl is best"]["verdict"] == "refuted"
    assert found["drrl is best"]["about"] == "kept up to 0.4"


def test_what_is_better_on_clean_data_or_uses_less_stands_beside_claims_of_these(
    judged, monkeypatch
):
    monkeypatch.setitem(globals(), "CLEAN", {"ccl": 0.05})
    same, less = claim("equivalent", loss="twin"), claim("uses-less", loss="drrl")
    found = judged(same, less)
    assert (found[same.says]["verdict"], found[same.says]["beaten_by"]) == ("confirmed", ("ccl",))
    assert (found[less.says]["verdict"], found[less.says]["beaten_by"]) == ("confirmed", ("ccl",))
    assert found[same.says]["family"] == 2 + 3 + 1 + 3  # both tests, rivals; one test, rivals


def test_levels_below_the_claims_own_do_not_count(judged):
    found = judged(claim(level=0.4))["drrl keeps-more softmax"]
    assert found["about"] == "retention at 0.4"
    assert found["at"] is None
    assert found["effect"] == pytest.approx(0.2, abs=0.02)


def test_differences_that_the_spread_hides_are_undecided_and_what_would_decide_is_said(judged):
    found = judged(claim(loss="twin"), spread=0.03)["twin keeps-more softmax"]
    assert found["verdict"] == "undecided"
    assert "replicates" in found["decides"]


def test_clean_values_that_are_close_are_equivalent_and_others_are_not(judged):
    same, other = claim("equivalent", loss="twin"), claim("equivalent", loss="ccl")
    found = judged(same, other)
    assert found[same.says]["verdict"] == "confirmed"
    assert found[same.says]["about"] == "clean ndcg@20"
    assert found[other.says]["verdict"] == "confirmed"  # .003 of .4 is within 2%
    found = judged(other, spread=0.05)
    assert found[other.says]["verdict"] == "undecided"


def test_what_uses_less_of_its_negatives_is_compared_over_replicates(judged):
    less, more = claim("uses-less", loss="ccl"), claim("uses-less", loss="softmax", than="ccl")
    found = judged(less, more)
    assert found[less.says]["verdict"] == "confirmed"
    assert found[less.says]["effect"] == pytest.approx(0.9, abs=0.01)
    assert found[more.says]["verdict"] == "refuted"


@pytest.mark.parametrize(("scale", "verdict"), [("1.0", "untested"), ("2.0", "confirmed")])
def test_a_degenerate_case_tests_no_claim(judged, scale, verdict):
    specs = {"loss": {"drrl": f"drrl(order=1.2, scale={scale})"}}
    found = judged(claim(untested={"scale": 1.0}), specs=specs)["drrl keeps-more softmax"]
    assert found["verdict"] == verdict
    if verdict == "untested":
        assert found["decides"] == "it was run as drrl(scale=1), a degenerate case"


def test_a_loss_or_level_that_was_not_run_and_one_replicate(judged, tmp_path):
    away = claim(loss="psl")
    best = claim("not-beaten", loss="psl")
    found = judged(away, best)
    assert [found[one.says]["verdict"] for one in (away, best)] == ["not run", "not run"]
    assert found[away.says]["decides"].startswith("the run lacks a loss, a level or a perturbat")
    one = judged(claim(), replicates=1)["drrl keeps-more softmax"]
    assert one["verdict"] == "undecided"
    assert one["decides"] == "3 replicates at least, to see their spread"
    assert told("claims", tmp_path / "run", "--levels").count(", not tested") == 3


def test_shares_of_what_may_be_nothing_are_not_defined(judged, monkeypatch, tmp_path):
    monkeypatch.setitem(globals(), "CLEAN", dict.fromkeys(KEEPS, -0.4))
    found = judged(claim(), claim("not-beaten", says="drrl is best"))
    more = found["drrl keeps-more softmax"]
    assert (more["verdict"], more["decides"]) == (
        "undecided",
        "not defined: a clean value may be 0",
    )
    assert found["drrl is best"]["verdict"] == "undecided"
    assert found["drrl is best"]["decides"] == "not compared: softmax, ccl, twin"
    (row, _) = json.loads(told("claims", tmp_path / "run", "--json"))
    assert [(one["effect"], one["low"]) for one in row["levels"]] == [(None, None)] * 2
    assert told("claims", tmp_path / "run", "--levels").count(": not defined") == 2


def test_a_suite_without_claims_says_how_to_add_them(judged):
    with pytest.raises(InputError, match=r"suite 's' makes no claim; add tables to the suite's fi"):
        judged()


def test_one_level_refutes_a_claim_of_all_and_levels_may_point_both_ways(judged, monkeypatch):
    monkeypatch.setitem(globals(), "KEEPS", KEEPS | {"drrl": 1.3})
    more = claim()
    assert judged(more)[more.says]["verdict"] == "confirmed"
    monkeypatch.setitem(globals(), "LOWER", ("drrl", 0.2))
    found = judged(more)[more.says]
    assert (found["verdict"], found["decides"]) == ("refuted", "")
    assert found["effect"] < 0  # at the level that refutes it
    found = judged(more, spread=0.2)[more.says]
    assert (found["verdict"], found["decides"]) == ("undecided", "levels point both ways")
    assert found["at"] == 0.2
    assert found["effect"] < 0  # what speaks against the claim, though the other is less certain


def test_a_difference_that_is_there_does_not_refute_equivalence_but_one_beyond_the_region_does(
    judged, monkeypatch
):
    near = claim("equivalent", loss="ccl")
    monkeypatch.setitem(globals(), "CLEAN", {"ccl": 0.0075})  # 1.9% of .4
    assert judged(near, spread=0.0015)[near.says]["verdict"] != "refuted"
    monkeypatch.setitem(globals(), "CLEAN", {"ccl": 0.05})
    assert judged(near, spread=0.0015)[near.says]["verdict"] == "refuted"


def test_flags_of_the_losses_stand_beside_their_claims(judged, monkeypatch):
    monkeypatch.setitem(globals(), "CAPPED", ("drrl", 0.4))
    found = judged(claim(), claim(loss="ccl"))
    assert found["drrl keeps-more softmax"]["flags"] == "capped"
    assert found["ccl keeps-more softmax"]["flags"] == ""


NULL = ("keeps-more", "uses-less", "equivalent", "not-beaten")


@pytest.mark.simulation
def test_in_null_worlds_a_claim_is_decided_at_most_as_often_as_said():
    """Five losses that are alike, three claims of each kind, and what beats a loss beside each."""
    run, losses, replicates = read_run(STORED), [f"loss{at}" for at in range(5)], 5
    made = [
        claim(kind, loss, than, says=f"{loss} {kind}")
        for kind in NULL
        for loss, than in pairwise(losses[:4])
    ]
    run.manifest = run.manifest.model_copy(update={"claims": tuple(made), "metrics": ("ndcg@20",)})
    rng, worlds, wrong, grid = np.random.default_rng(0), 1000, 0, LEVELS
    points = list(product(losses, grid, range(replicates)))
    held = frame(*((*point, 0.0) for point in points)).assign(perturbation="noise")
    drawn = held.drop(columns="metric").assign(diagnostic="utilisation", best=True)
    for name, value in {"users": {}, "summary": SimpleNamespace(tuning=())}.items():
        run.__dict__[name] = value  # as if read
    read = run
    for _ in range(worlds):
        run = copy(read)  # points of a run are computed once
        lucky = 0.02 * rng.standard_normal(replicates)[held["replicate"]]
        easy = 0.4 - 0.2 * held["level"] + lucky
        run.__dict__["results"] = held.assign(value=easy + 0.01 * rng.standard_normal(len(held)))
        used = 0.5 + 0.01 * rng.standard_normal(len(held))
        run.__dict__["diagnostics"] = drawn.assign(value=used)
        found = claims(run)
        assert set(found["verdict"]) <= {"confirmed", "refuted", "undecided", "not refuted"}
        decided = found["verdict"].isin(["confirmed", "refuted"])
        true = found["says"].str.endswith("equivalent") & (found["verdict"] == "confirmed")
        wrong += bool((decided & ~true).any() or found["beaten_by"].map(len).any())
    assert wrong / worlds <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / worlds), wrong / worlds
