"""Files that a plugin begins with: they work as they are written, and are to be changed."""

from __future__ import annotations

import importlib.util
import keyword
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from robustbench_rec import LOSSES, METRICS, PERTURBATIONS
from robustbench_rec.components.registry import Registry
from robustbench_rec.errors import InputError


@dataclass(frozen=True)
class Kind:
    """A kind of plugin, and what of it stands in the files.

    Attributes:
        registry: where it is registered.
        called: the name of that among our public names.
        contract: what its test is a subclass of.
        made: what turns its class into what the contract takes.

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
"""Characters of a name."""


def new(kind: str, name: str, folder: Path, package: bool = False) -> list[Path]:
    """Write a plugin, its test and a suite that tries it.

    Args:
        kind: of `KINDS`.
        name: what it is registered as, and the name of its module.
        folder: where the files go.
        package: whether they go into a folder of its name, with a pyproject.toml by which pip
            installs it.

    Returns:
        The files that were written: the plugin, its test, the suite, and pyproject.toml if any.

    Raises:
        InputError: the name is none for a module, or is taken; a file is there already, or cannot
            be written.

    """
    _check_name(KINDS[kind], kind, name)
    texts = _texts(kind, name, package)
    there = folder / name if package else folder
    paths = [there / file for file in texts]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} is there already; take another name, or move it away")
    try:
        there.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{error.filename or there}: cannot be written ({error.strerror})"
        ) from None
    return paths


def _check_name(kind: Kind, called: str, name: str) -> None:
    """Raise InputError unless a module, and a plugin of a kind, may have a name."""
    wanted = "small letters, digits and _, a letter first, as in my_noise"
    plain = name.isidentifier() and name.isascii() and name == name.lower()
    if not plain or keyword.iskeyword(name) or name.startswith("_") or len(name) > LONGEST:
        raise InputError(f"{name!r} cannot be the name of a {called}; it takes {wanted}")
    if name in kind.registry:
        raise InputError(f"there is a {called} {name!r} already; take another name")
    if importlib.util.find_spec(name) is not None:
        raise InputError(f"there is a Python module {name!r} already; take another name")


def _texts(kind: str, name: str, package: bool) -> dict[str, str]:
    """Return the text of each file, by its name."""
    what = KINDS[kind]
    words = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "kind": kind,
        "group": what.registry.package.rpartition(".")[2],
        "registry": what.called,
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
