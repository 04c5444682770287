"""Tables as text: LaTeX, Markdown, HTML and CSV; all text from outside is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import pandas as pd
from pandas.io.formats.style import Styler
from tabulate import tabulate

from robustbench_rec.analysis.spreadsheets import in_csv
from robustbench_rec.errors import visible
from robustbench_rec.tables.table import ABSENT, Entry, Key, Mark, Table

Format = Literal["latex", "markdown", "csv", "html"]
Escape = Callable[[str], str]
IN_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "–": "--",
        "†": r"\textdagger{}",
        "≤": r"$\leq$",
        "×": r"$\times$",
    }
)
IN_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$&])")
Around = dict[Mark | Literal["interval"], tuple[str, str]]
"""Text before and after an entry with a mark, and with an interval."""
LATEX: Around = {
    "": ("", ""),
    "best": (r"\textbf{", "}"),
    "second": (r"\underline{", "}"),
    "interval": (r" {\scriptsize ", "}"),
}
HTML: Around = {
    "": ("", ""),
    "best": ("<b>", "</b>"),
    "second": ("<u>", "</u>"),
    "interval": (" <small>", "</small>"),
}
MARKDOWN: Around = {
    "": ("", ""),
    "best": ("**", "**"),
    "second": ("<u>", "</u>"),
    "interval": (" ", ""),
}
PREAMBLE = r"% needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[T1]{fontenc}"
LINE = 80
"""Characters that fit into a line of a page; a wider table shrinks to the line."""


def written(tables: Sequence[Table], format: Format, name: str) -> str:
    """Return tables as text that ends in a newline.

    Args:
        tables: one or more; CSV joins their rows.
        format: the format. CSV has numbers in full, without marks and captions.
        name: the start of LaTeX labels, as in `tab:NAME`.

    """
    return FORMATS[format](tables, name)


def _latex(tables: Sequence[Table], name: str) -> str:
    many = len(tables) > 1
    labels = [f"{_safe(name)}-{at}" if many else _safe(name) for at in range(1, len(tables) + 1)]
    pieces = [_latex_of(table, label) for table, label in zip(tables, labels, strict=True)]
    return "\n".join([PREAMBLE, *pieces])


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "table"


def _latex_of(table: Table, label: str) -> str:
    text = _styled(table, in_latex, LATEX).to_latex(
        hrules=True,
        position="t",
        position_float="centering",
        column_format="".join(side[0] for side in _sides(table)),
        multicol_align="c",
        caption=in_latex(table.caption),
        label=f"tab:{label}",
    )
    head, middle, body = text.partition("\\midrule\n")
    lines = body.splitlines(keepends=True)
    ruled = [
        ("\\midrule\n" if begins and at else "") + line
        for at, (line, begins) in enumerate(zip(lines, _begins_block(table), strict=False))
    ]
    text = head + middle + "".join([*ruled, *lines[len(ruled) :]])
    return _shrunk(text) if _width(table) > LINE else text


def _shrunk(text: str) -> str:
    """Return a LaTeX table scaled down to the width of the line if it is wider."""
    begin, end = r"\begin{tabular}", r"\end{tabular}"
    shrink = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"
    return text.replace(begin, f"{shrink}{begin}").replace(end, f"{end}}}")


def _width(table: Table) -> int:
    """Return the number of characters of the longest texts of all columns together."""
    rows = [*_texts(table), [*table.head, *(table.called(key)[-1] for key in table.columns)]]
    longest = (max(map(len, column)) for column in zip(*rows, strict=True))
    return sum(width + 2 for width in longest)


def in_latex(text: str) -> str:
    """Escape a text for LaTeX; "*" and "[" at the start of a line would end the row before."""
    return re.sub(r"^(\s*)([*\[])", r"\1{\2}", visible(text).translate(IN_LATEX))


def _html(tables: Sequence[Table], name: str) -> str:
    pieces = [
        _styled(table, in_html, HTML)
        .set_caption(in_html(table.caption))
        .set_uuid(f"{_safe(name)}-{at}")
        .to_html()
        for at, table in enumerate(tables, 1)
    ]
    return "\n".join(pieces).encode("ascii", "xmlcharrefreplace").decode()


def in_html(text: str) -> str:
    """Escape a text for HTML."""
    return html.escape(visible(text))


def _styled(table: Table, escape: Escape, around: Around) -> Styler:
    """Return a table as a pandas Styler, with all texts escaped."""
    columns = [("",) * (_depth(table) - 1) + (name,) for name in table.head]
    columns += [("",) * (_depth(table) - len(key)) + table.called(key) for key in table.columns]
    escaped = [tuple(map(escape, key)) for key in columns]
    index = pd.MultiIndex.from_tuples(escaped) if _depth(table) > 1 else [key[0] for key in escaped]
    frame = pd.DataFrame(list(_rows(table, escape, around)), columns=index)
    return Styler(frame, uuid_len=0, cell_ids=False).hide(axis="index")


def _rows(table: Table, escape: Escape, around: Around) -> Iterator[list[str]]:
    """Yield the rows as printed, with marks and intervals."""
    for key, texts in zip(table.rows, _texts(table), strict=True):
        heads, values = texts[: len(key)], [table.entry(key, column) for column in table.columns]
        yield [*map(escape, heads), *(_marked(entry, escape, around) for entry in values)]


def _marked(entry: Entry, escape: Escape, around: Around) -> str:
    left, right = around[entry.mark]
    text = f"{left}{escape(entry.text)}{right}"
    before, behind = around["interval"]
    return f"{text}{before}{escape(entry.interval)}{behind}" if entry.interval else text


def _depth(table: Table) -> int:
    return max(len(key) for key in table.columns)


def _texts(table: Table) -> Iterator[list[str]]:
    """Yield the texts of the rows; parts of a key equal to those of the key before are blank."""
    before: Key = ()
    for key in table.rows:
        shared = next(
            (at for at, part in enumerate(key[:-1]) if before[at : at + 1] != (part,)),
            len(key) - 1,
        )
        yield [
            *[""] * shared,
            *table.called(key[shared:]),
            *(_plain(table.entry(key, column)) for column in table.columns),
        ]
        before = key


def _plain(entry: Entry) -> str:
    return f"{entry.text} {entry.interval}".rstrip()


def _sides(table: Table) -> list[str]:
    """Return the alignment of each column: numbers right, words left."""
    numeric = [
        any(table.entry(key, column).value is not None for key in table.rows)
        for column in table.columns
    ]
    return ["left"] * len(table.head) + ["right" if one else "left" for one in numeric]


def _begins_block(table: Table) -> Iterator[bool]:
    """Say of each row whether it is the first row of its block."""
    before: Key | None = None
    for key in table.rows:
        yield key[:-1] != before
        before = key[:-1]


def _markdown(tables: Sequence[Table], name: str) -> str:
    return "\n".join(_markdown_of(table) for table in tables)


def _markdown_of(table: Table) -> str:
    head = [*table.head, *(_joined(table.called(key)) for key in table.columns)]
    body = tabulate(
        list(_rows(table, in_markdown, MARKDOWN)),
        headers=[in_markdown(one) for one in head],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=_sides(table),
    )
    notes = f"\n{in_markdown(' '.join(table.notes))}\n" if table.notes else ""
    return f"**{in_markdown(table.title)}**\n\n{body}\n{notes}"


def _joined(key: Key) -> str:
    return " ".join(filter(None, key))


def in_markdown(text: str) -> str:
    """Escape a text for Markdown."""
    return IN_MARKDOWN.sub(r"\\\1", visible(text))


def _csv(tables: Sequence[Table], name: str) -> str:
    frames = [
        pd.DataFrame(
            [
                [*map(in_csv, (*table.of.values(), *key)), *(_csv_of(table, key))]
                for key in table.rows
            ],
            columns=[in_csv(one) for one in (*table.of, *table.head, *_csv_columns(table))],
        )
        for table in tables
    ]
    return pd.concat(frames).to_csv(index=False, lineterminator="\n")


def _csv_columns(table: Table) -> Iterator[str]:
    for column in table.columns:
        yield _joined(column)
        if _has_intervals(table, column):
            yield from (f"{_joined(column)} {end}" for end in ("low", "high"))


def _has_intervals(table: Table, column: Key) -> bool:
    return any(table.entry(row, column).ends for row in table.rows)


def _csv_of(table: Table, row: Key) -> Iterator[str | float]:
    for column in table.columns:
        entry = table.entry(row, column)
        text = "" if entry.text == ABSENT else in_csv(entry.text)
        yield text if entry.value is None else entry.value
        if _has_intervals(table, column):
            yield from entry.ends or ("", "")


FORMATS: dict[Format, Callable[[Sequence[Table], str], str]] = {
    "latex": _latex,
    "markdown": _markdown,
    "csv": _csv,
    "html": _html,
}
