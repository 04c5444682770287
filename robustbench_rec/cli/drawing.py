"""The command `figures`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import starmap
from typing import TYPE_CHECKING, Any, TypeVar

import click

from robustbench_rec.cli.options import opened
from robustbench_rec.running.compute import available_cores

if TYPE_CHECKING:
    from robustbench_rec.records.run import Run

DRAWING = "robustbench_rec.figures.gallery"
MANY = 24
"""Figures from which a helper is worth its start, which takes the time of two or three."""
Result = TypeVar("Result")


@click.command()
@click.argument("run")
def figures(run: str) -> None:
    """Draw the figures of RUN, a results folder or a suite's name, from its records alone."""
    draw(opened(run))


def draw(run: Run, only_changed: bool = False) -> None:
    """Draw the figures of a run, or only those whose data changed, and say where they are."""
    from robustbench_rec.processes import import_without_gc

    import_without_gc(DRAWING)
    from robustbench_rec.figures.gallery import redraw

    names = redraw(run, _starmap, only_changed=only_changed)
    target = run.folder / "figures"
    if names:
        click.echo(f"{len(names)} files in {target}:")
    elif not list(target.glob("*.png")):
        click.echo("no figure: floors alone are done")
    for name in names:
        if name.endswith(".png"):
            click.echo(f"  {target / name}")


def _starmap(function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> list[Result]:
    """Call a function for each figure, half of many in a helper where a core is free for it."""
    from robustbench_rec.processes import helper

    held = list(jobs)
    if len(held) < MANY or available_cores() < 2 or sys.platform == "win32":
        return list(starmap(function, held))
    with helper(DRAWING) as other:
        return other.starmap(function, held)
