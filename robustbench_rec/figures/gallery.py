"""The gallery: every figure of a run, drawn anew from its results."""

from __future__ import annotations

import re
from itertools import starmap
from shutil import rmtree

from robustbench_rec.analysis.against_published import overlay
from robustbench_rec.analysis.degradation import curves
from robustbench_rec.errors import InputError
from robustbench_rec.figures.files import save_all
from robustbench_rec.figures.mechanism import drawings
from robustbench_rec.processes import Helper
from robustbench_rec.records.run import Run

OF_OURS = re.compile(r"-([a-z]+_at_[0-9]+|mechanism(_training)?)\.(png|pdf)$")
"""How the figures that we name end; other files in the folder are the user's."""


def redraw(run: Run, helper: Helper | None = None) -> list[str]:
    """Draw all figures of a run beside the old ones, then replace these.

    Args:
        run: whose figures go into the folder `figures` of its own.
        helper: a process that draws half of them.

    Returns:
        The names of the files, sorted; none where floors alone are done.

    Raises:
        InputError: there is no finished cell, or the folder cannot be written.

    """
    frame = run.results[run.results["metric"].isin(run.manifest.metrics)]
    if frame.empty:
        told = f"{run.folder}: no finished cell to draw"
        raise InputError(f"{told}; see robustbench-rec status {run.folder}")
    short = run.manifest.short_labels
    shown = frame.replace(short)
    target, fresh = run.folder / "figures", run.folder / "figures.new"
    try:
        rmtree(fresh, ignore_errors=True)
        drawn = save_all(
            curves(shown),
            fresh,
            starmap=helper.starmap if helper else starmap,
            published=overlay(run, frame).replace(short),
            more=drawings(run.diagnostics.replace(short), shown["loss"]),
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
