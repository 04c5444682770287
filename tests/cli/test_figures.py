"""The options of `figures`: what they draw, and one line for every mistake."""

import io
import json
from pathlib import Path
from shutil import copytree, ignore_patterns

import pandas as pd
import pytest
from click.testing import CliRunner
from tables_by_hand import run_of

from robustbench_rec.cli.main import main
from robustbench_rec.figures.gallery import frames_of
from robustbench_rec.figures.kinds import KINDS
from robustbench_rec.figures.options import Options, page_of
from robustbench_rec.figures.panel import COLUMNS
from robustbench_rec.records.run import read_run

OWN = "negative_contamination(pool=own)"
STEM = "movielens-100k-mf-negative_contamination_pool_own-ndcg_at_20"


@pytest.fixture(scope="module")
def run(tmp_path_factory, checkout):
    """Return a copy of a run without figures, that no test changes."""
    kept = checkout / "results" / "reference" / "false-negatives"
    place = tmp_path_factory.mktemp("figures") / "run"
    return copytree(kept, place, ignore=ignore_patterns("figures", "diagnostics.csv"))


def figures(run, out, *options):
    """Draw into a folder; return what was drawn, by name."""
    words = ["figures", str(run), "--out", str(out), *map(str, options)]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    names = {path.name for path in Path(out).iterdir()}
    listed = json.loads((Path(out) / "drawn.json").read_text())
    assert names == {*listed, "drawn.json"}
    return sorted(listed)


def refused(run, *options):
    """Return the one line that a mistake gets."""
    done = CliRunner().invoke(main, ["figures", str(run), *map(str, options)])
    assert done.exit_code == 2, (done.output, done.exception)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert not (Path(run) / "figures").exists()
    return line.removeprefix("robustbench-rec: ")


def test_filters_leave_out_what_is_not_asked_for_and_the_table_says_so(run, tmp_path):
    options = ("--perturbation", OWN, "--metric", "ndcg@20", "--loss", "bpr", "--loss", "ccl")
    out = tmp_path / "deep" / "out"
    drawn = figures(run, out, *options, "--format", "svg")
    assert drawn == [f"{STEM}.csv", f"{STEM}.svg"]
    table = pd.read_csv(out / f"{STEM}.csv")
    assert {*table["loss"]} == {"bpr", "ccl", "untrained"}
    assert {*table["level"]} == {0, 0.1, 0.3, 0.5}
    assert {"mean", "low", "high", "retention", "retention_low"} <= {*table}
    assert not {"drop", "drop_low", "excess", "excess_high", "rank"} & {*table}
    svg = (out / f"{STEM}.svg").read_bytes()
    figures(run, out, *options, "--format", "svg")
    assert (out / f"{STEM}.svg").read_bytes() == svg  # no date, no chance in its ids


@pytest.mark.parametrize(
    ("kind", "value", "drawn"),
    [
        ("curves", "absolute", {"mean", "low", "high"}),
        ("curves", "retention", {"retention", "retention_low", "retention_high"}),
        ("curves", "excess", {"excess", "excess_low", "excess_high"}),
        ("curves", "rank", {"rank"}),
        ("heatmap", "retention", {"retention", "retention_low", "retention_high"}),
        ("heatmap", "absolute", {"mean", "low", "high"}),
    ],
)
def test_a_table_has_the_values_that_are_drawn_and_no_others(run, tmp_path, kind, value, drawn):
    only = ("--perturbation", OWN, "--metric", "ndcg@20", "--format", "svg")
    figures(run, tmp_path, "--kind", kind, "--value", value, *only)
    (path,) = tmp_path.glob("*.csv")
    table = pd.read_csv(path)
    of_values = {name for columns in COLUMNS.values() for name in columns}
    assert of_values & {*table} == drawn
    assert ("untrained" in {*table["loss"]}) == (kind == "curves" and value == "absolute")


def test_what_is_drawn_with_other_options_stays_and_is_drawn_anew_with_others(run, tmp_path):
    one = ("--metric", "ndcg@20", "--loss", "bpr", "--format", "png", "--perturbation")
    first = figures(run, tmp_path, *one, OWN, "--value", "retention")
    before = (tmp_path / f"{STEM}.png").read_bytes()
    both = figures(run, tmp_path, *one, "hidden_positives", "--value", "rank")
    assert {*first} < {*both}
    assert (tmp_path / f"{STEM}.png").read_bytes() == before
    figures(run, tmp_path, *one, OWN, "--value", "retention", "--width", "acm-column")
    assert (tmp_path / f"{STEM}.png").read_bytes() != before


def test_a_width_a_size_of_letters_and_a_style_file_shape_the_page(run, tmp_path):
    style = tmp_path / "paper.mplstyle"
    style.write_text("font.family: serif\nsavefig.dpi: 100\n")
    options = ("--perturbation", OWN, "--metric", "ndcg@20", "--format", "png", "--log-x")
    figures(run, tmp_path / "a", *options, "--width", 3.5, "--font-size", 7, "--style", style)
    header = (tmp_path / "a" / f"{STEM}.png").read_bytes()[16:20]
    assert int.from_bytes(header, "big") == 350


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--kind", "mechanism"),
            "no figure named 'mechanism'; did you mean 'diagnostics'? (known",
        ),
        (("--kind", "heat"), "--kind: no figure named 'heat'; did you mean 'heatmap'? (known: "),
        (("--loss", "bprr"), "loss 'bprr' was not run; did you mean 'bpr'? (recorded: bpr, "),
        (("--dataset", ""), "dataset '' was not run (recorded: movielens-100k"),
        (("--perturbation", "own"), "perturbation 'own' was not run"),
        (("--metric", "ndcg@10"), "no metric 'ndcg@10' here; did you mean 'ndcg@20'? (known: "),
        (("--width", "0"), "--width is 0; it must lie in [2, 30] inches"),
        (("--width", "nan"), "--width is nan; it must lie in [2, 30] inches"),
        (("--width", "acm"), "--width 'acm'; did you mean 'acm-"),
        (("--font-size", "0"), "--font-size is 0; it must lie in [4, 40] points"),
        (("--format", "jpg"), "--format: 'jpg' is no format; did you mean 'png'? (known: png, "),
        (("--format", ""), "--format: '' is no format (known: png, pdf, svg)"),
        (("--against", "bpr"), "--against goes with --kind, one of: improvement"),
        (
            ("--kind", "diagnostics", "--value", "rank"),
            "--value does not apply to figure diagnostics",
        ),
        (("--kind", "improvement"), "figure improvement needs a reference loss: --against LOSS"),
        (("--kind", "improvement", "--against", "x"), "loss 'x' was not run"),
        (("--kind", "multiples"), ": no figure of these kinds can be drawn; they need several "),
        (("--kind", "training"), ": no figure of these kinds can be drawn; they need the records"),
        (("--style", "missing"), "--style missing: no such file; "),
    ],
)
def test_mistakes_are_one_line(run, options, said):
    assert said in refused(run, *options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("axes.labelsizes: 3", "Bad key axes.labelsizes"),
        ("axes.labelsize 3", "Missing colon"),
        ("font.size: big", "'big'"),
        ("font.size: 9\nfont.size: 8", "Duplicate key"),
        ("text.usetex: True", "text.usetex cannot be set here; delete it"),
        ("\xff", "codec can't decode"),
    ],
)
def test_an_error_in_a_style_file_is_one_line(run, tmp_path, text, said):
    style = tmp_path / "my.mplstyle"
    style.write_bytes(text.encode("latin-1"))
    line = refused(run, "--style", style)
    assert line.startswith(f"--style {style}: ")
    assert said in line


def test_the_folder_of_a_run_is_no_place_for_figures(run):
    told = refused(run, "--out", run)
    assert told.endswith("is inside the run's folder; give another folder")
    assert "inside the run's folder" in refused(run, "--out", run / "cells")


def test_the_kinds_are_listed(run):
    done = CliRunner().invoke(main, ["figures", str(run), "--kind", "list"])
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*KINDS]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("heatmap", ()),
        ("standing", ()),
        ("improvement", ("--against", "bpr")),
        ("users", ()),
        ("severity", ()),
        ("stability", ()),
    ],
)
def test_a_new_kind_draws_a_run_with_its_table(run, tmp_path, kind, options):
    only = ("--perturbation", OWN, "--metric", "ndcg@20", "--loss", "bpr", "--loss", "softmax")
    png, table = figures(run, tmp_path, "--kind", kind, *only, *options, "--format", "png")[::-1]
    assert (tmp_path / png).read_bytes().startswith(b"\x89PNG")
    held = pd.read_csv(io.BytesIO((tmp_path / table).read_bytes()))
    assert {*held["perturbation"]} == {OWN}
    assert {*held["loss"]} <= {"bpr", "softmax"}


def test_names_as_printed_are_taken_and_a_kind_without_a_figure_is_told_of(run, tmp_path):
    words = ("--loss", "Softmax (SL)", "--loss", "bpr", "--dataset", "MovieLens-100K")
    kinds = ("--kind", "curves", "--kind", "multiples", "--metric", "ndcg@20")
    under = ("--perturbation", "false negatives (own positives)")
    done = CliRunner().invoke(
        main, ["figures", str(run), *words, *kinds, *under, "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0
    assert "no figure of kind multiples can be drawn; it needs several data sets" in done.stderr
    (table,) = (tmp_path / "out").glob("*.csv")
    held = pd.read_csv(table)
    assert {*held["loss"]} - {"untrained"} == {"bpr", "softmax"}
    assert {*held["perturbation"]} == {OWN}


def test_a_run_without_values_of_users_says_so(run, tmp_path):
    bare = copytree(run, tmp_path / "bare")
    (bare / "users.npz").unlink()
    assert "has no values of single users" in refused(bare, "--kind", "users")


def test_a_run_that_goes_on_is_drawn_as_far_as_it_is(tmp_path):
    values = {
        (loss, level, replicate): value * (1 - level / 2) + replicate / 100
        for loss, value in {"bpr": 0.2, "softmax": 0.3, "ccl": 0.1, "mse": 0.2}.items()
        for level in (0.0, 0.5, 1.0)
        for replicate in range(2)
    }
    failed = {cell for cell in values if cell[0] == "mse" or cell[:2] == ("ccl", 1.0)}
    hostile = "Ours_{\\\\x} $y$ & 100%"
    going = run_of(
        tmp_path / "run",
        {cell: None if cell in failed else value for cell, value in values.items()},
        to_come=[("bce", level, 0) for level in (0.0, 0.5)],
        suite_text=f'[[loss]]\nname = "softmax"\nlabel = "{hostile}"\n',
        specs={"loss": {"softmax": "softmax(tau=0.1)"}},
    )
    words = ["figures", str(going.folder), "--kind", "curves", "--kind", "heatmap"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "16 of 26 cells are done; conclusions lack 10 cells" in done.stderr
    of = going.folder / "figures"
    curves = pd.read_csv(of / "toy-mf-noise-ndcg_at_20.csv").groupby("loss")["level"].max()
    assert curves.to_dict() == {"bpr": 1.0, "softmax": 1.0, "ccl": 0.5}
    assert {*pd.read_csv(of / "heatmap-ndcg_at_20.csv")["loss"]} == {"bpr", "softmax"}
    assert all((of / f"heatmap-ndcg_at_20.{form}").stat().st_size for form in ("png", "pdf"))


def test_what_the_suite_says_of_figures_holds_for_all_of_them(run, tmp_path):
    kept = copytree(run, tmp_path / "kept")
    manifest = json.loads((kept / "manifest.json").read_text())
    text = manifest["suite_text"]
    assert text.count('name = "bpr"') == text.count('name = "hidden_positives"') == 1
    text = text.replace('name = "bpr"', 'name = "bpr"\nlabel = "baseline"')
    text += '\n[figures]\norder = ["ccl"]\nhide = ["mse"]\nlimits = { "ndcg@20" = [0, 1] }\n'
    (kept / "manifest.json").write_text(json.dumps(manifest | {"suite_text": text}))
    options = options_of(read_run(kept))
    assert options.page.names == (("bpr", "baseline"),)
    assert options.page.order == ("ccl",)
    assert options.page.limits == (("ndcg@20", 0.0, 1.0),)
    assert "mse" not in frames_of(read_run(kept)).curves["loss"].unique()
    asked = Options(only={"loss": ("mse",)})
    assert "mse" in frames_of(read_run(kept), asked).curves["loss"].unique()


def options_of(run):
    return Options(page=page_of(run))
