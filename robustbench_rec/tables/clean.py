"""Tables of clean data: a block for each backbone, a column for each data set and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from robustbench_rec.analysis.asked import label_asked
from robustbench_rec.analysis.estimate import Values
from robustbench_rec.analysis.points import points
from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import is_per_user
from robustbench_rec.records.record import Record
from robustbench_rec.records.run import Run
from robustbench_rec.tables.compared import Column, Compared, Place
from robustbench_rec.tables.standing import Standing, legend, over_replicates
from robustbench_rec.tables.table import Entry, Key, Table, number

Clean = dict[tuple[str, str, str, str], Values]
"""(dataset, backbone, loss, metric) -> result on clean data."""
IMPROVEMENT = "Improvement"
"""Name of a row, never equal to a loss: losses have lower-case names."""


class CleanRun(Run):
    """A run restricted to records of level 0, so that users of other cells are not read."""

    def __init__(self, run: Run) -> None:
        self.folder, self.manifest = run.folder, run.manifest
        self._folder, self._events, self._of_records = run._folder, run._events, run._of_records
        self._read_whole = run

    @cached_property
    def records(self) -> dict[str, Record]:
        """Id of a cell of level 0 -> its record."""
        held = self._read_whole.records.items()
        return {id: one for id, one in held if one.perturbation.level == 0}


def clean_table(
    standing: Standing,
    title: str,
    metrics: Sequence[str],
    called: Callable[[str], str],
    ours: str | None,
) -> Table:
    """Return a table of results on clean data, which is level 0 of every perturbation.

    Args:
        standing: the standing of the run.
        title: the title of the table.
        metrics: `name@k`, one or more columns each.
        called: returns the column heading of a metric.
        ours: the loss whose improvement is shown, as a user names it.

    Raises:
        InputError: no cell of level 0 is finished, or `ours` was not run.

    """
    held = _clean(standing, metrics)
    datasets = list(dict.fromkeys(one.dataset for one in standing.planned))
    here = [name for name in datasets if any(at[0] == name for at in held)]
    places: dict[Key, tuple[str, str]] = {
        (standing.short("dataset", name), called(metric)): (name, metric)
        for name in here
        for metric in metrics
    }
    compared = Compared(_columns(standing, held, places), _ours(standing, ours))
    rows = _rows(standing, held, places, compared)
    entries = [entry for row in rows.values() for entry in row.values()]
    most = max(len(one.replicates) for one in held.values())
    shown = standing.called("loss", compared.ours) if compared.ours else ""
    notes = [
        f"Clean data (level 0), {over_replicates(most)}.",
        *compared.notes(shown),
        *_absent(standing, datasets, here),
        *legend(entries),
        *standing.notes(),
    ]
    return Table(title, ("backbone", "loss"), list(places), rows, notes)


def _clean(standing: Standing, metrics: Sequence[str]) -> Clean:
    """Return results at level 0, under the perturbation with most replicates there."""
    frame = standing.results
    frame = frame[(frame["level"] == 0) & frame["metric"].isin(metrics)]
    if frame.empty:
        raise InputError(
            f"{standing.run.folder}: no finished cell of level 0 has {' or '.join(metrics)}, so "
            "there are no results on clean data; see table robustness"
        )
    known = [one for one in metrics if one in standing.run.manifest.metrics]
    every = points(frame[~frame["metric"].isin(known)])
    if known:
        every |= points(CleanRun(standing.run) if standing.run.records else standing.run)
    found: Clean = {}
    for (dataset, backbone, loss, _, metric, level), values in every.items():
        at = dataset, backbone, loss, metric
        if level == 0 and metric in metrics:
            before = found.get(at)
            if before is None or len(values.replicates) > len(before.replicates):
                found[at] = values
    return found


def _ours(standing: Standing, asked: str | None) -> str | None:
    losses = list(dict.fromkeys(loss for _, loss in standing.pairs if loss != UNTRAINED))
    return None if asked is None else label_asked("loss", asked, losses, standing.run)


def _columns(
    standing: Standing, held: Clean, places: Mapping[Key, tuple[str, str]]
) -> dict[Place, Column]:
    """Return results of trained losses, by backbone and column."""
    found = {}
    for backbone in dict.fromkeys(backbone for backbone, loss in standing.pairs):
        losses = [loss for on, loss in standing.pairs if on == backbone and loss != UNTRAINED]
        for key, (dataset, metric) in places.items():
            values = {
                loss: held[at]
                for loss in losses
                if (at := (dataset, backbone, loss, metric)) in held
            }
            if values:
                found[standing.short("backbone", backbone), key] = Column(
                    values, is_per_user(metric)
                )
    return found


def _rows(
    standing: Standing,
    held: Clean,
    places: Mapping[Key, tuple[str, str]],
    compared: Compared,
) -> dict[Key, dict[Key, Entry]]:
    """Return the rows, with a row of improvement below each block that has one."""
    blocks: dict[str, dict[Key, dict[Key, Entry]]] = {}
    for backbone, loss in standing.pairs:
        block, name = standing.row(backbone, loss)
        row = {}
        for key, (dataset, metric) in places.items():
            values = held.get((dataset, backbone, loss, metric))
            if values is None:
                row[key] = standing.missing(dataset, backbone, loss, 0.0)
            elif loss == UNTRAINED:
                row[key] = number(float(values.means.mean()))
            else:
                row[key] = compared.entries[block, key][loss]
        blocks.setdefault(block, {})[block, name] = row
    for block, rows in blocks.items():
        if improvements := compared.improvements(block):
            rows[block, IMPROVEMENT] = improvements
    return {key: row for rows in blocks.values() for key, row in rows.items()}


def _absent(standing: Standing, datasets: Sequence[str], here: Sequence[str]) -> Iterator[str]:
    absent = [standing.called("dataset", name) for name in datasets if name not in here]
    if absent:
        yield f"Nothing is finished on {', '.join(absent)}."
