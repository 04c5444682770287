"""Search spaces: the settings of a loss to try, and the choice among the tried settings.

A suite gives candidates or ranges for settings of a loss or of its training. If the budget allows,
all candidates are tried; otherwise, and for ranges, Optuna draws settings up to the budget; see
`running.search`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, Literal, NamedTuple

from robustbench_rec.components.labels import label_of, trained
from robustbench_rec.components.loss import LOSSES, Loss
from robustbench_rec.components.registry import make
from robustbench_rec.components.settings import Settings as Checked
from robustbench_rec.components.settings import hints, printed, setting
from robustbench_rec.errors import InputError, nearest, placed
from robustbench_rec.training.config import TrainConfig

Settings = dict[str, Any]
Table = Mapping[str, Any]
CHECKED = 4096
"""Up to so many combinations, all are built when the suite is read."""
EDGE = 0.05
"""The share of a range, at each end, that counts as its edge."""


@dataclass(frozen=True, kw_only=True)
class Tuning(Checked):
    """The tuning of the losses of a suite, the same for every loss."""

    trials: int = setting(16, "settings tried for a loss, at most", at_least=1)
    at: Literal["level-0", "each-level"] = setting(
        "level-0", "data that choose: the clean control, or those of each level, validation too"
    )
    split: Literal["own", "each-replicate"] = setting(
        "own", "split that chooses: one for tuning alone, or that of each replicate, anew"
    )
    epochs: int = setting(
        0, "passes over the training pairs in a trial, at most; 0 leaves the loss's", at_least=0
    )


@dataclass(frozen=True)
class Choices:
    """A list of candidates, in the order of the file."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"[{'|'.join(map(printed, self.values))}]"

    def plain(self) -> list[Any]:
        """Return it in JSON form."""
        return list(self.values)

    def edge(self, value: Any, least: float) -> str:
        """Say at which end `value` is, or None; below `least` there is nothing to try."""
        if len(self.values) < 2 or not all(map(_is_number, self.values)):
            return ""
        if value == max(self.values):
            return "the largest candidate"
        return "the smallest candidate" if value == min(self.values) and value > least else ""


@dataclass(frozen=True, kw_only=True)
class Range(Checked):
    """All numbers from `low` to `high`, inclusive; whole numbers if both are ints."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low >= self.high:
            raise ValueError(
                f"low is {self.low:g} and high is {self.high:g}; low must be below high"
            )
        if not math.isfinite(float(self.high) - self.low):
            raise ValueError(
                f"low is {self.low:g} and high is {self.high:g}; that range is too wide"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low:g}; with log = true it must be > 0")

    @property
    def whole(self) -> bool:
        """Say whether it holds whole numbers only."""
        return isinstance(self.low, int)

    def __str__(self) -> str:
        return f"[{self.low:.12g}..{self.high:.12g}{' log' if self.log else ''}]"

    def plain(self) -> dict[str, Any]:
        """Return it in JSON form."""
        return {"low": self.low, "high": self.high, "log": self.log}

    def edge(self, value: Any, least: float) -> str:
        """Say at which end `value` is, or None; below `least` there is nothing to try."""
        low, high, at = (
            math.log(one) if self.log else one for one in (self.low, self.high, float(value))
        )
        if at >= high - EDGE * (high - low):
            return "at the upper end of its range"
        near = at <= low + EDGE * (high - low)
        return "at the lower end of its range" if near and self.low > least else ""


@dataclass(frozen=True)
class Space:
    """The search space: each tuned setting with its candidates or its range, in file order."""

    axes: tuple[tuple[str, Choices | Range], ...]

    @property
    def size(self) -> int | None:
        """The number of settings to try; None if there is a range."""
        if any(isinstance(axis, Range) for _, axis in self.axes):
            return None
        return math.prod(len(axis.values) for _, axis in self.axes if isinstance(axis, Choices))

    def is_grid(self, budget: int) -> bool:
        """Say whether the budget allows every combination, so that all are tried."""
        return self.size is not None and self.size <= budget

    def grid(self) -> list[Settings]:
        """Return every combination of candidates; the last setting changes fastest."""
        names = [name for name, _ in self.axes]
        values = [axis.values for _, axis in self.axes if isinstance(axis, Choices)]
        return [dict(zip(names, chosen, strict=True)) for chosen in product(*values)]

    def place(self, settings: Settings) -> tuple[int, ...]:
        """Return the position of settings in the file's order; a range has a single position."""
        return tuple(
            axis.values.index(settings[name]) if isinstance(axis, Choices) else 0
            for name, axis in self.axes
        )

    def within(self, text: str) -> str:
        """Replace each tuned setting of a printed spec with its search space."""
        head, _, inside = text.removesuffix(")").partition("(")
        searched = {name: str(axis) for name, axis in self.axes}
        parts = (part.partition("=") for part in inside.split(", "))
        shown = (f"{key}={searched.get(key, value)}" for key, _, value in parts)
        return f"{head}({', '.join(shown)})"

    def plain(self) -> dict[str, Any]:
        """Return it in JSON form."""
        return {name: axis.plain() for name, axis in self.axes}


class Entry(NamedTuple):
    """A loss of a suite, its training settings, and the tuned settings of both.

    If settings are tuned, `loss` and `training` hold the first candidates.
    """

    loss: Loss
    training: TrainConfig
    space: Space | None = None

    @property
    def text(self) -> str:
        """The loss with its training settings, with search spaces in place of tuned settings."""
        text = trained(self.loss, self.training)
        return self.space.within(text) if self.space else text

    @property
    def label(self) -> str:
        """The loss's label, without tuned settings."""
        return label_of(self.loss, [name for name, _ in self.space.axes] if self.space else ())

    def at(self, settings: Settings) -> tuple[Loss, TrainConfig]:
        """Return loss and training with some settings of the search space.

        Raises:
            ValueError: the loss refuses the combination.

        """
        own = {key: value for key, value in settings.items() if _takes(self.loss, key)}
        rest = {key: value for key, value in settings.items() if key not in own}
        return replace(self.loss, **own), replace(self.training, **rest)

    def allows(self, settings: Settings) -> bool:
        """Say whether the loss accepts a combination."""
        try:
            self.at(settings)
        except ValueError:
            return False
        return True

    def edges(self, chosen: Settings) -> list[str]:
        """Describe the chosen settings that are at an edge of the search space."""
        assert self.space is not None
        found = []
        for name, axis in self.space.axes:
            (least,) = (
                field.metadata.get("at_least", -math.inf)
                for part in (self.loss, self.training)
                for field in fields(part)
                if field.name == name
            )
            if edge := axis.edge(chosen[name], least):
                found.append(f"{name}={printed(chosen[name])} is {edge}")
        return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _takes(component: Any, key: str) -> bool:
    return any(field.name == key for field in fields(component))


def read_entry(settings: Table, own: Table, shared: Table, tune: object, cap: int = 0) -> Entry:
    """Make an entry from a loss's table whose `tune` gives the search space.

    Args:
        settings: the loss's name and plain settings.
        own: training settings of the loss, which override `shared`.
        shared: training settings of the suite.
        tune: the table.
        cap: the largest number of epochs of a trial; 0 for the loss's own.

    Raises:
        InputError: not a table, an unknown setting, an empty list, a bad range, a candidate that
            the loss refuses, or a setting given twice.

    """
    if not isinstance(tune, dict) or not tune:
        wrong = "empty" if tune == {} else f"{tune!r}; it must be a table"
        message = f"tune is {wrong}; give candidates, as in {{ tau = [0.1, 0.2] }}"
        raise InputError(message, ("tune",))
    if not isinstance(settings.get("name"), str):
        LOSSES.build(settings)  # which says what is wrong
    with placed("name"):
        cls: Any = LOSSES[settings["name"]]
    axes = {}
    for key, value in tune.items():
        with placed("tune", key):
            axes[key] = _axis(key, value, _kind(cls, key))
            _refuse_given(key, settings if key in hints(cls) else own)
    if cap and "epochs" in axes:
        message = "tune.epochs: cannot be tuned, as epochs of [tune] are the same for all trials"
        raise InputError(message, ("tune", "epochs"))

    def built(tried: Settings) -> Entry:
        mine = {key: value for key, value in tried.items() if key in hints(cls)}
        rest = {key: value for key, value in tried.items() if key not in mine}
        loss = LOSSES.build({**settings, **mine})
        training = make(TrainConfig, {**shared, **own, **rest}, "training")
        return Entry(loss, training, Space(tuple(axes.items())))

    entry = _built_first(built, axes)
    for key, value in ((key, value) for key, axis in axes.items() for value in _ends(axis)):
        try:
            built({name: _ends(other)[0] for name, other in axes.items()} | {key: value})
        except InputError as error:
            raise InputError(f"tune.{key}: {error}", ("tune", key)) from None
    with placed("tune"):
        _refuse_combinations(entry)
    return entry


def _built_first(built: Callable[[Settings], Entry], axes: Mapping[str, Choices | Range]) -> Entry:
    """Build the entry with the first candidates; an error of a candidate names `tune`."""
    try:
        return built({key: _ends(axis)[0] for key, axis in axes.items()})
    except InputError as error:
        if error.at[:1] and error.at[0] in axes:
            raise InputError(f"tune.{error.at[0]}: {error}", ("tune", *error.at)) from None
        raise


def _kind(cls: Any, key: str) -> Any:
    """Return the type of a setting of a loss, or of its training."""
    mine, rest = hints(cls), hints(TrainConfig)
    known = {field.name for part in (cls, TrainConfig) for field in fields(part)}
    if key not in known:
        raise InputError(
            f"tune has no setting {key!r}{nearest(key, known)} "
            f"({cls.name} and its training take: {', '.join(sorted(known))})"
        )
    if key in mine and key in rest:
        raise InputError(f"tune.{key}: both {cls.name} and its training have a setting {key!r}")
    return mine.get(key, rest.get(key))


def _axis(key: str, value: Any, kind: Any) -> Choices | Range:
    where = f"tune.{key}"
    if isinstance(value, list):
        if not value:
            raise InputError(f"{where} is []; it must hold at least one candidate")
        values = tuple(float(v) if kind is float and _is_number(v) else v for v in value)
        for at, one in enumerate(values):
            if one in values[:at]:
                raise InputError(f"{where} holds {one!r} twice")
        return Choices(values)
    if not isinstance(value, dict):
        raise InputError(
            f"{where} is {value!r}; it must be a list of candidates, or a range as in "
            "{ low = 1e-3, high = 1e-1, log = true }"
        )
    if kind not in (int, float):
        raise InputError(f"{where} is a range, but {key} is not a number; list the candidates")
    try:
        found: Range = make(Range, value, "the range")
    except InputError as error:
        raise InputError(f"{where}: {error}", error.at) from None
    if kind is float:
        return found
    if not (found.low.is_integer() and found.high.is_integer()):
        raise InputError(f"{where}: {key} is a whole number, so low and high must be too")
    return replace(found, low=int(found.low), high=int(found.high))


def _refuse_given(key: str, given: Table) -> None:
    """Raise InputError if a setting is tuned and also has a fixed value."""
    if key in given:
        raise InputError(
            f"tune.{key}: {key} = {given[key]!r} is given too; give either the value or the "
            "candidates"
        )


def _ends(axis: Choices | Range) -> tuple[Any, ...]:
    """Return the values that must be valid so that a whole axis is valid."""
    return axis.values if isinstance(axis, Choices) else (axis.low, axis.high)


def _refuse_combinations(entry: Entry) -> None:
    """Raise InputError if valid candidates are invalid in combination."""
    assert entry.space is not None
    if entry.space.size is None or entry.space.size > CHECKED:
        return
    for tried in entry.space.grid():
        try:
            entry.at(tried)
        except ValueError as error:
            shown = ", ".join(f"{key} = {value!r}" for key, value in tried.items())
            raise InputError(f"tune would try {shown}: {error}") from None


def best(space: Space, tried: Sequence[tuple[Settings, float | None]]) -> int | None:
    """Return the position of the highest validation; None if all trials failed.

    Ties go to the first in the file's order, then to the earliest trial.
    """
    done = [
        (-value, space.place(settings), at)
        for at, (settings, value) in enumerate(tried)
        if value is not None
    ]
    return min(done)[2] if done else None
