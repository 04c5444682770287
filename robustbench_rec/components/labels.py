"""Labels: what results call a component, and what a user who names one may mean.

A label is a component's name, with the settings that tell it apart where a suite holds several of
that name. Suites, results and published values agree on components by their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from robustbench_rec.components.settings import spec

AXES = ("dataset", "backbone", "loss", "perturbation")
"""What a cell has a label on."""


@lru_cache(maxsize=4096)
def spec_once(component: Any, without: str = "") -> str:
    """Print a component once, not once for each of thousands of cells that it stands in."""
    return spec(component, without)


@lru_cache(maxsize=4096)
def trained(loss: Any, training: Any) -> str:
    """Print a loss with its training among its settings, where these tell two apart."""
    return f"{spec(loss).removesuffix(')')}, {spec(training).partition('(')[2]}"


def short_names(specs: Iterable[str]) -> dict[str, str]:
    """Shorten specs: the name alone, or with the settings that differ among those of its name.

    `softmax(tau=0.1, n_negatives=200)` and `softmax(tau=0.2, n_negatives=200)` become
    `softmax(tau=0.1)` and `softmax(tau=0.2)`; a name that stands alone loses its settings.
    """
    unique = dict.fromkeys(specs)
    parts = {one: _settings(one) for one in unique}
    names = {}
    for one in unique:
        name = one.partition("(")[0]
        siblings = [parts[other] for other in unique if other.partition("(")[0] == name]
        differing = [
            part for part in parts[one] if any(part not in sibling for sibling in siblings)
        ]
        names[one] = f"{name}({', '.join(differing)})" if differing else name
    return names


def _settings(text: str) -> list[str]:
    return text.partition("(")[2].removesuffix(")").split(", ")


def meant(asked: str, labels: Mapping[str, str]) -> list[str]:
    """Return the labels that a text may mean: one where it is clear, none where nothing fits.

    A label itself means itself. Else every component of the asked name counts whose settings are
    all as asked, those that are not asked for whatever they are. Space does not matter, nor how a
    number is written.

    Args:
        asked: as in `psl(activation=relu)` or `psl`.
        labels: full spec -> label, as `short_names` returns them.

    """
    name, settings = _read(asked)
    itself = [label for label in labels.values() if _read(label) == (name, settings)]
    full = [(label, *_read(one)) for one, label in labels.items()]
    return itself or [label for label, other, held in full if other == name and settings <= held]


def _read(text: str) -> tuple[str, frozenset[str]]:
    """Split a spec or label into its name and its settings, each written in one way."""
    name, _, inside = "".join(text.split()).removesuffix(")").partition("(")
    return name, frozenset(map(_written, filter(None, inside.split(","))))


def _written(setting: str) -> str:
    key, _, value = setting.partition("=")
    try:
        return f"{key}={float(value):.12g}"
    except ValueError:
        return f"{key}={value}"
