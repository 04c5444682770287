"""Contract checks without pytest: the clauses, and whether a plugin satisfies each."""

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
"""Kinds of components with a contract -> their registries."""
SHARES = (0.1, 0.3, 0.6, 1.0)
"""Shares of the highest level at which a perturbation is tested."""
N_USERS = 300
"""Users of the split for perturbations: a shift of the test needs a few hundred."""


@dataclass(frozen=True)
class Clause:
    """A clause of a contract, and its result for a plugin.

    Attributes:
        name: the name of its method.
        wants: the requirement, in a sentence.
        holds: whether it holds; None if it does not apply to this plugin.
        found: the violation, or why it does not apply; otherwise "".

    """

    name: str
    wants: str
    holds: bool | None
    found: str = ""


def components_of(asked: str) -> list[tuple[str, type[Any]]]:
    """Return the (kind, class) of components in a file, or registered under a name.

    Raises:
        InputError: the file cannot be imported, or registers no component with a contract; or the
            name is unknown.

    """
    path = Path(asked)
    if not asked.endswith(".py"):
        found = [(kind, held[asked]) for kind, held in REGISTRIES.items() if asked in held]
        if not found:
            known = [name for held in REGISTRIES.values() for name in held]
            raise InputError(
                f"nothing with a contract is named {asked!r}{nearest(asked, known)}; for your own "
                "plugin, give its file, such as my_noise.py"
            )
        return found
    load_plugins([asked])
    every = ((kind, held[name]) for kind, held in REGISTRIES.items() for name in held)
    found = [(kind, cls) for kind, cls in every if _file_of(cls) == path.resolve()]
    if not found:
        raise InputError(
            f'{asked} registers nothing: put @PERTURBATIONS.add("name") (or LOSSES, METRICS, '
            "BACKBONES, DATASETS) above the class"
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
    """Test each clause of the contract of a plugin, lazily, and return the results.

    Args:
        kind: a key of `REGISTRIES`.
        cls: the registered class.
        settings: its settings, except the level.
        data_dir: the folder of the data sets; the default folder if None.

    Raises:
        InputError: the component cannot be made, or does not have a setting.

    """
    try:
        contract = _contract(kind, cls, dict(settings or {}), data_dir or default_data_dir())
    except BaseException as error:
        if isinstance(error, InputError) or is_interrupt(error):
            raise
        raise InputError(f"{cls.name} cannot be made: {one_line(error)}") from None
    names = [name for name in vars(type(contract).__mro__[1]) if name.startswith("test_")]
    return (_test_clause(contract, name) for name in names)


def _contract(kind: str, cls: type[Any], settings: dict[str, Any], data_dir: Path) -> Any:
    """Return the contract of a plugin, ready to test."""
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


def _test_clause(contract: Any, name: str) -> Clause:
    """Test one clause; any exception of a plugin is a violation."""
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
