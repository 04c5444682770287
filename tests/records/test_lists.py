"""Lists of trainings: kept by original ids, compared over users and items of either."""

import numpy as np
import pytest
import runs

from robustbench_rec.records.lists import Lists, agreement
from robustbench_rec.records.run import compact, read_run
from robustbench_rec.records.run_folder import RunFolder

ITEMS = np.array(["apple", "bean", "corn", "date"])


def lists(users, *rows, items=ITEMS):
    return Lists.of(np.array(users), np.array(rows), items)


def test_lists_keep_original_ids_of_what_is_listed():
    held = lists([7, 9], [2, 0], [0, -1])
    assert held.items.tolist() == ["apple", "corn"]
    assert held.places.tolist() == [[1, 0], [0, -1]]


def test_agreement_is_over_common_users_by_original_ids():
    one = lists([7, 9], [2, 0], [0, 1])
    other = lists([9, 11], [1, 2], [0, 1], items=np.array(["aloe", "apple", "corn"]))
    # User 9 has apple, bean and apple, corn.
    assert agreement(one, other) == {
        "jaccard@20": pytest.approx(1 / 3),
        "rbo@20": pytest.approx((1 + 0.9 / 2) / 1.9),
    }
    with pytest.raises(ValueError, match="no user was tested by both"):
        agreement(one, lists([1], [0, 1]))


@pytest.fixture
def folder(tmp_path):
    """Return a run of one loss, under noise of the training and under a shift of the test."""
    cells = {
        "a0": runs.cell(training="clean"),
        "a1": runs.cell(level=0.5, training="noisy"),
        "b0": runs.cell(perturbation="shift", training="clean"),
        "b1": runs.cell(perturbation="shift", level=0.5, training="clean"),
    }
    held = RunFolder(tmp_path / "run")
    with held.locked():
        held.begin(runs.manifest(cells=cells))
        held.write_lists("clean", lists([7, 9], [0, 1], [1, 2]))
        held.write_lists("noisy", lists([7, 9], [0, 1], [3, 0]))
        for id, cell in cells.items():
            held.write(runs.record(id, level=cell["level"], metrics={"ndcg@20": 0.5}))
    return held


def test_a_run_s_end_compares_lists_with_those_of_level_0(folder):
    compact(folder)
    frame = read_run(folder.folder).results
    rows = frame[frame["metric"] == "jaccard@20"]
    # Of the shift there is none: it changes no list.
    assert rows[["perturbation", "level", "value"]].to_numpy().tolist() == [
        ["noise", 0.0, 1.0],
        ["noise", 0.5, 0.5],
    ]


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_lists_that_cannot_be_read_cost_their_comparison_alone(folder, damage):
    path = folder.lists / "noisy.npz"
    path.unlink() if damage is None else path.write_bytes(damage)
    heard = runs.Heard()
    frame = compact(folder, heard).results
    told = ["noisy.npz: damaged lists (" in line for line in heard.warnings]
    assert told == [True] * (damage is not None)
    assert (frame["metric"] == "ndcg@20").sum() == 4
    assert frame.loc[frame["metric"] == "rbo@20", "level"].tolist() == [0.0]
