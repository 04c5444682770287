"""The commands for pages: `report`, `leaderboard`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_rec.cli.completion import RUNS_HERE
from robustbench_rec.cli.options import FOLDER, PLUGINS, to_conclude_from
from robustbench_rec.cli.output import Warned, warn
from robustbench_rec.errors import InputError, counted
from robustbench_rec.processes import without_gc

if TYPE_CHECKING:
    from robustbench_rec.records.run import Run

PAGE = "report.html"
OURS = b'<meta name="generator" content="robustbench_rec'
"""What a page of ours has in its head."""
START = 4096
"""Number of first bytes of a file, which contain the head of a page of ours."""
BOARD = "leaderboard.html"
REFERENCE = Path("results", "reference")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=RUNS_HERE)
@click.option(
    "--out",
    type=FOLDER,
    metavar="FILE",
    help=f"Write the page to FILE; needed for several RUNs.  [default: {PAGE} in RUN]",
)
@PLUGINS
@without_gc()
def report(runs: tuple[str, ...], out: Path | None, plugins: tuple[str, ...]) -> None:
    """Write RUNs as one HTML page that needs no network, to read or to send.

    \b
    robustbench-rec report drrl
    robustbench-rec report results/reference/drrl results/reference/drrl-health --out both.html

    The page has the answer in words, a leaderboard, curves, heat maps, diagnostics, settings,
    cautions, provenance, and its data as CSV. Its address says what it shows, so that a view can
    be sent. Nothing is trained.
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    from robustbench_rec.components.registry import load_plugins

    load_plugins(plugins)
    held = [to_conclude_from(run) for run in runs]
    _write(_target([one.folder for one in held], out), held)


@without_gc()
def report_of(run: Run, anew: bool) -> None:
    """Write the page of a run that has ended into its folder, and print its path.

    Args:
        run: the run.
        anew: whether to replace a page that is there.

    """
    target = run.folder / PAGE
    if target.exists() and not _has(target, OURS):
        warn(f"{target} is not a page that report wrote, and stays as it is; move it to get one")
    elif anew or not target.exists():
        _write(target, [run])
    else:
        click.echo(f"page: {target}")


def _write(target: Path, runs: Sequence[Run]) -> None:
    """Write the page of some runs, and print its path."""
    from robustbench_rec.records.files import write
    from robustbench_rec.report.contents import contents
    from robustbench_rec.report.page import page

    write(target, page(contents(runs)).encode())
    click.echo(f"page: {target}")


def _target(folders: Sequence[Path], out: Path | None) -> Path:
    """Return the file of the page; InputError if it would replace a file that is no page."""
    if out is None and len(folders) > 1:
        raise InputError(f"{len(folders)} runs need --out FILE, such as --out {PAGE}")
    own = [folder.resolve() / PAGE for folder in folders]
    target = out or folders[0] / PAGE
    inside = any(target.resolve().is_relative_to(one.parent) for one in own)
    if inside and target.resolve() not in own:
        raise InputError(f"--out {target} is inside a run's folder; give another path")
    if target.exists() and not _has(target, OURS):
        raise InputError(
            f"{target} is not a page that report wrote; move it, or give another --out"
        )
    return target


@click.command()
@click.argument("folder", type=FOLDER, default=REFERENCE)
@click.option(
    "--out",
    type=FOLDER,
    metavar="FILE",
    help=f"Write the page to FILE, and the CSV beside it.  [default: {BOARD} beside FOLDER]",
)
@PLUGINS
@without_gc()
def leaderboard(folder: Path, out: Path | None, plugins: tuple[str, ...]) -> None:
    """Write one leaderboard of all runs in FOLDER, as an HTML page and as CSV.

    \b
    robustbench-rec leaderboard
    robustbench-rec leaderboard results/runs --out mine.html

    FOLDER is results/reference by default. Only runs of today's protocol are ranked; values of
    earlier protocols stand apart. Published values stand beside ours.
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    from robustbench_rec.components.registry import load_plugins
    from robustbench_rec.records.files import write
    from robustbench_rec.report.board import ROW, board, csv, entries
    from robustbench_rec.report.page import page

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with runs in it")
    load_plugins(plugins)
    target = out or folder.parent / BOARD
    table = target.with_suffix(".csv")
    if table == target:
        raise InputError(f"--out {target}: the CSV beside the page would replace it; end in .html")
    _refuse_other(target, OURS)
    _refuse_other(table, ",".join(ROW).encode())
    held = entries(folder, Warned())
    write(target, page(board(held)).encode())
    write(table, csv(held).encode())
    click.echo(f"leaderboard of {counted(len(held), 'run')}: {target} and {table}")


def _refuse_other(path: Path, head: bytes) -> None:
    """Raise InputError if a file is there that does not have our head."""
    if path.exists() and not _has(path, head):
        raise InputError(f"{path} is not a file that leaderboard wrote; move it, or give --out")


def _has(path: Path, head: bytes) -> bool:
    """Say whether the start of a file has some bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return head in file.read(START)
