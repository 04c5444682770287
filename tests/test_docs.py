"""README.md and docs/: each block of code runs, each command is one of ours, each link leads on."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from click.testing import CliRunner

from robustbench_rec import load_suite
from robustbench_rec.cli.main import main

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")))
PARSED_ALONE = {"run", "merge", "status", "verify", "export", "data"}
"""Commands that train for long, fetch from the network, or speak of runs that nobody has yet."""
RUNS = ("drrl", "false-negatives", "health")
BASE = {
    "dataset": ["synthetic", "amazon2014-health"],
    "backbone": ["mf"],
    "loss": ["softmax", 'psl"\nactivation = "relu', "drrl", "mse"],
    "perturbation": ["negative_contamination"],
}
"""What a fragment of a suite is tried in: axis -> the components of a suite, but its own."""


def blocks(page: Path, language: str = "") -> list[str]:
    """Return the blocks of code of a page that are of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert {of for of, _ in found} <= {"", "python", "toml"}
    return [text for of, text in found if of == language]


PYTHON = [text for page in PAGES for text in blocks(page, "python")]
PLUGINS = {re.search(r'\.add\("(\w+)"\)', one)[1]: one for one in PYTHON if ".add(" in one}
CONTRACTS = [one for one in PYTHON if "Contract)" in one]
SCRIPTS = [one for one in PYTHON if one not in [*PLUGINS.values(), *CONTRACTS]]
LINES = [
    line.partition("#")[0].strip()
    for page in PAGES
    if page.name != "tutorial.md"  # its lines are one story, see below
    for block in blocks(page)
    for line in block.replace("\\\n", "").splitlines()
    if line.startswith("robustbench-rec ")
]
COMMANDS = [shlex.split(line)[1:] for line in dict.fromkeys(LINES)]


def test_every_plugin_passes_the_contract_beside_it(tmp_path):
    assert len(CONTRACTS) == 3
    for name, text in PLUGINS.items():
        (tmp_path / f"{name}.py").write_text(text)
    for at, text in enumerate(CONTRACTS):
        (tmp_path / f"test_{at}.py").write_text(text)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("code", SCRIPTS, ids=lambda code: code.strip().splitlines()[-1][:40])
def test_every_script_runs_as_it_stands(tmp_path, monkeypatch, capsys, code):
    pairs = [(f"u{user}", 7 * user + k * k) for user in range(60) for k in range(6)]
    for name, part in (("train", pairs), ("test", [(user, item + 30) for user, item in pairs])):
        rows = [f"{user},{item % 50}" for user, item in part]
        (tmp_path / f"{name}.csv").write_text("\n".join(["user,item", *dict.fromkeys(rows)]))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(CHECKOUT / "results" / "reference")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs", "exec"), {"__name__": "docs"})
    assert capsys.readouterr().out
    assert len(code.strip().splitlines()) <= 15


@pytest.mark.parametrize(
    ("page", "text"), [(page.name, text) for page in PAGES for text in blocks(page, "toml")]
)
def test_every_table_of_a_suite_is_one(tmp_path, page, text):
    (tmp_path / "data").mkdir()
    whole = 'name = "docs"\n' if not text.startswith("name") else ""
    for axis, names in BASE.items() if whole else ():
        for name in names:
            table = f'[[{axis}]]\nname = "{name}"\n'
            if f'name = "{name}"' not in text:
                text += table + ("level = [0.0, 0.5]\n" if axis == "perturbation" else "")
    (tmp_path / "suite.toml").write_text(whole + text)
    assert load_suite(tmp_path / "suite.toml").losses


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder that has the reference runs that pages speak of, to write to."""
    place = tmp_path_factory.mktemp("docs")
    for name in RUNS:
        kept = CHECKOUT / "results" / "reference" / name
        copytree(kept, place / "results" / "reference" / name, ignore=ignore_patterns("figures"))
    return place


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_does_what_it_stands_for(folder, monkeypatch, words):
    monkeypatch.chdir(folder)
    if words[0] in PARSED_ALONE:
        parsed(words)
    elif words[0] != "check":  # a plugin that `new` writes, as in the tutorial
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output


def parsed(words):
    """Parse a command below its group, as without one click forgets -h of it for good."""
    command, above = main, None
    while hasattr(command, "commands"):
        above = command.make_context(command.name, [*words], parent=above)
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, [*words], parent=above)


def test_the_tutorial_leads_to_a_figure(tmp_path, in_process):
    page = CHECKOUT / "docs" / "tutorial.md"
    (plugin,) = blocks(page, "python")
    lines = "".join(blocks(page)).splitlines()
    for words in (shlex.split(line)[1:] for line in lines):
        done = in_process(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        if words[0] == "new":  # the reader edits the file; and the test has less time
            (tmp_path / "my_noise.py").write_text(plugin)
            suite = tmp_path / "my_noise.toml"
            short = suite.read_text().replace("epochs = 40", "epochs = 2")
            suite.write_text(short.replace("replicates = 3", "replicates = 1"))
    assert [line.split()[1] for line in lines[:3]] == ["new", "check", "run"]
    assert (
        tmp_path / "results/runs/my_noise/figures/synthetic-mf-my_noise-ndcg_at_20.png"
    ).exists()
    assert (tmp_path / "paper/synthetic-mf-my_noise-ndcg_at_20-standing.png").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", prose)
    lost = [one for one in targets if ":" not in one and not (page.parent / one).exists()]
    assert not lost


def test_every_target_of_make_that_is_named_is_there():
    heads = re.findall(r"^([\w ]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    held = {word for head in heads for word in head.split()}
    pages = [*PAGES, CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "AGENTS.md"]
    named = [
        one for page in pages for one in re.findall(r"`make ([\w ]+)", page.read_text("utf-8"))
    ]
    blocks_of_make = re.findall(r"^make (\w+)", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert {word for one in [*named, *blocks_of_make] for word in one.split()} <= held


def test_the_readme_is_short():
    assert len((CHECKOUT / "README.md").read_text("utf-8").split()) < 1200
