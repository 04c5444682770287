"""Template files of a plugin: they work as written, and are meant to be edited."""

from __future__ import annotations

import importlib.util
import json
import keyword
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from robustbench_rec import DATASETS, LOSSES, METRICS, PERTURBATIONS
from robustbench_rec.components.registry import Registry
from robustbench_rec.errors import InputError


@dataclass(frozen=True)
class Kind:
    """A kind of plugin, and its parts in the template files.

    Attributes:
        registry: its registry.
        called: the public name of the registry.
        contract: the base class of its test.
        made: an expression that turns the class into the contract's argument.

    """

    registry: Registry[Any]
    called: str
    contract: str
    made: str = ""


KINDS = {
    "perturbation": Kind(PERTURBATIONS, "PERTURBATIONS", "PerturbationContract"),
    "loss": Kind(LOSSES, "LOSSES", "LossContract", "()"),
    "metric": Kind(METRICS, "METRICS", "MetricContract"),
}
LONGEST = 60
"""Largest length of a name."""
SMALL = "synthetic(n_users=400, n_items=150)"
"""The data set of a new suite: generated, without timestamps and ratings."""


def new(
    kind: str, name: str, folder: Path, package: bool = False, dataset: str = SMALL
) -> list[Path]:
    """Write a plugin, its test and a suite with it.

    Args:
        kind: a key of `KINDS`.
        name: its registered name, and the name of its module.
        folder: the folder of the files.
        package: whether to write an installable package: a folder of this name with a
            pyproject.toml.
        dataset: the data set of the suite, with settings if any: `movielens-100k(min_rating=4)`.

    Returns:
        The written files: the plugin, its test, the suite, and pyproject.toml if any.

    Raises:
        InputError: the name is not valid for a module, or is taken; there is no such data set; a
            file exists already, or cannot be written.

    """
    _check_form(kind, name)
    texts = _texts(kind, name, package, _as_toml(dataset))
    there = folder / name if package else folder
    paths = [there / file for file in texts]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} exists already; choose another name, or move it")
    _check_free(KINDS[kind], kind, name)
    try:
        there.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{error.filename or there}: cannot be written ({error.strerror})"
        ) from None
    return paths


def _check_form(called: str, name: str) -> None:
    """Raise InputError unless the name is valid, as a module and as a plugin."""
    wanted = "small letters, digits and _, a letter first, no word of Python, as in my_noise"
    plain = name.isidentifier() and name.isascii() and name == name.lower()
    if not plain or keyword.iskeyword(name) or name.startswith("_") or len(name) > LONGEST:
        raise InputError(f"{name!r} cannot be the name of a {called}; it takes {wanted}")


def _check_free(kind: Kind, called: str, name: str) -> None:
    """Raise InputError if a plugin or a module has the name already."""
    if name in kind.registry:
        raise InputError(f"a {called} named {name!r} exists already; choose another name")
    if importlib.util.find_spec(name) is not None:
        raise InputError(f"a Python module named {name!r} exists already; choose another name")


def _as_toml(dataset: str) -> str:
    """Return the lines of a data set in a suite; InputError if there is no such data set."""
    name, _, inside = dataset.strip().removesuffix(")").partition("(")
    lines = [f'name = "{DATASETS[name.strip()].name}"']
    for part in filter(None, inside.split(",")):
        key, equals, value = (text.strip() for text in part.partition("="))
        if not equals or not key.isidentifier():
            raise InputError(f"--dataset {dataset}: {part.strip()!r} is no setting, as in {SMALL}")
        lines.append(f"{key} = {_valued(value)}")
    return "\n".join(lines)


def _valued(value: str) -> str:
    """Return a value as TOML: a number, true or false as it is, everything else quoted."""
    try:
        tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        return json.dumps(value)
    return value


def _texts(kind: str, name: str, package: bool, dataset: str) -> dict[str, str]:
    """Return the text of each file, by its name."""
    what = KINDS[kind]
    words = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "kind": kind,
        "group": what.registry.package.rpartition(".")[2],
        "registry": what.called,
        "dataset": dataset,
        "contract": what.contract,
        "made": what.made,
        "plugins": "" if package else f'plugins = ["{name}.py"]\n',
        "metrics": '"ndcg@20"' + (f', "{name}@20"' if kind == "metric" else ""),
        "loss": name if kind == "loss" else "softmax",
        "perturbation": name if kind == "perturbation" else "false_positives",
    }
    found = {
        f"{name}.py": _filled(kind, words),
        f"test_{name}.py": _filled("test", words),
        f"{name}.toml": _filled("suite", words),
    }
    return found | ({"pyproject.toml": _filled("pyproject", words)} if package else {})


def _filled(template: str, words: dict[str, str]) -> str:
    text = files("robustbench_rec.kit").joinpath("templates", f"{template}.txt").read_text("utf-8")
    return Template(text).substitute(words)
