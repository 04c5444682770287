"""Shared by several commands: options, and the folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_rec.cli.completion import RUNS_HERE
from robustbench_rec.cli.output import Warned, warn
from robustbench_rec.errors import InputError, counted, nearest
from robustbench_rec.records import RUNS

if TYPE_CHECKING:
    from robustbench_rec.records.run import Run

GOES_ON = "finished work is kept; run the same command without --force to continue"
FAILED_CELLS = 3
"""The exit status of `run` and `status` if cells failed."""


class _Folder(click.Path):
    """A folder; "" is an error, because it usually comes from an unset shell variable."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; give a folder or omit the option", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = _Folder(path_type=Path)
DATA_DIR = click.option(
    "--data-dir",
    type=FOLDER,
    envvar="ROBUSTBENCH_REC_DATA",
    help="Folder of the data sets.  [env: ROBUSTBENCH_REC_DATA; default: a per-user folder]",
)
PLUGINS = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Import this .py file or module, which registers your components. Repeatable.",
)
RUN = click.argument("run", shell_complete=RUNS_HERE)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def run_folder(run: str) -> Path:
    """Return a run's folder, given as a path or by its suite's name."""
    if not run:
        raise InputError("RUN is empty; give a results folder or a suite's name")
    if Path(run).is_file():
        raise InputError(f"{run} is a file; give a results folder or a suite's name")
    if Path(run).is_dir():
        return Path(run)
    if not (RUNS / run).is_dir():
        held = sorted(path.parent.name for path in RUNS.glob("*/manifest.json"))
        told = f"{nearest(Path(run).name, held)} (in {RUNS}: {', '.join(held) or 'nothing yet'})"
        raise InputError(f"{run}: no run here{told}")
    return RUNS / run


def opened(run: str) -> Run:
    """Return a run, given by its folder or by its suite's name."""
    from robustbench_rec.records.run import read_run

    return read_run(run_folder(run), Warned())


def older(run: Run) -> str:
    """Return a line on cells of an earlier protocol; "" if there are none."""
    from robustbench_rec.training.config import PROTOCOL

    old = ", ".join(sorted(run.manifest.protocols - {PROTOCOL}))
    return (
        f"cells of protocol {old}, not of today's {PROTOCOL}: they are not comparable with new "
        "cells"
        if old
        else ""
    )


def to_conclude_from(run: str) -> Run:
    """Return a run; warn if its cells are of another protocol, or some are missing."""
    held = opened(run)
    if old := older(held):
        warn(f"{held.folder}: {old}")
    lacking = held.summary.left + len(held.summary.failed)
    if lacking and held.summary.done:  # without any, there is an error to come
        told = f"{held.summary.done} of {held.summary.cells} cells are done"
        warn(f"{held.folder}: {told}; conclusions lack {counted(lacking, 'cell')}")
    return held
