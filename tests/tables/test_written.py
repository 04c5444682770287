import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from robustbench_rec.analysis.spreadsheets import in_csv
from robustbench_rec.cli.main import main
from robustbench_rec.tables.table import ABSENT, NOTHING, Entry, Table, number
from robustbench_rec.tables.written import FORMATS, in_latex, written

HOSTILE = (
    r"a_b & c% $d$ #e {f} ~g ^h \input{/etc/passwd}",
    "<script>alert('x')</script> &amp;",
    "*star* [link](http://x) | `code` _em_ <b>",
    "[2cm] begins a row",
    "* begins a row",
    "=HYPERLINK(1)",
    "../../etc/passwd",
    "two\nlines\r\nand\ta tab \x1b[2J",
    "-1",
    "+x",
    "@cell",
    "",
)
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))


def table(*names, note="A note.", of=None):
    """Return a table of two blocks, whose names are those that are given, in turn."""
    it = (names * 8)[:8]
    columns = [(it[0], "value"), (it[1] + ".", "kept")]
    rows = {
        (it[2], it[3] + "1"): {columns[0]: Entry("0.5000*", 0.5, "best"), columns[1]: number(0.25)},
        (it[2], it[4] + "2"): {columns[0]: Entry("0.4000", 0.4, "second")},
        (it[5] + "b", it[6]): {columns[1]: Entry(it[7])},
    }
    return Table(f"title {it[0]}", ("block", "row"), columns, rows, [note, it[7]], of or {})


def plain(text):
    """Return what is seen of a text."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


# LaTeX


SPECIAL = re.compile(r"(?<!\\)[%#]|(?<!\\)\^|~")


def check_latex(text):
    """Fail where a text is no LaTeX: braces, environments, cells of a row, special characters."""
    first, _, rest = text.partition("\n")
    assert first.startswith("% needs ")
    opened = []
    for name, environment in re.findall(r"\\(begin|end){(\w+)}", rest):
        if name == "begin":
            opened.append(environment)
        else:
            assert opened.pop() == environment
    assert not opened
    depth = 0
    for brace in re.findall(r"\\.|[{}]", rest):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        assert depth >= 0
    assert depth == 0
    assert not SPECIAL.search(rest)
    commands = set(re.findall(r"\\([A-Za-z]+)", rest))
    assert commands <= {
        *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule"),
        *("multicolumn", "textbf", "underline", "textbackslash", "textasciitilde"),
        *("textasciicircum", "textless", "textgreater", "textbar", "textdagger", "leq", "times"),
        *("scriptsize", "resizebox", "ifdim", "width", "linewidth", "else", "fi"),
    }
    for body in re.findall(r"\\begin{tabular}{([lr]*)}\n(.*?)\\end{tabular}", rest, re.DOTALL):
        sides, lines = body[0], body[1].splitlines()
        for line in lines:
            if re.fullmatch(r"\\(top|mid|bottom)rule", line):
                continue
            assert line.endswith(" \\\\")
            assert not line.lstrip().startswith(("[", "*"))
            spans = [int(n) - 1 for n in re.findall(r"\\multicolumn{(\d+)}", line)]
            assert len(re.findall(r"(?<!\\)&", line)) + sum(spans) + 1 == len(sides)


def compiled(text, where):
    """Compile a text where a TeX is at hand; return what it says, None where there is none."""
    engine = next(filter(shutil.which, ("tectonic", "pdflatex", "lualatex", "xelatex")), None)
    if engine is None:
        return None
    preamble = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}"
    (where / "t.tex").write_text(f"{preamble}\\begin{{document}}\n{text}\\end{{document}}\n")
    options = [] if engine == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([engine, *options, "t.tex"], cwd=where, capture_output=True, timeout=120)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_of_hostile_names_is_latex(name, tmp_path):
    text = written([table(name, "b"), table("a", name)], "latex", name)
    check_latex(text)
    compiled(text, tmp_path)
    assert re.findall(r"\\label{([^}]*)}", text)[1].endswith("-2")
    assert re.fullmatch(r"tab:[a-z0-9-]+", re.findall(r"\\label{([^}]*)}", text)[0])


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        *(("drrl", kind) for kind in ("main", "robustness", "hyperparameters", "time")),
        ("false-negatives", "k"),
        ("health", "published"),
    ],
)
def test_latex_of_the_tables_of_real_runs_is_latex(run, kind, checkout, tmp_path):
    of = str(checkout / "results" / "reference" / run)
    done = CliRunner().invoke(main, ["table", of, kind, "--format", "latex"])
    assert done.exit_code == 0, done.stderr
    check_latex(done.stdout)
    compiled(done.stdout, tmp_path)


@given(st.lists(NAMES, min_size=2, max_size=8))
@example(["a", " *"])
@example(["a", " ["])
@settings(max_examples=30, deadline=None)
def test_latex_of_any_names_is_latex(names):
    check_latex(written([table(*names)], "latex", "x"))


def test_latex_marks_rules_and_labels():
    text = written([table("a", "b", "block", "c")], "latex", "S run")
    assert "\\label{tab:s-run}" in text
    assert "block & c1 & \\textbf{0.5000*} & 0.2500 \\\\\n" in text
    assert re.search(r"\n & \w+ & \\underline{0.4000} & -- \\\\\n\\midrule\n", text)
    assert "\\begin{tabular}{llrr}" in text
    assert text.count("\\midrule") == 2  # below the head, between the blocks
    assert "\\caption{title a. A note. c}" in text


def test_every_character_that_latex_reads_is_escaped():
    assert in_latex(r"\&%$#_{}~^<>|") == (
        r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}"
        r"\textless{}\textgreater{}\textbar{}"
    )


# Markdown


def markdown_tables(text):
    """Return the rows of texts of each table of a Markdown page."""
    found, row = [], None
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token in tokens:
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            row = []
            found[-1].append(row)
        elif token.type == "tr_close":
            row = None
        elif token.type == "inline" and row is not None:
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "strong_open", "strong_close", "html_inline", "text_special"}
            tags = {child.content for child in token.children if child.type == "html_inline"}
            assert tags <= {"<u>", "</u>"}
            seen = (one.content for one in token.children if one.type.startswith("text"))
            row.append("".join(seen))
    return found


@given(st.lists(NAMES, min_size=2, max_size=8))
@settings(max_examples=30, deadline=None)
def test_markdown_of_any_names_says_the_names_and_nothing_else(names):
    asked = table(*names)
    (rows,) = markdown_tables(written([asked], "markdown", "x"))
    heads = [*asked.head, *(" ".join(filter(None, column)) for column in asked.columns)]
    assert [plain(one) for one in rows[0]] == [plain(one) for one in heads]
    assert len(rows) == 1 + len(asked.rows)
    for key, row in zip(asked.rows, rows[1:], strict=True):
        assert len(row) == 4
        assert plain(row[1]) == plain(key[1])
        assert [plain(one) for one in row[2:]] == [
            plain(asked.entry(key, column).text) for column in asked.columns
        ]


def test_markdown_marks_the_best_and_the_second():
    text = written([table("a", "b")], "markdown", "x")
    assert "**0.5000\\***" in text
    assert "<u>0.4000</u>" in text
    assert text.startswith("**title a**\n\n|")
    assert text.endswith("\n\nA note. b\n")


# HTML


class Reader(HTMLParser):
    """Collects the tags and the texts of the cells of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.inside = set(), [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "td":
            self.inside = True
            self.cells.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


@given(st.lists(NAMES, min_size=2, max_size=8))
@settings(max_examples=30, deadline=None)
def test_html_of_any_names_says_the_names_and_nothing_else(names):
    asked = table(*names)
    text = written([asked], "html", "<x>")
    assert text.isascii()
    page = Reader(text)
    assert page.tags <= {"style", "table", "caption", "thead", "tbody", "tr", "th", "td", "b", "u"}
    cells = [plain(one) for one in page.cells]
    rows = [cells[at : at + 4] for at in range(0, len(cells), 4)]
    for key, row in zip(asked.rows, rows, strict=True):
        assert row[1] == plain(key[1])
        assert row[2:] == [plain(asked.entry(key, column).text) for column in asked.columns]


def test_html_marks_the_best_and_the_second():
    text = written([table("a", "b"), table("a", "b")], "html", "x")
    assert text.count("><b>0.5000*</b><") == text.count("><u>0.4000</u><") == 2


# CSV


@given(st.lists(NAMES, min_size=2, max_size=8))
@settings(max_examples=30, deadline=None)
def test_csv_has_numbers_in_full_and_no_formula(names):
    asked = table(*names, of={"under": names[0]})
    head, *rows = csv.reader(io.StringIO(written([asked], "csv", "x")))
    assert head[0] == "under"
    assert len(rows) == len(asked.rows)
    for row in [head, *rows]:
        assert len(row) == 5
        assert not any(one.lstrip().startswith(("=", "+", "-", "@")) for one in row)
    assert [row[3] for row in rows] == ["0.5", "0.4", ""]


INTERVAL = Table(
    "t",
    ("loss",),
    [("kept",)],
    {("a",): {("kept",): number(0.5, 2, (0.25, 0.75))}, ("b",): {("kept",): number(1.0, 2)}},
    names={"a": "A_1", "kept": "left"},
)


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("latex", "A\\_1 & 0.50 {\\scriptsize {[}0.25, 0.75]} \\\\\nb & 1.00 \\\\"),
        ("markdown", "| A\\_1   | 0.50 \\[0.25, 0.75\\] |\n| b      |                1.00 |"),
        ("html", ">0.50 <small>[0.25, 0.75]</small></td>"),
        ("csv", "loss,kept,kept low,kept high\na,0.5,0.25,0.75\nb,1.0,,\n"),
    ],
)
def test_intervals_stand_beside_values_and_names_are_printed(form, row):
    text = written([INTERVAL], form, "x")
    assert row in text
    assert ("A" in text and "left" in text) == (form != "csv")


def test_an_interval_that_is_not_known_is_not_printed():
    assert number(0.5, 2, (float("nan"), 0.75)) == number(0.5, 2)


@pytest.mark.parametrize(("columns", "shrinks"), [(2, False), (12, True)])
def test_a_table_wider_than_a_line_shrinks_to_it(tmp_path, columns, shrinks):
    keys = [(f"level {at}", "value") for at in range(columns)]
    wide = Table("t", ("loss",), keys, {("a",): {key: number(0.5, 4) for key in keys}})
    text = written([wide], "latex", "x")
    check_latex(text)
    assert ("resizebox" in text) == shrinks
    log = compiled(text, tmp_path)
    assert not log or "Overfull" not in log


def test_csv_joins_tables_of_several_columns():
    one = Table("t", ("row",), [("a",)], {("r",): {("a",): number(1.5)}}, of={"under": "p"})
    two = Table("t", ("row",), [("b",)], {("r",): {("b",): NOTHING}}, of={"under": "q"})
    assert written([one, two], "csv", "x") == "under,row,a,b\np,r,1.5,\nq,r,,\n"


@pytest.mark.parametrize("text", ["=1", "+x", "-1", "@x", "\t=1", " =1"])
def test_text_that_a_spreadsheet_would_compute_is_quoted(text):
    assert in_csv(text).startswith("'")
    assert in_csv("a=1") == "a=1"


@pytest.mark.parametrize("form", FORMATS)
def test_a_long_caption_is_not_cut(form):
    told = "x" * 3000
    assert (told in written([table("a", "b", note=told)], form, "x")) == (form != "csv")


def test_what_is_not_known_is_no_number():
    assert number(None) == number(float("nan")) == NOTHING
    assert NOTHING.text == ABSENT
