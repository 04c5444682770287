"""The sizes of a data set, as in papers, and the files of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from robustbench_rec.components.dataset import Raw
from robustbench_rec.interactions import Split


@dataclass(frozen=True)
class Sizes:
    """The sizes of a prepared data set.

    Attributes:
        users, items: numbers in the catalogue.
        pairs: number of observed pairs of training, validation and test together.
        sources: part -> its file; empty if the data are generated.

    """

    users: int
    items: int
    pairs: int
    sources: dict[str, str]

    @classmethod
    def of(cls, raw: Raw, split: Split) -> Self:
        """Return the sizes of a split, and the files of its data set."""
        pairs = len(split.seen) + len(split.valid) + len(split.test)
        train = "one log" if raw.test is None else "training"
        tables = {train: raw.train, "validation": raw.valid, "test": raw.test}
        sources = {part: table.where for part, table in tables.items() if table and table.where}
        return cls(split.n_users, split.n_items, pairs, sources)

    @property
    def density(self) -> float:
        """Share of all pairs of a user and an item that were observed."""
        return self.pairs / (self.users * self.items)
