"""Data are checked before any worker starts: told in numbers, doubted, or refused once."""

from pathlib import Path

import pytest
import runs

from robustbench_rec import InputError
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.running.plan import Plan, check_data, make_plan

SUITE = """
name = "own"
replicates = 1
baselines = ["popularity"]
training = { epochs = 1 }
[[dataset]]
name = "mine"
path = "mine"
[[backbone]]
name = "mf"
[[loss]]
name = "bpr"
"""


def checked(folder: Path, files: dict[str, list[str]]) -> tuple[Plan, list[str]]:
    """Return the plan of a suite on files of pairs, and the warnings that were heard."""
    (folder / "mine").mkdir()
    for name, rows in files.items():
        (folder / "mine" / name).write_text("\n".join(["user,item", *rows, ""]))
    (folder / "own.toml").write_text(SUITE)
    suite = load_suite(str(folder / "own.toml"), folder)
    heard = runs.Heard()
    return check_data(
        make_plan(suite, RunFolder(folder / "out"), folder), folder, heard
    ), heard.warnings


def rows(users, items) -> list[str]:
    return [f"{user},{item}" for user in users for item in items]


def test_the_plan_tells_sizes_and_where_parts_came_from(tmp_path):
    train = rows("ab", "12") + rows("c", "34")
    files = {"train.csv": train, "valid.csv": ["a,3"], "test.csv": ["a,4", "b,3"]}
    plan, warnings = checked(tmp_path, files)
    (sizes,) = plan.sizes.values()
    assert list(plan.sizes) == ["mine"]
    assert (sizes.users, sizes.items, sizes.pairs, sizes.density) == (3, 4, 9, 0.75)
    where = tmp_path / "mine"
    assert sizes.sources == {
        "training": str(where / "train.csv"),
        "validation": str(where / "valid.csv"),
        "test": str(where / "test.csv"),
    }
    assert not warnings


def test_who_has_met_every_item_is_named_as_the_file_does(tmp_path):
    files = {
        "train.csv": rows("ab", "123") + rows(["collector"], "12345"),
        "test.csv": rows("ab", "4"),
    }
    _, (warning,) = checked(tmp_path, files | {"valid.csv": ["a,5"]})
    assert warning == (
        "data set mine: 1 user met every item in training: collector; they have no "
        "negatives, so their pairs are not used in training"
    )


def test_doubts_are_warned_of(tmp_path):
    train = [*rows(["U1", "U2", "U3", "U4", "U5"], "123"), "U1,4"]
    test = rows(["u1", "u2", "u3", "U4", "U5"], "4")
    _, (most, alike) = checked(tmp_path, {"train.csv": train, "test.csv": test})
    assert "3 of its 5 users are not in" in most
    assert "3 of 8 users differ from others only" in alike


def test_data_that_would_fail_every_cell_are_refused_once(tmp_path):
    with pytest.raises(InputError, match=r"^data set mine: no user has a validation pair, which"):
        checked(tmp_path, {"log.csv": rows("a", "12") + rows("b", "23")})
