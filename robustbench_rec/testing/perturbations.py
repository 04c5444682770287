"""The contract of perturbations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from robustbench_rec.components.perturbation import MAY_CHANGE, Perturbation, perturb, same_part
from robustbench_rec.interactions import Interactions, Split
from robustbench_rec.seeds import rng_for
from robustbench_rec.testing.clauses import (
    ClauseError,
    DoesNotApply,
    listed,
    require,
    require_words,
)
from robustbench_rec.testing.toys import toy_split

PARTS = (
    *("train", "seen", "valid", "test", "test_weights"),
    *("false_negatives", "contamination", "spares_positive", "low_rated"),
)


class PerturbationContract:
    """The contract of a perturbation; subclass it and set yours.

    Attributes:
        perturbation: the class under test.
        settings: its settings, except the level.
        levels: ascending levels above 0, at most `max_level`.
        split: the clean split of the tests.

    """

    perturbation: ClassVar[type[Perturbation]]
    settings: ClassVar[Mapping[str, Any]] = {}
    levels: ClassVar[tuple[float, ...]] = (0.1, 0.3, 0.6, 1.0)
    split: ClassVar[Split] = toy_split()

    def at(self, level: float, split: Split | None = None) -> Split:
        """Return the perturbed split at a level, always with the same generator."""
        chosen = self.perturbation(level=level, **self.settings)
        return perturb(chosen, split or _copy(self.split), rng_for(0, "contract"))

    def _highest(self) -> float:
        """Return the highest level; a perturbation without levels above 0 is the clean control."""
        if not self.levels[-1]:
            raise DoesNotApply("it has no level above 0")
        return self.levels[-1]

    def test_says_what_it_is(self) -> None:
        """It has a registered name, a docstring, and the unit of its level."""
        require(self.perturbation.name, "it has no name: register it by @PERTURBATIONS.add(name)")
        require_words(self.perturbation)
        named = self.perturbation.unit != Perturbation.unit
        require(named, "its unit is 'level', the default: say what a level measures, as axes do")

    def test_level_0_is_the_identity(self) -> None:
        """At level 0 nothing changes."""
        clean = _copy(self.split)
        chosen = self.perturbation(level=0, **self.settings)
        _require_same(self.split, perturb(chosen, clean, rng_for(0)), "at level 0")
        try:
            applied = chosen.apply(clean, rng_for(0))
        except ValueError:
            return  # perturb never applies level 0, so refusing it is fine
        if chosen.acts_through == "test":  # weights of ones may stand for none
            return
        # From what false negatives are drawn matters only where some are.
        drawn = {"false_negatives", "spares_positive"}
        allowed = drawn if chosen.acts_through == "negatives" else set()
        _require_same(self.split, applied, "apply at level 0", allowed)

    def test_changes_something(self) -> None:
        """At the highest level something changes."""
        highest = self._highest()
        changed = _changed(self.split, self.at(highest))
        require(changed, f"at level {highest:g} nothing changed")

    def test_is_deterministic(self) -> None:
        """Equal seeds give the same split: all random numbers come from `rng`."""
        for level in self.levels:
            _require_same(self.at(level), self.at(level), f"twice at level {level:g}")

    def test_leaves_the_input_alone(self) -> None:
        """The clean split does not change; a new split is returned."""
        given = _copy(self.split)
        self.at(self.levels[-1], given)
        _require_same(self.split, given, "the split that was given")

    def test_changes_only_what_it_may(self) -> None:
        """It changes only the parts that `acts_through` allows."""
        may = MAY_CHANGE[self.perturbation.acts_through]
        for level in self.levels:
            clean, perturbed = self.split, self.at(level)
            _require_same(clean, perturbed, f"at level {level:g}", set(may))

    def test_ids_stay_in_range(self) -> None:
        """The numbers of users and of items do not change."""
        clean = self.split
        wanted = clean.n_users, clean.n_items
        for level in self.levels:
            perturbed = self.at(level)
            found = perturbed.n_users, perturbed.n_items
            require(
                found == wanted,
                f"at level {level:g} there are {found[0]} users and {found[1]} items, "
                f"not {wanted[0]} and {wanted[1]}",
            )

    def test_every_user_keeps_a_training_pair(self) -> None:
        """Every user keeps a training pair."""
        had = self.split.train.user_counts > 0
        for level in self.levels:
            lost = np.flatnonzero(had & (self.at(level).train.user_counts == 0))
            require(not lost.size, f"at level {level:g} user {_first(lost)} has no training pair")

    def test_levels_nest(self) -> None:
        """A higher level corrupts all that a lower one does: draw the same numbers at each."""
        if self.perturbation.acts_through == "test":
            raise DoesNotApply("the test alone is changed; its severity is monotone instead")
        clean = self.split
        for low, high in pairwise(self.levels):
            one, two = self.at(low), self.at(high)
            spared = _corrupted(clean, one) - _corrupted(clean, two)
            require(
                not spared,
                f"the training pair {_pair(clean.train, min(spared, default=0))} is changed at "
                f"level {low:g}, and not at {high:g}",
            )
            require(
                one.contamination <= two.contamination,
                f"contamination is {one.contamination:g} at level {low:g}, "
                f"and {two.contamination:g} at {high:g}",
            )

    def test_realised_severity_grows_with_the_level(self) -> None:
        """The first entry of `realised` never falls with the level, and rises overall."""
        self._highest()
        clean = _copy(self.split)
        severities = []
        for level in self.levels:
            realised = self.perturbation(level=level, **self.settings).realised(
                clean, self.at(level)
            )
            require(realised, f"at level {level:g} realised returned nothing")
            for name, value in realised.items():
                require(np.isfinite(value), f"at level {level:g} realised {name} is {value}")
            severities.append(next(iter(realised.values())))
        told = f"at levels {listed(self.levels)} it is {listed(severities)}"
        require(severities == sorted(severities), f"it falls: {told}")
        require(severities[0] < severities[-1], f"it does not rise: {told}")

    def test_a_level_out_of_range_is_refused(self) -> None:
        """A level below 0, above `max_level` or not a number is refused."""
        for level in (-0.1, self.perturbation.max_level + 0.1, float("nan")):
            try:
                self.perturbation(level=level, **self.settings)
            except ValueError as error:
                require("level" in str(error), f"level {level:g} is refused by {str(error)!r}")
            else:
                raise ClauseError(
                    f"level {level:g} is taken; does __post_init__ call that of Perturbation?"
                )


def _copy(split: Split) -> Split:
    """Return a split that shares no array with another."""
    pairs = ("train", "seen", "valid", "test", "false_negatives", "low_rated")
    given = {part: getattr(split, part) for part in pairs}
    copies: dict[str, Any] = {part: replace(one) for part, one in given.items() if one is not None}
    return replace(split, **copies)


def _changed(before: Split, after: Split) -> list[str]:
    return [part for part in PARTS if not same_part(getattr(before, part), getattr(after, part))]


def _require_same(before: Split, after: Split, when: str, but: set[str] | None = None) -> None:
    """Raise ClauseError with the first difference of two splits in the parts that must be equal."""
    for part in _changed(before, after):
        if part not in (but or ()):
            told = _difference(getattr(before, part), getattr(after, part))
            raise ClauseError(f"{when}: Split.{part} differs{told}")


def _difference(one: object, other: object) -> str:
    """Describe the first difference of two values of a part of a split."""
    if isinstance(one, Interactions) and isinstance(other, Interactions):
        apart = np.setxor1d(one.keys, other.keys)
        return f", such as in the pair {_pair(one, int(apart[0]))}" if apart.size else ""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return ""
    return f": {one} and {other}"


def _pair(pairs: Interactions, key: int) -> str:
    user, item = divmod(key, pairs.n_items)
    return f"(user {user}, item {item})"


def _first(ids: np.ndarray) -> int | None:
    return int(ids[0]) if ids.size else None


def _corrupted(clean: Split, perturbed: Split) -> set[int]:
    """Return the training pairs that were added or removed, by their keys."""
    return set(np.setxor1d(clean.train.keys, perturbed.train.keys).tolist())
