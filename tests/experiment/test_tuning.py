"""Tuning: what is tried, what is chosen, what it may see, and whole runs that tune."""

import csv
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import runs
from commands import command_line, run_here

from robustbench_rec import (
    LOSSES,
    PERTURBATIONS,
    InputError,
    Interactions,
    Split,
)
from robustbench_rec.components.perturbation import perturb
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.experiment.search_space import (
    Choices,
    Entry,
    Range,
    Space,
    best,
)
from robustbench_rec.experiment.study import StudyOutcome, TriedSettings
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.records.files import sealed
from robustbench_rec.records.frames import TUNING_COLUMNS
from robustbench_rec.records.merge import merge
from robustbench_rec.records.record import Trial
from robustbench_rec.records.run import read_run
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running import execution
from robustbench_rec.running.execution import try_settings
from robustbench_rec.running.manifest import manifest_of
from robustbench_rec.running.plan import Plan, make_plan
from robustbench_rec.running.search import suggestions
from robustbench_rec.running.trained_on import with_noisy_validation
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing import toy_split
from robustbench_rec.training.fit import TrainConfig

pytestmark = pytest.mark.slow

SECONDS = 600
SUITE = """\
name = "tiny"
baselines = []
replicates = 2
training = {{ epochs = 2, eval_every = 1 }}

[[dataset]]
name = "synthetic"
n_users = 60
n_items = 50
positives = 20
hold_out = 0.1

[[backbone]]
name = "mf"
dim = 4

{losses}

[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.3]

{tail}
"""
TWO = """
[[loss]]
name = "bpr"
tune = { lr = [1e-3, 1e-2, 1e-1] }

[[loss]]
name = "softmax"
n_negatives = 8
tune = { tau = { low = 0.05, high = 1, log = true } }
"""


SOFTMAX = "softmax(n_negatives=8)"
"""Its label in results."""


def write_suite(folder: Path, losses: str = TWO, tail: str = "[tune]\ntrials = 4") -> Path:
    path = folder / "tiny.toml"
    path.write_text(SUITE.format(losses=losses, tail=tail))
    return path


def planned(folder: Path, losses: str = TWO, tail: str = "[tune]\ntrials = 4") -> Plan:
    suite = load_suite(str(write_suite(folder, losses, tail)), folder)
    return make_plan(suite, RunFolder(folder / "out"), folder)


def entry(**axes: Choices | Range) -> Entry:
    return Entry(LOSSES["softmax"](), TrainConfig(), Space(tuple(axes.items())))


# What is tried


def test_a_grid_is_in_the_file_s_order_and_holds_the_types_of_the_settings(tmp_path):
    tune = "[loss.tune]\nlr = [1, 0.1]\nn_negatives = [8, 4]\n"
    (tuned,) = load_suite(
        str(write_suite(tmp_path, f'[[loss]]\nname = "softmax"\n{tune}')), tmp_path
    ).losses
    grid = tuned.space.grid()
    assert grid == [
        {"lr": 1.0, "n_negatives": 8},
        {"lr": 1.0, "n_negatives": 4},
        {"lr": 0.1, "n_negatives": 8},
        {"lr": 0.1, "n_negatives": 4},
    ]
    assert isinstance(grid[0]["lr"], float)
    loss, training = tuned.at(grid[3])
    assert (loss.n_negatives, training.lr, training.epochs) == (4, 0.1, 2)


def answer(settings: dict) -> float:
    """Return a validation with its top at tau = 0.1."""
    return -abs(math.log10(settings["tau"]) + 1)


def drawn(
    tuned: Entry, budget: int, seed: int = 0, failing: int = -1, reached=answer
) -> list[dict]:
    """Return what is put when every draw is answered, one of them by a failure."""
    draws = suggestions(tuned, budget, seed)
    put, value = [], None
    while True:
        try:
            put.append(draws.send(value))
        except StopIteration:
            return put
        value = None if len(put) - 1 == failing else reached(put[-1])


def test_optuna_draws_within_the_range_and_nears_the_optimum():
    tuned = entry(tau=Range(low=1e-4, high=10, log=True))
    put = drawn(tuned, 16)
    assert len(put) == 16
    assert all(1e-4 <= settings["tau"] <= 10 for settings in put)
    # The nearest third of a decade is a fifteenth of the range: 16 blind draws miss it 1 time in 3.
    assert max(map(answer, put)) > -1 / 3


def test_optuna_follows_the_answers_after_ten_draws():
    tuned = entry(tau=Range(low=1e-4, high=10, log=True))
    low, high = (
        drawn(tuned, 40, reached=lambda settings, best=best: -abs(math.log(settings["tau"] / best)))
        for best in (1e-3, 1)
    )
    assert low[:10] == high[:10]
    # The geometric means of the latter draws stand apart as the optima do.
    means = [np.mean([math.log10(one["tau"]) for one in put[20:]]) for put in (low, high)]
    assert means[0] < -2 < -1 < means[1]


def test_equal_seeds_and_answers_get_equal_draws_and_others_do_not():
    tuned = entry(tau=Range(low=0.01, high=1), n_negatives=Choices((1, 2, 4)))
    assert drawn(tuned, 14) == drawn(tuned, 14)
    assert drawn(tuned, 14, seed=1)[0] != drawn(tuned, 14)[0]
    # A failure changes what follows it, nothing before.
    assert drawn(tuned, 14, failing=3)[:4] == drawn(tuned, 14)[:4]


def test_a_grid_beyond_the_budget_is_sampled_without_repeats():
    tuned = entry(tau=Choices(tuple(0.1 * n for n in range(1, 11))), n_negatives=Choices((1, 2)))
    assert not tuned.space.is_grid(19)
    assert tuned.space.is_grid(20)
    put = drawn(tuned, 19)
    assert len(put) == 19
    assert all(settings in tuned.space.grid() for settings in put)
    assert len({tuple(settings.items()) for settings in put}) == 19


def test_a_range_of_whole_numbers_gives_them_and_ends_when_all_are_tried():
    tuned = entry(n_negatives=Range(low=2, high=5))
    draws = suggestions(tuned, 16, 0)
    put = [next(draws)["n_negatives"]]
    while True:
        try:
            put.append(draws.send(0.5)["n_negatives"])
        except StopIteration:
            break
    assert sorted(put) == [2, 3, 4, 5]
    assert all(isinstance(value, int) for value in put)


def test_what_a_loss_refuses_is_not_put():
    class Odd(Entry):
        def at(self, settings):
            if settings["tau"] > 0.5:
                raise ValueError("too hot")
            return super().at(settings)

    tuned = Odd(LOSSES["softmax"](), TrainConfig(), Space((("tau", Range(low=0.1, high=1)),)))
    put = drawn(tuned, 10)
    assert len(put) == 10
    assert all(settings["tau"] <= 0.5 for settings in put)


# What is chosen


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([0.1, 0.3, 0.2], 1),
        ([None, 0.0, None], 1),
        ([None, None, None], None),
        ([0.3, 0.3, 0.1], 1),  # a tie: tau = 0.2 stands before 0.4 in the file
    ],
)
def test_the_best_is_chosen_and_of_equal_ones_the_first_of_the_file(values, chosen):
    space = Space((("tau", Choices((0.2, 0.4, 0.1))),))
    tried = [{"tau": 0.4}, {"tau": 0.2}, {"tau": 0.1}]
    assert best(space, list(zip(tried, values, strict=True))) == chosen


def test_of_equal_draws_the_first_is_chosen():
    space = Space((("tau", Range(low=0, high=1)),))
    assert best(space, [({"tau": 0.9}, 0.1), ({"tau": 0.5}, 0.2), ({"tau": 0.4}, 0.2)]) == 1


EDGES = [
    (Choices((0.1, 0.2, 0.3)), 0.2, ""),
    (Choices((0.3, 0.2, 0.1)), 0.3, "tau=0.3 is the largest candidate"),
    (Choices((0.1, 0.2, 0.3)), 0.1, "tau=0.1 is the smallest candidate"),
    (Choices((0.1,)), 0.1, ""),
    # log: the edges are 5% of two decades, so up to 0.01 * 10^0.1 = 0.0126
    (Range(low=0.01, high=1, log=True), 0.0125, "tau=0.0125 is at the lower end of its range"),
    (Range(low=0.01, high=1, log=True), 0.013, ""),
    (Range(low=0.0, high=1.0), 0.96, "tau=0.96 is at the upper end of its range"),
    (Range(low=0.0, high=1.0), 0.94, ""),
]


@pytest.mark.parametrize(("axis", "chosen", "says"), EDGES)
def test_a_choice_at_the_edge_is_told(axis, chosen, says):
    assert entry(tau=axis).edges({"tau": chosen}) == ([says] if says else [])


def test_what_ends_with_the_domain_and_what_has_no_order_has_no_edge():
    # weight_decay >= 0: nothing lies beyond 0, though much lies beyond 1e-2.
    decay = entry(weight_decay=Choices((0.0, 1e-4, 1e-2)))
    assert decay.edges({"weight_decay": 0.0}) == []
    assert len(decay.edges({"weight_decay": 1e-2})) == 1
    assert entry(score=Choices(("cosine", "dot"))).edges({"score": "dot"}) == []


# What it sees


def noised(name: str, level: float, split: Split) -> Split:
    rngs = rng_for("noise"), rng_for("carve")
    return with_noisy_validation(split, PERTURBATIONS[name](level=level), *rngs).split


@pytest.mark.parametrize("name", ["hidden_positives", "false_positives"])
def test_noisy_validation_is_as_large_and_carved_out_of_what_is_noisy(name):
    clean = toy_split()
    split = noised(name, 0.5, clean)
    whole = replace(
        clean,
        train=clean.train + clean.valid,
        seen=clean.seen + clean.valid,
        valid=clean.valid.none(),
    )
    perturbed = perturb(PERTURBATIONS[name](level=0.5), whole, rng_for("noise"))
    assert split.train + split.valid == perturbed.train
    # A fifth of each user's pairs validates, as before, one at least, though one stays to train on.
    left, drawn = perturbed.train.user_counts, split.valid.user_counts
    low, high = (np.minimum(np.maximum(one, 1), left - 1) for one in (left // 5, -(-left // 5)))
    assert (low <= drawn).all()
    assert (drawn <= high).all()
    assert (drawn == low).any()
    assert (low == high).all() or (drawn == high).any()
    assert split.test == clean.test  # which no noise is drawn from
    # What is held out was never in doubt; of the rest, masked is what is trained on.
    held_out = clean.false_negatives
    assert split.seen == split.train + held_out


def test_noise_stands_in_noisy_validation():
    clean = toy_split()
    valid = noised("false_positives", 0.5, clean).valid
    noise = ~(clean.train + clean.valid).holds(valid.users, valid.items)
    # ceil(0.5 * 10) = 5 false among 15 pairs: a third of 180, give or take 3 deviations of 6.3.
    assert 41 <= noise.sum() <= 79


def test_the_carving_does_not_follow_the_noise_s_generator():
    clean = toy_split()
    perturbation = PERTURBATIONS["hidden_positives"](level=0.2)
    one, two = (
        with_noisy_validation(clean, perturbation, rng_for("noise"), rng_for(carve)).split
        for carve in ("a", "b")
    )
    assert one.train + one.valid == two.train + two.valid
    assert one.valid != two.valid


EACH = '[tune]\ntrials = 4\nat = "each-level"\n'
MORE = """
[[perturbation]]
name = "false_positives"
level = [0.0, 0.3]

[[perturbation]]
name = "negative_contamination"
level = [0.0, 0.3]

[[perturbation]]
name = "popularity_shift"
level = [0.0, 1.0]

"""


def studied(plan: Plan) -> dict[tuple[str, str, float], str]:
    """Return which study each cell of a plan rests on."""
    return {
        (cell.loss.name, cell.perturbation.name, cell.perturbation.level): cell.tuned.study
        for cell in plan.cells
    }


def test_at_level_0_one_study_serves_all_cells_of_a_loss(tmp_path):
    plan = planned(tmp_path, tail=MORE + "[tune]\ntrials = 4")
    assert set(studied(plan).values()) == set(plan.studies)
    assert len(plan.studies) == 2
    assert all(study.base.trains_clean for study in plan.studies.values())
    assert {cell.replicate for cell in plan.cells} == {0, 1}


def test_tuned_in_each_replicate_a_study_is_of_its_split_and_draws_of_its_own(tmp_path):
    plan = planned(tmp_path, tail=MORE + '[tune]\ntrials = 4\nsplit = "each-replicate"')
    studies = {(cell.loss.name, cell.replicate): cell.tuned.study for cell in plan.cells}
    assert len(set(studies.values())) == len(plan.studies) == 2 * 2
    for (_, replicate), study in studies.items():
        assert plan.studies[study].base.replicate == replicate
    assert len({study.seed for study in plan.studies.values()}) == 2


def test_at_each_level_every_training_has_its_study_and_the_test_s_levels_that_of_level_0(tmp_path):
    plan = planned(tmp_path, tail=MORE + EACH)
    by_cell = studied(plan)
    clean = {by_cell["bpr", name, 0.0] for _, name, _ in by_cell}
    assert clean == {by_cell["bpr", "popularity_shift", 1.0]}
    noisy_ones = [by_cell["bpr", name, 0.3] for _, name, level in by_cell if level == 0.3]
    assert len({*noisy_ones, *clean}) == 1 + 3
    assert len(plan.studies) == 2 * 4


@pytest.fixture
def poisoned(monkeypatch):
    """Return a function that makes every load yield another test, and forgets what was loaded."""
    prepare = execution.prepare

    def poison(change) -> None:
        execution._prepared.cache_clear()
        monkeypatch.setattr(execution, "prepare", lambda *key: change(prepare(*key)))

    yield poison
    execution._prepared.cache_clear()


def other_test(split: Split) -> Split:
    """Test on half of the test pairs; the others are positives still, so no noise is of them."""
    half = np.arange(len(split.test)) % 2 == 0
    rest = split.test[~half].without(split.false_negatives)
    known = split.false_negatives + rest
    return replace(split, test=split.test[half], false_negatives=known)


def false_test(split: Split) -> Split:
    """Test on pairs that nobody ever liked."""
    users, items = np.divmod(np.arange(split.n_users * split.n_items), split.n_items)
    never = ~split.met().holds(users, items)
    test = Interactions(users[never], items[never], split.n_users, split.n_items)
    return replace(split, test=test)


def trial_of(plan: Plan, name: str, level: float) -> Cell:
    studies = plan.studies.values()
    bases = (study.base for study in studies if study.entry.loss.name == "bpr")
    clean = level == 0.0
    return next(
        base
        for base in bases
        if base.trains_clean == clean and (clean or base.perturbation.name == name)
    )


@pytest.mark.parametrize(
    ("name", "level", "change"),
    [
        ("hidden_positives", 0.0, other_test),
        ("hidden_positives", 0.0, false_test),
        ("hidden_positives", 0.3, other_test),
        ("hidden_positives", 0.3, false_test),
        ("false_positives", 0.3, other_test),
        ("negative_contamination", 0.3, other_test),
    ],
)
def test_a_poisoned_test_changes_no_trial(tmp_path, poisoned, name, level, change):
    trial = trial_of(planned(tmp_path, tail=MORE + EACH), name, level)
    poisoned(lambda split: split)
    honest = try_settings(trial, tmp_path)
    poisoned(change)
    blind = try_settings(trial, tmp_path)
    assert honest.status == "done", honest.error
    assert 0 < honest.validation < 1
    assert (blind.validation, blind.history) == (honest.validation, honest.history)


def test_a_trial_knows_no_test_metric(tmp_path):
    plan = planned(tmp_path, tail=EACH)
    kept = try_settings(trial_of(plan, "hidden_positives", 0.0), tmp_path).model_dump()
    assert "ndcg@20" not in json.dumps(kept)
    assert not kept.keys() & {"metrics", "users", "realised"}
    assert kept["validation"] == max(value for _, value in kept["history"])


def test_a_trial_is_of_a_split_of_its_own(tmp_path):
    plan = planned(tmp_path, tail=MORE + EACH)
    fits = {cell.fit_id for cell in plan.cells}
    for study in plan.studies.values():
        assert study.base.replicate == "tuning"
        assert study.trial({}).fit_id not in fits


# Identity


def test_a_cap_shortens_trials_and_nothing_else(tmp_path):
    whole = planned(tmp_path)
    capped = planned(tmp_path, tail="[tune]\ntrials = 4\nepochs = 1")
    assert {cell.training.epochs for cell in capped.cells} == {2}
    for study in capped.studies.values():
        assert study.trial({}).training.epochs == 1
    assert not whole.studies.keys() & capped.studies.keys()


def test_a_larger_budget_is_another_study_unless_all_was_tried(tmp_path):
    four = planned(tmp_path)
    five = planned(tmp_path, tail="[tune]\ntrials = 5")
    kept = four.studies.keys() & five.studies.keys()
    assert [four.studies[id].entry.loss.name for id in kept] == ["bpr"]
    assert {study.budget for study in five.studies.values()} == {3, 5}


def test_a_part_has_its_studies_and_the_rest_join_later(tmp_path):
    suite = load_suite(str(write_suite(tmp_path)), tmp_path)
    folder = RunFolder(tmp_path / "out")
    described: list[list[str]] = []
    for loss in ("softmax", "bpr"):
        plan = make_plan(suite, folder, tmp_path, [("loss", loss)])
        assert [study.entry.loss.name for study in plan.untuned.values()] == [loss]
        with folder.locked():
            folder.begin(manifest_of(plan))
        described.append([one.loss for one in folder.manifest().studies.values()])
    assert described == [[SOFTMAX], ["bpr", SOFTMAX]]


def test_a_tuned_cell_survives_json_and_differs_from_a_given_one_by_its_id_alone(tmp_path):
    losses = TWO + '\n[[loss]]\nname = "bpr"\ntraining = { lr = 1e-2 }\n'
    plan = planned(tmp_path, losses)
    (study,) = (one for one in plan.studies.values() if one.entry.loss.name == "bpr")
    given = next(cell for cell in plan.cells if cell.tuned is None)
    tried = TriedSettings(settings={})
    outcome = StudyOutcome(
        id=study.id,
        status="done",
        trials=(tried, tried, tried),
        failed=1,
        chosen={"lr": 1e-2},
        validation=0.25,
    )
    tuned = study.with_chosen(given, outcome)
    assert tuned.id != given.id
    assert tuned.fit_id == given.fit_id
    assert Cell.from_plain(json.loads(json.dumps(tuned.to_plain())), tmp_path) == tuned
    assert tuned.tuned.described() == {
        "at": "level-0",
        "trials": 3,
        "failed": 1,
        "validation ndcg@20": 0.25,
        "chosen": {"lr": 0.01},
        "study": study.id,
    }


# Whole runs


def run(suite: Path, out: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return run_here("run", suite, "--out", out, "--no-figures", *more)


def tuning(out: Path) -> tuple[dict[str, dict], dict[str, dict]]:
    """Return the studies and the trials of a run, by id."""
    held = [json.loads(path.read_text()) for path in (out / "tuning").glob("*.json")]
    studies = {one["id"]: one for one in held if "trials" in one}
    return studies, {one["id"]: one for one in held if one["id"] not in studies}


def table(out: Path) -> list[dict[str, str]]:
    with (out / "tuning.csv").open() as file:
        return list(csv.DictReader(file))


def cells(out: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Return the folder of a suite and of its run, and what the run said."""
    folder = tmp_path_factory.mktemp("finished")
    done = run(write_suite(folder), folder / "out")
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def copied(finished, tmp_path) -> tuple[Path, Path]:
    """Return a suite and its finished run, to do with as one likes."""
    copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy" / "tiny.toml", tmp_path / "copy" / "out"


def test_a_run_at_each_level_tunes_noise_apart_and_says_so(tmp_path):
    one = '[[loss]]\nname = "bpr"\ntune = { lr = [1e-3, 1e-1] }\n'
    suite, out = write_suite(tmp_path, one, EACH), tmp_path / "out"
    done = run(suite, out)
    assert done.returncode == 0, done.stderr
    studies, trials = tuning(out)
    assert len(studies) == 2
    assert len(trials) == 4
    found = {record["perturbation"]["level"]: record["tuned"] for record in cells(out)}
    assert (found[0.0]["at"], found[0.3]["at"]) == ("level-0", "each-level")
    assert found[0.0]["study"] != found[0.3]["study"]
    for tuned in found.values():
        study = studies[tuned["study"]]
        reached = {put["id"]: trials[put["id"]]["validation"] for put in study["trials"]}
        assert tuned["validation ndcg@20"] == max(reached.values())
    rows = {(row["perturbation"], row["level"]) for row in table(out)}
    assert rows == {("", "0.0"), ("hidden_positives", "0.3")}
    assert "tuned bpr on synthetic mf: lr=" in done.stdout
    assert "tuned bpr on synthetic mf hidden_positives level 0.3: lr=" in done.stdout


def test_a_run_tuned_in_each_replicate_says_which_in_words_and_in_its_table(tmp_path):
    one = '[[loss]]\nname = "bpr"\ntune = { lr = [1e-3, 1e-1] }\n'
    again = '[tune]\ntrials = 4\nsplit = "each-replicate"\n'
    suite, out = write_suite(tmp_path, one, again), tmp_path / "out"
    done = run(suite, out)
    assert done.returncode == 0, done.stderr
    assert [row["split"] for row in table(out)] == ["replicate 0"] * 2 + ["replicate 1"] * 2
    assert "tuned bpr on synthetic mf replicate 1: lr=" in done.stdout
    assert "separate split" not in done.stdout
    for record in cells(out):
        study = next(one for one in read_run(out).studies if one.id == record["tuned"]["study"])
        assert study.split == f"replicate {record['replicate']}"
    merge([out], tmp_path / "whole")
    kept = [one.split for one in read_run(tmp_path / "whole").studies]
    assert kept == ["replicate 0", "replicate 1"]


def test_a_dry_run_tells_the_trials_and_that_the_cells_follow(tmp_path):
    suite, out = write_suite(tmp_path), tmp_path / "out"
    dry = run(suite, out, "--dry-run")
    first, where, cells, design, *_ = dry.stdout.splitlines()
    assert design.startswith("2 replicates, each with its own split; epochs chosen on clean")
    assert first == (
        "tuning first: 2 studies, at most 7 trials, 0 done; the cells then use the chosen settings"
    )
    assert where.startswith(
        "settings are chosen on a separate split; if the suite splits the data,"
    )
    assert cells.startswith("suite tiny: 8 cells from 8 trainings, 0 done, 8 to run")
    assert not out.exists()


def test_a_run_tunes_first_and_its_cells_take_what_was_chosen(finished):
    folder, done = finished
    out = folder / "out"
    assert "tuning 7 of 7 trials, 0 running, 0 failed" in done.stderr
    studies, trials = tuning(out)
    assert sorted(len(study["trials"]) for study in studies.values()) == [3, 4]
    assert len(trials) == 7
    for study in studies.values():
        reached = {put["id"]: trials[put["id"]]["validation"] for put in study["trials"]}
        assert study["validation"] == reached[study["best"]] == max(reached.values())
    for record in cells(out):
        study = studies[record["tuned"]["study"]]
        assert record["tuned"]["chosen"] == study["chosen"]
        assert record["tuned"]["validation ndcg@20"] == study["validation"]
        best_trial = trials[study["best"]]
        assert record["loss"]["spec"] == best_trial["loss"]["spec"]
        assert record["training"] == best_trial["training"]
    assert set(read_run(out).results["loss"]) == {"bpr", SOFTMAX}
    rows = table(out)
    assert tuple(rows[0]) == TUNING_COLUMNS
    assert [row["trial"] for row in rows] == ["1", "2", "3", "1", "2", "3", "4"]
    assert [json.loads(row["settings"]) for row in rows[:3]] == [
        {"lr": 1e-3},
        {"lr": 1e-2},
        {"lr": 1e-1},
    ]
    for row in rows:
        (study,) = (
            one for one in studies.values() if row["settings"] in map(settings_of, one["trials"])
        )
        assert (row["chosen"] == "True") == (json.loads(row["settings"]) == study["chosen"])
        assert (row["status"], row["perturbation"], row["level"]) == ("done", "", "0.0")
    for said in (done.stdout, run_here("status", out).stdout):
        assert "tuned bpr on synthetic mf: lr=" in said
        assert "(4 of 4 trials, 0 failed)" in said
    manifest = RunFolder(out).manifest()
    assert manifest.tuning == {
        "trials": 4,
        "split": "own",
        "at": "level-0",
        "epochs": 0,
        "selected_by": "validation ndcg@20",
    }
    assert [one.loss for one in manifest.studies.values()] == ["bpr", SOFTMAX]


def settings_of(put: dict) -> str:
    return json.dumps(put["settings"])


def test_a_third_call_has_nothing_to_do_and_imports_neither_torch_nor_optuna(copied):
    suite, out = copied
    written = runs.written(out)
    code = (
        "import sys; from robustbench_rec.cli.main import main; "
        f"main(['run', {str(suite)!r}, '--out', {str(out)!r}, '--no-figures'], "
        "standalone_mode=False); print([m for m in ('torch', 'optuna') if m in sys.modules])"
    )
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS
    )
    assert again.returncode == 0, again.stderr
    assert "tuning first" not in again.stdout
    assert "8 done, 0 to run" in again.stdout
    assert again.stdout.splitlines()[-1] == "[]"
    assert runs.written(out) == written
    forced = run(suite, out, "--force")
    assert "0 done, 8 to run" in forced.stdout
    kept = {path: at for path, at in written.items() if path.parent.name == "tuning"}
    assert kept.items() <= runs.written(out).items()


HELD = """
import time
from dataclasses import dataclass
from pathlib import Path
from robustbench_rec import LOSSES, Loss, setting

@LOSSES.add("tuning-test-held")
@dataclass(frozen=True, kw_only=True)
class Held(Loss):
    "Waits for as long as the file `hold` stands beside it."

    a: float = setting(1.0, "a factor", above=0)

    def __call__(self, batch):
        while Path(__file__).with_name("hold").exists():
            time.sleep(0.01)
        return self.a * (batch.neg - batch.pos.unsqueeze(1)).sigmoid().mean()
"""


def held_suite(folder: Path) -> tuple[Path, tuple[object, ...]]:
    """Write a suite whose tuning can be held, and return it with the options that it needs."""
    (folder / "held.py").write_text(HELD)
    held = '\n[[loss]]\nname = "tuning-test-held"\ntune = { a = [1.0, 2.0] }\n'
    return write_suite(folder, TWO + held), ("--plugin", folder / "held.py")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """Return the folder of that suite, run in this process and left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    suite, options = held_suite(folder)
    done = run(suite, folder / "out", *options)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.mark.faults
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_while_tuning_repeats_no_trial_and_ends_alike(
    tmp_path, undisturbed, sent
):
    (suite, options), out = held_suite(tmp_path), tmp_path / "out"
    (tmp_path / "hold").touch()
    words = command_line("run", suite, "--out", out, "--no-figures", "--jobs", 2, *options)
    first = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + SECONDS
    while len(tuning_trials(out)) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(sent)
    _, errors = first.communicate(timeout=SECONDS)
    assert first.returncode == (130 if sent == signal.SIGINT else -sent)
    assert "Traceback" not in errors
    before = {path: path.stat().st_mtime_ns for path in tuning_trials(out)}
    assert 4 <= len(before) < 3 + 4 + 2
    assert not list((out / "cells").glob("*.json"))
    assert "tuning tuning-test-held on synthetic mf: " in run_here("status", out).stdout
    (tmp_path / "hold").unlink()
    again = run(suite, out, *options)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for name in ("results.csv", "tuning.csv"):
        assert without_seconds(out / name) == without_seconds(undisturbed / name)


def tuning_trials(out: Path) -> list[Path]:
    """Return the files of a run's trials, whole ones alone."""
    return [path for path in (out / "tuning").glob("*.json") if b'"history"' in path.read_bytes()]


def without_seconds(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


FAILING = """
[[loss]]
name = "bpr"
tune = { lr = [1e30, 1e31] }

[[loss]]
name = "softmax"
n_negatives = 8
tune = { lr = [1e30, 1e-2] }
"""


def test_failed_trials_count_as_tried_and_where_all_fail_the_cells_do_with_the_reason(tmp_path):
    suite, out = write_suite(tmp_path, FAILING), tmp_path / "out"
    done = run(suite, out)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "failed: tuning synthetic mf bpr with lr=1e+30: FloatingPointError" in done.stderr
    none = "none of 2 trials of its settings succeeded"
    reason = f"{none}; the first: FloatingPointError: "
    assert f"not tuned: bpr on synthetic mf: {reason}" in done.stdout
    title = "synthetic mf bpr hidden_positives level 0.3 replicate 1"
    assert f"failed: {title}: {reason}" in done.stderr
    assert "tuned softmax on synthetic mf: lr=0.01, " in done.stdout
    assert "(2 of 2 trials, 1 failed; the first: FloatingPointError: " in done.stdout
    assert "4 cells done, 4 failed" in done.stdout
    rows = table(out)
    assert [row["status"] for row in rows] == ["failed", "failed", "failed", "done"]
    assert [row["validation"] == "" for row in rows] == [True, True, True, False]
    summary = json.loads(run_here("status", out, "--json").stdout)
    assert (summary["done"], len(summary["failed"]), summary["left"]) == (4, 4, 0)
    assert [one["status"] for one in summary["tuning"]] == ["failed", "done"]
    written = runs.written(out)
    again = run(suite, out)
    assert again.returncode == 3
    assert runs.written(out) == written


MOODY = """
from dataclasses import dataclass
from pathlib import Path
from robustbench_rec import LOSSES, Loss, setting

@LOSSES.add("tuning-test-moody")
@dataclass(frozen=True, kw_only=True)
class Moody(Loss):
    "Fails at a = 2 as long as a file stands beside it, as memory may be short for a while."

    a: float = setting(1.0, "a factor", above=0)

    def __call__(self, batch):
        if self.a == 2 and Path(__file__).with_name("short").exists():
            raise MemoryError("short")
        return self.a * (batch.neg - batch.pos.unsqueeze(1)).exp().mean()
"""


def test_a_trial_that_failed_by_what_passed_is_tried_again_and_chosen_if_best(tmp_path):
    (tmp_path / "moody.py").write_text(MOODY)
    short = tmp_path / "short"
    short.touch()
    losses = '\n[[loss]]\nname = "tuning-test-moody"\ntune = { a = [1.0, 2.0, 3.0] }\n'
    suite, out = write_suite(tmp_path, losses), tmp_path / "out"
    plugin = ("--plugin", tmp_path / "moody.py")
    for _ in range(2):  # as long as it fails, it is tried again, and the others are not
        done = run(suite, out, *plugin)
        assert done.returncode == 0, done.stderr
        assert "(3 of 3 trials, 1 failed; the first: MemoryError: short (moody.py, " in done.stdout
    whole = [path for path in tuning_trials(out) if b'"failed"' not in path.read_bytes()]
    before = {path: path.stat().st_mtime_ns for path in whole}
    short.unlink()
    done = run(suite, out, *plugin)
    assert done.returncode == 0, done.stderr
    assert "(3 of 3 trials, 0 failed)" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in whole} == before
    best = max(json.loads(path.read_text())["validation"] for path in tuning_trials(out))
    (study,) = tuning(out)[0].values()
    assert study["validation"] == best
    written = runs.written(out)
    assert run(suite, out, *plugin).returncode == 0
    assert runs.written(out) == written


DEADLY = """
import os, signal
from dataclasses import dataclass
from robustbench_rec import LOSSES, Loss, setting

@LOSSES.add("tuning-test-deadly")
@dataclass(frozen=True, kw_only=True)
class Deadly(Loss):
    "Kills the worker it runs in, as running out of memory does."
    deadly: int = setting(0)

    def __call__(self, batch):
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return (batch.neg - batch.pos.unsqueeze(1)).sigmoid().mean()
"""


def test_a_trial_that_keeps_killing_its_worker_fails_alone(tmp_path, monkeypatch):
    """As a cell does, which has three workers to kill."""
    monkeypatch.setattr("robustbench_rec.running.pool.DEATHS", 1)
    (tmp_path / "deadly.py").write_text(DEADLY)
    losses = '[[loss]]\nname = "tuning-test-deadly"\ntune = { deadly = [1, 0] }'
    suite = write_suite(tmp_path, losses)
    worker = ("--engine", "loky", "--jobs", 1)
    done = run(suite, tmp_path / "out", "--plugin", tmp_path / "deadly.py", *worker)
    assert done.returncode == 0, done.stderr
    assert "with deadly=1: RuntimeError: its worker died 1 times" in done.stderr
    assert "deadly=0, validation NDCG@20 0." in done.stdout


def test_entries_of_one_loss_are_curves_of_their_own_though_they_come_to_the_same(tmp_path):
    losses = (
        '[[loss]]\nname = "bpr"\ntune = { lr = [1e-2] }\n'
        '[[loss]]\nname = "bpr"\ntraining = { lr = 1e-2 }\n'
        '[[loss]]\nname = "bpr"\ntune = { lr = [1e30, 1e-2] }\n'
    )
    out = tmp_path / "out"
    done = run(write_suite(tmp_path, losses), out)
    assert done.returncode == 0, done.stderr
    frame = read_run(out).results
    assert set(frame["loss"]) == {"bpr(lr=[0.01])", "bpr(lr=0.01)", "bpr(lr=[1e+30|0.01])"}
    by_loss = {loss: part["value"].tolist() for loss, part in frame.groupby("loss")}
    assert by_loss["bpr(lr=[0.01])"] == by_loss["bpr(lr=0.01)"] == by_loss["bpr(lr=[1e+30|0.01])"]
    # Four trainings, each evaluated for three entries; 1e-2 was tried once for both studies.
    assert len({record["fit_id"] for record in cells(out)}) == 4
    assert len(cells(out)) == 12
    studies, trials = tuning(out)
    assert (len(studies), len(trials)) == (2, 2)


def test_a_corrupt_trial_and_a_corrupt_study_are_named_and_made_again(copied):
    suite, out = copied
    studies, trials = tuning(out)
    before = without_seconds(out / "tuning.csv")
    study, trial = next(iter(studies)), next(iter(trials))
    for id in (study, trial, next(id for id in studies if id != study)):
        (out / "tuning" / f"{id}.json").write_text("{")
    again = run(suite, out)
    assert again.returncode == 0, again.stderr
    assert f"{study}.json: corrupt record (" in again.stderr
    assert f"{trial}.json: corrupt record (" in again.stderr
    assert "set aside, its trial counts as not run" in again.stderr
    assert without_seconds(out / "tuning.csv") == before
    assert len(list((out / "set-aside").iterdir())) == 3


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"replicate": 0}, {"loss": {"name": "bpr", "spec": "bpr(x=1)"}}]
)
def test_a_record_of_another_trial_is_set_aside_and_made_again(copied, change):
    suite, out = copied
    studies, trials = tuning(out)
    before = without_seconds(out / "tuning.csv")
    for id in studies:
        (out / "tuning" / f"{id}.json").unlink()
    victim = out / "tuning" / f"{next(iter(trials))}.json"
    held = Trial.model_validate_json(victim.read_bytes())
    victim.write_bytes(sealed(Trial.model_validate(held.model_dump() | change)))
    again = run(suite, out)
    assert again.returncode == 0, again.stderr
    (told,) = [line for line in again.stderr.splitlines() if "corrupt record" in line]
    assert f"{victim.name}: corrupt record (its {next(iter(change))} is " in told
    assert "that of its trial " in told
    assert "set aside, its trial counts as not run" in told
    assert [path.name for path in (out / "set-aside").iterdir()] == [victim.name]
    assert without_seconds(out / "tuning.csv") == before


def test_optuna_is_wanted_only_where_it_draws(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"tuning softmax needs Optuna.*pip install 'robustbench"):
        next(suggestions(entry(tau=Range(low=0.1, high=1)), 4, 0))
    refused = run(write_suite(tmp_path, TWO), tmp_path / "out")
    assert refused.returncode == 2
    assert refused.stderr == (
        "robustbench-rec: tuning softmax needs Optuna, because not every candidate fits "
        "the budget: pip install 'robustbench_rec[tune]'\n"
    )
    listed = TWO.replace("{ low = 0.05, high = 1, log = true }", "[0.1, 0.2]")
    assert run(write_suite(tmp_path, listed), tmp_path / "out").returncode == 0
