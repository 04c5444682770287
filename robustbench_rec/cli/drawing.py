"""The command `figures`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_rec.cli.options import opened
from robustbench_rec.running.compute import available_cores

if TYPE_CHECKING:
    from robustbench_rec.processes import Helper
    from robustbench_rec.records.run import Run

DRAWING = "robustbench_rec.figures.gallery"


@click.command()
@click.argument("run")
def figures(run: str) -> None:
    """Draw the figures of RUN, a results folder or a suite's name, from its records alone."""
    draw(opened(run))


def draw(run: Run) -> None:
    """Draw the figures of a run, and say where they are."""
    from robustbench_rec.processes import import_without_gc

    with _drawing_helper() as helper:
        import_without_gc(DRAWING)
        from robustbench_rec.figures.gallery import redraw

        names = redraw(run, helper.starmap if helper else starmap)
    target = run.folder / "figures"
    click.echo(f"{len(names)} files in {target}:" if names else "no figure: floors alone are done")
    for name in names:
        if name.endswith(".png"):
            click.echo(f"  {target / name}")


def _drawing_helper() -> AbstractContextManager[Helper | None]:
    """Start a helper where a core is free for it: even one panel has several figures."""
    from robustbench_rec.processes import helper

    return helper(DRAWING) if available_cores() > 1 and sys.platform != "win32" else nullcontext()


def are_drawn(folder: Path) -> bool:
    """Say whether all figures of a run are there, and newer than its results."""
    from robustbench_rec.figures.drawn import are_newer

    return are_newer(folder / "figures", folder / "results.csv")
