"""The content of the page of one or several runs, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from robustbench_rec import __version__
from robustbench_rec.analysis.marks import MEANINGS
from robustbench_rec.analysis.measures import MEASURES
from robustbench_rec.analysis.ranking import rank_all
from robustbench_rec.analysis.two_way import LEAST
from robustbench_rec.errors import InputError, counted, visible
from robustbench_rec.figures.names import BY_LEVEL
from robustbench_rec.records.manifest import Summary
from robustbench_rec.records.run import Run
from robustbench_rec.report.answer import answer, judged
from robustbench_rec.report.labels import Labels
from robustbench_rec.report.panels import BY, panels
from robustbench_rec.report.provenance import provenance, suite_text
from robustbench_rec.report.sheets import cautions, failures, of_kinds
from robustbench_rec.training.config import PROTOCOL


def contents(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the content of the page of some runs.

    Raises:
        InputError: a run has no finished cell, or a table of it is not whole.

    """
    names = _names(runs)
    return {
        "kind": "report",
        "title": ", ".join(map(visible, names)),
        "version": __version__,
        "measures": [
            {"key": one.name, "says": one.says, "rewards": one.rewards, "hides": one.hides}
            for one in (MEASURES[name] for name in BY)
        ],
        "diagnostics": BY_LEVEL,
        "flags": MEANINGS,
        "runs": [_run(one, name) for one, name in zip(runs, names, strict=True)],
    }


def _names(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run: its suite, or its folder where runs have the same suite.

    Folders of one name get a number.
    """
    suites = [one.manifest.suite for one in runs]
    names = [
        suite if suites.count(suite) == 1 else one.folder.resolve().name
        for suite, one in zip(suites, runs, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({names[:at].count(name) + 1})"
        for at, name in enumerate(names)
    ]


def _run(run: Run, name: str) -> dict[str, Any]:
    """Return the content of a run."""
    labels, held = Labels(run), run.summary
    if not held.done:
        told = f"{run.folder}: no finished cell to report"
        raise InputError(f"{told}; see robustbench-rec status {run.folder}")
    ranked = list(rank_all(run, BY))
    failed = failures(labels, held)
    return {
        "name": visible(name),
        "folder": visible(str(run.folder)),
        "about": visible(run.manifest.about),
        "state": _state(held),
        "warning": " ".join(_warnings(run)),
        "care": list(care(run)),
        "labels": labels.content(),
        "panels": panels(labels, ranked),
        "answer": answer(labels, _of_first_metric(run, ranked)),
        "claims": judged(labels),
        "settings": [one.content() for one in of_kinds(labels, ("hyperparameters",))],
        "tables": [one.content() for one in of_kinds(labels, ("main", "published", "time"))],
        "failures": failed.content() if failed else None,
        "cautions": [one.content() for one in cautions(labels, held)],
        "provenance": [one.content() for one in provenance(run.manifest, held, str(run.folder))],
        "suite": suite_text(run.manifest),
    }


def _of_first_metric(run: Run, ranked: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    """Return the ranking that the answer in words is about."""
    wanted = run.manifest.metrics[0], "kept"
    return next(
        (one for one in ranked if (one["metric"].iloc[0], one["by"].iloc[0]) == wanted), None
    )


def _state(held: Summary) -> str:
    """Say how much of a run is finished."""
    failed = f", {len(held.failed)} failed" if held.failed else ""
    left = f", {held.left} left" if held.left else ""
    part = ", a part of the suite" if held.cells < held.suite_cells else ""
    return f"{held.done} of {counted(held.cells, 'cell')} done{failed}{left}{part}"


def _warnings(run: Run) -> Iterator[str]:
    """Yield what stands above every part of a page."""
    held, manifest = run.summary, run.manifest
    if old := sorted(manifest.protocols - {PROTOCOL}):
        yield (
            f"The cells are of protocol {', '.join(old)}, not of today's {PROTOCOL}: their values "
            "are not comparable with those of new runs."
        )
    if held.left:
        yield f"The run is not finished: {counted(held.left, 'cell')} of {held.cells} left."
    if held.failed:
        yield f"{counted(len(held.failed), 'cell')} failed; the reasons are under Cautions."


def care(run: Run) -> Iterator[str]:
    """Yield what a reader must know before drawing conclusions from a run."""
    yield from _warnings(run)
    held = run.summary
    if held.cells < held.suite_cells:
        yield f"This is a part: the whole suite has {counted(held.suite_cells, 'cell')}."
    n = run.results.groupby(["dataset", "backbone", "loss", "perturbation", "level"])["replicate"]
    if (least := int(n.nunique().min())) < LEAST:
        yield (
            f"Some values stand on {counted(least, 'replicate')}; with fewer than {LEAST} "
            "their spread is hardly known."
        )
    if capped := sum(one.capped for one in held.capped):
        yield f"{counted(capped, 'training')} may be too short (capped)."
    if edges := sum(bool(one.edges) for one in held.tuning):
        yield f"{counted(edges, 'choice')} of settings, of a loss on a data set, at an edge."
    if held.unreached:
        yield f"{counted(len(held.unreached), 'level')} of perturbations not reached."
    if held.few_users:
        yield f"{counted(held.few_users, 'cell')} with few test users: their values are uncertain."
    if held.below_random:
        yield f"{counted(len(held.below_random), 'value')} below the random baseline."
