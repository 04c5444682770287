"""The command line: what it prints, and one line and status 2 for every mistake."""

import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree
from types import SimpleNamespace

import click
import numpy as np
import pandas as pd
import pytest
import runs
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from panels import drawings_of
from tiny import WORLD

from robustbench_rec import (
    BACKBONES,
    DATASETS,
    LOSSES,
    METRICS,
    PERTURBATIONS,
    __version__,
)
from robustbench_rec.analysis.against_published import COMPARED
from robustbench_rec.analysis.degradation import curves
from robustbench_rec.cli import drawing, output
from robustbench_rec.cli.conclusions import contrast
from robustbench_rec.cli.main import main
from robustbench_rec.components.settings import printed
from robustbench_rec.experiment.suite_file import load_suite, shipped
from robustbench_rec.figures.files import save_all
from robustbench_rec.records.manifest import BelowRandom, Capped, Unreached
from robustbench_rec.records.run import read_run
from robustbench_rec.records.run_folder import RunFolder

REGISTRIES = {
    "perturbations": PERTURBATIONS,
    "losses": LOSSES,
    "metrics": METRICS,
    "backbones": BACKBONES,
    "datasets": DATASETS,
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Stand in an empty folder, with no data set but those that are given by an option."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBUSTBENCH_REC_DATA", str(tmp_path / "no-data"))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def told(*arguments: object, status: int = 0) -> str:
    """Return what a command prints that ends with a status; it warns of nothing."""
    result = call(*arguments)
    assert result.exit_code == status, result.output
    assert result.stderr == ""
    return result.stdout


def refused(*arguments: object) -> str:
    """Return the one line that a user's mistake gets."""
    result = call(*arguments)
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("robustbench-rec: ")
    return line.removeprefix("robustbench-rec: ")


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", [*commands(main)], ids=" ".join)
def test_every_command_has_help(path):
    assert told(*path, "--help").startswith(f"Usage: main {' '.join(path)}".rstrip())
    assert told(*path, "-h") == told(*path, "--help")


def test_the_commands_are_those_that_are_documented():
    assert set(main.commands) == {
        "run",
        "merge",
        "export",
        "list",
        "show",
        "figures",
        "table",
        "report",
        "leaderboard",
        "cite",
        "rank",
        "claims",
        "compare",
        "status",
        "verify",
        "data",
        "new",
        "check",
    }


def test_the_version_is_the_package_s():
    assert __version__ in told("--version")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_list_names_everything_of_a_kind_with_a_line_each(kind):
    rows = told("list", kind).splitlines()
    names = [name for name in REGISTRIES[kind] if name != "untrained"]  # which no suite takes
    assert [row.split()[0] for row in rows] == names
    assert all(len(row.split()) > 1 for row in rows)
    (listed,) = json.loads(told("list", kind, "--json")).values()
    assert list(listed) == names
    assert all(listed.values())


def test_list_without_a_kind_lists_every_kind():
    everything = json.loads(told("list", "--json"))
    assert list(everything) == ["suites", *REGISTRIES]
    assert set(everything["suites"]) == set(shipped())
    assert all(everything["suites"].values())
    lines = told("list").splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(everything)
    assert len(lines) == sum(1 + len(entries) for entries in everything.values())


COMPONENTS = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_show_tells_settings_defaults_and_source(kind, name):
    cls = REGISTRIES[kind][name]
    text = told("show", name)
    shown = json.loads(told("show", name, "--json"))
    called = [registry.kind for registry in REGISTRIES.values() if name in registry]
    if name in shipped():  # a suite is called so too
        *shown, last = shown
        assert last == tomllib.loads(shipped()[name])
        assert shipped()[name].strip() in text
    assert [one["kind"] for one in shown] == called
    shown = shown[called.index(REGISTRIES[kind].kind)]
    assert shown["name"] == name
    assert shown["source"] == cls.source
    assert cls.source in text
    for setting in shown["settings"]:
        assert setting.keys() == {"name", "required", "default", "domain", "about"}
        assert setting["about"], f"{name}.{setting['name']} has no meaning"
        assert f"  {setting['name']} " in text
        default = "required" if setting["required"] else getattr(cls, setting["name"])
        assert setting["default"] == (None if setting["required"] else default)
        assert f"= {printed(default)}" in text
    if kind == "perturbations":
        assert shown["unit"] == cls.unit
        assert shown["acts_through"] == cls.acts_through


def test_show_prints_a_suite_s_file():
    assert told("show", "smoke").strip() == shipped()["smoke"].strip()


def test_show_prints_a_suite_as_json_where_it_is_asked_to():
    (suite,) = json.loads(told("show", "smoke", "--json"))
    assert suite["name"] == "smoke"


def test_show_of_an_unknown_name_tells_the_nearest():
    assert refused("show", "sofmax").startswith(
        "nothing is named 'sofmax'; did you mean 'softmax'?"
    )


def test_data_list_tells_where_it_looked_and_how_to_get_what_is_missing(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.csv").write_text("user,item\n1,2\n")
    text = told("data", "list", "--data-dir", "d")
    assert text.startswith("looked in d (--data-dir, ROBUSTBENCH_REC_DATA)\n")
    rows = {line.split()[0]: line for line in text.splitlines()[1:]}
    assert set(DATASETS) | {"mine"} == set(rows)
    assert "run `robustbench-rec data fetch movielens-100k`" in rows["movielens-100k"]
    assert rows["synthetic"].split()[1:7] == ["600", "users", "400", "items", "14,519", "pairs"]
    assert rows["mine"].split()[1:4] == ["-", "-", "-"]
    assert str(Path("d") / "mine.csv") in rows["mine"]
    assert "a data set of your own: log mine.csv" in rows["mine"]
    listed = {row["name"]: row for row in json.loads(told("data", "list", "--json"))}
    assert set(listed) == set(DATASETS)
    assert listed["synthetic"]["ready"]
    assert not listed["movielens-100k"]["ready"]


def test_data_list_does_not_call_missing_what_is_built_in():
    rows = {line.split()[0]: line for line in told("data", "list").splitlines()}
    assert "missing: " not in rows["synthetic"]
    assert "missing: " in rows["movielens-100k"]


def test_data_fetch_of_what_cannot_be_fetched_tells_what_can():
    line = refused("data", "fetch", "movielens-100")
    assert "did you mean 'movielens-100k'?" in line
    assert "these can: " in line
    assert "put ml-1m.zip of " in refused("data", "fetch", "movielens-1m")


@pytest.fixture
def reference(tmp_path, checkout) -> Path:
    """Return a copy of reference results without diagnostics: compacted, six figures."""
    kept = checkout / "results" / "reference" / "false-negatives"
    return copytree(
        kept, tmp_path / "reference", ignore=ignore_patterns("figures", "diagnostics.csv")
    )


def test_figures_are_drawn_alike_on_one_core_and_on_two(tmp_path, reference, monkeypatch):
    monkeypatch.setattr(drawing, "MANY", 2)
    table = pd.read_csv(reference / "results.csv")
    table[table["metric"] == "ndcg@20"].to_csv(reference / "results.csv", index=False)
    run = read_run(reference)
    drawn_alone = drawings_of(curves(run).replace(run.manifest.short_labels))
    alone = {path.name: path for path in save_all(drawn_alone, tmp_path / "alone")}
    place = reference / "figures"
    for cores in (1, 2):
        monkeypatch.setattr(drawing, "available_cores", lambda n=cores: n)
        said = told("figures", reference).splitlines()
        assert said[0] == f"9 files in {place}:"
        drawn = sorted(path for path in place.iterdir() if path.name != "drawn.json")
        listed = json.loads((place / "drawn.json").read_text())
        assert list(listed) == [path.name for path in drawn]
        assert {path.name for path in place.iterdir()} == {*listed, "drawn.json"}
        assert [f"  {path}" for path in drawn if path.suffix == ".png"] == said[1:]
        assert not [*reference.glob("figures.*")]
        for path in drawn:
            assert path.read_bytes() == alone[path.name].read_bytes()
        rmtree(place)


@pytest.fixture
def blank(monkeypatch) -> None:
    """Let figures be empty files."""
    monkeypatch.setattr(
        "robustbench_rec.figures.files._render", lambda drawing, formats: [b"", b"", b""]
    )
    monkeypatch.setattr(drawing, "available_cores", lambda: 1)


DIAGNOSED = """\
suite,dataset,backbone,loss,perturbation,unit,level,replicate,epoch,best,kl,effective_sample_size
s,movielens-100k,mf,bpr,hidden_positives,share,0.0,0,5,True,0.5,0.9
s,movielens-100k,mf,bpr,hidden_positives,share,0.2,0,5,True,0.6,0.8
"""
DIAGNOSTICS = {
    f"movielens-100k-mf-hidden_positives-{kind}.{suffix}"
    for kind in ("diagnostics", "diagnostics_training")
    for suffix in ("png", "pdf", "csv")
}


def test_figures_show_the_diagnostics_where_measured_and_no_longer_where_not(reference, blank):
    (reference / "diagnostics.csv").write_text(DIAGNOSED)
    assert told("figures", reference).startswith("24 files in ")
    drawn = {path.name for path in (reference / "figures").iterdir()}
    assert drawn >= DIAGNOSTICS
    theirs = {"my-diagnostics.png", "paper-ndcg_at_20.pdf"}
    for name in theirs:
        (reference / "figures" / name).write_text("of the user")
    (reference / "diagnostics.csv").unlink()
    assert told("figures", reference).startswith("18 files in ")
    left = {path.name for path in (reference / "figures").iterdir()}
    assert left == drawn - DIAGNOSTICS | theirs


def test_figures_refuse_to_replace_a_user_s_file_before_they_draw(reference):
    theirs = reference / "figures" / "movielens-100k-mf-hidden_positives-ndcg_at_20.pdf"
    theirs.parent.mkdir()
    theirs.write_text("of the user")
    assert refused("figures", reference) == (
        f"{theirs}: not drawn by robustbench-rec, but a figure of this run has the same name; "
        "move it"
    )
    assert [*theirs.parent.iterdir()] == [theirs]
    (theirs.parent / "drawn.json").write_text("{")
    assert refused("figures", reference).startswith(f"{theirs.parent / 'drawn.json'}: cannot be")
    assert theirs.read_text() == "of the user"


@pytest.mark.parametrize("words", [("rank",), ("claims",), ("compare", "--against", "bpr")])
def test_conclusions_from_cells_of_another_protocol_are_warned_of(reference, words):
    manifest = reference / "manifest.json"
    name, *options = words
    assert CliRunner().invoke(main, [name, str(reference), *options]).stderr == ""
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"protocol": ["2"]}))
    done = CliRunner().invoke(main, [name, str(reference), *options])
    assert done.exit_code == 0
    assert done.stderr.startswith(f"warning: {reference}: cells of protocol 2, not of today's ")


def test_figures_of_baselines_alone_are_none(reference):
    table = pd.read_csv(reference / "results.csv")
    row = table[table["metric"] == "ndcg@20"].head(1).assign(backbone="random", loss="untrained")
    row.to_csv(reference / "results.csv", index=False)
    done = CliRunner().invoke(main, ["figures", str(reference)])
    assert (done.exit_code, done.stdout) == (0, "no figure: only baselines are finished\n")
    assert "1 of 480 cells are done" in done.stderr


def test_few_figures_start_no_helper_and_many_do(reference, blank, monkeypatch):
    started = []

    @contextmanager
    def helper(*modules):
        started.append(modules)
        yield SimpleNamespace(starmap=lambda function, jobs: [*starmap(function, jobs)])

    monkeypatch.setattr("robustbench_rec.processes.helper", helper)
    monkeypatch.setattr(drawing, "available_cores", lambda: 2)
    monkeypatch.setattr(drawing, "MANY", 100)
    told("figures", reference)
    assert started == []
    monkeypatch.setattr(drawing, "MANY", 6)
    told("figures", reference)
    assert started == [(drawing.DRAWING,)]
    for few in (("--metric", "ndcg@20"), ("--kind", "heatmap")):
        told("figures", reference, *few, "--out", "apart")
    monkeypatch.setattr(drawing, "available_cores", lambda: 1)
    told("figures", reference)
    assert len(started) == 1


def test_figures_refuse_what_is_not_finished(reference):
    header = (reference / "results.csv").read_text().splitlines()[0]
    (reference / "results.csv").write_text(header)
    assert refused("figures", reference).startswith(f"{reference}: no finished cell to draw; see ")


SUITE = (
    """\
name = "tiny"
baselines = []
training = { epochs = 1 }
"""
    + WORLD
    + """[[loss]]
name = "mse"
[[perturbation]]
name = "hidden_positives"
level = [0.0, 0.5]
"""
)


@pytest.fixture
def tiny(tmp_path) -> Path:
    """Return the path of a suite of four cells."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    return Path("tiny.toml")


def test_status_lists_the_first_of_many_and_all_where_asked(checkout):
    run = checkout / "results" / "reference" / "drrl"
    short, whole = (call("status", run, *more).output for more in ((), ("--verbose",)))
    studies = [line for line in whole.splitlines() if line.startswith(("tuned ", "tuning "))]
    assert len(studies) > 8
    kept = [line for line in short.splitlines() if line.startswith(("tuned ", "tuning "))]
    assert kept == studies[:8]
    more = "1 more study" if len(studies) == 9 else f"{len(studies) - 8} more studies"
    assert f"and {more}: --verbose lists all" in short
    assert "--verbose" not in whole


def completed(words: str, begun: str) -> set[str]:
    """Return what the shell is told of the last word of a command line."""
    arguments = words.split()
    complete = ShellComplete(main, {}, "robustbench-rec", "_ROBUSTBENCH_REC_COMPLETE")
    return {item.value for item in complete.get_completions(arguments, begun)}


def test_the_shell_completes_suites_runs_and_names(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        Path("results", "runs", name).mkdir(parents=True)
        Path("results", "runs", name, "manifest.json").write_text("{}")
    assert completed("run", "drr") == {
        "drrl",
        "drrl-each-level",
        "drrl-noisy-selection",
        "drrl-retuned",
        "drrl-searched",
    }
    assert completed("show", "soft") == {"softmax"}
    assert completed("check", "rating") == {"rating_noise"}
    for command in ("status", "figures", "table", "cite", "rank", "claims", "compare", "merge"):
        assert completed(command, "fi") == {"first"}
    assert completed("run", "mine.t") == {"mine.t"}  # a path, which the shell completes itself


def test_on_a_narrow_terminal_a_ranking_shows_the_first_and_last_levels(checkout, monkeypatch):
    for module in ("output", "conclusions"):
        monkeypatch.setattr(f"robustbench_rec.cli.{module}.terminal_width", lambda: 80)
    lines = told("rank", checkout / "results" / "reference" / "drrl").splitlines()
    assert "  of 7 levels; a wider terminal or --csv shows all" in lines
    start = next(at for at, line in enumerate(lines) if "popularity_shift" in line)
    table = lines[start + 1 : lines.index("", start)]
    assert all(f"at {level}" in table[0] for level in ("0", "0.25", "1.5", "2"))
    assert "at 0.75" not in " ".join(table)
    assert max(map(len, table)) <= 80


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("PSL (relu)", "psl (loss)"),
        ("Softmax (SL)", "softmax (loss)"),
        ("softmax", "softmax (loss)"),
        ("false negatives (own positives)", "negative_contamination (perturbation)"),
        ("Amazon Electronic (2014, popularity)", "amazon2014-electronic-popularity (data set)"),
        ("MovieLens-100K", "movielens-100k (data set)"),
        ("ndcg@20", "ndcg (metric)"),
    ],
)
def test_show_takes_names_as_they_are_printed(printed, name):
    assert told("show", printed).splitlines()[0] == name


def test_show_takes_labels_and_paths_of_suites(tiny):
    assert told("show", "psl(activation=relu)") == told("show", "psl")
    assert told("show", tiny) == tiny.read_text()
    assert json.loads(told("show", tiny, "--json"))[0]["name"] == "tiny"
    assert refused("show", "pls(activation=relu)").startswith("nothing is")
    assert refused("show", "missing.toml").startswith("missing.toml: No such file")
    tiny.write_text("name = ")
    assert refused("show", tiny, "--json").startswith("tiny.toml: not TOML: ")


@pytest.fixture
def four_cores(monkeypatch) -> None:
    """Make believe that this machine has four cores."""
    monkeypatch.setattr("robustbench_rec.running.compute.available_cores", lambda: 4)


REFERENCES = """
[[reference]]
dataset = "synthetic"
backbone = "mf"
loss = "bpr"
values = { "recall@20" = 1.0, "ndcg@20" = 1.0 }
averaging = "all-users"
source = "A paper, table 1"
[[reference]]
dataset = "synthetic"
backbone = "mf"
loss = "mse"
perturbation = "hidden_positives"
level = 0.5
values = { "ndcg@20" = 1.0 }
averaging = "test-users"
source = "A paper, figure 2"
approximate = true
tolerance = 0.999
"""


@pytest.fixture
def beside(tmp_path) -> Path:
    """Return a suite of four cells and three published values."""
    (tmp_path / "beside.toml").write_text(SUITE.replace("tiny", "beside") + REFERENCES)
    return Path("beside.toml")


def test_compare_prints_published_values_beside_ours(tmp_path, beside, in_process):
    run = ("run", beside, "--jobs", 1)
    done = in_process(*run, "--only", "loss=mse")
    assert done.returncode == 0, done.stderr
    place = Path("results", "runs", "beside")
    assert f"beside published values: robustbench-rec compare {place}" in done.stdout
    drawn = place / "figures" / "synthetic-mf-hidden_positives-ndcg_at_20.png"
    run = read_run(place)
    unpublished = drawings_of(curves(run).replace(run.manifest.short_labels))
    alone = save_all(unpublished, tmp_path / "alone", formats=("png",))
    assert drawn.name in {path.name for path in alone}
    assert drawn.read_bytes() != (tmp_path / "alone" / drawn.name).read_bytes()
    lines = told("compare", "beside").splitlines()
    assert lines == told("compare", place).splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert lines[:4] == [
        "synthetic, mf: clean control",
        "  loss  level     metric  published    ours  n  difference  verdict",
        "  bpr       0  recall@20     1.0000       -  0           -  not run  [1]",
        "  bpr       0    ndcg@20     1.0000       -  0           -  not run  [1]",
    ]
    frame = read_run(place).results.set_index(["metric", "level"])
    ours = frame.loc[("ndcg@20", 0.5), "value"]
    less = f"{100 * ours - 100:.1f}%"
    assert lines[4:] == [
        "",
        "synthetic, mf: hidden_positives",
        "  loss  level     metric  published    ours  n  difference  verdict",
        f"  mse     0.5    ndcg@20    ~1.0000  {ours:.4f}  1  {less:>10}  within   [2]",
        "",
        "[1] A paper, table 1; over all users, tolerance 4%",
        "[2] A paper, figure 2; over test users, tolerance 99.9%",
        "~ read off a figure",
        "1 of 3 within tolerance, 2 not run",
    ]
    rows = json.loads(told("compare", place, "--json"))
    assert [row["verdict"] for row in rows] == ["not run", "not run", "within"]
    assert [row["ours"] for row in rows] == [None, None, ours]
    assert list(rows[0]) == COMPARED


def test_references_that_are_added_later_need_no_training(tmp_path, tiny, in_process):
    quiet = ("--jobs", 1, "--no-figures")
    assert in_process("run", tiny, *quiet).returncode == 0
    line = refused("compare", "tiny")
    assert line.startswith(
        f"{Path('results', 'runs', 'tiny')}: suite 'tiny' has no published value"
    )
    tiny.write_text(SUITE + REFERENCES)
    assert in_process("run", tiny, *quiet).stdout.startswith(
        "suite tiny: 4 cells from 4 trainings, 4 done, 0 to run"
    )
    said = told("compare", "tiny")
    assert "not run  [" not in said
    assert said.endswith("\n1 of 3 within tolerance, 0 not run\n")


def test_compare_says_how_many_need_records(beside, in_process):
    assert in_process("run", beside, "--jobs", 1, "--no-figures").returncode == 0
    place = Path("results", "runs", "beside")
    read_run(place).results.drop(columns="evaluated").to_csv(place / "results.csv", index=False)
    rmtree(place / "cells")
    manifest = json.loads((place / "manifest.json").read_text())
    del manifest["tables"]  # as of old, when nothing told that a table was changed
    (place / "manifest.json").write_text(json.dumps(manifest))
    said = told("compare", place)
    assert said.count("needs records  [1]") == 2
    assert said.endswith("\n1 of 3 within tolerance, 0 not run, 2 need records\n")


def test_compare_against_a_loss_prints_differences_within_replicates(tiny, in_process):
    tiny.write_text(SUITE.replace("epochs = 1", "epochs = 3, lr = 0.1"))
    assert in_process("run", tiny, "--jobs", 1, "--no-figures").returncode == 0
    place = Path("results", "runs", "tiny")
    values = read_run(place).results.set_index(["metric", "loss", "level"])["value"]
    at_0, at_half = (
        values["ndcg@20", "mse", level] - values["ndcg@20", "bpr", level] for level in (0.0, 0.5)
    )
    kept = [values["ndcg@20", loss, 0.5] / values["ndcg@20", loss, 0.0] for loss in ("mse", "bpr")]
    assert at_0 != 0
    lines = told("compare", "tiny", "--against", "bpr").splitlines()
    assert lines[0] == "Each loss minus bpr: above 0 is better than bpr."
    assert lines[2] == "synthetic, mf: clean, ndcg@20"
    assert lines[4].split()[:4] == ["mse", "at", "0", f"{at_0:+.4f}"]
    assert lines[6] == "synthetic, mf: hidden_positives, ndcg@20"
    assert lines[8].split()[:4] == ["mse", "at", "0.5", f"{at_half:+.4f}"]
    words = ["mse", "kept", "up", "to", "0.5", f"{(kept[0] - kept[1]) / 2:+.4f}"]
    assert lines[9].split()[:6] == words
    assert "[low, high]: 95% over users only, one replicate; each one at a time" in lines
    assert any(line.startswith("verdicts: a family of 12 tests, in each row") for line in lines)
    rows = json.loads(told("compare", "tiny", "--against", "bpr", "--json"))
    assert [row["level"] for row in rows] == [0.0, 0.5, 0.5] * 2  # of two metrics
    assert rows[0]["low"] < rows[0]["difference"] < rows[0]["high"]  # over users
    assert refused("compare", "tiny", "--against", "softmx").startswith("loss 'softmx' was not run")
    _ranks_tiny(kept)
    line = refused("claims", "tiny")
    assert line.endswith("and run it again; finished cells are not trained again")
    told_by = "mse" if kept[0] > kept[1] else "bpr"
    tiny.write_text(tiny.read_text() + CLAIM.replace("LOSS", told_by))
    assert in_process("run", tiny, "--jobs", 1, "--no-figures").returncode == 0
    lines = told("claims", "tiny").splitlines()
    assert lines[0] == "nothing keeps more"
    assert lines[1].split() == ["synthetic,", "mf", "not", "refuted", "kept", "up", "to", "0.5"]
    (row,) = json.loads(told("claims", "tiny", "--json"))
    assert (row["verdict"], row["beaten_by"]) == ("not refuted", [])


def test_compare_with_another_run_holds_each_loss_against_itself(tiny, in_process):
    tiny.write_text(SUITE.replace("epochs = 1", "epochs = 3, lr = 0.1"))
    assert in_process("run", tiny, "--jobs", 1, "--no-figures").returncode == 0
    told("merge", "tiny", "--out", "here", "--no-figures")
    told("merge", "tiny", "--out", "there", "--no-figures")
    manifest = Path("there", "manifest.json")
    held = json.loads(manifest.read_text())
    other = {"bpr": "mse", "mse": "bpr"}
    for cell in held["cells"].values():  # there, what is called bpr is the mse of here
        cell["loss"] = other.get(cell["loss"], cell["loss"])
    results = read_run(Path("there")).results
    results.assign(loss=results["loss"].replace(other)).to_csv("there/results.csv", index=False)
    del held["tables"]
    manifest.write_text(json.dumps(held))
    within = json.loads(told("compare", "here", "--against", "bpr", "--json"))
    between = json.loads(told("compare", "here", "--with", "there", "--json"))
    found = [row for row in between if row["loss"] == "mse"]
    same = ("level", "quantity", "pairs", "difference", "low", "high", "relative", "interval")
    assert [[row[key] for key in same] for row in found] == [
        [row[key] for key in same] for row in within
    ]
    assert len(between) == 2 * len(within)
    lines = told("compare", "here", "--with", "there").splitlines()
    assert lines[0] == "Each loss minus itself in there: above 0 is better than itself in there."
    assert {
        row["difference"] for row in json.loads(told("compare", "here", "--with", "here", "--json"))
    } == {0.0}
    assert refused("compare", "here", "--with", "there", "--against", "bpr").startswith(
        "--against and --with: give only one"
    )
    manifest.write_text(json.dumps(held | {"suite_text": "seed = 1\n" + held["suite_text"]}))
    line = refused("compare", "here", "--with", "there")
    assert line == "here and there are of suites that differ in seed: 0 and 1"
    manifest.write_text(json.dumps(held | {"data": dict.fromkeys(held["data"], "other")}))
    assert refused("compare", "here", "--with", "there").startswith("here and there were run on")


CLAIM = """
[[claim]]
says = "nothing keeps more"
kind = "not-beaten"
loss = "LOSS"
perturbation = "hidden_positives"
"""


def _ranks_tiny(kept):
    """Rank the run that differences were taken of."""
    best, worst = ("mse", "bpr") if kept[0] > kept[1] else ("bpr", "mse")
    lines = told("rank", "tiny").splitlines()
    assert lines[0] == "synthetic, mf: hidden_positives, ndcg@20"
    assert lines[1].split()[:6] == ["loss", "kept", "[low,", "high]", "at", "0"]
    assert lines[2].split()[:3] == ["1", best, "*"]
    assert lines[2].split()[3] == f"{(1 + max(kept)) / 2:.3f}"
    assert lines[3].split()[:2] == ["2", worst]
    assert lines[5].split()[:6] == ["at", "level", "0.5", "retention", "[low,", "high]"]
    words = lines[6].split()
    assert words[:3] == ["1", best, f"{max(kept):.3f}"]
    assert float(words[3].strip("[],")) < max(kept) < float(words[4].strip("[],"))
    assert lines[8].startswith(
        f"Under hidden_positives on synthetic, mf {best} comes first by kept of ndcg@20"
    )
    assert any(
        line.startswith("kept: the mean retention from level 0 to the hardest") for line in lines
    )
    rows = json.loads(told("rank", "tiny", "--by", "value", "--metric", "recall@20", "--json"))
    assert {row["by"] for row in rows} == {"value"}
    assert {row["metric"] for row in rows} == {"recall@20"}
    table = pd.read_csv(io.StringIO(told("rank", "tiny", "--csv")))
    assert table["loss"].tolist() == [best, worst]
    head, rule = told("rank", "tiny", "--markdown").splitlines()[2:4]
    assert (head.split("|")[1].strip(), set(rule)) == ("loss", set("|:-"))
    lines = told("rank", "tiny", "--latex").splitlines()
    assert lines[6] == "\\toprule"
    assert lines[7].startswith("loss & place & top & kept & {[}low, high] & at 0 & ")
    assert lines[9].startswith(f"{best} & 1 & {{*}} & ")
    assert refused("rank", "tiny", "--by", "keep").startswith("no measure named 'keep'; did you")
    line = refused("rank", "tiny", "--perturbation", "hidden")
    assert line.startswith("perturbation 'hidden' was not run; did you mean 'hidden_positives'?")


SILENT = dict.fromkeys(("capped", "unreached", "below_random", "not_applicable", "left_out"), ())
SILENT |= {"few_users": 0}


def cautions(capsys, **told) -> tuple[list[str], list[str]]:
    """Return the lines of both streams that a run of such a summary ends with."""
    run = SimpleNamespace(summary=SimpleNamespace(**SILENT | told), manifest=runs.manifest())
    output.say_cautions(run)
    said = capsys.readouterr()
    return said.out.splitlines(), said.err.splitlines()


def test_a_run_without_cause_for_caution_says_nothing(capsys):
    assert cautions(capsys) == ([], [])


def test_trainings_with_too_few_epochs_are_told_by_loss_the_worst_first_and_where(capsys):
    place = {"dataset": "toy", "backbone": "mf"}
    counts = [("bpr", "noise", 0.0, 1), ("mse", "noise", 0.0, 1), ("mse", "shift", 0.5, 2)]
    rows = [
        Capped(loss=loss, perturbation=one, level=level, capped=n, trainings=4, **place)
        for loss, one, level, n in counts
    ]
    _, (line,) = cautions(capsys, capped=rows)
    assert line.startswith(
        "warning: 4 trainings best in the last tenth of the allowed epochs (mse 3, as 2 of 4 "
        "under shift level 0.5; bpr 1, as 1 of 4 under noise level 0): "
    )


def test_levels_not_reached_few_users_and_losses_below_random_are_warned_of(capsys):
    unreached = Unreached(dataset="toy", perturbation="noise", level=0.5, realised=0.0)
    where = {"dataset": "toy", "backbone": "mf", "loss": "bpr", "perturbation": "noise"}
    below = [
        BelowRandom(**where, level=level, metric="ndcg@20", value=value, random=0.125)
        for level, value in ((0.1, 0.0625), (0.5, 0.03125))
    ]
    _, lines = cautions(capsys, unreached=[unreached], few_users=2, below_random=below)
    assert lines == [
        "warning: noise on toy: level 0.5 was not reached; 0 was achieved",
        "warning: 2 cells with fewer than 200 test users in effect: their values are uncertain "
        "(flags in results.csv, effective_users in the records)",
        "warning: bpr on toy mf ends below the random baseline under noise level 0.5: "
        "ndcg@20 0.0312 against 0.1250",
    ]


FLAGGED = {
    "dataset": "toy",
    "backbone": "mf",
    "perturbation": "noise",
    "metric": "ndcg@20",
    "loss": "bpr",
    "level": 0.1,
    "flags": "capped not_reached",
}
TOLD = [
    "capped: best in the last tenth of the allowed epochs",
    "not_reached: less than 80% of the level was achieved",
]


def test_differences_are_marked_with_what_cells_are_flagged_with():
    row = FLAGGED | {"quantity": "value", "against": "mse", "pairs": 2, "difference": 0.01}
    row |= {"low": 0.0, "high": 0.02, "interval": "95% over users only", "verdict": "undecided"}
    row |= {
        "region": 0.02,
        "p": 0.2,
        "p_equivalent": 0.3,
        "equal_within": 0.05,
        "decides": "about 4 replicates",
    }
    *_, line, _, _, _, first, second = contrast([row])
    assert line.split() == [
        *("bpr", "at", "0.1", "+0.0100", "[+0.0000,", "+0.0200]", "undecided,", "capped,"),
        *("not_reached", "0.2", "5.0%", "about", "4", "replicates"),
    ]
    assert [first, second] == TOLD
    *_, line, _, _, last = contrast([row | {"flags": ""}])
    assert "undecided  0.2" in line
    assert last.startswith("verdicts: a family of 2 tests")


def test_values_beside_published_ones_are_marked_with_what_cells_are_flagged_with():
    row = FLAGGED | {"averaging": "all-users", "published": 0.4, "ours": 0.5, "n": 2}
    row |= {"relative": 0.25, "tolerance": 0.05, "verdict": "above", "source": "a paper"}
    _, _, line, *_, first, second = output.comparison([row | {"approximate": False}])
    assert line.endswith("+25.0%  above, capped, not_reached  [1]")
    assert [first, second] == TOLD


def test_what_does_not_apply_is_said_and_is_no_warning(capsys):
    said, warned = cautions(capsys, not_applicable=[("directau", "negative_contamination")])
    assert warned == []
    assert said == [
        "not applicable: directau draws no negatives, so it has no cells under "
        "negative_contamination"
    ]


def test_parts_run_apart_are_merged_to_what_one_run_gives(tmp_path, tiny, in_process):
    quiet = ("--jobs", 1, "--no-figures")
    assert in_process("run", tiny, *quiet).returncode == 0
    for loss in ("bpr", "mse"):
        done = in_process("run", tiny, *quiet, "--only", f"loss={loss}", "--out", loss)
        assert done.returncode == 0, done.stderr
    said = told("merge", "bpr", "mse", "--out", "merged", "--no-figures")
    assert (
        said == f"suite tiny: 4 of its 4 cells, done in 2 runs -> {Path('merged', 'results.csv')}\n"
    )
    whole = Path("results", "runs", "tiny")
    for table in ("results.csv", "diagnostics.csv"):
        assert Path("merged", table).read_bytes() == (whole / table).read_bytes()
    lines = told("status", "merged").splitlines()
    assert lines[0] == "suite tiny: 4 of 4 cells done, 0 failed, 0 left, tables alone"
    assert lines[1].startswith("of these 2 cells: robustbench-rec run tiny.toml --jobs 1 --no-fig")
    assert "--only loss=bpr --out bpr --engine serial (20" in lines[1]
    assert len(lines) == 3
    said = told("merge", "bpr", "merged", "--out", "merged")
    assert "synthetic-mf-hidden_positives-ndcg_at_20.png" in said
    assert Path("merged", "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
    assert refused("merge", "bpr", "--out", "merged").startswith("merged holds cells that these")
    assert refused("merge", "bpr", "nowhere", "--out", "new").startswith("nowhere: no run here")


def everything_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_run_of_an_unknown_suite_tells_the_nearest(tmp_path):
    line = refused("run", "smok")
    assert line.startswith("no suite named 'smok'; did you mean 'smoke'? (known: ")
    assert everything_in(tmp_path) == []


def test_run_of_a_bad_suite_tells_file_and_line(tmp_path, tiny):
    tiny.write_text(SUITE.replace('"bpr"', '"bprr"'))
    assert refused("run", tiny).startswith("tiny.toml:13: no loss named 'bprr'; did you mean 'bpr'")
    assert everything_in(tmp_path) == [tmp_path / "tiny.toml"]


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ("loss", "--only loss: it takes AXIS=NAME, as in --only dataset=synthetic"),
        (
            "=bpr",
            "--only =bpr: no axis '' (axes: dataset, backbone, loss, perturbation, level, "
            "replicate)",
        ),
        ("los=bpr", "--only los=bpr: no axis 'los'; did you mean 'loss'? (axes: "),
        (
            "loss=bprr",
            "--only loss=bprr: suite 'tiny' has no such loss; did you mean 'bpr'? "
            "(it has: bpr, mse)",
        ),
        ("perturbation=", "--only perturbation=: suite 'tiny' has no such perturbation (it has: "),
    ],
)
def test_only_takes_what_the_suite_has(tiny, only, says):
    assert refused("run", tiny, "--dry-run", "--only", only).startswith(says)


@pytest.mark.parametrize("out", ["file", "file/below/it", "holds-a-file", "link", "n" * 300])
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_folder_that_cannot_be_is_refused_with_a_dry_run_too(tmp_path, tiny, out, dry):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere/at/all")
    (tmp_path / "holds-a-file").mkdir()
    (tmp_path / "holds-a-file" / "cells").write_text("mine")
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    line = refused("run", tiny, "--out", out, *dry)
    assert line.startswith(f"{out}")
    assert "folder with --out" in line
    assert before == {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_dry_run_refuses_a_folder_that_may_not_be_written(tmp_path, tiny, monkeypatch):
    (tmp_path / "theirs").mkdir()
    access = os.access
    theirs = {tmp_path / "theirs"}
    monkeypatch.setattr(os, "access", lambda path, mode: path not in theirs and access(path, mode))
    for out in ("theirs", "theirs/new", "theirs/new/deep"):
        line = refused("run", tiny, "--dry-run", "--out", out)
        assert line.startswith(f"{out}: cannot be written (Permission denied); give another folder")
    assert not list((tmp_path / "theirs").iterdir())


def test_dry_run_says_what_would_be_run_and_writes_nothing(tmp_path, tiny, four_cores):
    before = everything_in(tmp_path)
    text = told("run", tiny, "--dry-run", "--jobs", 3)
    place = Path("results", "runs", "tiny")
    assert text.startswith(
        f"suite tiny: 4 cells from 4 trainings, 0 done, 4 to run on 3 workers -> {place}\n"
    )
    assert "\ndata synthetic" in text
    assert "482 pairs, density 16.07%; generated\n" in text
    part = told("run", tiny, "--dry-run", "--only", "loss=mse", "--out", "elsewhere")
    assert part.startswith("suite tiny: 2 cells from 2 trainings")
    assert part.splitlines()[0].endswith("-> elsewhere")
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    ("asked", "workers"),
    [
        ((), "4 workers"),
        (("--jobs", 4), "4 workers"),
        (("--threads-per-job", 2), "2 workers of 2 threads"),
        (("--threads-per-job", 3), "1 worker of 3 threads"),
        (("--jobs", 1, "--threads-per-job", 4), "1 worker of 4 threads"),
    ],
)
def test_workers_and_their_threads_fill_the_cores_at_most(tiny, four_cores, asked, workers):
    line, *_ = told("run", tiny, "--dry-run", *asked).splitlines()
    assert f"4 to run on {workers} -> " in line


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            ("--threads-per-job", 5),
            "--threads-per-job 5: it must be at most 4, the cores here",
        ),
        (
            ("--jobs", 3, "--threads-per-job", 2),
            "--jobs 3 x --threads-per-job 2 is 6 threads on 4 cores; "
            "give at most --jobs 2, or fewer threads",
        ),
    ],
)
def test_more_threads_than_cores_are_refused(tmp_path, tiny, four_cores, asked, says):
    assert refused("run", tiny, *asked) == says
    assert everything_in(tmp_path) == [tmp_path / "tiny.toml"]


def test_more_workers_of_one_thread_than_cores_are_warned_of(tiny, four_cores):
    result = call("run", tiny, "--dry-run", "--jobs", 5)
    assert result.exit_code == 0
    assert result.stderr == "warning: --jobs 5 on 4 cores: more workers than cores gain nothing\n"
    assert "to run on 5 workers" in result.stdout


@pytest.mark.parametrize("dry", [True, False])
def test_a_perturbation_that_the_data_has_nothing_for_is_told_before_any_training(tmp_path, dry):
    text = SUITE.replace('name = "hidden_positives"', 'name = "popularity_shift"')
    text = text.replace("level = [0.0, 0.5]", "level = [0.0, 2.0, 1.0]")
    (tmp_path / "misfit.toml").write_text(text)
    result = call("run", "misfit.toml", *["--dry-run"] * dry)
    assert result.exit_code == 2
    assert "data set synthetic: popularity_shift at level 2 rests on " in result.stderr
    assert "at least 50 are needed; ask for a lower level, or take data with more" in result.stderr
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("dry", [True, False])
def test_tables_without_records_are_not_run_over(tmp_path, tiny, reference, dry):
    before = {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()}
    said = refused("run", tiny, "--out", reference, *["--dry-run"] * dry)
    assert said.startswith(f"{reference}: holds the tables of a run without its records")
    assert {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()} == before
    assert call("run", tiny, "--out", reference, "--dry-run", "--force").exit_code == 0


def test_dry_run_leaves_a_corrupt_record_where_it_is(tmp_path, tiny):
    suite = load_suite(str(tiny), tmp_path)
    (dataset,) = suite.datasets
    victim = suite.cells({dataset: dataset.fingerprint(tmp_path)})[0]
    (tmp_path / "out" / "cells").mkdir(parents=True)
    (tmp_path / "out" / "cells" / f"{victim.id}.json").write_text("{")
    before = everything_in(tmp_path)
    result = call("run", tiny, "--dry-run", "--out", "out")
    assert f"{victim.id}.json: corrupt record" in result.stderr
    assert everything_in(tmp_path) == before


def test_only_repeated_on_an_axis_keeps_both(tiny):
    both = told("run", tiny, "--dry-run", "--only", "loss=mse", "--only", "loss=bpr")
    assert both.startswith("suite tiny: 4 cells")


def test_only_names_a_component_as_results_call_it(tiny):
    tiny.write_text(SUITE.replace('"mse"', '"softmax"\ntau = 0.1\n[[loss]]\nname = "softmax"'))
    for name, cells in (("softmax", 4), ("softmax(tau=0.1)", 2), ("softmax( tau = .2 )", 2)):
        told_ = told("run", tiny, "--dry-run", "--only", f"loss={name}")
        assert told_.startswith(f"suite tiny: {cells} cells"), name


def test_only_takes_levels_too(tiny):
    assert told("run", tiny, "--dry-run", "--only", "level=0").startswith("suite tiny: 2 cells")
    line = refused("run", tiny, "--only", "level=0.7")
    assert "no such level; did you mean '0.5'? (it has: 0, 0.5)" in line
    tiny.write_text(SUITE.replace("0.5", "0.3333333333, 0.33333334"))
    for level in ("0.0", "0.3333333333", "0.33333334"):
        told_ = told("run", tiny, "--dry-run", "--only", f"level={level}")
        assert told_.startswith("suite tiny: 2 cells"), level


def test_only_takes_replicates_so_that_machines_can_share_them(tiny):
    tiny.write_text("replicates = 3\n" + SUITE)
    assert told("run", tiny, "--dry-run", "--only", "replicate=2").startswith("suite tiny: 4 cells")
    line = refused("run", tiny, "--only", "replicate=3")
    assert line.startswith("--only replicate=3: suite 'tiny' has no such replicate")
    assert line.endswith("(it has: 0, 1, 2)")


def test_run_without_its_data_tells_where_it_looked_and_how_to_get_them():
    line = refused("run", "false-negatives", "--data-dir", "empty")
    assert line.startswith("no data for 'movielens-100k' in empty (looked for movielens-100k and ")
    assert "run `robustbench-rec data fetch movielens-100k`" in line


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_run_into_a_folder_that_cannot_be_written_tells_how_to_choose_another(tmp_path, tiny, out):
    (tmp_path / "file").write_text("in the way")
    line = refused("run", tiny, "--out", out)
    assert line.startswith(f"{out}: cannot be written (")
    assert line.endswith("; give another folder with --out")
    assert (tmp_path / "file").read_text() == "in the way"


def test_dry_run_below_a_file_does_not_speak_of_corrupt_records(tmp_path, tiny):
    (tmp_path / "file").write_text("in the way")
    assert "corrupt" not in call("run", tiny, "--out", "file/below", "--dry-run").stderr


@pytest.mark.parametrize("name", ["s" * 5000, "s\x1b[2J\x07\ns", "s\u202e\u200bs"])
def test_status_prints_what_a_manifest_holds_as_one_line_of_text(tmp_path, name):
    held = RunFolder(tmp_path / "odd")
    part = {"command": name, "started": name, "versions": {}, "platform": name, "protocol": ()}
    part |= {"suite_text": "", "cells": ("a1",)}
    labels = dict.fromkeys(("dataset", "backbone", "loss", "perturbation"), name)
    cells = {"a1": runs.cell() | labels}
    study = labels | {"level": 0.0, "budget": 2}
    held.cells.mkdir(parents=True)
    held.write_manifest(
        runs.manifest(
            suite=name,
            parts=[part],
            cells=cells,
            studies={"b1": study},
            not_applicable=[(name, name)],
        )
    )
    held.write(runs.record("a1", status="failed", error=name))
    lines = told("status", "odd", status=3).splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        "suite",
        "a",
        "of",
        "failed:",
        "tuning",
        "not",
    ]
    assert all(line.isprintable() and len(line) < 1100 for line in lines)
    assert lines[0].endswith(": 0 of 1 cells done, 1 failed, 0 left, 0 s of training")


@pytest.mark.parametrize("command", ["status", "figures", "compare"])
def test_status_figures_and_compare_of_what_is_no_run_say_so(tmp_path, command):
    (tmp_path / "folder").mkdir()
    assert refused(command, "folder") == "folder: no run here (manifest.json is missing)"
    runs = Path("results", "runs")
    assert refused(command, "nowhere") == f"nowhere: no run here (in {runs}: nothing yet)"
    for suite in ("smoke", "health", ".hidden"):
        (runs / suite).mkdir(parents=True)
    for suite in ("smoke", "health"):
        (runs / suite / "manifest.json").touch()
    line = refused(command, runs / "smok")
    told = f"no run here; did you mean 'smoke'? (in {runs}: health, smoke)"
    assert line == f"{runs / 'smok'}: {told}"
    (tmp_path / "folder" / "manifest.json").write_text("{")
    assert refused(command, "folder").startswith(
        f"{Path('folder', 'manifest.json')}: cannot be read ("
    )


@pytest.mark.parametrize("text", ["[]", "{}"])
@pytest.mark.parametrize("command", ["status", "figures", "compare"])
def test_a_manifest_that_is_none_is_refused(tmp_path, command, text):
    (tmp_path / "manifest.json").write_text(text)
    assert "manifest.json" in refused(command, tmp_path)


def test_wrong_usage_exits_with_2():
    for arguments in (["run"], ["run", "smoke", "--jobs", "0"], ["list", "los"], ["runn"]):
        result = call(*arguments)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("robustbench-rec: ")
        assert line.endswith("--help)")


def test_no_command_at_all_gets_the_help():
    result = call()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")


def test_a_plugin_file_that_is_missing_or_broken_is_named(tmp_path, tiny):
    (tmp_path / "broken.py").write_text("raise RuntimeError('two\\nlines')\n")
    for arguments in (["run", tiny], ["list", "losses"], ["show", "bpr"]):
        assert "'no.py' could not be imported: no such file" in refused(
            *arguments, "--plugin", "no.py"
        )
        line = refused(*arguments, "--plugin", "broken.py")
        assert "plugin 'broken.py' could not be imported: RuntimeError: two lines" in line


ROGUES = """
from dataclasses import dataclass, replace
from robustbench_rec import PERTURBATIONS, Perturbation

class Rogue(Perturbation):
    unit = "roguery"

@PERTURBATIONS.add("rogue-raises")
@dataclass(frozen=True, kw_only=True)
class Raises(Rogue):
    "Raise."
    def apply(self, split, rng):
        raise KeyError("no\\nsuch thing")

@PERTURBATIONS.add("rogue-out-of-range")
@dataclass(frozen=True, kw_only=True)
class OutOfRange(Rogue):
    "Return ids out of range."
    def apply(self, split, rng):
        return replace(split, train=replace(split.train, items=split.train.items + 50))

@PERTURBATIONS.add("rogue-touches-test")
@dataclass(frozen=True, kw_only=True)
class TouchesTest(Rogue):
    "Change the test."
    def apply(self, split, rng):
        return replace(split, test=split.test.none())
"""
REASONS = {
    "rogue-raises": "KeyError: 'no\\nsuch thing'",
    "rogue-out-of-range": "ValueError: OutOfRange.apply: Interactions.items holds id ",
    "rogue-touches-test": "ValueError: TouchesTest changed Split.test; with "
    "acts_through = 'training pairs' it may change only train and false_negatives",
}


def with_perturbations(*names: str) -> str:
    tables = (f'[[perturbation]]\nname = "{name}"\nlevel = [0, 0.5]\n' for name in names)
    return SUITE.replace('[[loss]]\nname = "mse"\n', "") + "".join(tables)


def test_rogue_plugins_fail_their_cells_with_the_reason_and_the_others_are_done(
    tmp_path, tiny, in_process
):
    (tmp_path / "rogues.py").write_text(ROGUES)
    tiny.write_text(with_perturbations(*REASONS))
    arguments = ("--plugin", "rogues.py", "--out", "out", "--jobs", 1, "--no-figures")
    done = in_process("run", tiny, *arguments)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "5 cells done, 3 failed" in done.stdout
    assert "reasons: robustbench-rec status out; run again to retry them" in done.stdout
    summary = json.loads(told("status", "out", "--json", status=3))
    assert (summary["done"], summary["left"]) == (5, 0)
    failed = dict(summary["failed"].values())
    status = told("status", "out", status=3)
    assert status.startswith("suite tiny: 5 of 8 cells done, 3 failed, 0 left, ")
    for name, reason in REASONS.items():
        title = f"synthetic mf bpr {name} level 0.5 replicate 0"
        assert failed[title].startswith(reason)
        assert f"failed: {title}: {reason}" in status
        assert f"failed: {title}: {reason}" in done.stderr


def test_a_plugin_that_exits_fails_its_cell_too(tmp_path, tiny, in_process):
    code = ROGUES.replace('KeyError("no\\nsuch thing")', "SystemExit(0)")
    (tmp_path / "rogues.py").write_text(code.replace("rogue-", "exiting-"))
    tiny.write_text(with_perturbations("exiting-raises"))
    out = ("--out", "out", "--jobs", 1, "--no-figures")
    done = in_process("run", tiny, "--plugin", "rogues.py", *out)
    assert done.returncode == 3, done.stderr


LIBRARIES = ("numpy", "pandas", "torch", "numba", "matplotlib", "scipy", "pydantic", "joblib")
LIBRARIES += ("rich", "optuna", "filelock", "platformdirs")
"""What takes long to import, and a little more: all that is installed with us but click."""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("folder", "slow"),
    [
        ("cli.main", LIBRARIES),
        ("experiment", ("torch", "pandas", "matplotlib", "scipy", "joblib")),
        ("records", ("torch", "matplotlib", "joblib")),
        ("analysis", ("torch", "matplotlib", "joblib")),
        ("figures", ("torch", "joblib")),
    ],
)
def test_what_is_slow_to_import_is_imported_where_it_is_used(folder, slow):
    code = (
        "import sys, pkgutil, importlib\n"
        f"import robustbench_rec.{folder} as folder\n"
        "path = getattr(folder, '__path__', ())\n"
        "for module in pkgutil.iter_modules(path, folder.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        f"print(*(m for m in {slow} if m in sys.modules))"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_list_show_and_a_dry_run_need_no_torch(tiny):
    code = (
        "import sys\n"
        "from robustbench_rec.cli.main import main\n"
        "for line in ('list', 'show drrl', 'run tiny.toml --dry-run', 'data list'):\n"
        "    main(line.split(), standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_command_line(command):
    done = command("show", "sofmax")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("robustbench-rec: nothing is named 'sofmax'; did you mean")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["status"], ["status", "--json"], ["compare", "--against", "bpr"], ["figures"]]
)
def test_what_reads_a_run_reads_its_manifest_and_each_record_once(tmp_path, monkeypatch, words):
    folder = RunFolder(tmp_path / "run")
    points = [(loss, level) for loss in ("bpr", "mse") for level in (0.0, 0.1)]
    cells = {f"c{at}": runs.cell(*point) for at, point in enumerate(points)}
    with folder.locked():
        folder.begin(runs.manifest(cells=cells))
        for id, cell in cells.items():
            kept = runs.record(id, level=cell["level"], metrics={"ndcg@20": 0.5})
            folder.write(kept, {"users": np.arange(3)})
    read, read_bytes = [], Path.read_bytes

    def counted(path):
        read.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    monkeypatch.setattr(drawing, "available_cores", lambda: 1)
    told(words[0], folder.folder, *words[1:])
    assert sorted(read) == sorted(["manifest.json", *(f"{id}.json" for id in cells)])


def started(blocked: Iterable[str], asked: list[list[str]]) -> list[tuple[int, str, str, str]]:
    """Return what each command came to, in one process in which some libraries are blocked."""
    code = (
        "import json, sys\n"
        f"sys.modules.update(dict.fromkeys({[*blocked]}))\n"
        "from click.testing import CliRunner\n"
        "from robustbench_rec.cli.main import main\n"
        f"done = [CliRunner().invoke(main, words) for words in {asked!r}]\n"
        "told = [(one.exit_code, one.stdout, one.stderr, repr(one.exception)) for one in done]\n"
        "print(json.dumps(told))"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_what_needs_no_torch_starts_where_torch_is_blocked(reference):
    words = [
        ["--help"],
        ["list"],
        ["show", "softmax"],
        ["status", "R"],
        ["figures", "R", "--kind", "curves", "--metric", "ndcg@20"],
        ["rank", "R"],
        ["claims", "R"],
        ["compare", "R", "--against", "bpr"],
        ["table", "R", "main"],
        ["table", "R", "robustness", "--format", "latex"],
        ["table", "R", "k", "--format", "html"],
        ["table", "R", "hyperparameters"],
        ["report", "R"],
        ["cite", "R"],
    ]
    asked = [[str(reference) if word == "R" else word for word in one] for one in words]
    for words, (status, said, warned, raised) in zip(asked, started(["torch"], asked), strict=True):
        assert status == 0, (words, raised, warned)
        assert all(line.startswith("warning: ") for line in warned.splitlines()), (words, warned)
        assert said, words


def test_help_starts_where_every_library_but_click_is_blocked():
    asked = [[*path, "--help"] for path in commands(main)]
    for words, told in zip(asked, started(LIBRARIES, asked), strict=True):
        status, said, warned, raised = told
        assert (status, warned) == (0, ""), (words, raised)
        assert said.startswith("Usage: "), words
