"""The commands for papers: `table`, `cite`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from robustbench_rec.cli.options import FOLDER, PLUGINS, RUN, opened, to_conclude_from
from robustbench_rec.cli.output import print_table
from robustbench_rec.errors import InputError


@click.command()
@RUN
@click.argument("kind", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["latex", "markdown", "csv", "html"]),
    default="markdown",
    show_default=True,
    help="Output format. CSV has full numbers without marks; its caption goes to stderr.",
)
@click.option(
    "--metric",
    help="robustness: a metric name@k; k: a metric name.  [default: the first of the suite]",
)
@click.option(
    "--level",
    type=float,
    multiple=True,
    help="robustness: show this level beside level 0; repeatable.  [default: all levels]",
)
@click.option("--ours", metavar="LOSS", help="main, k: the loss whose improvement is shown.")
@click.option("--out", type=FOLDER, metavar="FILE", help="Write to FILE instead of stdout.")
@click.option(
    "--data-dir",
    type=FOLDER,
    help="datasets: folder of the data sets.  [default: ROBUSTBENCH_REC_DATA, else a per-user "
    "folder]",
)
@PLUGINS
def table(
    run: str,
    kind: str | None,
    form: Any,
    level: tuple[float, ...],
    out: Path | None,
    plugins: tuple[str, ...],
    **asked: Any,
) -> None:
    """Print a table of RUN for a paper; without KIND, list the kinds.

    \b
    robustbench-rec table drrl main --format latex --ours drrl --out main.tex
    robustbench-rec table results/reference/health published

    Nothing is trained. Tables of an unfinished run show its finished cells, and say so.
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    from robustbench_rec.components.registry import load_plugins
    from robustbench_rec.records.files import write
    from robustbench_rec.tables.kind import Asked
    from robustbench_rec.tables.kinds import KINDS, kind_of
    from robustbench_rec.tables.written import written

    load_plugins(plugins)
    held = to_conclude_from(run)
    if out and out.resolve().is_relative_to(held.folder.resolve()):
        raise InputError(f"--out {out} is inside the run's folder; give another path")
    if kind is None:
        print_table((name, one.about) for name, one in KINDS.items())
        return
    tables = kind_of(kind).of(held, Asked(level=level or None, **asked), kind)
    text = written(tables, form, f"{held.manifest.suite}-{kind}")
    if form == "csv":
        for one in tables:
            click.echo(one.caption, err=True)
    if out is None:
        click.echo(text, nl=False)
    else:
        write(out, text.encode())
        click.echo(f"table {kind}: {out}")


@click.command()
@RUN
@PLUGINS
def cite(run: str, plugins: tuple[str, ...]) -> None:
    """Print BibTeX entries of RUN's suite, data sets, backbones, losses and perturbations.

    A component without an entry is named in a comment line that begins with %.
    """
    from robustbench_rec.components.registry import load_plugins
    from robustbench_rec.tables.bibliography import bibliography

    load_plugins(plugins)
    click.echo(bibliography(opened(run)), nl=False)
