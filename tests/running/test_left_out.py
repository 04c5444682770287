"""Users whom a perturbation leaves no negative are not trained on, and that is told once a run."""

from pathlib import Path

import pytest
import runs

from robustbench_rec.cli import output
from robustbench_rec.records.run import Run
from robustbench_rec.running.session import run

SUITE = """
name = "own"
replicates = 2
replicates_vary = "training"
baselines = ["popularity"]
training = { epochs = 1 }
[[dataset]]
name = "mine"
path = "mine"
[[backbone]]
name = "mf"
dim = 4
[[loss]]
name = "bpr"
[[perturbation]]
name = "false_positives"
level = [0.0, 0.5, LEVEL]
"""


def made(folder: Path, level: str, most: list[str]) -> Run:
    """Run a suite on data in which some users met six of nine items, and are not tested."""
    (folder / "mine").mkdir()
    parts = {
        "train": {"a": "123456", "b": "456789", **dict.fromkeys(most, "123456")},
        "valid": {"a": "7", "b": "1"},
        "test": {"a": "8", "b": "2"},
    }
    for part, met in parts.items():
        rows = [f"{user},{item}" for user, items in met.items() for item in items]
        (folder / "mine" / f"{part}.csv").write_text("\n".join(["user,item", *rows, ""]))
    (folder / "own.toml").write_text(SUITE.replace("LEVEL", level))
    return run(
        folder / "own.toml", folder / "out", engine="serial", data_dir=folder, events=runs.Heard()
    )


@pytest.mark.parametrize(
    ("users", "named"),
    [
        (["collector"], "1 user met every item under false_positives level 0.5: collector"),
        (list("vwxyz"), "5 users met every item under false_positives level 0.5: v, w, x and 2 mo"),
    ],
)
def test_users_whom_a_perturbation_leaves_no_negative_are_told_of(tmp_path, capsys, users, named):
    done = made(tmp_path, "0.6", users)
    output.say_cautions(done)
    told = [line for line in capsys.readouterr().err.splitlines() if "no negative" in line]
    assert len(told) == 1
    assert told[0].startswith(f"warning: data set mine: {named}")
    assert told[0].endswith("(4 cells with such users)")
    (left,) = done.summary.left_out
    assert (left.users, left.cells) == (len(users), 4)


def test_who_has_a_negative_left_is_not_told_of(tmp_path):
    done = made(tmp_path, "0.3", ["collector"])
    assert [one.cells for one in done.summary.left_out] == [2]
    levels = {record.perturbation.level for record in done.records.values() if record.left_out}
    assert levels == {0.5}
