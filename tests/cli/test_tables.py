import csv
import json
from pathlib import Path
from shutil import copytree, ignore_patterns

import pandas as pd
import pytest
from click.testing import CliRunner
from tables_by_hand import run_of

from robustbench_rec.cli.main import main
from robustbench_rec.records.run import Run
from robustbench_rec.tables.kinds import KINDS


@pytest.fixture
def kept(tmp_path_factory, checkout) -> Path:
    """Return a copy of reference results, tables alone."""
    held = checkout / "results" / "reference" / "false-negatives"
    copy = tmp_path_factory.mktemp("kept") / "run"
    return copytree(held, copy, ignore=ignore_patterns("figures"))


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def refused(*words) -> str:
    done = call(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("robustbench-rec: ")


def test_table_without_a_kind_lists_them(kept):
    done = call("table", kept)
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*KINDS]


def test_table_teaches_with_examples():
    text = call("table", "--help").stdout
    examples = [line.split() for line in text.splitlines() if "robustbench-rec table" in line]
    assert len(examples) == 2
    assert all(words[3] in KINDS for words in examples)


@pytest.mark.parametrize("kind", ["main", "robustness", "k", "hyperparameters"])
@pytest.mark.parametrize("form", ["latex", "markdown", "csv", "html"])
def test_each_kind_is_printed_in_each_form(kept, kind, form):
    done = call("table", kept, kind, "--format", form)
    assert done.exit_code == 0
    assert ("softmax" if form == "csv" else "Softmax (SL)") in done.stdout
    assert (done.stderr == "") == (form != "csv")


def test_csv_of_robustness_holds_what_results_hold(kept):
    done = call("table", kept, "robustness", "--format", "csv", "--metric", "recall@20")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    asked = {"perturbation": "hidden_positives", "backbone": "mf", "loss": "ccl"}
    (row,) = [one for one in rows if asked.items() <= one.items()]
    results = pd.read_csv(kept / "results.csv")
    held = results[(results["metric"] == "recall@20") & (results["level"] == 0.6)]
    held = held[(held["loss"].str.startswith("ccl")) & (held["perturbation"] == "hidden_positives")]
    assert float(row["level 0.6 Recall@20"]) == pytest.approx(held["value"].mean())
    assert row["level 0.1 Recall@20"] == ""


def test_out_writes_the_file_that_else_is_printed(kept, tmp_path):
    target = tmp_path / "main.tex"
    target.write_text("old")
    done = call("table", kept, "main", "--format", "latex", "--out", target)
    assert (done.exit_code, done.stdout) == (0, f"table main: {target}\n")
    assert target.read_text() == call("table", kept, "main", "--format", "latex").stdout
    assert [*tmp_path.iterdir()] == [target]


def test_out_is_refused_where_it_would_harm_or_cannot_be(kept, tmp_path):
    manifest = kept / "manifest.json"
    before = manifest.read_bytes()
    assert refused("table", kept, "main", "--out", manifest) == (
        f"--out {manifest} is inside the run's folder; give another path"
    )
    assert manifest.read_bytes() == before
    assert "cannot be written" in refused("table", kept, "main", "--out", tmp_path)
    assert "cannot be written" in refused("table", kept, "main", "--out", tmp_path / "no" / "x")
    assert [*tmp_path.iterdir()] == []
    assert refused("table", kept, "main", "--out", "").startswith("Invalid value for '--out': it")


def test_mistakes_get_one_line(kept):
    assert refused("table", kept, "mian").startswith("no table named 'mian'; did you mean 'main'?")
    assert refused("table", kept, "datasets", "--ours", "bpr") == (
        "--ours does not apply to table datasets; it takes --data-dir"
    )
    assert refused("table", "nothing", "main").startswith("nothing: no run here")
    assert "no time is recorded" in refused("table", kept, "time")
    assert "has no published value" in refused("table", kept, "published")
    assert refused("cite", "nothing").startswith("nothing: no run here")


def test_a_table_of_another_protocol_is_warned_of(kept, tmp_path):
    run = copytree(kept, tmp_path / "run")
    held = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(held | {"protocol": ["2"]}))
    done = call("table", run, "main")
    assert done.exit_code == 0
    assert done.stderr.startswith(f"warning: {run}: cells of protocol 2, not of today's ")


def test_cite_prints_bibtex(kept):
    done = call("cite", kept)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "\n@misc{robustbench_rec,\n" in done.stdout
    assert "eprint = {2506.15120}" in done.stdout


def test_the_main_table_reads_users_of_level_0_alone_and_no_table_reads_lists(
    tmp_path, monkeypatch
):
    values = {(loss, level, 0): 0.2 for loss in ("bpr", "ccl") for level in (0.0, 0.5)}
    run = run_of(tmp_path / "run", values, users=True)
    read = []
    whole = Path.open

    def opened(path, *arguments, **options):
        read.append(path.name)
        return whole(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(Run, "_agreement", lambda run: pytest.fail("lists are read"))
    assert call("table", run.folder, "main").exit_code == 0
    assert sorted(name for name in read if name.endswith(".npz")) == ["a0.npz", "a2.npz"]
    assert call("table", run.folder, "robustness").exit_code == 0
