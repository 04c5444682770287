"""The gallery: every figure of a run, drawn anew from its results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, starmap

from robustbench_rec.analysis import degradation
from robustbench_rec.analysis.against_published import overlay
from robustbench_rec.errors import InputError
from robustbench_rec.figures import curves, mechanism, rankings
from robustbench_rec.figures.drawn import refuse_others, replace_drawn, unchanged
from robustbench_rec.figures.files import Starmap, by_stem, digest_of, file_names, rendered
from robustbench_rec.figures.kind import Frames, Kind
from robustbench_rec.records.run import Run

KINDS: tuple[Kind, ...] = (curves, rankings, mechanism)
"""Every kind of figure: a new one is a new module here."""


def redraw(
    run: Run,
    starmap: Starmap = starmap,
    kinds: Sequence[Kind] = KINDS,
    only_changed: bool = False,
) -> list[str]:
    """Draw the figures of a run, then replace those that were drawn before; see `drawn`.

    Args:
        run: whose figures go into the folder `figures` of its own.
        starmap: see `files.Starmap`.
        kinds: of figures.
        only_changed: whether to leave out figures that are there and show the same data.

    Returns:
        The names of the files that were drawn, sorted; none where floors alone are done.

    Raises:
        InputError: there is no finished cell, or the folder cannot be written; or a file that we
            did not draw has the name of a figure, or the list of what we drew is damaged.

    """
    target = run.folder / "figures"
    shown = frames_of(run)
    drawings = by_stem(chain.from_iterable(kind.drawings(shown) for kind in kinds))
    refuse_others(target, file_names(drawings))  # before the slow part
    of = {stem: digest_of(drawing) for stem, drawing in drawings.items()}
    to_be = {name: of[stem] for stem in drawings for name in file_names([stem])}
    there = unchanged(target, to_be) if only_changed else frozenset()
    changed = {
        stem: one for stem, one in drawings.items() if not there.issuperset(file_names([stem]))
    }
    files = rendered(changed, starmap=starmap)
    replace_drawn(target, files, to_be)
    return list(files)


def frames_of(run: Run) -> Frames:
    """Return what of a run is drawn, in the metrics that its suite names, with short labels.

    Raises:
        InputError: there is no finished cell.

    """
    results = run.results[run.results["metric"].isin(run.manifest.metrics)]
    if results.empty:
        told = f"{run.folder}: no finished cell to draw"
        raise InputError(f"{told}; see robustbench-rec status {run.folder}")
    varies = results.groupby("dataset")["replicates_vary"].first()
    measured = run.diagnostics
    measured = measured.assign(replicates_vary=measured["dataset"].map(varies))
    parts = degradation.curves(run), measured, overlay(run, results)
    return Frames(*(part.replace(run.manifest.short_labels) for part in parts))
