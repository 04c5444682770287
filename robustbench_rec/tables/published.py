"""The table of published values beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from robustbench_rec.analysis.against_published import compare
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.records.run import Run
from robustbench_rec.tables.kind import Asked, Kind
from robustbench_rec.tables.standing import Standing, legend, over_replicates
from robustbench_rec.tables.table import Entry, Key, Table, number


def tables(run: Run, asked: Asked) -> Sequence[Table]:
    """Return the published values of the suite, each beside ours.

    Raises:
        InputError: the suite has no published value.

    """
    standing = Standing(run)
    found = compare(run)
    held = found.astype(object).where(found.notna(), None)
    values: list[dict[Any, Any]] = held.to_dict("records")
    sources = list(dict.fromkeys(row["source"] for row in values))
    rows: dict[Key, dict[Key, Entry]] = {}
    for row in values:
        key = (*_where(standing, row), standing.short("loss", row["loss"]))
        source = f"[{sources.index(row['source']) + 1}]"
        rows.setdefault((*key, source), {}).update(_entries(row))
    blocks = list(dict.fromkeys(key[:4] for key in rows))
    rows = dict(sorted(rows.items(), key=lambda row: blocks.index(row[0][:4])))
    columns = [
        (label(metric), part)
        for metric in dict.fromkeys(row["metric"] for row in values)
        for part in ("published", "ours", "difference")
    ]
    head = ("dataset", "backbone", "perturbation", "level", "loss", "source")
    entries = [rows[key].get(column, Entry("")) for key in rows for column in columns]
    notes = [
        *_notes(values),
        *(f"[{at}] {source.rstrip('.')}." for at, source in enumerate(sources, 1)),
        *legend(entries),
        *standing.notes(),
    ]
    return [Table(f"{run.manifest.suite}: published values and ours", head, columns, rows, notes)]


def _where(standing: Standing, row: Mapping[str, Any]) -> Key:
    return (
        standing.short("dataset", row["dataset"]),
        standing.short("backbone", row["backbone"]),
        standing.short("perturbation", row["perturbation"]) or "clean",
        f"{row['level'] or 0:g}",
    )


def _entries(row: Mapping[str, Any]) -> dict[Key, Entry]:
    """Return the three entries of a published value."""
    metric = label(row["metric"])
    theirs = Entry(f"{'~' if row['approximate'] else ''}{row['published']:.4f}", row["published"])
    apart = row["relative"]
    beyond = "" if row["verdict"] == "within" else "!"
    return {
        (metric, "published"): theirs,
        (metric, "ours"): number(row["ours"]),
        (metric, "difference"): number(None)
        if apart is None
        else Entry(f"{apart:+.1%}{beyond}", apart),
    }


def _notes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    held = sorted({row["n"] for row in rows if row["n"]})
    if held:
        least = "" if held[0] == held[-1] else f"{held[0]} to "
        yield f"Ours: {over_replicates(held[-1], least)}."
    averagings = " or ".join(sorted({row["averaging"].replace("-", " ") for row in rows}))
    yield f"Both over {averagings}, as the source has it."
    within = sum(row["verdict"] == "within" for row in rows)
    yield f"{within} of {len(rows)} within the tolerance of the suite."
    if any(row["verdict"] in ("below", "above") for row in rows):
        yield "!: beyond it."
    if any(row["approximate"] for row in rows):
        yield "~: read off a figure."
    if any(row["verdict"] == "needs records" for row in rows):
        yield "Some of our values may use another averaging; only records could tell."


KIND = Kind("the published values of the suite, beside ours", tables)
