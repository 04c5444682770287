"""Every kind of table by its name."""

from __future__ import annotations

from robustbench_rec.errors import InputError, nearest
from robustbench_rec.tables import (
    cost,
    cutoffs,
    datasets,
    hyperparameters,
    main,
    published,
    robustness,
)
from robustbench_rec.tables.kind import Kind

KINDS: dict[str, Kind] = {
    "main": main.KIND,
    "robustness": robustness.KIND,
    "k": cutoffs.KIND,
    "datasets": datasets.KIND,
    "hyperparameters": hyperparameters.KIND,
    "time": cost.KIND,
    "published": published.KIND,
}
"""Add a new kind as a module here."""


def kind_of(name: str) -> Kind:
    """Return the kind with a name; InputError, with the nearest name, if there is none."""
    if name not in KINDS:
        known = ", ".join(KINDS)
        raise InputError(f"no table named {name!r}{nearest(name, KINDS)} (known: {known})")
    return KINDS[name]
