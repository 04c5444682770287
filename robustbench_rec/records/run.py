"""A run: the content of its folder, read once, from records or from tables."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args

import pandas as pd

from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import InputError
from robustbench_rec.evaluation.metrics import Averaging, is_per_user
from robustbench_rec.processes import without_gc
from robustbench_rec.records import frames
from robustbench_rec.records.events import TOLD_AS_WARNINGS, Events
from robustbench_rec.records.lists import Lists, agreement
from robustbench_rec.records.manifest import (
    BelowRandom,
    Capped,
    Computed,
    LeftOut,
    PlannedCell,
    StudyState,
    Summary,
    Unreached,
)
from robustbench_rec.records.record import Record, computed_by
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.records.users import UserValues, gathered

LISTS_HELD = 32
"""Number of trainings whose lists stay in memory: those of a loss's level 0, of all replicates."""
Table = TypeVar("Table", pd.DataFrame, dict[str, UserValues])
Told = TypeVar("Told", Capped, Unreached, BelowRandom)


def read_run(folder: Path | str, events: Events = TOLD_AS_WARNINGS) -> Run:
    """Return the run in a results folder.

    Args:
        folder: the folder of the run, as printed by `robustbench-rec run`.
        events: receives warnings of unreadable records, which count as not run.

    Raises:
        InputError: the folder holds no run, or a run of an unknown format.

    """
    return Run(RunFolder(Path(folder)), events)


class Run:
    """The results of a run. Every file is read once, at first use.

    Components are named by their labels in the manifest; `manifest.specs` has the full specs. Only
    finished cells have rows.

    Attributes:
        folder: the folder of the run.
        manifest: the manifest of the run.

    """

    def __init__(self, folder: RunFolder, events: Events = TOLD_AS_WARNINGS) -> None:
        self.folder = folder.folder
        self.manifest = folder.manifest()
        self._folder, self._events = folder, events
        self._of_records = folder.cells.is_dir()

    def __repr__(self) -> str:
        summary = self.summary
        return (
            f"Run({self.manifest.suite}: {summary.done} of {summary.cells} cells done, "
            f"{len(summary.failed)} failed; {self.folder})"
        )

    @cached_property
    def records(self) -> dict[str, Record]:
        """Id of a cell -> its record, also of failed cells; empty if only tables are left."""
        if not self._of_records:
            return {}
        return self._folder.read_records(self.manifest.cells, self._events)

    @cached_property
    def _done(self) -> list[Record]:
        return [record for record in self.records.values() if record.status == "done"]

    @cached_property
    def results(self) -> pd.DataFrame:
        """The results, one row per cell and metric, in the suite's order.

        Columns: suite, dataset, backbone, loss, perturbation, unit, level, replicate, realised,
        metric, value, evaluated, replicates_vary, selection, flags, protocol. `realised` is the
        achieved severity. `evaluated` is the share of all users with a test item, in (0, 1].
        `flags` are the flags of the cell (`record.FLAGS`), separated by spaces. The metrics jaccard
        and rbo are the agreement of the cell's lists with those of its replicate's level 0. An old
        run may lack `realised` and `evaluated`; then they are NaN.

        Raises:
            InputError: a table is not whole.

        """
        if self._of_records:
            return frames.results_frame(self.manifest, self._done, self._agreement())
        return self._checked_digest("results.csv", frames.read_results(self.folder, self.manifest))

    def _checked_digest(self, name: str, table: Table) -> Table:
        """Return a table that was read; warn if its digest differs from the manifest."""
        held, told = self._folder.digest_of_table(name), self.manifest.tables.get(name)
        if held and told and held != told:
            self._events.warning(
                f"{self.folder / name}: changed since it was written (manifest.json has another "
                "digest), so its values may be wrong; restore it, or run again"
            )
        return table

    def results_over(self, averaging: Averaging) -> pd.DataFrame:
        """Return the results over users with a test item, or over all users, the others counting 0.

        Raises:
            InputError: as `results`, or the table lacks `evaluated`.

        """
        if averaging not in get_args(Averaging):
            allowed = " or ".join(map(repr, get_args(Averaging)))
            raise InputError(f"averaging is {averaging!r}; it must be {allowed}")
        held = self.manifest.averaging
        frame = self.results.assign(value=frames.averaged(self.results, held, averaging))
        if frame["value"].isna().any():
            raise InputError(
                f"{self.folder}: cannot be averaged over {averaging}; its results.csv does not "
                "have the share of evaluated users, and its records are gone"
            )
        return frame

    def _agreement(self) -> dict[str, dict[str, float]]:
        """Return the agreement of each training's lists with those of its level 0, by cell.

        Cells with a perturbation of the test have none: it changes no list.
        """
        cells, read = self.manifest.cells, lru_cache(LISTS_HELD)(self._lists)
        clean = {_pair(one): one.training for one in cells.values() if one.level == 0}
        noisy = {_pair(one) for one in cells.values() if clean.get(_pair(one)) != one.training}
        found = {}
        for record in self._done:
            called = cells[record.id]
            if _pair(called) in noisy and _pair(called) in clean:
                mine, theirs = read(called.training), read(clean[_pair(called)])
                if mine and theirs:
                    found[record.id] = agreement(mine, theirs)
        return found

    def _lists(self, training: str) -> Lists | None:
        return self._folder.read_lists(training, self._events)

    @cached_property
    def users(self) -> dict[str, UserValues]:
        """The suite's metrics of each user, by the label of the data set; empty in old runs.

        A cell with a damaged file is left out, with a warning.

        Raises:
            InputError: users.npz is damaged.

        """
        if not self._of_records:
            return self._checked_digest("users.npz", self._folder.users_table())
        by_dataset: dict[str, dict[str, Any]] = {}
        for record in self._done:
            if record.per_user_bytes:
                its = by_dataset.setdefault(self.manifest.cells[record.id].dataset, {})
                try:
                    its[record.id] = self._folder.per_user(record.id)
                except InputError as error:
                    self._events.warning(f"{error}; its users are left out")
        metrics = [metric for metric in self.manifest.metrics if is_per_user(metric)]
        found = {dataset: cells for dataset, cells in by_dataset.items() if cells}
        return {dataset: gathered(cells, metrics) for dataset, cells in found.items()}

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """Diagnostics of each loss during training, one row per evaluation.

        Columns: suite, dataset, backbone, loss, perturbation, unit, level, replicate, epoch, best
        (true for the kept model), and one for each of `training.diagnostics.DIAGNOSTICS`. Cells
        that share a training have the same rows.
        """
        if self._of_records:
            return frames.evaluations_frame(self._epochs, self._done)
        return self._checked_digest("diagnostics.csv", frames.read_evaluations(self.folder))

    @cached_property
    def _epochs(self) -> pd.DataFrame:
        """The evaluations of records without diagnostics, which `summary` does not need."""
        if self._of_records:
            return frames.epochs_frame(self.manifest, self._done)
        return self.evaluations

    @cached_property
    def diagnostics(self) -> pd.DataFrame:
        """The evaluations, one row per defined diagnostic: `diagnostic`, `value`."""
        return frames.diagnostics_frame(self.evaluations)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The trials of each study, in their order.

        Columns: dataset, backbone, loss, perturbation ("" for the clean control), level, trial,
        settings (JSON), validation, best_epoch, seconds, status, chosen, edges (chosen settings
        at the edge of the tried values).
        """
        if not self._of_records:
            return self._checked_digest("tuning.csv", frames.read_trials_table(self.folder))
        put = [trial.id for study in self.studies for trial in study.trials]
        held = self._folder.read_trials(dict.fromkeys(put), self._events)
        return frames.trials_frame(self.studies, held)

    @cached_property
    def studies(self) -> list[StudyState]:
        """The studies of the suite, and their states."""
        if self._of_records:
            return self._folder.studies_so_far(self.manifest, self._events)
        return frames.studies_of_tables(self.manifest, self.trials)

    @cached_property
    def computed(self) -> tuple[Computed, ...]:
        """The finished cells, by the versions that computed them; empty for old tables."""
        return computed_by(self._done) if self._of_records else self.manifest.computed

    @cached_property
    def summary(self) -> Summary:
        """The numbers of finished, failed and remaining cells, and cautions about the run."""
        manifest, cells = self.manifest, self.manifest.cells
        failed = [one for one in self.records.values() if one.status == "failed"]
        done = self._n_done()
        return Summary(
            suite=manifest.suite,
            cells=len(cells),
            suite_cells=manifest.suite_cells,
            done=done,
            failed={one.id: (manifest.title(cells[one.id]), one.error) for one in failed},
            left=len(cells) - done - len(failed),
            seconds=self._seconds() if self._of_records else None,
            tuning=tuple(self.studies),
            parts=manifest.parts,
            not_applicable=manifest.not_applicable,
            computed=self.computed,
            left_out=tuple(self._left_out()),
            **self._cautions(),
        )

    def _n_done(self) -> int:
        if self._of_records:
            return len(self._done)
        return len(self.results.drop_duplicates([*AXES, "level", "replicate"]))

    def _seconds(self) -> float:
        return sum({record.fit_id: record.seconds["fit"] for record in self._done}.values())

    def _left_out(self) -> Iterator[LeftOut]:
        by_dataset: dict[str, list[Record]] = {}
        for record in self._done:
            if record.left_out:
                dataset = self.manifest.cells[record.id].dataset
                by_dataset.setdefault(dataset, []).append(record)
        for dataset, held in by_dataset.items():
            most = max(held, key=lambda record: record.users["left_out"])
            cell = self.manifest.cells[most.id]
            yield LeftOut(
                dataset=dataset,
                perturbation=cell.perturbation,
                level=cell.level,
                users=most.users["left_out"],
                named=most.left_out,
                cells=len(held),
            )

    def _cautions(self) -> dict[str, Any]:
        """Return the cautions about finished cells."""
        cells = frames.cells_frame(self.manifest, self._first_results)
        return {
            "capped": _rows(Capped, frames.capped_frame(cells)),
            "unreached": _rows(Unreached, frames.unreached_frame(cells)),
            "few_users": int(cells["few_users"].sum()),
            "below_random": _rows(BelowRandom, frames.below_random_frame(self._first_results)),
        }

    @cached_property
    def _first_results(self) -> pd.DataFrame:
        """A row per cell, in the suite's first metric that it has, else in any."""
        if not self._of_records or "results" in vars(self):
            return frames.first_frame(self.manifest, self.results)
        asked = self.manifest.metrics
        only = []
        for record in self._done:
            held = [metric for metric in (*asked, *record.metrics) if metric in record.metrics]
            kept = {metric: record.metrics[metric] for metric in held[:1]}
            only.append(record.model_copy(update={"metrics": kept}))
        return frames.results_frame(self.manifest, only)


@without_gc()
def compact(folder: RunFolder, events: Events = TOLD_AS_WARNINGS) -> Run:
    """Write the results into the tables of a run, and return the run."""
    run = Run(folder, events)
    records = folder.digest_of_records(run.manifest)  # before they are read: they may change
    tried = run.trials if run.manifest.studies else None
    tables = frames.tables(run.results, run.evaluations, tried)
    written = folder.write_tables(tables, run.users)
    told = {"tables": written, "records": records, "computed": run.computed}
    run.manifest = run.manifest.model_copy(update=told)
    folder.write_manifest(run.manifest)
    return run


Pair = tuple[str, str, str, str, int]


def _pair(cell: PlannedCell) -> Pair:
    """Return the key that a cell shares with its level 0."""
    return cell.dataset, cell.backbone, cell.loss, cell.perturbation, cell.replicate


def _rows(kind: type[Told], frame: pd.DataFrame) -> tuple[Told, ...]:
    rows = frame.to_dict("records")
    return tuple(kind(**{str(key): value for key, value in row.items()}) for row in rows)
