"""Contracts checked without pytest: what each clause wants, whether it holds, what was found."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_rec import BACKBONES, DATASETS, LOSSES, METRICS, PERTURBATIONS
from robustbench_rec.components.metric import ListMetric
from robustbench_rec.components.registry import Registry, load_plugins
from robustbench_rec.data.catalog import default_data_dir
from robustbench_rec.errors import InputError, is_interrupt, nearest, one_line
from robustbench_rec.processes import plain_output, same_folder
from robustbench_rec.testing import (
    BackboneContract,
    DatasetContract,
    ListMetricContract,
    LossContract,
    MetricContract,
    PerturbationContract,
    toy_split,
)
from robustbench_rec.testing.clauses import ClauseError, DoesNotApply

REGISTRIES: Mapping[str, Registry[Any]] = {
    "perturbation": PERTURBATIONS,
    "loss": LOSSES,
    "metric": METRICS,
    "backbone": BACKBONES,
    "data set": DATASETS,
}
"""What has a contract, by what it is called."""
SHARES = (0.1, 0.3, 0.6, 1.0)
"""Of the highest level, those at which a perturbation is tried."""
N_USERS = 300
"""Of the split that it is tried on: a shift of the test needs some hundred."""


@dataclass(frozen=True)
class Clause:
    """A clause of a contract, and how a plugin stands to it.

    Attributes:
        name: of the method that it is.
        wants: what it asks, in a sentence.
        holds: None where it has nothing to say of this plugin.
        found: what was found instead, or why it has nothing to say; else "".

    """

    name: str
    wants: str
    holds: bool | None
    found: str = ""


def components_of(asked: str) -> list[tuple[str, type[Any]]]:
    """Return the (kind, class) of what a file registers, or of what is registered by a name.

    Raises:
        InputError: the file does not import, or registers nothing that has a contract; nothing is
            called so.

    """
    path = Path(asked)
    if not asked.endswith(".py"):
        found = [(kind, held[asked]) for kind, held in REGISTRIES.items() if asked in held]
        if not found:
            known = [name for held in REGISTRIES.values() for name in held]
            raise InputError(
                f"nothing that has a contract is named {asked!r}{nearest(asked, known)}; "
                "of yours, give the file: my_noise.py"
            )
        return found
    load_plugins([asked])
    every = ((kind, held[name]) for kind, held in REGISTRIES.items() for name in held)
    found = [(kind, cls) for kind, cls in every if _file_of(cls) == path.resolve()]
    if not found:
        raise InputError(
            f'{asked} registers nothing: put @PERTURBATIONS.add("name") above the class, or '
            "that of LOSSES, METRICS, BACKBONES, DATASETS"
        )
    return found


def _file_of(cls: type[Any]) -> Path | None:
    try:
        return Path(inspect.getfile(cls)).resolve()
    except (TypeError, OSError):
        return None


def check(
    kind: str,
    cls: type[Any],
    settings: Mapping[str, Any] | None = None,
    data_dir: Path | None = None,
) -> Iterator[Clause]:
    """Return each clause of the contract of a plugin, tried as it is asked for.

    Args:
        kind: of `REGISTRIES`.
        cls: its class, registered.
        settings: besides the level.
        data_dir: where data sets lie; the default folder if None.

    Raises:
        InputError: it cannot be made, or has no such settings.

    """
    try:
        contract = _contract(kind, cls, dict(settings or {}), data_dir or default_data_dir())
    except BaseException as error:
        if isinstance(error, InputError) or is_interrupt(error):
            raise
        raise InputError(f"{cls.name} cannot be made: {one_line(error)}") from None
    names = [name for name in vars(type(contract).__mro__[1]) if name.startswith("test_")]
    return (_tried(contract, name) for name in names)


def _contract(kind: str, cls: type[Any], settings: dict[str, Any], data_dir: Path) -> Any:
    """Return the contract of a plugin, ready to be asked."""
    held: dict[str, Any]
    base: type[Any]
    built = REGISTRIES[kind].build({"name": cls.name, **settings})
    if kind == "perturbation":
        highest = cls.max_level if math.isfinite(cls.max_level) else 1.0
        levels = tuple(share * highest for share in SHARES)
        split = toy_split(n_users=N_USERS)
        base, held = PerturbationContract, {"settings": settings, "levels": levels, "split": split}
        held["perturbation"] = cls
    elif kind == "loss":
        base, held = LossContract, {"loss": built}
    elif kind == "backbone":
        base, held = BackboneContract, {"backbone": built}
    elif kind == "data set":
        base, held = DatasetContract, {"dataset": built, "data_dir": data_dir}
    else:
        base = ListMetricContract if issubclass(cls, ListMetric) else MetricContract
        held = {"metric": cls}
    return type(base.__name__, (base,), held)()


def _tried(contract: Any, name: str) -> Clause:
    """Ask one clause; whatever a plugin raises, it does not hold."""
    clause = getattr(contract, name)
    wants = " ".join((clause.__doc__ or name).split())
    try:
        with same_folder(), plain_output():
            clause()
    except DoesNotApply as reason:
        return Clause(name, wants, None, str(reason))
    except ClauseError as error:
        return Clause(name, wants, False, str(error))
    except BaseException as error:
        if is_interrupt(error):
            raise
        return Clause(name, wants, False, f"it raised {one_line(error)}")
    return Clause(name, wants, True)
