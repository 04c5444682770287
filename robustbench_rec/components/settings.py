"""Settings of a component: declared once with meaning and domain, then checked and printed.

A component (a loss, a perturbation, a backbone, a data set) is a frozen dataclass; its fields are
its settings. The declarations are used for checks at construction, `robustbench-rec show`, the log
line, the legend and the cell's identity.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

from robustbench_rec.errors import InputError, nearest


def setting(
    default: Any = dataclasses.MISSING,
    about: str = "",
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    identity: bool = True,
) -> Any:
    """Declare a field with its meaning and domain.

    Args:
        default: the default value; without it the setting is required.
        about: one line for `robustbench-rec show`, with the unit.
        at_least: inclusive lower bound.
        above: exclusive lower bound.
        at_most: inclusive upper bound.
        below: exclusive upper bound.
        identity: whether the value is part of an experiment's identity. A file's path is not.

    """
    bounds = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    metadata = {"about": about, "identity": identity}
    metadata.update({name: bound for name, bound in bounds.items() if bound is not None})
    return dataclasses.field(default=default, metadata=metadata)


SIGNS = {"at_least": ">=", "above": ">", "at_most": "<=", "below": "<"}


def domain(metadata: typing.Mapping[str, Any]) -> str:
    """Print the bounds that `setting` stored: `in [0, 1]`, `> 0`, or nothing."""
    low = next((name for name in ("at_least", "above") if name in metadata), None)
    high = next((name for name in ("at_most", "below") if name in metadata), None)
    if low and high:
        left, right = "[" if low == "at_least" else "(", "]" if high == "at_most" else ")"
        return f"in {left}{metadata[low]:g}, {metadata[high]:g}{right}"
    return " ".join(f"{SIGNS[name]} {metadata[name]:g}" for name in (low, high) if name)


def _inside(value: float, metadata: typing.Mapping[str, Any]) -> bool:
    return (
        math.isfinite(value)
        and value >= metadata.get("at_least", -math.inf)
        and value > metadata.get("above", -math.inf)
        and value <= metadata.get("at_most", math.inf)
        and value < metadata.get("below", math.inf)
    )


@functools.cache
def hints(cls: Any) -> dict[str, Any]:
    """Return the resolved types of a dataclass's fields."""
    return typing.get_type_hints(cls)


KINDS: dict[Any, tuple[Any, str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
    bool: (bool, "True or False"),
}
"""Type of a setting -> the types of its values, and their description."""


def _is_of(kind: Any, value: Any) -> bool:
    """Say whether a value has the type of its setting; types not in `KINDS` accept any value."""
    if kind not in KINDS:
        return True
    return isinstance(value, KINDS[kind][0]) and (kind is bool or not isinstance(value, bool))


def check(settings: Any) -> None:
    """Raise InputError, with setting, value and allowed values, if a setting is invalid."""
    cls: Any = type(settings)
    types = hints(cls)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        where = f"{type(settings).__name__}.{field.name} is {value!r}"
        kind = types[field.name]
        if not _is_of(kind, value):
            raise InputError(f"{where}; it must be {KINDS[kind][1]}", (field.name,))
        if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
            allowed = ", ".join(repr(choice) for choice in typing.get_args(kind))
            raise InputError(f"{where}; it must be one of {allowed}", (field.name,))
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and not _inside(value, field.metadata):
            finite = "" if math.isfinite(value) else "finite"
            allowed = " and ".join(filter(None, (finite, domain(field.metadata))))
            raise InputError(f"{where}; it must be {allowed}", (field.name,))


class Settings:
    """Base of dataclasses of settings: keys and values are checked at construction."""

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        """Raise TypeError, with the nearest name, if a setting is misspelt."""
        for key in settings:
            if key not in setting_names(cls):
                raise TypeError(no_such_setting(cls, key))
        return super().__new__(cls)

    def __post_init__(self) -> None:
        check(self)


def setting_names(cls: Any) -> frozenset[str]:
    """Return the names of the settings of a dataclass."""
    return frozenset(field.name for field in dataclasses.fields(cls))


def no_such_setting(cls: Any, key: str, name: str = "") -> str:
    """Return the message for an unknown setting `key`: the nearest and all settings of a class."""
    known = sorted(setting_names(cls))
    return (
        f"{name or getattr(cls, 'name', '') or cls.__name__} has no setting {key!r}"
        f"{nearest(key, known)} (it takes: {', '.join(known) or 'none'})"
    )


def spec(component: Any, without: str = "") -> str:
    """Print a component with its settings: `softmax(tau=0.2, n_negatives=1000, score=cosine)`.

    A component's own settings come first, inherited ones last. This is log line and identity: two
    components print equally if and only if they are the same experiment. `without` omits one
    setting, as for a curve over that setting.
    """
    name = getattr(component, "name", "") or type(component).__name__
    settings = identity_of(component)
    settings.pop(without, None)
    return f"{name}({shown(settings)})"


def shown(settings: typing.Mapping[str, Any]) -> str:
    """Print settings as a spec does: `tau=0.2, n_negatives=1000`."""
    return ", ".join(f"{key}={printed(value)}" for key, value in settings.items())


def identity_of(component: Any) -> dict[str, Any]:
    """Return the settings that are part of a component's identity, its own ones first."""
    inherited = {
        field.name
        for base in type(component).__mro__[1:]
        if dataclasses.is_dataclass(base)
        for field in dataclasses.fields(base)
    }
    fields = [f for f in dataclasses.fields(component) if f.metadata.get("identity", True)]
    fields.sort(key=lambda field: field.name in inherited)
    return {field.name: getattr(component, field.name) for field in fields}


def printed(value: Any) -> str:
    """Print one value as a spec does."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def plain(component: Any) -> dict[str, Any]:
    """Return a component as the plain table for `Registry.build`, with its name."""
    name = {"name": component.name} if getattr(component, "name", "") else {}
    return name | dataclasses.asdict(component)


def described(cls: Any) -> list[dict[str, Any]]:
    """Describe each setting of a component's class: name, default, domain, and meaning.

    A setting without a default is `required`, and its default None.
    """
    types = hints(cls)
    rows = []
    for field in dataclasses.fields(cls):
        kind = types[field.name]
        choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
        rows.append(
            {
                "name": field.name,
                "required": (required := field.default is dataclasses.MISSING),
                "default": None if required else field.default,
                "domain": " | ".join(map(str, choices)) or domain(field.metadata),
                "about": field.metadata.get("about", ""),
            }
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class Component(Settings):
    """A frozen dataclass of settings with a registered name and a source."""

    name: ClassVar[str] = ""
    """Set by the registry."""
    source: ClassVar[str] = ""
    """The paper and equation, or the reason, behind it."""

    def __str__(self) -> str:
        return spec(self)
