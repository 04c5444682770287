"""The leaderboard: who is ranked, what stands apart, and what each value stands on."""

import csv
import io

import pytest
from click.testing import CliRunner
from pages import content_of, falling
from tables_by_hand import run_of

from robustbench_rec import InputError
from robustbench_rec.analysis.ranking import rank
from robustbench_rec.cli.main import main
from robustbench_rec.experiment.reference import Published
from robustbench_rec.report import board
from robustbench_rec.training.config import PROTOCOL

PAPER = Published(
    dataset="toy",
    backbone="mf",
    loss="bpr",
    perturbation="",
    level=0.0,
    metric="ndcg@20",
    value=0.25,
    averaging="test-users",
    source="A paper, table 1",
    tolerance=0.1,
    approximate=True,
)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three runs: two of today's protocol, one of an earlier one."""
    place = tmp_path / "reference"
    today = {"users": True, "protocol": (PROTOCOL,)}
    run_of(place / "a", falling(), references=(PAPER,), **today)
    elsewhere = {cell: {"dataset": "other"} for cell in falling(replicates=2)}
    run_of(place / "b", falling(replicates=2), elsewhere=elsewhere, **today)
    run_of(place / "old", falling(), users=True, protocol=("2",))
    return place


@pytest.fixture
def held(folder):
    return board.entries(folder)


def tab(content, key):
    (found,) = [one for one in content["tabs"] if one["key"] == key]
    return found


def rows_of(held):
    return list(csv.DictReader(io.StringIO(board.csv(held))))


def test_only_runs_of_todays_protocol_are_ranked(held):
    rows = rows_of(held)
    assert {row["run"] for row in rows if row["ranked"] == "True"} == {"a", "b"}
    old = [row for row in rows if row["run"] == "old"]
    assert {(row["place"], row["top"], row["measure"]) for row in old} == {("", "", "value")}
    (sheet,) = tab(board.board(held), "earlier")["sheets"]
    assert sheet["title"] == "old: protocol 2"
    assert len(sheet["rows"]) == len(old) == 9


def test_ranks_are_those_of_the_command_rank(held):
    (entry, *_) = held
    ranked = rank(entry.run, "kept")
    rows = [row for row in rows_of(held) if (row["run"], row["measure"]) == ("a", "kept")]
    assert [row["loss"] for row in rows] == ranked["loss"].tolist()
    assert [float(row["value"]) for row in rows] == pytest.approx(
        ranked["score"].tolist(), rel=1e-5
    )
    assert [row["top"] == "True" for row in rows] == ranked["top"].tolist()


def test_a_value_says_on_how_many_data_sets_and_replicates_it_stands(held):
    (sheet,) = tab(board.board(held), "kept")["sheets"]
    assert sheet["head"] == [
        "loss",
        "a: toy, MF, settings as given: NDCG@20 up to 0.5, 3 losses",
        "b: other, MF, settings as given: NDCG@20 up to 0.5, 3 losses",
        "in the top group",
        "data sets",
        "replicates",
    ]
    first, *_ = sheet["rows"]
    assert (first[0], first[3:]) == ("BPR", [["2 of 2", 2], ["2", 2], "3, 2"])
    assert first[1][0].startswith("1: 0.93")
    assert first[1][2] == "best"


def test_a_loss_that_a_run_lacks_or_that_does_not_apply_has_no_place(tmp_path):
    values = {"users": True, "protocol": (PROTOCOL,)}
    run_of(tmp_path / "a", falling(), not_applicable=(("mse", "noise"),), **values)
    run_of(tmp_path / "b", falling(("bce", "mse")), **values)
    (sheet,) = tab(board.board(board.entries(tmp_path)), "kept")["sheets"]
    rows = {row[0]: row for row in sheet["rows"]}
    assert rows["MSE"][1] == "n/a"
    assert rows["BCE"][1] == ""
    assert rows["BCE"][3:] == [["1 of 1", 1], ["1", 1], "3"]


def test_without_single_users_and_replicates_nobody_is_in_the_top_group(tmp_path):
    run_of(tmp_path / "a", falling(replicates=1), protocol=(PROTOCOL,))
    (sheet,) = tab(board.board(board.entries(tmp_path)), "kept")["sheets"]
    assert {str(row[2]) for row in sheet["rows"]} == {"['0 of 1', 0]"}
    assert not [row for row in sheet["rows"] if "*" in row[1][0]]


def test_the_papers_number_stands_beside_ours(held):
    (sheet,) = tab(board.board(held), "papers")["sheets"]
    (row,) = sheet["rows"]
    assert row[8:13] == [["~0.2500", 0.25], ["0.3100", 0.31], ["3", 3], ["+24.0%!", 0.24], "above"]
    (told,) = [one for one in rows_of(held) if one["published"]]
    assert (told["run"], told["value"], told["published"]) == ("a", "0.31", "0.25")
    assert told["source"] == "A paper, table 1"


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run in it; a run is a folder"):
        board.entries(tmp_path)
    run_of(tmp_path / "begun", {}, to_come=falling())
    with pytest.raises(InputError, match="no run with a finished cell in it"):
        board.entries(tmp_path)


def call(*words):
    return CliRunner().invoke(main, ["leaderboard", *map(str, words)])


def test_the_command_writes_page_and_csv_beside_the_folder_and_again(folder, held):
    page, table = folder.parent / "leaderboard.html", folder.parent / "leaderboard.csv"
    for _ in range(2):
        done = call(folder)
        told = f"leaderboard of 3 runs: {page} and {table}\n"
        assert (done.exit_code, done.stdout, done.stderr) == (0, told, "")
    assert content_of(page.read_text("utf-8")) == board.board(held)
    assert table.read_text("utf-8") == board.csv(held)


def test_files_of_others_stay(folder):
    table = folder.parent / "leaderboard.csv"
    table.write_text("mine")
    done = call(folder)
    assert done.exit_code == 2
    assert f"{table} is not a file that leaderboard wrote; move it, or give --out" in done.stderr
    assert table.read_text() == "mine"
    assert not table.with_suffix(".html").exists()
    assert call(folder, "--out", folder.parent / "x.csv").exit_code == 2
    assert "no such folder" in call(folder / "nothing").stderr


def test_the_leaderboard_of_the_references_is_what_the_command_writes_today(checkout, tmp_path):
    done = call(checkout / "results" / "reference", "--out", tmp_path / "leaderboard.html")
    assert done.exit_code == 0
    for name in ("leaderboard.html", "leaderboard.csv"):
        kept = (checkout / "results" / name).read_bytes()
        assert (tmp_path / name).read_bytes() == kept, "run robustbench-rec leaderboard"
