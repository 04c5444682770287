"""The command `report`: where it writes, and what it refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from pages import content_of, falling, run_with
from tables_by_hand import run_of

from robustbench_rec.cli.main import main


@pytest.fixture
def held(tmp_path):
    """Return the folder of a run."""
    return run_with(tmp_path / "run").folder


def call(*words):
    return CliRunner().invoke(main, ["report", *map(str, words)])


def refused(*words) -> str:
    done = call(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("robustbench-rec: ")


def test_a_page_is_written_beside_the_results_and_again(held):
    target = held / "report.html"
    for _ in range(2):
        done = call(held)
        assert (done.exit_code, done.stdout, done.stderr) == (0, f"page: {target}\n", "")
    assert content_of(target.read_text("utf-8"))["title"] == "s"


def test_a_file_that_is_no_page_of_ours_stays(held):
    for target in (held / "report.html", held.parent / "mine.html"):
        target.write_text("<p>mine</p>")
        words = () if target.parent == held else ("--out", target)
        told = f"{target} is not a page that report wrote; move it, or give another --out"
        assert refused(held, *words) == told
        assert target.read_text() == "<p>mine</p>"


def test_several_runs_need_a_file(held, tmp_path):
    other = run_with(tmp_path / "other").folder
    assert refused(held, other) == "2 runs need --out FILE, such as --out report.html"
    done = call(held, other, "--out", tmp_path / "both.html")
    assert done.exit_code == 0
    runs = content_of((tmp_path / "both.html").read_text("utf-8"))["runs"]
    assert [one["name"] for one in runs] == ["run", "other"]


def test_no_other_file_of_a_run_is_replaced(held, tmp_path):
    before = (held / "manifest.json").read_bytes()
    told = refused(held, "--out", held / "manifest.json")
    assert told == f"--out {held / 'manifest.json'} is inside a run's folder; give another path"
    assert (held / "manifest.json").read_bytes() == before
    assert "cannot be written" in refused(held, "--out", tmp_path / "no" / "x.html")
    assert refused(tmp_path / "nothing").startswith(f"{tmp_path / 'nothing'}: no run here")


def test_an_unfinished_run_is_told_on_the_page_and_beside(tmp_path):
    run = run_of(tmp_path / "r", falling(), users=True, to_come=[("mse", 0.0, 0)])
    done = call(run.folder)
    assert done.stderr == (
        f"warning: {run.folder}: 27 of 28 cells are done; conclusions lack 1 cell\n"
    )
    (held,) = content_of((run.folder / "report.html").read_text("utf-8"))["runs"]
    assert held["care"][0] == "The run is not finished: 1 cell of 28 left."


def test_run_ends_by_naming_its_page_and_goes_on_beside_it(in_process, tmp_path):
    only = ("loss=bpr", "replicate=0", "perturbation=hidden_positives", "level=0")
    words = ("run", "smoke", "--out", "o u t", *(word for one in only for word in ("--only", one)))
    bare = in_process(*words, "--no-figures")
    assert "as one page, to read or to send: robustbench-rec report 'o u t'\n" in bare.stdout
    page = tmp_path / "o u t" / "report.html"
    assert not page.exists()
    first = in_process(*words)
    assert first.stdout.endswith(f"page: {Path('o u t') / 'report.html'}\n")
    (held,) = content_of(page.read_text("utf-8"))["runs"]
    assert held["name"] == "smoke"
    page.write_text(page.read_text("utf-8").replace("</html>", "<!-- kept --></html>"), "utf-8")
    again = in_process(*words)
    assert again.stdout.endswith(f"page: {Path('o u t') / 'report.html'}\n")
    assert "<!-- kept -->" in page.read_text("utf-8")
    more = in_process(*words[:-2])
    assert more.returncode == 0
    assert "<!-- kept -->" not in page.read_text("utf-8")


def test_a_file_of_the_user_in_the_page_s_place_stays(in_process, tmp_path):
    only = ("loss=bpr", "replicate=0", "perturbation=hidden_positives", "level=0")
    words = ("run", "smoke", "--out", "out", *(word for one in only for word in ("--only", one)))
    (tmp_path / "out").mkdir()
    assert in_process(*words, "--no-figures").returncode == 0
    (tmp_path / "out" / "report.html").write_text("mine", "utf-8")
    done = in_process(*words)
    assert done.returncode == 0
    assert "is not a page that report wrote, and stays as it is; move it to get one" in done.stderr
    assert (tmp_path / "out" / "report.html").read_text("utf-8") == "mine"
