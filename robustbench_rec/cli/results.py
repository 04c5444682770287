"""The commands about runs: `status`, `rank`, `claims`, `compare`, `merge`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_rec.cli.completion import RUNS_HERE
from robustbench_rec.cli.drawing import draw, helper_for
from robustbench_rec.cli.options import (
    AS_JSON,
    FAILED_CELLS,
    FOLDER,
    RUN,
    older,
    opened,
    run_folder,
    to_conclude_from,
)
from robustbench_rec.cli.output import (
    Warned,
    by_versions,
    comparison,
    duration,
    print_table,
    say,
    say_cautions,
    say_few,
    say_tuned,
)
from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import InputError, counted
from robustbench_rec.processes import without_gc

if TYPE_CHECKING:
    import pandas as pd

    from robustbench_rec.records.manifest import Part, Summary
    from robustbench_rec.records.run import Run

FEW = 8
"""Lines of a kind that `status` prints without --verbose."""
BY = "The measure: value, retention, excess, kept, excess_kept, relative_error, jaccard or rbo."


@click.command()
@RUN
@click.option("-v", "--verbose", is_flag=True, help="List every part, failed cell and study.")
@AS_JSON
@without_gc()
def status(run: str, verbose: bool, as_json: bool) -> None:
    """Show the state of RUN: finished, failed (with reasons) and remaining cells, and time.

    By default only the first few parts, failed cells and tuned losses are listed. --verbose lists
    all, with the traceback of each failure, and the time and memory of each loss. The exit status
    is 3 if cells failed.
    """
    read = opened(run)
    held = read.summary
    if as_json:
        click.echo(json.dumps(held.model_dump(), indent=1))
        _end(held)
        return
    spent = "tables alone" if held.seconds is None else f"{duration(held.seconds)} of training"
    say(
        f"suite {held.suite}: {held.done} of {held.cells} cells done, "
        f"{len(held.failed)} failed, {held.left} left, {spent}"
    )
    if old := older(read):
        say(old)
    if held.cells < held.suite_cells:
        say(f"a part: the whole suite has {held.suite_cells} cells")
    most = None if verbose else FEW
    say_few((_part(one) for one in held.parts), "part", most)
    if len(held.computed) > 1:
        say(f"computed by several versions: {'; '.join(by_versions(held.computed))}")
    told = (f"failed: {title}: {error}" for title, error in held.failed.values())
    say_few(told, "failed cell", most)
    if verbose:
        _say_traces(read)
    say_tuned(read, most)
    say_cautions(read)
    if verbose:
        _say_time(read)
    _end(held)


def _say_traces(run: Run) -> None:
    """Print the calls that led to each failure, if recorded."""
    for id, (title, _) in run.summary.failed.items():
        record = run.records.get(id)
        if record is not None and record.trace:
            say(f"{title}, by these calls:")
            for line in record.trace.splitlines():
                say(f"  {line}")


def _say_time(run: Run) -> None:
    """Print the cost of trainings by data set, backbone and loss, if recorded."""
    from robustbench_rec.tables.kind import Asked
    from robustbench_rec.tables.kinds import KINDS

    if any(one.status == "done" and one.history for one in run.records.values()):
        (table,) = KINDS["time"].of(run, Asked(), "time")
        rows = [(*key, *(table.entry(key, at).text for at in table.columns)) for key in table.rows]
        print_table([(*table.head, *(" ".join(at) for at in table.columns)), *rows])


def _end(held: Summary) -> None:
    """Exit with status FAILED_CELLS if cells failed."""
    if held.failed:
        sys.exit(FAILED_CELLS)


def _part(part: Part) -> str:
    started = part.started.replace("T", " ")[:16]
    return f"of these {counted(len(part.cells), 'cell')}: {part.command} ({started})"


@click.command()
@RUN
@click.option("--against", metavar="LOSS", help="Compare RUN's other losses with this one.")
@click.option(
    "--with", "other", metavar="RUN", help="Compare each loss of RUN with itself in another run."
)
@click.option(
    "--region",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="With --against or --with: differences below this share of the clean value count as none.",
)
@AS_JSON
def compare(run: str, against: str | None, other: str | None, region: float, as_json: bool) -> None:
    """Compare RUN with the published values of its suite, or losses with each other.

    Our values are means over replicates, over the same users as in the source. A suite lists
    published values in its [[reference]] tables. The exit status is 0 for any verdict.

    With --against, compare each loss of RUN with one loss, paired by user and replicate: the
    difference in each metric at the lowest and the highest level, and the difference in retention,
    with a verdict: higher, lower, equivalent or undecided. --with compares each loss with itself
    in a run of the same data and seed, to show the effect of other tuning or selection.
    """
    if against is not None and other is not None:
        raise InputError("--against and --with: give only one of them")
    held = to_conclude_from(run)
    if other is not None:
        from robustbench_rec.analysis.contrasts import contrasts_of_runs
        from robustbench_rec.cli.conclusions import contrast

        found, lines = contrasts_of_runs(held, to_conclude_from(other), region), contrast
    elif against is None:
        from robustbench_rec.analysis.against_published import compare as compared

        found, lines = compared(held), comparison
    else:
        from robustbench_rec.analysis.contrasts import contrasts
        from robustbench_rec.cli.conclusions import contrast

        found, lines = contrasts(held, against, region), contrast
    rows = _rows(found)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for line in lines([_with_short_labels(row, held) for row in rows]):
        click.echo(line)


def _rows(found: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return the rows of a frame, with None for NaN; also in rows within rows."""
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    for row in rows:
        for each in row.get("levels", ()):
            each |= {name: None for name, value in each.items() if value != value}  # NaN
    return rows


def _with_short_labels(row: dict[Any, Any], run: Run) -> dict[Any, Any]:
    """Return a row of a comparison with the labels that are printed."""
    axes = {axis: axis for axis in AXES} | {"against": "loss"}
    named: dict[str, Any] = {
        key: run.manifest.short(axis, row[key]) for key, axis in axes.items() if key in row
    }
    if "beaten_by" in row:
        named["beaten_by"] = [run.manifest.short("loss", loss) for loss in row["beaten_by"]]
    return row | named


@click.command()
@RUN
@click.option("--perturbation", metavar="NAME", help="Rank under this perturbation only.")
@click.option("--metric", help="Rank by this metric.  [default: the first metric of the suite]")
@click.option("--by", default="kept", show_default=True, metavar="MEASURE", help=BY)
@click.option("--reference", metavar="LOSS", help="The reference loss of relative_error.")
@click.option("--json", "form", flag_value="json", help="Print JSON instead of a table.")
@click.option("--csv", "form", flag_value="csv", help="Print comma-separated values.")
@click.option("--markdown", "form", flag_value="markdown", help="Print a Markdown table.")
@click.option("--latex", "form", flag_value="latex", help="Print LaTeX tables (booktabs).")
def rank(
    run: str,
    perturbation: str | None,
    metric: str | None,
    by: str,
    reference: str | None,
    form: Any,
) -> None:
    """Rank the losses of RUN by robustness, with differences and tests.

    Losses are listed from most to least robust, by data set, backbone and perturbation. A star
    marks the top group: losses that no other loss beats.
    """
    from robustbench_rec.analysis.ranking import rank as ranked
    from robustbench_rec.cli.conclusions import ranking, ranking_tables

    held = to_conclude_from(run)
    found = ranked(held, by, perturbation, metric, reference)
    if form == "csv":
        told = found.assign(beaten_by=["; ".join(losses) for losses in found["beaten_by"]])
        click.echo(told.to_csv(index=False), nl=False)
        return
    rows = _rows(found)
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    rows = [_with_short_labels(row, held) for row in rows]
    if form is not None:
        from robustbench_rec.tables.written import written

        click.echo(written(ranking_tables(rows), form, f"{held.manifest.suite}-rank"), nl=False)
        return
    for line in ranking(rows):
        click.echo(line)


@click.command()
@RUN
@click.option("--levels", is_flag=True, help="Print the effect at each level too.")
@AS_JSON
def claims(run: str, levels: bool, as_json: bool) -> None:
    """Judge the claims of RUN's suite: confirmed, refuted or undecided.

    A suite states claims in its [[claim]] tables. Each claim is printed with its contradictions:
    the losses that keep more than the claimed loss under the same perturbation. A claim of several
    levels is printed with the level that decides, with --levels or --json with each.
    """
    from robustbench_rec.analysis.claims import claims as judged
    from robustbench_rec.cli.conclusions import claimed

    held = to_conclude_from(run)
    rows = _rows(judged(held))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for line in claimed([_with_short_labels(row, held) for row in rows], levels):
        click.echo(line)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=RUNS_HERE)
@click.option(
    "--out",
    type=FOLDER,
    required=True,
    help="Write the tables here: a new folder, or merged tables whose cells all remain.",
)
@click.option("--figures/--no-figures", default=True, help="Draw the figures at the end.")
def merge(runs: tuple[str, ...], out: Path, figures: bool) -> None:
    """Merge RUNs of one suite (from --only or several machines) into one folder of tables.

    If several RUNs have a cell, the last one counts. The RUNs do not change and can continue;
    status, figures and compare can read the merged tables.
    """
    from robustbench_rec.records.merge import merge as merged
    from robustbench_rec.records.run import read_run

    command = shlex.join(["robustbench-rec", *sys.argv[1:]])
    manifest = merged([run_folder(run) for run in runs], out, command, Warned())
    say(
        f"suite {manifest.suite}: {len(manifest.cells)} of its {manifest.suite_cells} "
        f"cells, done in {counted(len(runs), 'run')} -> {out / 'results.csv'}"
    )
    if figures and manifest.cells:
        made = read_run(out, Warned())
        with helper_for(made) as other:
            draw(made, other=other)
