"""Shares of a suite, run apart and merged, and settings chosen before."""

import pandas as pd
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


@pytest.mark.parametrize("tables", [False, True], ids=["records", "tables"])
def test_trials_of_another_run_are_taken_over(tmp_path, ran, in_process, tables):
    ran("tuned", *([] if tables else ["--tune-only"]))
    source = "tuned"
    if tables:
        source = "tables"
        assert in_process("merge", "tuned", "--out", source, "--no-figures").returncode == 0
    told = ran("out", "--tuned-as", source)
    assert "0 done, 2 taken over from" in told.stdout
    before, after = (read_run(tmp_path / name).trials for name in ("tuned", "out"))
    pd.testing.assert_frame_equal(after, before)  # seconds too: no trial was run again
    if tables:
        same = [(tmp_path / name / "results.csv").read_bytes() for name in ("tuned", "out")]
        assert same[0] == same[1]


def test_trials_of_other_studies_are_refused(tmp_path, ran, in_process):
    ran("tuned", "--tune-only")
    path = tmp_path / "shared.toml"
    path.write_text(path.read_text().replace("[1e-2, 1e-3]", "[1e-2, 2e-3]"))
    done = in_process("run", "shared.toml", "--out", "out", "--tuned-as", "tuned")
    assert done.returncode == 2
    assert "tuned: has no trial of this suite" in done.stderr
    done = in_process("run", "shared.toml", "--out", "out", "--tuned-as", "nowhere")
    assert (done.returncode, "nowhere: no run here" in done.stderr) == (2, True)
    assert not (tmp_path / "out" / "manifest.json").exists()
