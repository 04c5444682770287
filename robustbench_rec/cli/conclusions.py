"""Conclusions from a run, as lines of text: differences of losses, rankings, claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
import pandas as pd

from robustbench_rec.analysis.measures import MEASURES
from robustbench_rec.analysis.panels import LISTS
from robustbench_rec.analysis.ranking import SHOWN, is_tested, told
from robustbench_rec.analysis.two_way import LEAST
from robustbench_rec.cli.output import GAP, aligned, flag_meanings, terminal_width
from robustbench_rec.errors import counted
from robustbench_rec.tables.table import Entry, Key, Table

Lines = list[tuple[str, ...]]
ENDS = "[low, high]"
DIFFERENCE = ("loss", "", "difference", ENDS, "verdict", "p", "equal within", "decides")
TOP = "*"
ROOMY, FEW = 100, 4
"""Columns of a terminal on which all levels are shown, and the number shown on narrower ones."""
SURE = 0.001
"""The smallest p value printed in digits."""


def contrast(rows: list[dict[Any, Any]]) -> Iterator[str]:
    """Yield the lines of a contrast: a block for each panel, a line for each loss and quantity.

    Args:
        rows: the rows of `contrasts.contrasts`, with None for NaN.

    """
    against = rows[0]["against"]
    yield f"Each loss minus {against}: above 0 is better than {against}."
    yield ""
    blocks: dict[str, Lines] = {}
    for row in rows:
        line = _difference(row)
        blocks.setdefault(_where(row, row["perturbation"] or "clean"), [DIFFERENCE]).append(line)
    flat = [line for block in blocks.values() for line in block]
    lines = iter(aligned(flat, (2,), GAP))
    for where, block in blocks.items():
        yield click.style(where, bold=True)
        yield from (next(lines) for _ in block)
        yield ""
    yield from _intervals(rows)
    yield (
        f"verdicts: a family of {2 * len(rows)} tests, in each row one for a difference and one "
        "for "
        f"equivalence within {100 * rows[0]['region']:g}% of the clean value of {against}, or as "
        "many points of retention; p adjusted by Holm, 5%"
    )
    yield from flag_meanings(rows)


def _difference(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one line of a contrast, in the order of DIFFERENCE."""
    p = row["p_equivalent"] if row["verdict"] == "equivalent" else row["p"]
    return (
        row["loss"],
        f"{'kept up to' if row['quantity'] == 'kept' else 'at'} {row['level']:g}",
        f"{row['difference']:+.4f}",
        _ends(row["low"], row["high"], "+.4f"),
        ", ".join([row["verdict"], *row["flags"].split()]),
        _p(p),
        f"{row['equal_within']:.1%}" if row["equal_within"] is not None else "-",
        row["decides"],
    )


def ranking(rows: list[dict[Any, Any]]) -> Iterator[str]:
    """Yield the lines of a ranking: two blocks for each panel, and a summary in words.

    Args:
        rows: the rows of `analysis.ranking.rank`, with None for NaN.

    """
    sentences = told(pd.DataFrame(rows))
    few = (terminal_width() or ROOMY) < ROOMY
    for where, panel in _panels(rows).items():
        yield click.style(where, bold=True)
        yield from aligned(_ranked(panel, few), (0, 3), GAP)
        if few and len(_levels(panel)) > FEW:
            yield f"{GAP}of {len(_levels(panel))} levels; a wider terminal or --csv shows all"
        yield ""
        yield from aligned(_measure_cells(panel), (0,), GAP)
        yield next(sentences)
        yield ""
    yield from _ranking_notes(rows)


def _ranking_notes(rows: list[dict[Any, Any]]) -> Iterator[str]:
    shown = dict.fromkeys((rows[0]["by"], *_measures_beside(rows)))
    for measure in (MEASURES[name] for name in shown):
        yield f"{measure.name}: {measure.says}; rewards {measure.rewards}; hides {measure.hides}"
    if any(row["low"] is not None for row in rows):
        family = counted(rows[0]["family"], "pair")
        yield (
            f"{TOP}: in the top group: no other loss beats it; a family of {family}, "
            "p adjusted by Holm, 5%"
        )
    yield from _intervals([row for row in rows if row["place"] is not None])
    if set(shown) & set(LISTS):
        yield f"those of {' and '.join(LISTS)} are over replicates alone, {LEAST} or more"
    yield from flag_meanings(rows)


def ranking_tables(rows: list[dict[Any, Any]]) -> list[Table]:
    """Return a ranking as two tables for each panel, for a paper or a web page.

    Args:
        rows: as for `ranking`.

    """
    notes = [f"{note}." for note in _ranking_notes(rows)]
    panels = _panels(rows)
    last = list(panels)[-1]
    return [
        table
        for where, panel in panels.items()
        for table in (
            _as_table(where, _ranked(panel), []),
            _as_table(where, _measure_cells(panel), notes if where == last else []),
        )
    ]


def _as_table(title: str, lines: Lines, notes: list[str]) -> Table:
    """Return lines (rank, loss, ...) as a table with a row for each loss."""
    (_, loss, *others), *body = lines
    columns: list[Key] = [("place",), *((name or "top",) for name in others)]
    rows: dict[Key, dict[Key, Entry]] = {
        (loss,): dict(zip(columns, map(Entry, (place, *cells)), strict=True))
        for place, loss, *cells in body
    }
    return Table(title, (loss,), columns, rows, notes)


def _panels(rows: list[dict[Any, Any]]) -> dict[str, list[dict[Any, Any]]]:
    """Return the rows of each panel, by its title."""
    found: dict[str, list[dict[Any, Any]]] = {}
    for row in rows:
        found.setdefault(_where(row, row["perturbation"]), []).append(row)
    return found


def _levels(panel: list[dict[Any, Any]]) -> list[str]:
    """Return the columns with values at a level."""
    return [name for name in panel[0] if name.startswith("at ") and any(_known(panel, name))]


def _ranked(panel: list[dict[Any, Any]], few: bool = False) -> Lines:
    """Return the cells of a panel's ranking, the headings first; of many levels, `FEW` if asked."""
    levels = _levels(panel)
    if few and len(levels) > FEW:
        levels = [*levels[: FEW // 2], *levels[-(FEW // 2) :]]
    tested = is_tested(pd.DataFrame(panel))
    head = ("", "loss", "", panel[0]["by"], ENDS, *levels, "beaten by")
    return [
        head,
        *(
            (
                *_first_cells(row),
                TOP if row["top"] and tested else "",
                _number(row["score"]),
                _ends(row["low"], row["high"], ".3f"),
                *(_number(row[name], 4) for name in levels),
                ", ".join(row["beaten_by"]),
            )
            for row in panel
        ),
    ]


def _measure_cells(panel: list[dict[Any, Any]]) -> Lines:
    """Return the cells of the other measures at a panel's hardest level, the headings first."""
    names = _measures_beside(panel)
    head = ("", f"at level {panel[0]['level']:g}", *(f"{name} {ENDS}" for name in names))
    return [
        head,
        *((*_first_cells(row), *(_with_ends(row, name) for name in names)) for row in panel),
    ]


def _measures_beside(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the measures, except the value, that any loss has at the hardest level."""
    return [name for name in SHOWN[1:] if any(_known(rows, name))]


def _known(rows: Iterable[Mapping[str, Any]], name: str) -> Iterator[bool]:
    return (row[name] is not None for row in rows)


def _first_cells(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the first cells of a line of a ranking: rank and loss."""
    marks = f" ({', '.join(row['flags'].split())})" if row["flags"] else ""
    return "-" if row["place"] is None else f"{row['place']:.0f}", row["loss"] + marks


def _with_ends(row: Mapping[str, Any], name: str) -> str:
    ends = _ends(row[f"{name}_low"], row[f"{name}_high"], ".3f")
    return f"{_number(row[name])} {ends}" if row[name] is not None else "-"


def claimed(rows: list[dict[Any, Any]], levels: bool = False) -> Iterator[str]:
    """Yield the lines of claims: each claim, then its verdict on each data set and backbone.

    Args:
        rows: the rows of `analysis.claims.claims`, with None for NaN.
        levels: whether the effect at each level stands below the verdict.

    """
    blocks: dict[str, Lines] = {}
    for row in rows:
        block = blocks.setdefault(row["says"], [])
        block.append(_claimed(row))
        if levels:
            block += [("", "", "", _effect(each), "") for each in row["levels"]]
    flat = [line for block in blocks.values() for line in block]
    lines = iter(aligned(flat, indent=GAP))
    for says, block in blocks.items():
        yield click.style(says, bold=True)
        yield from (next(lines) for _ in block)
        yield ""
    if any(row["at"] is not None for row in rows):
        yield (
            "at a level: the one that decides, where the effect is surest against the claim, or "
            "else least certain"
        )
    for interval in dict.fromkeys(row["interval"] for row in rows if row["interval"]):
        yield f"{ENDS}: {interval}; each for one comparison"
    yield (
        f"p: adjusted by Holm over a family of {rows[0]['family']} tests, of all claims and all "
        "contradictions"
    )
    yield from flag_meanings(rows)


def _claimed(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one line of a claim."""
    beaten = f"beaten there by {', '.join(row['beaten_by'])}" if row["beaten_by"] else ""
    return (
        f"{row['dataset']}, {row['backbone']}",
        ", ".join([row["verdict"], *row["flags"].split()]),
        row["about"],
        "" if row["effect"] is None else _effect(row),
        "; ".join(filter(None, (beaten, row["decides"]))),
    )


def _effect(row: Mapping[str, Any]) -> str:
    """Return an effect with its level, interval and p value, if these are defined."""
    at = "" if row["at"] is None else f"at {row['at']:g}: "
    if row["effect"] is None:
        return f"{at}not defined"
    if row["low"] is None:
        return f"{at}{row['effect']:+.4f}, not tested"
    return f"{at}{row['effect']:+.4f} {_ends(row['low'], row['high'], '+.4f')}, p {_p(row['p'])}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= SURE else f"<{SURE:g}"


def _where(row: Mapping[str, Any], perturbation: str) -> str:
    return f"{row['dataset']}, {row['backbone']}: {perturbation}, {row['metric']}"


def _intervals(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for interval in dict.fromkeys(row["interval"] for row in rows):
        yield f"{ENDS}: {interval}; each one at a time"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _ends(low: float | None, high: float | None, form: str) -> str:
    return "-" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"
