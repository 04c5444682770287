"""Results returned: a worker that cannot write to the results folder hands its files over."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from robustbench_rec.records.files import write
from robustbench_rec.records.run_folder import RunFolder, make_folder

KINDS = ("lists/*.npz", "cells/*.npz", "cells/*.json", "tuning/*.json")
"""The files of a training, in the order in which a run writes them: a record is the last."""
Files = Mapping[str, bytes]
"""Name in the results folder -> content."""


def returned(function: Callable[..., Any], _: str, *args: Any) -> tuple[Any, Files]:
    """Call a function with a folder of its own in the place of the results folder.

    Returns:
        The result of the function, and the files that it wrote.

    """
    with tempfile.TemporaryDirectory(prefix="robustbench-rec-", dir=_scratch()) as made:
        folder = RunFolder(Path(made))
        folder.cells.mkdir()
        folder.marks.folder.mkdir()
        result = function(made, *args)
        paths = [path for kind in KINDS for path in sorted(folder.folder.glob(kind))]
        return result, {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


def _scratch() -> str | None:
    """Return the folder of a dask worker, which dask deletes even if the worker is killed."""
    with suppress(ImportError, ValueError):  # not a worker of dask
        from distributed import get_worker

        return str(get_worker().local_directory)
    return None


def take(folder: RunFolder, files: Files) -> None:
    """Write the files that a worker handed over; InputError if one cannot be written."""
    for name, content in files.items():
        path = folder.folder / name
        make_folder(path.parent)
        write(path, content)
