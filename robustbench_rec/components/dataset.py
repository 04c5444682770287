"""The contract of a data set: the source of its pairs, and the settings that make a Split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from robustbench_rec.components.registry import Registry
from robustbench_rec.components.settings import Component, setting
from robustbench_rec.errors import InputError


@dataclass(frozen=True, eq=False)
class Table:
    """Interactions as in a file: original ids, any order.

    Attributes:
        users, items: (n,) original ids, str or int.
        ratings, timestamps: (n,) float64, or None.
        where: the name of the file, for messages.

    """

    users: NDArray[Any]
    items: NDArray[Any]
    ratings: NDArray[Any] | None = None
    timestamps: NDArray[Any] | None = None
    where: str = ""


@dataclass(frozen=True, eq=False)
class Raw:
    """The content of a data set: one log of all pairs, or given parts.

    Attributes:
        train: the whole log if `test` is None, otherwise the given training part.
        valid, test: the given parts, or None.
        unobserved: true positives that were never observed; only known for synthetic data.

    """

    train: Table
    valid: Table | None = None
    test: Table | None = None
    unobserved: Table | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset(Component):
    """The settings of a data set: its own, and those of preparation, common to all.

    Filters and splitting apply to a raw log. If a data set has given parts, its test is kept unless
    `resplit` is set; `valid` and `hold_out` are drawn from its training part.
    """

    min_rating: float = setting(0.0, "raw log: keep ratings of at least this; 0 keeps all")
    k_core: int = setting(0, "raw log: keep users and items with this many pairs", at_least=0)
    split_by: Literal["ratio", "time"] = setting(
        "ratio", "raw log: test = a random share of each user's pairs, or the last of the timeline"
    )
    test: float = setting(0.2, "raw log: share of the pairs that is tested on", above=0, below=1)
    resplit: bool = setting(
        False, "data that come split: join their parts, and split them anew as a raw log"
    )
    valid: float = setting(
        0.1, "share of each user's training pairs that selects the epoch", above=0, below=1
    )
    hold_out: float = setting(
        0.0,
        "share of the training pairs that is held out as known false negatives",
        at_least=0,
        below=1,
    )
    hold_out_by: Literal["user", "pairs"] = setting(
        "user",
        "user: that share of each user's pairs, rounded down, but one at least; pairs: of all "
        "pairs at once, so that some users have none; either way a user keeps one to train on",
    )
    held_out: Literal["removed", "kept"] = setting(
        "removed", "whether held-out pairs leave the training pairs, or stay positives too"
    )

    licence: ClassVar[str] = ""
    how_to_get: ClassVar[str] = ""
    """Instructions to get missing data."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, default in (("hold_out_by", "user"), ("held_out", "removed")):
            if (value := getattr(self, name)) != default and not self.hold_out:
                raise InputError(
                    f"{type(self).__name__}.{name} is {value!r}, but hold_out is 0: set hold_out "
                    f"= 0.1, or omit {name}",
                    (name,),
                )

    def read(self, data_dir: Path) -> Raw:
        """Read the pairs; InputError, with file and line, if they are invalid."""
        raise NotImplementedError(f"{type(self).__name__} must override read")

    def fingerprint(self, data_dir: Path) -> str:
        """Return a digest of the content that `read` reads; part of a cell's identity.

        It must be the same in every process, and whatever path leads to the folder. Workers compare
        it with the plan's before and after they read.
        """
        raise NotImplementedError(f"{type(self).__name__} must override fingerprint")


DATASETS: Registry[Dataset] = Registry("data set", "robustbench_rec.datasets")
