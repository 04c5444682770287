"""The table of settings: the values searched, the value chosen, and whether it is at an edge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.components.settings import printed
from robustbench_rec.errors import InputError
from robustbench_rec.records.manifest import StudyState
from robustbench_rec.records.run import Run
from robustbench_rec.tables.kind import Asked, Kind
from robustbench_rec.tables.standing import Standing
from robustbench_rec.tables.table import ABSENT, Entry, Key, Table

HEAD = ("dataset", "backbone", "loss", "setting")
COLUMNS: list[Key] = [("searched",), ("chosen",), ("at an edge",)]
EVERY = "all"
"""Axes on which a loss that is not tuned has the same settings."""


def tables(run: Run, asked: Asked) -> Sequence[Table]:
    """Return the settings of each loss: searched and chosen, or given by the suite.

    Raises:
        InputError: nothing was trained in this run.

    """
    standing = Standing(run)
    rows = dict(row for study in run.studies for row in _tuned(standing, study))
    rows |= dict(_given(standing))
    if not rows:
        raise InputError(f"{run.folder}: no loss was trained, so there are no settings")
    names = {_loss(standing.short, one): _loss(standing.called, one) for one in run.studies}
    title = f"{run.manifest.suite}: settings"
    return [Table(title, HEAD, COLUMNS, rows, [*_notes(standing)], names=names)]


def _tuned(standing: Standing, study: StudyState) -> Iterator[tuple[Key, dict[Key, Entry]]]:
    """Yield a row for each setting that was searched."""
    loss = _loss(standing.short, study)
    where = standing.short("dataset", study.dataset), standing.short("backbone", study.backbone)
    searched = study.space or _tried_values(study)
    for name in searched or {ABSENT: []}:
        yield (
            (*where, loss, name),
            {
                ("searched",): Entry(_domain(searched[name]) if searched else ABSENT),
                ("chosen",): Entry(_chosen(study, name)),
                ("at an edge",): Entry(_edge(study, name)),
            },
        )


def _loss(name: Callable[[str, str], str], study: StudyState) -> str:
    """Return the loss of a study, with its perturbation and split; `name` prints a component."""
    loss = name("loss", study.loss)
    if study.perturbation:
        loss += f" under {name('perturbation', study.perturbation)} {study.level:g}"
    return loss if study.split == "own" else f"{loss}, {study.split}"


def _given(standing: Standing) -> Iterator[tuple[Key, dict[Key, Entry]]]:
    """Yield a row for each setting of each loss that is not tuned, except shared settings.

    A loss without other settings has one row.
    """
    tuned = {one.loss for one in standing.run.studies}
    shared = set(_shared(standing))
    for label, parts in _settings(standing).items():
        own = [part for part in parts if part not in shared] or [f"{ABSENT}={ABSENT}"]
        for part in own if label not in tuned else ():
            name, _, value = part.partition("=")
            key = EVERY, EVERY, standing.short("loss", label), name
            yield key, {("searched",): Entry("no"), ("chosen",): Entry(value)}


def _settings(standing: Standing) -> dict[str, list[str]]:
    """Return label of each trained loss -> its settings, from the manifest."""
    specs = standing.run.manifest.specs.get("loss", {})
    losses = dict.fromkeys(loss for _, loss in standing.pairs if loss != UNTRAINED)
    inside = {one: specs.get(one, one).partition("(")[2].removesuffix(")") for one in losses}
    return {one: list(filter(None, text.split(", "))) for one, text in inside.items()}


def _shared(standing: Standing) -> list[str]:
    """Return the settings that have the same value for all of several losses."""
    first, *others = _settings(standing).values() or [[]]
    return [part for part in first if others and all(part in other for other in others)]


def _tried_values(study: StudyState) -> dict[str, list[Any]]:
    """Return the values that trials had for each setting, if the search space is not known."""
    found: dict[str, dict[str, Any]] = {}
    for trial in study.trials:
        for name, value in trial.settings.items():
            found.setdefault(name, {})[json.dumps(value)] = value
    return {name: list(values.values()) for name, values in found.items()}


def _domain(values: Any) -> str:
    """Print candidates, or a range."""
    if isinstance(values, dict):
        log = ", log" if values.get("log") else ""
        return f"{printed(values['low'])} to {printed(values['high'])}{log}"
    if all(isinstance(one, int | float) for one in values):
        values = sorted(values)
    return ", ".join(map(printed, values))


def _chosen(study: StudyState, name: str) -> str:
    if study.chosen is None:
        return "failed" if study.status == "failed" and study.trials else "not yet"
    return printed(study.chosen[name]) if name in study.chosen else ABSENT


def _edge(study: StudyState, name: str) -> str:
    """Return the edge of the search space at which a setting was chosen; "no" if at none."""
    if study.chosen is None:
        return ABSENT
    found = (edge for edge in study.edges if edge.partition("=")[0] == name)
    return next((edge.partition(" is ")[2] for edge in found), "no")


def _notes(standing: Standing) -> Iterator[str]:
    studies = standing.run.studies
    if shared := _shared(standing):
        yield f"All losses: {', '.join(shared)}."
    if not standing.run.manifest.specs.get("loss"):
        yield "Default settings are not known: an earlier version wrote this run."
    if not studies:
        yield "Nothing was tuned."
    else:
        budgets = " or ".join(map(str, sorted({one.budget for one in studies})))
        yield f"Chosen by validation NDCG@20, of {budgets} trials each."
        if not any(one.space for one in studies):
            yield "Searched: the values that trials had; the tables do not hold the space itself."
        if any(one.edges for one in studies):
            yield "A value at an edge: the optimum may be beyond it."
    yield from standing.notes()


KIND = Kind("the searched and the chosen settings of each loss, and choices at an edge", tables)
