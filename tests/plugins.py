"""Plugins of one test: registered for a while, and unknown afterwards."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from robustbench_rec.kit.checking import REGISTRIES, Clause, check, components_of

IMPORTED = "robustbench_rec_plugin_"
"""How the module of every plugin file is called, up to the file's name."""


@contextmanager
def forgotten() -> Iterator[None]:
    """Forget on the way out which plugins were registered inside, as a process does at its end."""
    modules = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        # Two versions of a file, written within a second, would share their bytecode.
        patch.setattr(sys, "dont_write_bytecode", True)
        for registry in REGISTRIES.values():
            len(registry)  # what is ours is found before, and stays
            patch.setattr(registry, "_classes", dict(registry._classes))
        try:
            yield
        finally:
            for name in set(sys.modules) - modules:
                if name.startswith(IMPORTED):
                    del sys.modules[name]


def clauses(path: Path, settings: dict[str, Any] | None = None) -> list[Clause]:
    """Return what the contract of the one plugin in a file comes to; it is forgotten then."""
    with forgotten():
        ((kind, cls),) = components_of(str(path))
        return [*check(kind, cls, settings)]
