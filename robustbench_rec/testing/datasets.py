"""The contract of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from robustbench_rec.components.dataset import Dataset, Raw, Table
from robustbench_rec.data.preparation import prepare
from robustbench_rec.testing.clauses import require, require_words

PARTS = ("train", "valid", "test", "unobserved")


class DatasetContract:
    """The contract of a data set; subclass it and set yours.

    Attributes:
        dataset: the data set under test, with its settings.
        data_dir: the folder of its files.

    """

    dataset: ClassVar[Dataset]
    data_dir: ClassVar[Path] = Path()

    def parts(self) -> dict[str, Table]:
        """Return the tables that it reads, by name."""
        raw = self.dataset.read(self.data_dir)
        require(isinstance(raw, Raw), f"read returns {type(raw).__name__}, not Raw")
        given = {name: getattr(raw, name) for name in PARTS}
        return {name: table for name, table in given.items() if table is not None}

    def test_says_what_it_is(self) -> None:
        """It has a registered name, a docstring, a source, and a licence."""
        require(self.dataset.name, "it has no name: register it by @DATASETS.add(name)")
        require_words(type(self.dataset))
        require(self.dataset.source, "it has no source: say who published it, and where")
        require(self.dataset.licence, "it has no licence: say on which terms others may use it")

    def test_reads_pairs(self) -> None:
        """Each part has as many items as users, and as many ratings and times if it has any."""
        for name, table in self.parts().items():
            require(len(table.users), f"{name} holds no pair")
            for column in ("items", "ratings", "timestamps"):
                values = getattr(table, column)
                require(
                    values is None or len(values) == len(table.users),
                    f"{name} has {len(table.users)} users and "
                    f"{0 if values is None else len(values)} {column}",
                )

    def test_reads_the_same_each_time(self) -> None:
        """A second reading gives the same rows."""
        for (name, one), other in zip(self.parts().items(), self.parts().values(), strict=True):
            for column in ("users", "items"):
                same = np.array_equal(getattr(one, column), getattr(other, column))
                require(same, f"the {column} of {name} differ; fix every seed")

    def test_its_fingerprint_is_of_what_it_reads(self) -> None:
        """The fingerprint is a text that changes only with the content."""
        one, other = (self.dataset.fingerprint(self.data_dir) for _ in range(2))
        require(isinstance(one, str) and one, f"fingerprint returns {one!r}, not a text")
        require(one == other, f"it is {one} at first, and then {other}")

    def test_it_can_be_split(self) -> None:
        """Its settings give a split with training, validation and test pairs."""
        split = prepare(self.dataset.read(self.data_dir), self.dataset, seed=0)
        for name in ("train", "valid", "test"):
            require(len(getattr(split, name)), f"no {name} pair is left")
