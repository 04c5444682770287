"""Lists: the recommendations of each training, and the agreement of two trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.evaluation.overlap import OVERLAPS
from robustbench_rec.interactions import IntArray

LENGTH = 20
"""Number of stored places of a list."""


@dataclass(frozen=True, eq=False)
class Lists:
    """The first places of the lists of tested users.

    Attributes:
        users: (U,) original ids.
        items: (I,) original ids of items in any list, ascending.
        places: (U, K) positions in `items`, best first; -1 after the end of a list.

    """

    users: NDArray[Any]
    items: NDArray[Any]
    places: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Raise ValueError if the arrays do not fit each other."""
        is_whole = (
            self.users.ndim == self.items.ndim == 1
            and self.places.ndim == 2
            and self.places.dtype.kind == "i"
            and len(self.places) == len(self.users)
            and bool(np.all((self.places >= -1) & (self.places < len(self.items))))
        )
        if not is_whole:
            raise ValueError("its users, items and places do not fit each other")

    @classmethod
    def of(cls, users: NDArray[Any], recommended: IntArray, item_ids: NDArray[Any]) -> Self:
        """Return lists (U, K) of item numbers, -1 after their end, by original ids (I,)."""
        listed = np.unique(recommended[recommended >= 0])
        places = np.where(recommended >= 0, np.searchsorted(listed, recommended), -1)
        return cls(users, item_ids[listed], places.astype(np.int32))

    def numbered(self, items: NDArray[Any]) -> IntArray:
        """Return the lists as positions in other ascending ids that contain all of `items`."""
        at = np.append(np.searchsorted(items, self.items), -1)
        return np.asarray(at[self.places], dtype=np.int64)


def agreement(one: Lists, other: Lists) -> dict[str, float]:
    """Return name@k -> the mean agreement of two trainings over users that both tested.

    Raises:
        ValueError: no user was tested by both.

    """
    _, mine, theirs = np.intersect1d(one.users, other.users, return_indices=True)
    if not mine.size:
        raise ValueError("no user was tested by both")
    items = np.union1d(one.items, other.items)
    lists = one.numbered(items)[mine], other.numbered(items)[theirs]
    measures = OVERLAPS.items()
    return {f"{name}@{LENGTH}": float(one.of(*lists).mean()) for name, one in measures}
