"""The command `figures`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from robustbench_rec.cli.options import FOLDER, RUN, to_conclude_from
from robustbench_rec.errors import InputError
from robustbench_rec.running.compute import available_cores

if TYPE_CHECKING:
    from robustbench_rec.figures.options import Options
    from robustbench_rec.records.run import Run

DRAWING = "robustbench_rec.figures.gallery"
MANY = 24
"""Figures from which a helper is worth its start, which takes the time of two or three."""
Result = TypeVar("Result")


def _shown(axis: str, example: str) -> Callable[[Any], Any]:
    """Return the option that leaves all but some of an axis out."""
    text = f"Show this {axis} alone, such as {example}. Repeatable."
    return click.option(f"--{axis}", multiple=True, metavar=axis.upper(), help=text)


@click.command()
@RUN
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Draw figures of this kind, see `--kind list`.  [default: curves, ranking, diagnostics]",
)
@_shown("dataset", "movielens-100k")
@_shown("backbone", "mf")
@_shown("perturbation", "hidden_positives")
@_shown("loss", "'psl(activation=relu)'")
@_shown("metric", "ndcg@20")
@click.option(
    "--value",
    type=click.Choice(["absolute", "retention", "excess", "rank"]),
    help="What is drawn of a metric.  [default: absolute, beside it retention]",
)
@click.option(
    "--x",
    type=click.Choice(["level", "realised"]),
    default="level",
    show_default=True,
    help="Levels as they were asked for, or as they were achieved.",
)
@click.option(
    "--against", metavar="LOSS", help="improvement: the loss that others are held against."
)
@click.option(
    "--format",
    "form",
    default="png,pdf",
    show_default=True,
    help="png, pdf, svg, or several with commas. A CSV of what is drawn stands beside each.",
)
@click.option(
    "--width", metavar="WIDTH", help="Inches, or a column of a venue, such as acm-column."
)
@click.option("--font-size", type=float, metavar="POINTS", help="Of the letters.  [default: 9]")
@click.option("--log-x", is_flag=True, help="Put levels on a logarithmic axis.")
@click.option("--no-title", is_flag=True, help="Leave out the line above the panels.")
@click.option("--style", type=FOLDER, metavar="FILE", help="A style file of matplotlib.")
@click.option("--out", type=FOLDER, metavar="FOLDER", help="[default: figures, in the run's own]")
def figures(run: str, **asked: Any) -> None:
    """Draw the figures of RUN, a results folder or a suite's name, from its records alone.

    \b
    robustbench-rec figures drrl --loss drrl --loss softmax --value retention --width acm-column
    robustbench-rec figures drrl --kind heatmap --metric ndcg@20 --format svg --out paper

    Where options leave anything out, figures that were drawn before stay.
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    if "list" in asked["kinds"]:
        _list_kinds()
        return
    held = to_conclude_from(run)
    draw(held, _options(held, **asked))


def _list_kinds() -> None:
    from robustbench_rec.cli.output import print_table
    from robustbench_rec.figures.kinds import KINDS

    print_table((name, kind.about) for name, kind in KINDS.items())


def _options(
    run: Run,
    *,
    kinds: tuple[str, ...],
    value: Any,
    x: Any,
    against: str | None,
    form: str,
    width: str | None,
    font_size: float | None,
    log_x: bool,
    no_title: bool,
    style: Path | None,
    out: Path | None,
    **only: tuple[str, ...],
) -> Options:
    """Return what is asked, checked."""
    from robustbench_rec.figures.kind import Asked
    from robustbench_rec.figures.options import (
        Options,
        formats_of,
        letters_of,
        page_of,
        style_of,
        width_of,
    )

    own = run.folder.resolve()
    inside = out is not None and out.resolve().is_relative_to(own)
    if out is not None and inside and out.resolve() != own / "figures":
        raise InputError(f"--out {out} lies in the run's own folder; draw the figures elsewhere")
    return Options(
        kinds=kinds,
        only={axis: labels for axis, labels in only.items() if labels},
        asked=Asked(value, x, against),
        formats=formats_of(form),
        page=page_of(
            run,
            width=None if width is None else width_of(width),
            font_size=None if font_size is None else letters_of(font_size),
            title=not no_title,
            log_x=log_x,
            style=style_of(style) if style else (),
        ),
        folder=out,
    )


def draw(run: Run, options: Options | None = None, only_changed: bool = False) -> None:
    """Draw the figures of a run, or only those whose data changed, and say where they are.

    Args:
        run: whose.
        options: what is drawn, and how; as the suite has it, if None.
        only_changed: whether to leave out figures that are there and show the same data.

    """
    from robustbench_rec.processes import import_without_gc

    import_without_gc(DRAWING)
    from robustbench_rec.figures.gallery import redraw
    from robustbench_rec.figures.options import Options, page_of

    options = options or Options(page=page_of(run))
    names = redraw(run, _starmap, options, only_changed=only_changed)
    target = options.folder or run.folder / "figures"
    shown = f".{options.formats[0]}"
    if names:
        click.echo(f"{len(names)} files in {target}:")
    elif not list(target.glob(f"*{shown}")):
        click.echo("no figure: baselines alone are done")
    for name in names:
        if name.endswith(shown):
            click.echo(f"  {target / name}")


def _starmap(function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> list[Result]:
    """Call a function for each figure, half of many in a helper where a core is free for it."""
    from robustbench_rec.processes import helper

    held = list(jobs)
    if len(held) < MANY or available_cores() < 2 or sys.platform == "win32":
        return list(starmap(function, held))
    with helper(DRAWING) as other:
        return other.starmap(function, held)
