"""Published values: beside ours under the source's own averaging, and in figures."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import runs

from robustbench_rec import InputError
from robustbench_rec.analysis.against_published import DRAWN, compare, overlay
from robustbench_rec.records.run import compact, read_run
from robustbench_rec.records.run_folder import RunFolder

LOSSES = ("bpr", "softmax")
LEVELS = {"noise": (0.0, 0.1), "shift": (0.0, 1.0)}
EVALUATED = {0.0: 8, 0.1: 8, 1.0: 6}
"""Of ten users, those with a test item at each level."""


def value_of(loss: str, level: float, replicate: int) -> float:
    """NDCG@20 over the users with a test item: bpr 0.50, 0.54 at level 0, softmax 0.60, 0.64."""
    return 0.5 + 0.1 * LOSSES.index(loss) + 0.04 * replicate - level / 4


def reference(**changes):
    row = {"dataset": "toy", "backbone": "mf", "loss": "bpr", "perturbation": "", "level": 0.0}
    row |= {"metric": "ndcg@20", "value": 0.52, "averaging": "test-users", "source": "a paper"}
    return row | {"tolerance": 0.04, "approximate": False} | changes


def record(id, loss, perturbation, level, replicate):
    return runs.record(
        id,
        level=level,
        replicate=replicate,
        metrics={"ndcg@20": value_of(loss, level, replicate), "coverage@20": 0.25},
        users={"evaluated": EVALUATED[level], "all": 10},
    )


@pytest.fixture
def run(tmp_path):
    """Return a function that writes a run with references, and returns its folder."""

    def write(*references, averaging="test-users", without=()) -> Path:
        points = [
            (loss, perturbation, level, replicate)
            for loss in LOSSES
            for perturbation, levels in LEVELS.items()
            for level in levels
            for replicate in (0, 1)
        ]
        names = ("loss", "perturbation", "level", "replicate")
        cells = {
            f"c{at}": {"dataset": "toy", "backbone": "mf", **dict(zip(names, point, strict=True))}
            for at, point in enumerate(points)
        }
        manifest = runs.manifest(
            averaging=averaging, cells=cells, suite_cells=len(cells), references=references
        )
        folder = RunFolder(tmp_path / "run")
        with folder.locked():
            folder.begin(manifest)
            for id, cell in cells.items():
                if cell["perturbation"] not in without:
                    folder.write(record(id, *(cell[name] for name in names)), {})
        return folder.folder

    return write


def overlaid(folder: Path):
    read = read_run(folder)
    return overlay(read, read.results)


def one(folder: Path):
    found = compare(read_run(folder))
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(
    ("published", "relative", "verdict"),
    # ours is (0.50 + 0.54) / 2 = 0.52
    [
        (0.52, 0, "within"),
        (0.5, 0.04, "within"),
        (0.499, 0.52 / 0.499 - 1, "above"),
        (0.65, -0.2, "below"),
    ],
)
def test_the_clean_control_is_the_mean_over_replicates(run, published, relative, verdict):
    row = one(run(reference(value=published)))
    assert row["ours"] == pytest.approx(0.52)
    assert row["n"] == 2
    assert row["relative"] == pytest.approx(relative, abs=1e-9)
    assert (row["published"], row["verdict"], row["tolerance"]) == (published, verdict, 0.04)


def test_the_tolerance_is_the_row_s_own(run):
    assert one(run(reference(value=0.65, tolerance=0.2)))["verdict"] == "within"


def test_a_level_is_of_its_perturbation(run):
    # softmax at level 0.1: (0.60 + 0.64) / 2 - 0.025
    row = one(run(reference(loss="softmax", perturbation="noise", level=0.1, value=0.595)))
    assert (row["ours"], row["verdict"]) == (pytest.approx(0.595), "within")


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("held", ["test-users", "all-users"])
@pytest.mark.parametrize(
    ("level", "averaging", "ours"),
    [
        (0.0, "test-users", 0.52),
        (0.0, "all-users", 0.52 * 0.8),
        (1.0, "test-users", 0.27),
        (1.0, "all-users", 0.27 * 0.6),
    ],
)
def test_ours_is_averaged_as_the_source_averages(run, held, level, averaging, ours, compacted):
    row = reference(perturbation="shift", level=level, averaging=averaging, value=1.0)
    folder = run(row, averaging=held)
    if compacted:
        compact(RunFolder(folder))
        shutil.rmtree(folder / "cells")
    assert one(folder)["ours"] == pytest.approx(ours)


def test_a_metric_of_all_lists_has_one_averaging(run):
    row = one(run(reference(metric="coverage@20", averaging="all-users", value=0.25)))
    assert row["ours"] == 0.25


def test_what_was_not_run_says_so(run):
    missing = reference(perturbation="shift", level=1.0)
    folder = run(missing, reference(loss="mse"), reference(), without=["shift"])
    found = compare(read_run(folder))
    assert found["verdict"].tolist() == ["not run", "not run", "within"]
    assert found["n"].tolist() == [0, 0, 2]
    assert found["ours"].isna().tolist() == [True, True, False]


def test_a_run_without_a_finished_cell_compares_nothing(run):
    row = one(run(reference(), without=LEVELS))
    assert row["verdict"] == "not run"
    assert math.isnan(row["relative"])


def test_an_old_compacted_run_compares_under_its_own_averaging_alone(run):
    folder = run(reference(), reference(averaging="all-users"))
    results = read_run(folder).results
    results.drop(columns="evaluated").to_csv(folder / "results.csv", index=False)
    shutil.rmtree(folder / "cells")
    found = compare(read_run(folder))
    assert found["verdict"].tolist() == ["within", "needs records"]
    assert found["n"].tolist() == [2, 2]
    drawn = overlaid(folder)
    assert drawn["value"].tolist() == [0.52, 0.52]  # one a perturbation, of the first row alone


def test_a_run_without_references_tells_how_to_add_them(run):
    folder = run()
    with pytest.raises(InputError) as caught:
        compare(read_run(folder))
    message = str(caught.value)
    assert message.startswith(f"{folder}: suite 's' has no published value; add tables to the ")
    assert "[[reference]]" in message
    assert "\n" not in message


def test_the_clean_control_is_drawn_for_every_perturbation_and_a_level_for_its_own(run):
    folder = run(reference(), reference(perturbation="noise", level=0.1, value=0.4))
    found = overlaid(folder)
    assert list(found.columns) == DRAWN
    rows = [tuple(row) for row in found[["perturbation", "level", "value"]].to_numpy()]
    assert rows == [("noise", 0.0, 0.52), ("shift", 0.0, 0.52), ("noise", 0.1, 0.4)]


def test_values_are_drawn_under_the_run_s_averaging(run):
    rows = [
        reference(perturbation="shift", level=level, averaging="all-users", value=0.3)
        for level in (0.0, 1.0)
    ]
    folder = run(*rows, reference(metric="coverage@20", averaging="all-users", value=0.3))
    found = overlaid(folder)
    # eight of ten users have a test item at level 0, six at level 1; coverage is of all lists
    np.testing.assert_allclose(found["value"], [0.3 / 0.8, 0.3 / 0.6, 0.3, 0.3])
    folder = run(reference(value=0.3), averaging="all-users")
    found = overlaid(folder)
    np.testing.assert_allclose(found["value"], [0.24, 0.24])


def test_nothing_is_drawn_of_a_run_without_references(run):
    folder = run()
    found = overlaid(folder)
    assert list(found.columns) == DRAWN
    assert found.empty
