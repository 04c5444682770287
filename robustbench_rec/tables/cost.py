"""The table of time and memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from robustbench_rec.components.labels import UNTRAINED
from robustbench_rec.errors import InputError, counted
from robustbench_rec.records.record import Record
from robustbench_rec.records.run import Run
from robustbench_rec.tables.kind import Asked, Kind
from robustbench_rec.tables.standing import Standing, legend
from robustbench_rec.tables.table import NOTHING, Entry, Key, Table, number, whole

HEAD = ("dataset", "backbone", "loss")
MIB = 2**20
BESIDE = ("validation", "diagnostics")
"""Parts of the seconds of a fit that are not training."""


def tables(run: Run, asked: Asked) -> Sequence[Table]:
    """Return the cost of trainings, from records or, if these are gone, from the table of trials.

    Raises:
        InputError: there are neither records nor trials.

    """
    standing = Standing(run)
    done = [one for one in run.records.values() if one.status == "done"]
    if trained := [one for one in done if run.manifest.cells[one.id].loss != UNTRAINED]:
        return [_of_records(standing, trained)]
    return [_of_trials(standing)]


def _of_records(standing: Standing, done: Iterable[Record]) -> Table:
    """Return the table of finished trainings, each counted once."""
    groups: dict[Key, dict[str, Record]] = {}
    for record in done:
        cell = standing.run.manifest.cells[record.id]
        key = standing.short("dataset", cell.dataset), *standing.row(cell.backbone, cell.loss)
        groups.setdefault(key, {})[record.fit_id] = record
    rows = {key: _took(list(groups[key].values())) for key in groups}
    every = [record for group in groups.values() for record in group.values()]
    notes = [
        "Means over trainings.",
        "Seconds an epoch: of training alone, without validation and diagnostics.",
        f"Peak memory: of a worker's process up to the end of the training, {_on(every)}.",
        *legend([entry for row in rows.values() for entry in row.values()]),
        *standing.notes(),
    ]
    columns = list(next(iter(rows.values())))
    return Table(f"{standing.run.manifest.suite}: time and memory", HEAD, columns, rows, notes)


def _took(trainings: Sequence[Record]) -> dict[Key, Entry]:
    """Return the cost of some trainings."""
    epochs = [one.history[-1][0] if one.history else 0 for one in trainings]
    alone = [
        one.seconds["fit"] - sum(one.seconds.get(name, 0.0) for name in BESIDE) for one in trainings
    ]
    each = [spent / n for spent, n in zip(alone, epochs, strict=True) if n]
    memory = max(one.peak_memory for one in trainings)
    return {
        ("trainings",): whole(len(trainings)),
        ("epochs",): number(fmean(epochs), 0),
        ("seconds an epoch",): number(fmean(each), 3) if each else NOTHING,
        ("seconds a training",): number(fmean(one.seconds["fit"] for one in trainings), 1),
        ("peak memory (MiB)",): number(memory / MIB, 0) if memory else NOTHING,
    }


def _on(records: Sequence[Record]) -> str:
    """Say on which machine the trainings ran."""
    kinds = dict.fromkeys((one.device, one.threads) for one in records)
    return " or ".join(
        f"on {device or 'an unknown device'} with {counted(threads, 'thread')}"
        for device, threads in kinds
    )


def _of_trials(standing: Standing) -> Table:
    """Return the table of the trials that chose settings; tuning.csv holds their seconds."""
    run = standing.run
    trials = run.trials.dropna(subset="seconds") if run.manifest.studies else None
    if trials is None or trials.empty:
        raise InputError(
            f"{run.folder}: no time is recorded: seconds and memory are in the records (cells/), "
            "which are missing; make this table in the folder of the original run"
        )
    rows: dict[Key, dict[Key, Entry]] = {}
    for at, its in trials.groupby(list(HEAD), sort=False):
        dataset, backbone, loss = map(str, at)
        key = standing.short("dataset", dataset), *standing.row(backbone, loss)
        rows[key] = {
            ("trials",): whole(len(its)),
            ("best epoch",): number(its["best_epoch"].mean(), 0),
            ("seconds a trial",): number(its["seconds"].mean(), 1),
        }
    notes = [
        "Means over the trials that chose settings, of tuned losses alone.",
        "Seconds per epoch and peak memory need the records, which this run no longer has.",
        *standing.notes(),
    ]
    columns = list(next(iter(rows.values())))
    return Table(f"{run.manifest.suite}: time of trials", HEAD, columns, rows, notes)


KIND = Kind("seconds per epoch and per training, epochs, and peak memory of each loss", tables)
