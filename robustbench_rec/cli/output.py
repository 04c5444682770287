"""Printing: tables, and the text that several commands print about a run."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from robustbench_rec.components.labels import AXES
from robustbench_rec.components.settings import shown
from robustbench_rec.errors import counted, printable
from robustbench_rec.records.events import Events

if TYPE_CHECKING:
    from robustbench_rec.records.manifest import BelowRandom, Capped, Computed, LeftOut, StudyState
    from robustbench_rec.records.run import Run

GAP = "  "
NARROWEST = 8
"""The least width of a column; a word is broken only if necessary."""
BESIDE = ("loss", "level", "metric", "published", "ours", "n", "difference", "verdict", "")


def warn(message: str) -> None:
    """Print a warning on the error stream."""
    click.echo(f"warning: {printable(message)}", err=True)


def say(line: str) -> None:
    """Print a line that may hold text from files: cut to a length, without control characters."""
    click.echo(printable(line))


class Warned(Events):
    """Prints warnings."""

    def warning(self, message: str) -> None:
        """Print a warning on the error stream."""
        warn(message)


def duration(seconds: float) -> str:
    """Print seconds for a person: `42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def aligned(
    rows: Sequence[tuple[str, ...]], right: Container[int] = (), indent: str = ""
) -> list[str]:
    """Return rows as texts with aligned columns, those in `right` flush right.

    On a narrow terminal a row goes over several lines: its widest cells are folded.

    Args:
        rows: the rows, of equally many cells.
        right: indices of columns.
        indent: the start of each line.

    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    if (room := terminal_width()) is not None:
        room -= len(indent) + len(GAP) * (len(widths) - 1)
        widths = _narrowed(widths, room, [_longest_word(column) for column in columns])
        widths = _narrowed(widths, room, [NARROWEST] * len(widths))
    texts = []
    for row in rows:
        folded = [
            wrap(cell, width, break_on_hyphens=False) if len(cell) > width else [cell]
            for cell, width in zip(row, widths, strict=True)
        ]
        lines = []
        for parts in zip_longest(*folded, fillvalue=""):
            cells = (
                part.rjust(width) if at in right else part.ljust(width)
                for at, (part, width) in enumerate(zip(parts, widths, strict=True))
            )
            lines.append(f"{indent}{GAP.join(cells)}".rstrip())
        texts.append("\n".join(lines))
    return texts


def terminal_width() -> int | None:
    """Return the columns of the terminal; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _narrowed(widths: Sequence[int], room: int, least: Sequence[int]) -> list[int]:
    """Narrow the widest columns until all fit into the width, or none can be narrower."""
    found = list(widths)
    while sum(found) > room:
        wide = [at for at, width in enumerate(found) if width > least[at]]
        if not wide:
            break
        found[max(wide, key=found.__getitem__)] -= 1
    return found


def _longest_word(column: Iterable[str]) -> int:
    return max((len(word) for cell in column for word in cell.split()), default=0)


def comparison(rows: list[dict[Any, Any]]) -> Iterator[str]:
    """Yield the lines of a comparison with published values.

    A block for each data set, backbone and perturbation, then the sources, then counts.

    Args:
        rows: the rows of `against_published.compare`, with None for NaN.

    """
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    rows = sorted(rows, key=lambda row: metrics.index(row["metric"]))
    notes = list(dict.fromkeys(map(_note, rows)))
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        where = f"{row['dataset']}, {row['backbone']}: {row['perturbation'] or 'clean control'}"
        line = _comparison_cells(row, f"[{notes.index(_note(row)) + 1}]")
        blocks.setdefault(where, [BESIDE]).append(line)
    flat = [line for block in blocks.values() for line in block]
    lines = iter(aligned(flat, range(1, 7), GAP))
    for where, block in blocks.items():
        yield click.style(where, bold=True)
        for _ in block:
            yield next(lines)
        yield ""
    for at, note in enumerate(notes, 1):
        yield f"[{at}] {note}"
    if any(row["approximate"] for row in rows):
        yield "~ read off a figure"
    counts = Counter(row["verdict"] for row in rows)
    yield (
        f"{counts['within']} of {len(rows)} within tolerance, {counts['not run']} not run"
        + (f", {counts['needs records']} need records" if counts["needs records"] else "")
    )
    yield from flag_meanings(rows)


def flag_meanings(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the meaning of the flags of some rows."""
    from robustbench_rec.analysis.marks import MEANINGS

    held = {flag for row in rows for flag in row["flags"].split()}
    for flag in sorted(held):
        yield f"{flag}: {MEANINGS.get(flag, 'a flag of a later version')}"


def _note(row: Mapping[str, Any]) -> str:
    users = row["averaging"].replace("-", " ")
    return f"{row['source']}; over {users}, tolerance {100 * row['tolerance']:g}%"


def _comparison_cells(row: Mapping[str, Any], note: str) -> tuple[str, ...]:
    """Return the cells of one line of the comparison, in the order of BESIDE."""
    known = row["ours"] is not None
    return (
        row["loss"],
        f"{row['level']:g}",
        row["metric"],
        f"{'~' if row['approximate'] else ''}{row['published']:.4f}",
        f"{row['ours']:.4f}" if known else "-",
        str(row["n"]),
        f"{100 * row['relative']:+.1f}%" if known else "-",
        ", ".join([row["verdict"], *row["flags"].split()]),
        note,
    )


def by_versions(
    groups: Sequence[Computed], beside: Sequence[Mapping[str, str]] = ()
) -> Iterator[str]:
    """Yield the size of each group of cells, and the versions in which the groups differ.

    Args:
        groups: the groups of cells.
        beside: further versions to compare the groups with.

    """
    from robustbench_rec.records.record import COMPUTE

    held = [*(one.versions for one in groups), *beside]
    names = [name for name in COMPUTE if len({of.get(name) for of in held}) > 1]
    for one in groups:
        told = ", ".join(f"{name} {one.versions.get(name, 'unknown')}" for name in names)
        yield f"{counted(len(one.cells), 'cell')} by {told}"


def print_table(rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows with aligned columns."""
    for line in aligned(list(rows)):
        click.echo(line)


def say_few(lines: Iterable[str], what: str, most: int | None) -> None:
    """Print lines of a kind; of more than `most`, print the first and the number of the rest."""
    for line in _few(list(lines), what, most):
        say(line)


def _few(lines: list[str], what: str, most: int | None) -> list[str]:
    if most is None or len(lines) <= most:
        return lines
    more = counted(len(lines) - most, what).replace(" ", " more ", 1)
    return [*lines[:most], f"and {more}: --verbose lists all"]


def say_tuned(run: Run, most: int | None = None) -> None:
    """Print the trials and the choice of each study; warn if the best may be beyond an edge.

    Args:
        run: the run.
        most: the number of studies to print; all if None.

    """
    told, beyond = [], []
    for study in run.summary.tuning:
        dataset, backbone, loss, perturbation = (
            run.manifest.short(axis, getattr(study, axis)) for axis in AXES
        )
        place = f"{perturbation} level {study.level:g}" if perturbation else ""
        split = "" if study.split == "own" else study.split
        name = " ".join(filter(None, (loss, "on", dataset, backbone, place, split)))
        told.append(_tuned(study, name))
        beyond += [f"{name}: {edge}; the optimum may be beyond it" for edge in study.edges]
    say_few(told, "study", most)
    for line in _few(beyond, "edge", most):
        warn(line)


def _tuned(study: StudyState, name: str) -> str:
    """Describe the state of a study."""
    if study.status == "failed":
        return f"not tuned: {name}: {study.error}"
    tried = f"{len(study.trials)} of {study.budget} trials, {study.failed} failed"
    if study.status == "running" or study.chosen is None:
        return f"tuning {name}: {tried}"
    tried += f"; {study.error}" if study.error else ""
    return (
        f"tuned {name}: {shown(study.chosen)}, validation NDCG@20 {study.validation:.4f} ({tried})"
    )


def say_not_applicable(loss: str, perturbation: str) -> None:
    """Say that a loss and a perturbation have no common cells, and why."""
    say(f"not applicable: {loss} draws no negatives, so it has no cells under {perturbation}")


def say_cautions(run: Run) -> None:
    """Print warnings about finished cells, before anybody draws conclusions from them."""
    from robustbench_rec.records.record import FLAGS

    held, short = run.summary, run.manifest.short
    for loss, perturbation in held.not_applicable:
        say_not_applicable(short("loss", loss), short("perturbation", perturbation))
    for one in held.unreached:
        warn(
            f"{short('perturbation', one.perturbation)} on {short('dataset', one.dataset)}: level "
            f"{one.level:g} was not reached; {one.realised:.3g} was achieved"
        )
    for left in held.left_out:
        warn(_left_out(left, run))
    if held.few_users:
        warn(
            f"{counted(held.few_users, 'cell')} with {FLAGS['few_users']}: their values are "
            "uncertain (flags in results.csv, effective_users in the records)"
        )
    if held.capped:
        warn(_capped(run))
    for row in _worst(held.below_random):
        warn(
            f"{short('loss', row.loss)} on {short('dataset', row.dataset)} "
            f"{short('backbone', row.backbone)} ends below the random baseline under "
            f"{short('perturbation', row.perturbation)} level {row.level:g}: "
            f"{row.metric} {row.value:.4f} against {row.random:.4f}"
        )


def _left_out(one: LeftOut, run: Run) -> str:
    """Say which users were left out of training under a perturbation, and why."""
    more = one.users - len(one.named)
    named = ", ".join(one.named) + (f" and {more} more" if more else "")
    where = f"{run.manifest.short('perturbation', one.perturbation)} level {one.level:g}"
    return (
        f"data set {run.manifest.short('dataset', one.dataset)}: {counted(one.users, 'user')} met "
        f"every item under {where}: {named}; they have no negatives, so their pairs are not used "
        f"in training ({counted(one.cells, 'cell')} with such users)"
    )


def _worst(rows: Iterable[BelowRandom]) -> list[BelowRandom]:
    """Return, for each loss on a data set and backbone, the row with the lowest value."""
    lowest: dict[tuple[str, str, str], BelowRandom] = {}
    for row in sorted(rows, key=lambda row: row.value - row.random):
        lowest.setdefault((row.dataset, row.backbone, row.loss), row)
    return list(lowest.values())


def _capped(run: Run) -> str:
    """Say which trainings may be too short, the losses with most of them first."""
    losses: dict[str, list[Capped]] = {}
    for row in run.summary.capped:
        losses.setdefault(run.manifest.short("loss", row.loss), []).append(row)
    told = []
    for loss in sorted(losses, key=lambda loss: -sum(row.capped for row in losses[loss])):
        most = max(losses[loss], key=lambda row: (row.capped, row.level))
        where = f"{run.manifest.short('perturbation', most.perturbation)} level {most.level:g}"
        told.append(
            f"{loss} {sum(row.capped for row in losses[loss])}, as {most.capped} of "
            f"{most.trainings} under {where}"
        )
    total = sum(row.capped for row in run.summary.capped)
    return (
        f"{counted(total, 'training')} best in the last tenth of the allowed epochs "
        f"({'; '.join(told)}): training may be too short; allow more epochs or try another lr"
    )
