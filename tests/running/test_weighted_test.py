"""A metric without a weighted form is left out where the test is weighted, from run to figure."""

import json

import numpy as np
import pytest
from commands import run_here
from tiny import WORLD

from robustbench_rec.records.run import read_run
from robustbench_rec.records.run_folder import RunFolder

SUITE = (
    """
name = "weighted"
baselines = ["popularity"]
metrics = ["mrr@20", "ndcg@20"]
training = { epochs = 1 }
"""
    + WORLD
    + """[[loss]]
name = "mse"
[[perturbation]]
name = "popularity_shift"
level = [0.0, 0.25, 0.5]
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.5]
[[reference]]
dataset = "synthetic"
backbone = "mf"
loss = "bpr"
perturbation = "popularity_shift"
level = 0.5
values = { "mrr@20" = 0.1, "ndcg@20" = 0.1 }
averaging = "test-users"
source = "nobody"
"""
)
LEFT_OUT = "mrr@20 has no weighted form, so not computed under popularity_shift above level 0"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run the suite, and return the folder of its results."""
    folder = tmp_path_factory.mktemp("weighted")
    (folder / "weighted.toml").write_text(SUITE)
    done = again(folder / "out")
    assert done.returncode == 0, done.stderr
    assert LEFT_OUT in done.stdout
    return folder / "out"


def again(out):
    """Run the suite into a folder beside it."""
    return run_here("run", out.with_name("weighted.toml"), "--out", out, "--no-figures")


def test_it_is_left_out_with_a_word_and_nothing_runs_again(ran):
    run = read_run(ran)
    levels = run.results.groupby(["perturbation", "metric"])["level"].unique()
    assert sorted(levels["popularity_shift", "mrr@20"]) == [0.0]
    assert sorted(levels["popularity_shift", "ndcg@20"]) == [0.0, 0.25, 0.5]
    assert sorted(levels["popularity_shift", "coverage@20"]) == [0.0, 0.25, 0.5]
    assert sorted(levels["hidden_positives", "mrr@20"]) == [0.0, 0.5]
    done = again(ran)
    assert done.returncode == 0, done.stderr
    assert "15 done, 0 to run" in done.stdout
    assert "again" not in done.stdout


def test_weights_of_users_stand_beside_the_metrics_and_give_their_mean(ran):
    weighted = 0
    for path in sorted((ran / "cells").glob("*.json")):
        record, arrays = json.loads(path.read_text()), RunFolder(ran).per_user(path.stem)
        if record["perturbation"]["name"] == "popularity_shift" and record["perturbation"]["level"]:
            weighted += 1
            weight, values = arrays["weight"], arrays["ndcg@20"]
            assert weight.dtype == np.float16
            assert weight.shape == arrays["users"].shape
            assert weight.mean() == pytest.approx(1, rel=1e-3)
            mean = np.average(values, weights=weight.astype(np.float64))
            assert record["metrics"]["ndcg@20"] == pytest.approx(mean, rel=1e-3)  # of halves
            assert record["realised"]["exponent"] == record["perturbation"]["level"]
        else:
            assert "weight" not in arrays
    assert weighted == 6


def test_what_reads_the_run_does_without_it(ran, tmp_path):
    tables = tmp_path / "tables"
    for words in (
        ("compare", ran),
        ("compare", ran, "--against", "bpr"),
        ("status", ran),
        ("figures", ran, "--perturbation", "popularity_shift"),
        ("merge", ran, "--out", tables, "--no-figures"),
        ("compare", tables, "--against", "bpr"),
        ("figures", tables, "--perturbation", "popularity_shift", "--metric", "ndcg@20"),
    ):
        done = run_here(*words)
        assert done.returncode == 0, (words, done.stderr)
    drawn = {path.name for path in (ran / "figures").glob("*popularity_shift*.png")}
    assert any("ndcg_at_20" in name for name in drawn)
    assert "1 not run" in run_here("compare", ran).stdout
