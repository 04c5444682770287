"""The sizes of a data set, as papers tell them, and where its parts came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from robustbench_rec.components.dataset import Raw
from robustbench_rec.interactions import Split


@dataclass(frozen=True)
class Sizes:
    """What is left of a data set once it is prepared.

    Attributes:
        users, items: in the catalogue.
        pairs: observed ones, of training, validation and test together.
        sources: part -> the file it came from; empty where the data are generated.

    """

    users: int
    items: int
    pairs: int
    sources: dict[str, str]

    @classmethod
    def of(cls, raw: Raw, split: Split) -> Self:
        """Return the sizes of a split, and the files of what it was made of."""
        pairs = len(split.seen) + len(split.valid) + len(split.test)
        train = "one log" if raw.test is None else "training"
        tables = {train: raw.train, "validation": raw.valid, "test": raw.test}
        sources = {part: table.where for part, table in tables.items() if table and table.where}
        return cls(split.n_users, split.n_items, pairs, sources)

    @property
    def density(self) -> float:
        """Share of all pairs of a user and an item that was observed."""
        return self.pairs / (self.users * self.items)
