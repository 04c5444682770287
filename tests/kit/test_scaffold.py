"""The files that a plugin begins with: they work as written, and replace nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import run_here

from robustbench_rec import InputError
from robustbench_rec.cli.main import main
from robustbench_rec.experiment.suite_file import load_suite
from robustbench_rec.kit.scaffold import KINDS, new

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Work in a folder of one's own."""
    monkeypatch.chdir(tmp_path)


def words(kind: str, lines: int = 40) -> str:
    """Return the code of a new plugin, of fewer lines than that."""
    code = Path(f"my_{kind}.py").read_text()
    assert len(code.splitlines()) < lines
    return code


def test_what_is_written_passes_its_test_and_its_check():
    for kind in KINDS:
        said = CliRunner().invoke(main, ["new", kind, f"my_{kind}"])
        assert said.exit_code == 0, said.output
        assert f"robustbench-rec check my_{kind}.py" in said.output
        assert f"My{kind.capitalize()}" in words(kind)
        asked = run_here("check", f"my_{kind}.py")
        assert asked.returncode == 0, asked.stdout
        assert ", 0 do not" in asked.stdout
    tested = [sys.executable, "-m", "pytest", "-q", *(f"test_my_{kind}.py" for kind in KINDS)]
    done = subprocess.run(tested, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_its_suite_names_it_with_its_file(kind):
    new(kind, f"tried_{kind}", Path())
    suite = load_suite(f"tried_{kind}.toml", Path())
    assert [Path(one).name for one in suite.plugins] == [f"tried_{kind}.py"]
    named = {one.name for one in suite.perturbations} | {one.loss.name for one in suite.losses}
    named |= {metric.partition("@")[0] for metric in suite.metrics}
    assert f"tried_{kind}" in named


def test_its_suite_may_be_of_another_data_set():
    asked = "movielens-100k(min_rating=4, split_by=time)"
    said = CliRunner().invoke(main, ["new", "perturbation", "drift", "--dataset", asked])
    assert said.exit_code == 0, said.output
    (dataset,) = load_suite("drift.toml", Path()).datasets
    assert (dataset.name, dataset.min_rating, dataset.split_by) == ("movielens-100k", 4, "time")
    for wrong, told in (
        ("movielense-100k", "did you mean 'movielens-100k'?"),
        ("movielens-100k(4)", "'4' is no setting, as in synthetic(n_users=400, n_items=150)"),
    ):
        refused = CliRunner().invoke(main, ["new", "perturbation", "other", "--dataset", wrong])
        assert refused.exit_code == 2
        assert told in refused.stderr
        assert not Path("other.py").exists()


def test_a_suite_of_a_new_perturbation_runs_to_a_figure():
    new("perturbation", "first_noise", Path())
    short = Path("first_noise.toml").read_text().replace("epochs = 40", "epochs = 2")
    Path("first_noise.toml").write_text(short.replace("replicates = 3", "replicates = 1"))
    done = run_here("run", "first_noise.toml")
    assert done.returncode == 0, done.stderr
    drawn = {path.name for path in Path("results/runs/first_noise/figures").glob("*.png")}
    assert "synthetic-mf-first_noise-ndcg_at_20.png" in drawn


def test_a_package_announces_what_it_holds():
    paths = new("loss", "packed_loss", Path(), package=True)
    assert [str(path) for path in paths] == [
        f"packed_loss/{name}"
        for name in ("packed_loss.py", "test_packed_loss.py", "packed_loss.toml", "pyproject.toml")
    ]
    project = Path("packed_loss/pyproject.toml").read_text()
    assert '[project.entry-points."robustbench_rec.losses"]\npacked_loss = "packed_loss"' in project
    assert "plugins" not in Path("packed_loss/packed_loss.toml").read_text()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("My_Noise", "cannot be the name of a perturbation; it takes small letters, digits and _"),
        ("../noise", "cannot be the name"),
        ("", "cannot be the name"),
        ("class", "cannot be the name"),
        ("_mine", "cannot be the name"),
        ("lärm", "cannot be the name"),
        ("x" * 61, "cannot be the name"),
        ("false_positives", "a perturbation named 'false_positives' exists already"),
        ("random", "a Python module named 'random' exists already"),
        ("numpy", "a Python module named 'numpy' exists already"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused(name, says):
    with pytest.raises(InputError, match=says):
        new("perturbation", name, Path())
    assert not any(Path().iterdir())


@pytest.mark.parametrize("there", ["fresh_noise.py", "test_fresh_noise.py", "fresh_noise.toml"])
def test_nothing_is_replaced(there):
    Path(there).write_text("mine")
    with pytest.raises(InputError, match=f"{there} exists already"):
        new("perturbation", "fresh_noise", Path())
    assert [path.name for path in Path().iterdir()] == [there]
    assert Path(there).read_text() == "mine"


def test_a_folder_that_is_a_file_is_told():
    Path("taken").write_text("")
    with pytest.raises(InputError, match="taken: cannot be written"):
        new("perturbation", "some_noise", Path("taken"))
