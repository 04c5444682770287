"""Helpers for the clauses of contracts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest import SkipTest

import numpy as np
from numpy.typing import ArrayLike


class DoesNotApply(SkipTest):
    """A clause does not apply to this component; pytest counts it as skipped."""


class ClauseError(AssertionError):
    """A clause does not hold; the message is the violation."""


def require(holds: object, said: str) -> None:
    """Raise ClauseError with a violation, unless a condition holds."""
    if not holds:
        raise ClauseError(said)


def require_words(cls: type[Any]) -> None:
    """Raise ClauseError unless a class has its own docstring; dataclasses get a default one."""
    words = cls.__doc__
    own = isinstance(words, str) and words.strip() and not words.startswith(f"{cls.__name__}(")
    require(own, "its class has no docstring")


def first_where(holds: ArrayLike) -> tuple[int, ...] | None:
    """Return the first index at which an array is not true; None if it is true everywhere."""
    found = np.argwhere(~np.asarray(holds, dtype=bool))
    return tuple(int(at) for at in found[0]) if len(found) else None


def listed(values: Iterable[Any]) -> str:
    """Print numbers as in a sentence."""
    return ", ".join(f"{value:.4g}" for value in values)
