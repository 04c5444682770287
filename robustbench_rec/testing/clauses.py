"""What clauses of contracts are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest import SkipTest

import numpy as np
from numpy.typing import ArrayLike


class DoesNotApply(SkipTest):
    """A clause has nothing to say of this component; pytest counts it as skipped."""


def require(holds: object, said: str) -> None:
    """Raise AssertionError with what was found, unless something holds."""
    if not holds:
        raise AssertionError(said)


def first_where(holds: ArrayLike) -> tuple[int, ...] | None:
    """Return the least index at which an array is not true; None where it is true throughout."""
    found = np.argwhere(~np.asarray(holds, dtype=bool))
    return tuple(int(at) for at in found[0]) if len(found) else None


def listed(values: Iterable[Any]) -> str:
    """Print numbers as a sentence has them."""
    return ", ".join(f"{value:.4g}" for value in values)
