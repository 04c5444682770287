"""The command `figures`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_rec.cli.options import FOLDER, RUN, to_conclude_from
from robustbench_rec.cli.output import Warned
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.errors import InputError
from robustbench_rec.running.compute import available_cores

if TYPE_CHECKING:
    from robustbench_rec.figures.options import Options
    from robustbench_rec.processes import Helper
    from robustbench_rec.records.run import Run

DRAWING = "robustbench_rec.figures.gallery"
MANY = 4
"""From this number of figures of curves a helper process draws half of them."""


def _shown(axis: str, example: str) -> Callable[[Any], Any]:
    """Return the option that restricts figures to one label of an axis."""
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
    help="Value to draw.  [default: absolute, with retention beside it]",
)
@click.option(
    "--x",
    type=click.Choice(["level", "realised"]),
    default="level",
    show_default=True,
    help="Draw requested or realised levels.",
)
@click.option("--against", metavar="LOSS", help="improvement: the reference loss.")
@click.option(
    "--format",
    "form",
    default="png,pdf",
    show_default=True,
    help="png, pdf, svg, or several with commas. Each figure has a CSV of its data beside it.",
)
@click.option("--width", metavar="WIDTH", help="Width in inches, or a preset such as acm-column.")
@click.option(
    "--font-size", type=float, metavar="POINTS", help="Font size in points.  [default: 9]"
)
@click.option("--log-x", is_flag=True, help="Use a logarithmic axis of levels.")
@click.option("--no-title", is_flag=True, help="Leave out the heading above the panels.")
@click.option("--style", type=FOLDER, metavar="FILE", help="Apply a matplotlib style file.")
@click.option(
    "--out",
    type=FOLDER,
    metavar="FOLDER",
    help="Write the figures to this folder.  [default: figures/ in RUN]",
)
def figures(run: str, **asked: Any) -> None:
    """Draw the figures of RUN, a results folder or a suite's name, from its records.

    \b
    robustbench-rec figures drrl --loss drrl --loss softmax --value retention --width acm-column
    robustbench-rec figures drrl --kind heatmap --metric ndcg@20 --format svg --out paper

    If options select a part, earlier figures of the rest stay.
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    if "list" in asked["kinds"]:
        _list_kinds()
        return
    held = to_conclude_from(run)
    with helper_for(held, **asked) as other:
        draw(held, _options(held, **asked), other=other)


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
    """Return the checked options."""
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
        raise InputError(f"--out {out} is inside the run's folder; give another folder")
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


@contextmanager
def helper_for(run: Run, **asked: Any) -> Iterator[Helper | None]:
    """Start a helper for `draw`, which imports while this process does; None for few figures.

    Args:
        run: the run.
        asked: the options of `figures`, if any.

    """
    from robustbench_rec.processes import helper

    if available_cores() < 2 or sys.platform == "win32" or _curves_of(run, **asked) < MANY:
        yield None
        return
    with helper(DRAWING) as other:
        yield other


def _curves_of(run: Run, kinds: Sequence[str] = (), **asked: Any) -> int:
    """Return how many figures of curves will be drawn, before anything slow is imported."""
    if kinds and "curves" not in kinds:
        return 0
    axes = ["dataset", "backbone", "perturbation", "metric"]
    trained = run.results["loss"] != UNTRAINED
    asked_for = run.results["metric"].isin(run.manifest.metrics)
    found = run.results.loc[trained & asked_for, axes].drop_duplicates()
    for axis in axes:
        if asked.get(axis):
            found = found[found[axis].isin(asked[axis])]
    return len(found)


def draw(
    run: Run,
    options: Options | None = None,
    only_changed: bool = False,
    other: Helper | None = None,
) -> None:
    """Draw the figures of a run, or only those whose data changed, and print their paths.

    Args:
        run: the run.
        options: the options of the figures; those of the suite if None.
        only_changed: whether to skip figures that exist and show the same data.
        other: a helper that draws half of the figures, see `helper_for`.

    """
    from robustbench_rec.processes import import_without_gc

    import_without_gc(DRAWING)
    from robustbench_rec.figures.gallery import redraw
    from robustbench_rec.figures.options import Options, page_of

    options = options or Options(page=page_of(run))
    apart = other.starmap if other else starmap
    names = redraw(run, apart, options, only_changed=only_changed, events=Warned())
    target = options.folder or run.folder / "figures"
    shown = f".{options.formats[0]}"
    if names:
        click.echo(f"{len(names)} files in {target}:")
    elif not list(target.glob(f"*{shown}")):
        click.echo("no figure: only baselines are finished")
    for name in names:
        if name.endswith(shown):
            click.echo(f"  {target / name}")
