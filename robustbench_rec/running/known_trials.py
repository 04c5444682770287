"""Known trials: those of another run, taken over so that its tuning does not run again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from robustbench_rec.errors import InputError
from robustbench_rec.experiment.study import Study
from robustbench_rec.records.events import Events
from robustbench_rec.records.frames import STUDY
from robustbench_rec.records.record import Trial
from robustbench_rec.records.run import Run
from robustbench_rec.records.run_folder import RunFolder


def known_trials(studies: Iterable[Study], source: Path, events: Events) -> list[Trial]:
    """Return the trials of these studies that another run has finished.

    A study is known by its id: the same search space, budget, data, training and protocol. Failed
    trials are left out, and run again.

    Args:
        studies: the studies of a plan.
        source: a run, or tables of one, such as a folder of `results/reference`.
        events: receives warnings about the run.

    Raises:
        InputError: the folder is no run, or has none of the studies.

    """
    run = Run(RunFolder(source), events)
    rows = dict(iter(run.trials.groupby(list(STUDY), sort=False)))
    held = {one.id: rows.get(tuple(getattr(one, axis) for axis in STUDY)) for one in run.studies}
    found = []
    for study in studies:
        tried = held.get(study.id)
        for row in () if tried is None else tried.to_dict("records"):
            if row["status"] == "done":
                outcome = {key: row[key] for key in ("validation", "best_epoch")}
                trial = Trial.of(
                    study.trial(json.loads(row["settings"])),
                    "done",
                    seconds={"fit": row["seconds"]},
                    **outcome,
                )
                found.append(trial.model_copy(update={"versions": run.manifest.versions}))
    if not found:
        raise InputError(
            f"{source}: has no trial of this suite: it was tuned on other data, over other "
            "settings, or by another protocol; omit --tuned-as"
        )
    return found
