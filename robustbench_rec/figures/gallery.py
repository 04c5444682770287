"""The gallery: all figures of a run, drawn from its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import starmap

import pandas as pd

from robustbench_rec.analysis import degradation
from robustbench_rec.analysis.against_published import overlay
from robustbench_rec.analysis.names import hidden_of
from robustbench_rec.errors import InputError
from robustbench_rec.figures.drawn import refuse_others, replace_drawn, unchanged
from robustbench_rec.figures.files import Starmap, by_stem, digest_of, file_names, rendered
from robustbench_rec.figures.kind import Drawing, Frames, Kind
from robustbench_rec.figures.kinds import kinds_of
from robustbench_rec.figures.options import Options, labels_shown, shown_of
from robustbench_rec.records.events import TOLD_AS_WARNINGS, Events
from robustbench_rec.records.run import Run

PLAIN = Options()


def redraw(
    run: Run,
    starmap: Starmap = starmap,
    options: Options = PLAIN,
    kinds: Sequence[Kind] | None = None,
    only_changed: bool = False,
    events: Events = TOLD_AS_WARNINGS,
) -> list[str]:
    """Draw the figures of a run, then replace the figures that were drawn before; see `drawn`.

    Args:
        run: the run; figures go into its folder `figures`, or into the folder of the options.
        starmap: see `files.Starmap`.
        options: which figures are drawn, and how. If they select a part, earlier figures that are
            not drawn now stay.
        kinds: the kinds of figures; the kinds of the options if None.
        only_changed: whether to skip figures that exist and show the same data.
        events: hears of kinds that were asked for and have no figure.

    Returns:
        The names of the files that were drawn, sorted; none if only baselines are finished.

    Raises:
        InputError: there is no finished cell, none of the selected cells was run, the folder
            cannot be written, a file that we did not draw has the name of a figure, or drawn.json
            is damaged.

    """
    chosen = kinds_of(options.kinds, options.asked) if kinds is None else kinds
    target = options.folder or run.folder / "figures"
    of_kinds = drawings_of(run, chosen, options)
    drawings = by_stem(one for found in of_kinds for one in found)
    for name, kind, found in zip(dict.fromkeys(options.kinds), chosen, of_kinds, strict=False):
        if drawings and not found:
            events.warning(f"no figure of kind {name} can be drawn; it needs {kind.needs}")
    if not drawings and not options.is_plain:
        needs = "; ".join(dict.fromkeys(kind.needs for kind in chosen if kind.needs))
        raise InputError(f"{run.folder}: no figure of these kinds can be drawn; they need {needs}")
    names = file_names(drawings, options.formats)
    refuse_others(target, names)  # before the slow part
    of = {stem: digest_of(drawing) for stem, drawing in drawings.items()}
    to_be = {name: of[stem] for stem in drawings for name in file_names([stem], options.formats)}
    there = unchanged(target, to_be) if only_changed else frozenset()
    changed = {
        stem: one
        for stem, one in drawings.items()
        if not there.issuperset(file_names([stem], options.formats))
    }
    files = rendered(changed, options.formats, starmap)
    replace_drawn(target, files, to_be, keep=not options.is_plain)
    return list(files)


def drawings_of(run: Run, kinds: Sequence[Kind], options: Options = PLAIN) -> list[list[Drawing]]:
    """Return the figures of each kind, on the page of the options."""
    frames = frames_of(run, options)
    return [
        [replace(drawing, page=options.page) for drawing in kind.drawings(frames, options.asked)]
        for kind in kinds
    ]


def frames_of(run: Run, options: Options = PLAIN) -> Frames:
    """Return the data to draw of a run, in the metrics of its suite, with short labels.

    Raises:
        InputError: there is no finished cell, or none of the selected cells was run.

    """
    results = run.results[run.results["metric"].isin(run.manifest.metrics)]
    if results.empty:
        told = f"{run.folder}: no finished cell to draw"
        raise InputError(f"{told}; see robustbench-rec status {run.folder}")
    only = labels_shown(run, options.only)
    hidden = hidden_of(run) if "loss" not in options.only else frozenset()
    if hidden:
        only["loss"] = [str(one) for one in results["loss"].unique() if one not in hidden]
    varies = results.groupby("dataset")["replicates_vary"].first()
    measured = run.diagnostics
    measured = measured.assign(replicates_vary=measured["dataset"].map(varies))
    parts = degradation.curves(run), measured, overlay(run, results)
    short = run.manifest.short_labels
    curves, diagnostics, published = (
        _of_plain_strings(shown_of(part, only).replace(short)) for part in parts
    )
    labels = {
        axis: {str(one): run.manifest.short(axis, str(one)) for one in results[axis].unique()}
        for axis in ("dataset", "backbone", "perturbation", "loss")
    }
    labels["loss"] = {full: one for full, one in labels["loss"].items() if full != "untrained"}
    return Frames(curves, diagnostics, published, run, labels)


def _of_plain_strings(frame: pd.DataFrame) -> pd.DataFrame:
    """Store texts as Python strings, which are faster in the small frames of a figure."""
    texts = frame.select_dtypes(include=["string"]).columns
    return frame.astype(dict.fromkeys(texts, object))
