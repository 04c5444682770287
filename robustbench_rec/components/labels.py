"""Labels: names of components in results, and their matching with texts of users.

A label is a component's name with its non-default settings: the same in every run, so that runs can
be joined by it. If a suite has the same component twice, trained or tuned differently, labels
include that difference. Figures may use shorter names, see `short_names`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from robustbench_rec.components.settings import identity_of, shown, spec
from robustbench_rec.errors import nearest

AXES = ("dataset", "backbone", "loss", "perturbation")
"""Axes with labels."""
UNTRAINED = "untrained"
"""The loss name of baselines."""


@lru_cache(maxsize=4096)
def spec_once(component: Any, without: str = "") -> str:
    """Print a component once, not once for each of the thousands of cells with it."""
    return spec(component, without)


@lru_cache(maxsize=4096)
def trained(loss: Any, training: Any) -> str:
    """Print a loss with its training settings, if these distinguish two entries."""
    return f"{spec(loss).removesuffix(')')}, {spec(training).partition('(')[2]}"


def label_of(component: Any, without: Collection[str] = ()) -> str:
    """Return the label of a component, without some of its settings."""
    defaults = {field.name: field.default for field in fields(component)}
    given = {
        key: value
        for key, value in identity_of(component).items()
        if key not in without and value != defaults[key]
    }
    return f"{component.name}({shown(given)})" if given else str(component.name)


def distinct_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Make labels distinct: labels shared by several specs get the settings that differ.

    This is needed for losses that differ only in their training or tuning.

    Args:
        labels: full spec -> label.

    """
    found = dict(labels)
    for label, n in Counter(labels.values()).items():
        alike = [one for one in labels if labels[one] == label] if n > 1 else []
        for one, name in short_names(alike).items():
            parts = dict.fromkeys([*_settings(label), *_settings(name)])
            found[one] = f"{label.partition('(')[0]}({', '.join(parts)})"
    return found


def short_names(specs: Iterable[str]) -> dict[str, str]:
    """Shorten specs to the name, with the settings that differ among specs of the same name.

    `softmax(tau=0.1, n_negatives=200)` and `softmax(tau=0.2, n_negatives=200)` become
    `softmax(tau=0.1)` and `softmax(tau=0.2)`; a name used once loses its settings.
    """
    parts = {one: _settings(one) for one in dict.fromkeys(specs)}
    siblings = Counter(one.partition("(")[0] for one in parts)
    held = Counter((one.partition("(")[0], part) for one in parts for part in {*parts[one]})
    names = {}
    for one in parts:
        name = one.partition("(")[0]
        differing = [part for part in parts[one] if held[name, part] < siblings[name]]
        names[one] = f"{name}({', '.join(differing)})" if differing else name
    return names


def _settings(text: str) -> list[str]:
    return list(filter(None, text.partition("(")[2].removesuffix(")").split(", ")))


def meant(asked: str, labels: Mapping[str, str]) -> list[str]:
    """Return the labels that match a text: one if clear, none if nothing matches.

    A component matches if it has the name and all settings in the text; other settings may have any
    value. Spaces and the format of numbers do not matter.

    Args:
        asked: a text, as `psl(activation=relu)` or `psl`.
        labels: full spec -> label.

    """
    name, settings = _read(asked)
    full = [(label, *_read(one)) for one, label in labels.items()]
    found = [label for label, other, held in full if other == name and settings <= held]
    return list(dict.fromkeys(found))


def one_meant(asked: str, labels: Mapping[str, str]) -> list[str]:
    """Return the labels that match a text; a text equal to a label matches only this label."""
    itself = [label for label in labels.values() if _read(label) == _read(asked)]
    return itself[:1] or meant(asked, labels)


def nearest_label(asked: str, labels: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest label, or its name; or ""."""
    known = list(labels)
    return nearest(asked, [*known, *(label.partition("(")[0] for label in known)])


def _read(text: str) -> tuple[str, frozenset[str]]:
    """Split a spec or label into its name and its settings, in normal form."""
    name, _, inside = "".join(text.split()).removesuffix(")").partition("(")
    return name, frozenset(map(_written, filter(None, inside.split(","))))


def _written(setting: str) -> str:
    key, _, value = setting.partition("=")
    try:
        return f"{key}={float(value):.12g}"
    except ValueError:
        return f"{key}={value}"
