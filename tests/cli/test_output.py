import io
import re

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from robustbench_rec.cli import output
from robustbench_rec.cli.main import main
from robustbench_rec.cli.output import GAP, NARROWEST, aligned

ROWS = [
    ("name", "what it is", "where it lies"),
    ("one", "a short one", "here"),
    ("another", "one that has a great deal to say, at length", "/a/path/that/goes/on/and/on/to/x"),
]


@pytest.fixture
def wide(monkeypatch):
    """Return a function that sets how wide the terminal is; None is no terminal."""

    def be(columns):
        monkeypatch.setattr(output, "terminal_width", lambda: columns)

    return be


def test_rows_are_one_line_each_where_there_is_room_or_no_terminal(wide):
    for columns in (None, 200):
        wide(columns)
        lines = aligned(ROWS, right=(0,), indent=GAP)
        assert [line.count("\n") for line in lines] == [0, 0, 0]
        assert lines[1] == f"      one  a short one{' ' * 34}here"


def test_a_row_that_is_too_wide_is_folded_between_words(wide):
    wide(60)
    text = "\n".join(aligned(ROWS, indent=GAP))
    assert max(map(len, text.splitlines())) <= 60
    assert all(line.startswith(GAP) for line in text.splitlines())
    assert "/a/path/that/goes/on/and/on/to/x" in text


@given(
    st.lists(st.tuples(*[st.text("ab -/=,", max_size=90)] * 4), min_size=1, max_size=5),
    st.integers(50, 120),
)
def test_folding_keeps_every_character_and_the_width(rows, columns):
    width = output.terminal_width
    output.terminal_width = lambda: columns
    try:
        texts = aligned(rows, right=(1,))
    finally:
        output.terminal_width = width
    assert columns >= 4 * NARROWEST + 3 * len(GAP)
    assert len(texts) == len(rows)
    assert all(len(line) <= columns for text in texts for line in text.splitlines())
    for text, row in zip(texts, rows, strict=True):
        assert sorted(re.sub(r"\s", "", text)) == sorted(re.sub(r"\s", "", "".join(row)))


@pytest.mark.parametrize("words", [("data", "list"), ("list",), ("show", "drrl"), ("table",)])
def test_tables_fold_to_80_columns(words, checkout, wide):
    wide(80)
    held = checkout / "results" / "reference" / "false-negatives"
    words = [*words, str(held)] if words == ("table",) else words
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0
    lines = [line for line in done.stdout.splitlines() if GAP in line.strip()]
    assert lines
    assert max(map(len, lines)) <= 80


def test_a_terminal_alone_has_a_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert output.terminal_width() is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert output.terminal_width() == 72
