"""The contract of data sets."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustbench_rec.components.dataset import Dataset, Raw, Table
from robustbench_rec.data.preparation import prepare
from robustbench_rec.testing.clauses import DoesNotApply, require, require_words

PARTS = ("train", "valid", "test", "unobserved")
ELSEWHERE = """
import pickle, sys
path, plugin, name, settings, data_dir = pickle.load(sys.stdin.buffer)
sys.path[:] = path
from robustbench_rec import DATASETS
from robustbench_rec.components.registry import load_plugins
try:
    load_plugins([plugin])
    made = DATASETS[name](**settings)
except Exception as error:
    sys.exit(f"cannot make it: {error}")
print("\\n" + made.fingerprint(data_dir))
"""
"""What another process runs to tell a fingerprint, on its last line."""


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

    def test_another_process_has_the_same_fingerprint(self) -> None:
        """The fingerprint is the same in another process, as workers ask: no `hash()` of texts."""
        here = self.dataset.fingerprint(self.data_dir)
        done = subprocess.run(  # noqa: S603  # our own code, with the plugin as in this process
            [sys.executable, "-P", "-c", ELSEWHERE],
            input=pickle.dumps((sys.path, *_made_of(self.dataset), self.data_dir)),
            capture_output=True,
            timeout=600,
        )
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        if said.startswith("cannot make it: "):
            raise DoesNotApply(f"another process {said}")
        require(not done.returncode, f"another process fails: {said}")
        there = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
        require(here == there, f"it is {here} here, and {there} in another process")

    def test_it_can_be_split(self) -> None:
        """Its settings give a split with training, validation and test pairs."""
        split = prepare(self.dataset.read(self.data_dir), self.dataset, seed=0)
        for name in ("train", "valid", "test"):
            require(len(getattr(split, name)), f"no {name} pair is left")


def _made_of(dataset: Dataset) -> tuple[str, str, dict[str, Any]]:
    """Return the plugin of a data set as another process imports it, its name and its settings."""
    cls = type(dataset)
    spec = sys.modules[cls.__module__].__spec__
    by_name = spec is not None and not cls.__module__.startswith("robustbench_rec_plugin_")
    settings = {one.name: getattr(dataset, one.name) for one in dataclasses.fields(cls) if one.init}
    return cls.__module__ if by_name else inspect.getfile(cls), dataset.name, settings
