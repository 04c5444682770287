"""Shares of a suite, run apart and merged, and settings chosen before."""

import pytest
from tiny import WORLD

from robustbench_rec.records.run import read_run

SUITE = (
    """\
name = "shared"
replicates = 2
training = { epochs = 2, batch_size = 512 }
tune = { trials = 2 }
"""
    + WORLD
    + """\
tune = { lr = [1e-2, 1e-3] }
[[loss]]
name = "mse"
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.4]
"""
)


@pytest.fixture
def ran(tmp_path, in_process):
    """Return a function that runs the suite into a folder, and returns what the command says."""
    (tmp_path / "shared.toml").write_text(SUITE)

    def run(folder, *options):
        done = in_process("run", "shared.toml", "--out", folder, "--no-figures", *options)
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_shares_merged_in_any_order_are_the_bytes_of_one_run(tmp_path, ran, in_process):
    ran("whole")
    for at in (1, 2, 3):
        ran(f"part-{at}", "--shard", f"{at}/3")
    parts = [f"part-{at}" for at in (3, 1, 2)]
    assert in_process("merge", *parts, "--out", "merged", "--no-figures").returncode == 0
    for name in ("results.csv", "diagnostics.csv", "users.npz"):
        merged, whole = (tmp_path / folder / name for folder in ("merged", "whole"))
        assert merged.read_bytes() == whole.read_bytes(), name


def test_settings_are_chosen_before_and_no_cell_is_run(tmp_path, ran):
    told = ran("out", "--tune-only")
    assert "lr" in told.stdout
    run = read_run(tmp_path / "out")
    assert (run.summary.done, len(run.trials)) == (0, 2)
    trials = {path.name: path.read_bytes() for path in (tmp_path / "out" / "tuning").iterdir()}
    ran("out", "--shard", "1/2")
    held = {path.name: path.read_bytes() for path in (tmp_path / "out" / "tuning").iterdir()}
    assert held == trials
    assert read_run(tmp_path / "out").summary.done > 0


def test_a_suite_that_tunes_nothing_says_so(tmp_path, in_process):
    (tmp_path / "plain.toml").write_text('name = "plain"\n' + WORLD)
    done = in_process("run", "plain.toml", "--out", "out", "--tune-only")
    assert done.returncode == 0, done.stderr
    assert "nothing to tune: no loss of the suite has `tune`" in done.stdout
    assert read_run(tmp_path / "out").summary.done == 0
