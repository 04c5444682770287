"""The wheel: built from the tree, installed elsewhere, and used from there; and a plugin's.

Its first training, which compiles for a minute, is marked `wheel`.
"""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from tiny import WORLD

from robustbench_rec.records.run import read_run

pytestmark = pytest.mark.slow

SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""As archives are extracted by a Python that knows filters; 3.11.2 of Debian does not yet."""
PLUGIN_PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "my-noise"
version = "1"

[project.entry-points."robustbench_rec.perturbations"]
my_noise = "my_noise"

[tool.setuptools]
py-modules = ["my_noise"]
"""
PLUGIN_SUITE = (
    """
name = "mine"
training = { epochs = 1 }
"""
    + WORLD
    + """[[perturbation]]
name = "hidden_hits"
level = [0.0, 0.5]
"""
)


def run(*words: object, cwd: Path) -> str:
    """Run a command to its end and return what it printed."""
    # A fresh wheel compiles first, in each worker: minutes, beside other work.
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(project: Path, into: Path) -> Path:
    """Build without isolation: the build tools of this environment, and no network."""
    words = ("-m", "build", "--wheel", "--no-isolation", "--outdir", into, project)
    run(sys.executable, *words, cwd=into)
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module", autouse=True)
def _in_a_git_checkout(checkout) -> None:
    if not (checkout / ".git").exists():
        pytest.skip("what the wheel must hold is what git tracks, and this is no git checkout")


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    """Build the wheel from a copy of what git tracks, so that no stale build/ gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    run("git", "archive", "--output", folder / "tree.tar", tree(checkout), cwd=checkout)
    with tarfile.open(folder / "tree.tar") as archive:
        archive.extractall(folder / "tree", **SAFELY)
    return build_wheel(folder / "tree", folder)


def tree(checkout: Path) -> str:
    """Return the tracked files as they are now, committed or not, as a git object."""
    stash = run("git", "stash", "create", cwd=checkout).strip()
    return stash or "HEAD"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Install the wheel into a fresh environment that sees our libraries, not our checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    install(folder / "venv", wheel)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    # A .pth line adds our libraries; the editable install among them would shadow the wheel, so
    # a path comes after the wheel's own, and its finder is not started (addsitedir would).
    site_packages(folder / "venv").joinpath("libraries.pth").write_text(f"{libraries}\n")
    return folder / "venv"


def install(environment: Path, wheel: Path) -> None:
    words = ("-m", "pip", "--python", environment / "bin" / "python", "install", "--no-deps")
    run(sys.executable, *words, "--quiet", "--no-index", wheel, cwd=environment)


def site_packages(environment: Path) -> Path:
    (folder,) = (environment / "lib").glob("python*/site-packages")
    return folder


def test_the_wheel_holds_what_the_tree_holds(wheel, checkout):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = run("git", "ls-files", cwd=checkout).split()
    wanted = {f for f in tracked if f.startswith("robustbench_rec/")}
    wanted |= {
        f"robustbench_rec/{f}" for f in tracked if f.startswith(("perturbations/", "suites/"))
    }
    assert held == wanted


@pytest.mark.parametrize("words", [["list"], ["--version"], ["run", "smoke", "--dry-run"]])
def test_a_bare_checkout_says_the_same(checkout, installed, tmp_path, words):
    # -S -E: no site-packages and so no installation of ours; the libraries come by path.
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    code = (
        f"import sys; sys.path[:0] = {[str(checkout), *libraries]!r}; "
        f"sys.argv = ['robustbench-rec', *{words!r}]; from robustbench_rec.cli.main import main; "
        "main(prog_name='robustbench-rec')"
    )
    bare = run(sys.executable, "-S", "-E", "-c", code, cwd=tmp_path)
    assert bare == run(installed / "bin" / "robustbench-rec", *words, cwd=tmp_path)


@pytest.mark.wheel
def test_the_wheel_runs_outside_the_checkout_and_a_plugin_in_a_package_of_its_own(
    installed, tmp_path, readme_plugin
):
    """One test, as what is compiled for the first suite serves the second."""
    python = installed / "bin" / "python"
    where = run(python, "-c", "import robustbench_rec as r; print(r.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed)
    command = installed / "bin" / "robustbench-rec"
    listed = run(command, "list", cwd=tmp_path)
    for name in ("smoke", "hidden_positives", "softmax", "lightgcn", "synthetic"):
        assert name in listed
    part = ("--only", "loss=bpr", "--only", "level=0", "--only", "replicate=0")
    run(command, "run", "smoke", *part, "--engine", "serial", "--no-figures", cwd=tmp_path)
    assert set(read_run(tmp_path / "results" / "runs" / "smoke").results["loss"]) == {
        "bpr",
        "untrained",
    }

    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(PLUGIN_PROJECT)
    (project / "my_noise.py").write_text(readme_plugin)
    out = tmp_path / "wheels"
    out.mkdir()
    install(installed, build_wheel(project, out))
    (tmp_path / "mine.toml").write_text(PLUGIN_SUITE)
    run(command, "run", "mine.toml", "--no-figures", "--out", "out", "--jobs", 1, cwd=tmp_path)
    assert read_run(tmp_path / "out").results["level"].unique().tolist() == [0.0, 0.5]
