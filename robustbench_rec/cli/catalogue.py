"""Commands that show losses, data sets and other components: `list`, `show`, `data`."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_rec.cli.completion import NAMES
from robustbench_rec.cli.options import AS_JSON, DATA_DIR, PLUGINS
from robustbench_rec.cli.output import print_table, warn
from robustbench_rec.components.settings import described, printed
from robustbench_rec.errors import InputError, nearest, one_line

if TYPE_CHECKING:
    from robustbench_rec.components.registry import Registry
    from robustbench_rec.data.catalog import Listing

KINDS = ("suites", "perturbations", "losses", "metrics", "backbones", "datasets")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@PLUGINS
@AS_JSON
def list_(kind: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List suites, perturbations, losses, metrics, ...; everything without KIND."""
    from robustbench_rec.components.registry import load_plugins

    load_plugins(plugins)
    rows = {one: _entries(one) for one in ((kind,) if kind else KINDS)}
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for one, entries in rows.items():
        if not kind:
            click.secho(one, bold=True)
        print_table([(f"  {name}" if not kind else name, about) for name, about in entries.items()])


def _entries(kind: str) -> dict[str, str]:
    """Return name -> one line for each entry of a kind."""
    if kind == "suites":
        from robustbench_rec.experiment.suite_file import shipped

        return {name: tomllib.loads(text).get("about", "") for name, text in shipped().items()}
    registry = _registries()[kind]
    classes = {name: registry[name] for name in registry}
    chosen = {n: c for n, c in classes.items() if kind != "losses" or c.learns}
    entries = {name: _first_line(cls) for name, cls in chosen.items()}
    for where, why in registry.broken.items():
        warn(f"{where} could not be imported: {why}")
    return entries


def _registries() -> Mapping[str, Registry[Any]]:
    from robustbench_rec import BACKBONES, DATASETS, LOSSES, METRICS, PERTURBATIONS

    return {
        "perturbations": PERTURBATIONS,
        "losses": LOSSES,
        "metrics": METRICS,
        "backbones": BACKBONES,
        "datasets": DATASETS,
    }


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


@click.command()
@click.argument("name", shell_complete=NAMES)
@PLUGINS
@AS_JSON
def show(name: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Show settings, units, defaults and sources of NAME, anything that `list` lists.

    NAME may also be a label or a name from a table, such as psl(activation=relu), 'PSL (relu)' or
    ndcg@20, or the path of a suite. If several things have the name, such as a suite and a loss,
    all are shown. JSON is always a list.
    """
    from robustbench_rec.analysis.names import in_code
    from robustbench_rec.components.registry import load_plugins
    from robustbench_rec.experiment.suite_file import locate_suite_file, shipped

    load_plugins(plugins)
    suites, registries = shipped(), _registries()
    if name.endswith(".toml"):
        suites[name] = locate_suite_file(name).text
    elif name not in suites:
        bare = re.sub(r"@[0-9]+$", "", name.partition("(")[0].strip()) or name
        known_as = any(bare in registry for registry in registries.values())
        name = bare if known_as else in_code(name) or bare
    found = [registry for registry in registries.values() if name in registry]
    if name not in suites and not found:
        known = [*suites, *(known for registry in registries.values() for known in registry)]
        raise InputError(f"nothing is named {name!r}{nearest(name, known)}")
    if as_json:
        facts = [_facts(registry.kind, registry[name]) for registry in found]
        facts += [_tables(name, suites[name])] if name in suites else []
        click.echo(json.dumps(facts, indent=1, default=str))
        return
    for registry in found:
        _show(registry.kind, registry[name])
    if name in suites:
        if found:
            click.secho(f"\n{name} (suite)", bold=True)
        click.echo(suites[name].rstrip())


def _tables(name: str, text: str) -> dict[str, Any]:
    """Return the tables of a suite's file; InputError if it is not TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not TOML: {one_line(error)}") from None


def _facts(kind: str, cls: Any) -> dict[str, Any]:
    """Return the facts of a component's class."""
    names = (
        "acts_through",
        "unit",
        "max_level",
        "symbol",
        "additive",
        "source",
        "licence",
        "how_to_get",
    )
    facts = {name: getattr(cls, name) for name in names if getattr(cls, name, "")}
    return {"name": cls.name, "kind": kind, **facts, "settings": described(cls)}


def _show(kind: str, cls: Any) -> None:
    facts = _facts(kind, cls)
    del facts["name"], facts["kind"]
    settings = facts.pop("settings")
    click.secho(f"{cls.name} ({kind})", bold=True)
    click.echo(inspect.getdoc(cls))
    click.echo("\nSettings:")
    print_table(
        (f"  {one['name']}", f"= {_default(one)}", one["domain"], one["about"]) for one in settings
    )
    click.echo()
    print_table((key.replace("_", " "), str(value)) for key, value in facts.items())


def _default(setting: Mapping[str, Any]) -> str:
    return "required" if setting["required"] else printed(setting["default"])


@click.group()
def data() -> None:
    """List the data sets, and fetch data sets that can be downloaded."""


@data.command("list")
@DATA_DIR
@AS_JSON
def data_list(data_dir: Path | None, as_json: bool) -> None:
    """List known data sets with size, location, and how to get missing ones."""
    from robustbench_rec.data.catalog import default_data_dir, inventory

    where = data_dir or default_data_dir()
    rows = inventory(where)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1, default=str))
        return
    click.echo(f"looked in {where} (--data-dir, ROBUSTBENCH_REC_DATA)")
    print_table((row.name, *_sizes(row), row.about, _presence(row)) for row in rows)


def _sizes(row: Listing) -> list[str]:
    """Return users, items and pairs; a dash if a number is not known."""
    known = {"users": row.users, "items": row.items, "pairs": row.pairs}
    return ["-" if n is None else f"{n:,} {what}" for what, n in known.items()]


def _presence(row: Listing) -> str:
    if row.ready:
        return str(row.present or "generated")
    return f"missing: {row.how_to_get}"


@data.command("fetch")
@click.argument("name")
@DATA_DIR
def data_fetch(name: str, data_dir: Path | None) -> None:
    """Download the data set NAME, and show its terms of use."""
    from robustbench_rec.data.catalog import default_data_dir
    from robustbench_rec.data.fetch import fetch

    fetch(name, data_dir or default_data_dir(), click.echo)
