"""The commands for authors of plugins: `new` and `check`."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_rec.cli.completion import NAMES
from robustbench_rec.cli.options import AS_JSON, DATA_DIR, PLUGINS
from robustbench_rec.errors import InputError, counted

if TYPE_CHECKING:
    from robustbench_rec.kit.checking import Clause

FAILED = 3
"""Exit status if a clause does not hold."""
SAID = {True: "holds", False: "FAILS", None: "-"}


@click.command()
@click.argument("kind", type=click.Choice(["perturbation", "loss", "metric"]))
@click.argument("name")
@click.option("--package", is_flag=True, help="Write an installable Python package.")
@click.option(
    "--dataset",
    metavar="DATASET",
    help="Data set of the suite, such as 'movielens-100k(min_rating=4)', which has timestamps and "
    "ratings.  [default: a small generated one]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=".",
    help="Write to this folder.  [default: the current one]",
)
def new(kind: str, name: str, package: bool, dataset: str | None, out: Path) -> None:
    """Write a new perturbation, loss or metric called NAME, with a test and a suite.

    All three files work at once: check the plugin, run the suite, look at the figure; then edit the
    plugin.

    \b
    Try:  robustbench-rec new perturbation my_noise
          robustbench-rec check my_noise.py
          robustbench-rec run my_noise.toml
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    from robustbench_rec.kit.scaffold import SMALL
    from robustbench_rec.kit.scaffold import new as written

    paths = written(kind, name, out, package, dataset or SMALL)
    click.echo(f"wrote {', '.join(map(str, paths))}")
    plugin, _, suite, *_ = paths
    if package:
        click.echo(f"next:  pip install -e {plugin.parent}")
        click.echo(f"       robustbench-rec check {name}")
    else:
        click.echo(f"next:  robustbench-rec check {plugin}")
    click.echo(f"       robustbench-rec run {suite}")


@click.command()
@click.argument("plugin", shell_complete=NAMES)
@click.option(
    "-s",
    "--setting",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Check the plugin with this setting. Repeatable.",
)
@PLUGINS
@DATA_DIR
@AS_JSON
def check(
    plugin: str,
    settings: tuple[str, ...],
    plugins: tuple[str, ...],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Check PLUGIN, a .py file or a name, against each clause of its contract.

    Prints each clause and, if the plugin breaks it, what the plugin did instead. The clauses are
    the same as in `robustbench_rec.testing` for pytest. Exit status: 0 if all hold, 3 otherwise.
    """
    from robustbench_rec.components.registry import load_plugins
    from robustbench_rec.kit.checking import check as checked
    from robustbench_rec.kit.checking import components_of

    load_plugins(plugins)
    given, told, failed = _settings(settings), [], 0
    for kind, cls in components_of(plugin):
        asked, clauses = checked(kind, cls, given, data_dir), []
        if not as_json:
            click.secho(f"{cls.name} ({kind})", bold=True)
        for clause in asked:
            clauses.append(clause)
            if not as_json:
                _say(clause)
        failed += sum(clause.holds is False for clause in clauses)
        told.append({"name": cls.name, "kind": kind, "clauses": [asdict(one) for one in clauses]})
        if not as_json:
            click.echo(_summed(clauses))
    if as_json:
        click.echo(json.dumps(told, indent=1))
    sys.exit(FAILED if failed else 0)


def _settings(told: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE settings; a value is a TOML value or a plain word."""
    found: dict[str, Any] = {}
    for text in told:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"--setting {text}: it takes KEY=VALUE, as in tau=0.2")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = value
    return found


def _say(clause: Clause) -> None:
    colour = {True: "green", False: "red", None: None}[clause.holds]
    click.echo(f"  {click.style(f'{SAID[clause.holds]:<6}', fg=colour)} {clause.wants}")
    if clause.found:
        click.echo(f"           {clause.found}")


def _summed(clauses: Sequence[Clause]) -> str:
    held = sum(clause.holds is True for clause in clauses)
    failed = sum(clause.holds is False for clause in clauses)
    rest = len(clauses) - held - failed
    parts = [f"{held} hold", f"{failed} {'does' if failed == 1 else 'do'} not"]
    parts += [f"{rest} {'does' if rest == 1 else 'do'} not apply"] if rest else []
    return f"{counted(len(clauses), 'clause')}: {', '.join(parts)}"
