"""The gallery: every figure of a run, drawn anew from its results."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import starmap
from pathlib import Path
from shutil import rmtree

from robustbench_rec.analysis.against_published import overlay
from robustbench_rec.analysis.degradation import curves
from robustbench_rec.errors import InputError
from robustbench_rec.figures.files import save_all
from robustbench_rec.figures.mechanism import drawings
from robustbench_rec.processes import Helper
from robustbench_rec.records.frames import diagnostics, read
from robustbench_rec.records.run_folder import RunFolder

OF_OURS = re.compile(r"-([a-z]+_at_[0-9]+|mechanism(_training)?)\.(png|pdf)$")
"""How the figures that we name end; other files in the folder are the user's."""


def redraw(
    folder: Path, helper: Helper | None = None, warn: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Draw all figures of a run beside the old ones, then replace these.

    Args:
        folder: of the results; the figures go into its folder `figures`.
        helper: a process that draws half of them.
        warn: told of each record that cannot be read.

    Returns:
        The names of the files, sorted; none where floors alone are done.

    Raises:
        InputError: the folder holds no run or no finished cell, or cannot be written.

    """
    manifest = RunFolder(folder).manifest()
    frame = read(folder, warn)
    frame = frame[frame["metric"].isin(manifest["metrics"])]
    if frame.empty:
        raise InputError(f"{folder}: no finished cell to draw; see robustbench-rec status {folder}")
    target, fresh = folder / "figures", folder / "figures.new"
    try:
        rmtree(fresh, ignore_errors=True)
        drawn = save_all(
            curves(frame),
            fresh,
            starmap=helper.starmap if helper else starmap,
            published=overlay(manifest, frame),
            more=drawings(diagnostics(folder), frame["loss"]),
        )
        target.mkdir(exist_ok=True)
        names = [path.replace(target / path.name).name for path in drawn]
        fresh.rmdir()
        for path in target.iterdir():
            if OF_OURS.search(path.name) and path.name not in names:
                path.unlink()  # of an earlier version of the suite
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from None
    return names
