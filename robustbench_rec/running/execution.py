"""Execution: one training with the cells that share it, or one trial of tuning."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.components.dataset import Dataset, Raw
from robustbench_rec.components.perturbation import Perturbation, perturb
from robustbench_rec.data.preparation import prepare, redraws_test
from robustbench_rec.errors import InputError, is_interrupt
from robustbench_rec.evaluation.metrics import recorded
from robustbench_rec.evaluation.ranking import Ranking, evaluate
from robustbench_rec.experiment.cell import Cell, Drawn
from robustbench_rec.interactions import Split
from robustbench_rec.records.lists import LENGTH, Lists
from robustbench_rec.records.record import LEFT_OUT_NAMED, Record, Trial
from robustbench_rec.records.users import WEIGHT
from robustbench_rec.running.compute import COMPUTE, Compute, peak_memory
from robustbench_rec.running.trained_on import TrainedOn, trained_on
from robustbench_rec.seeds import Replicate
from robustbench_rec.training.config import LAST
from robustbench_rec.training.fit import Fit, fit

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Beside:
    """Data stored beside the record of a cell, in separate files.

    Attributes:
        users: (U,) original ids of tested users.
        per_user: metric@k -> (U,) float16; under a weighted test also `WEIGHT`, of mean 1.
        lists: the lists of the training; None if the perturbation left out a part of the test.

    """

    users: NDArray[Any]
    per_user: Mapping[str, NDArray[np.float16]]
    lists: Lists | None


@functools.lru_cache(maxsize=2)
def _read(dataset: Dataset, data_dir: Path, fingerprint: str) -> Raw:
    """Read a data set once per worker, not once per replicate.

    Raises:
        InputError: it has another content than when the run was planned.

    """
    if dataset.fingerprint(data_dir) == fingerprint:
        raw = dataset.read(data_dir)
        if dataset.fingerprint(data_dir) == fingerprint:  # it may have changed meanwhile
            return raw
    raise InputError(f"data set {dataset.name} changed after the run was planned; run again")


@functools.lru_cache(maxsize=2)
def _prepared(
    dataset: Dataset, data_dir: Path, fingerprint: str, seed: int, replicate: Replicate | None
) -> Split:
    """Prepare a split once per worker, not once per cell."""
    return prepare(_read(dataset, data_dir, fingerprint), dataset, seed, replicate)


def train_and_test(
    cells: Sequence[Cell],
    data_dir: Path,
    compute: Compute = COMPUTE,
    after_epoch: Callable[[int], None] = lambda _: None,
    metrics: Mapping[str, str] | None = None,
) -> Iterator[tuple[Record, Beside | None]]:
    """Run cells that share one training; a cell that fails yields a failed record.

    Args:
        cells: the cells, of one `fit_id`.
        data_dir: the folder of the data sets.
        compute: threads and device.
        after_epoch: called with each evaluated epoch of the training.
        metrics: the metrics to record, name -> digest of its code, from `metrics.recorded`; all
            of our metrics if None.

    Yields:
        Each record as soon as it is known, and its data beside it; None if the cell failed.

    Raises:
        InputError: torch or numba does not take so many threads.

    """
    compute.configure_libraries()
    metrics = recorded(()) if metrics is None else metrics
    done = _result_or_failure(_trained, cells[0], data_dir, compute, after_epoch)
    for cell in cells:
        if isinstance(done, _Failure):
            yield Record.failure(cell, done.error), None
            continue
        found = _result_or_failure(_tested, cell, done, compute, metrics)
        yield (Record.failure(cell, found.error), None) if isinstance(found, _Failure) else found


def try_settings(
    cell: Cell,
    data_dir: Path,
    compute: Compute = COMPUTE,
    after_epoch: Callable[[int], None] = lambda _: None,
) -> Trial:
    """Train with trial settings, and return the best validation; nothing is tested.

    Arguments are those of `train_and_test`, with one cell.

    Raises:
        InputError: torch or numba does not take so many threads.

    """
    compute.configure_libraries()
    done = _result_or_failure(_trained, cell, data_dir, compute, after_epoch)
    if isinstance(done, _Failure):
        return Trial.failure(cell, done.error)
    return Trial.of(
        cell,
        "done",
        validation=max(value for _, value in done.model.history),
        **_measured(done, compute),
    )


@dataclass(frozen=True)
class _Failure:
    """An exception that a call raised."""

    error: BaseException


def _result_or_failure(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | _Failure:
    """Return the result of a call, or its failure, whatever a plugin raises; Ctrl-C passes."""
    try:
        return work(*args, **kwargs)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return _Failure(error)


@dataclass(frozen=True, eq=False)
class _Training:
    """A finished training: the clean split, its training data, the model, and the seconds.

    `redraws_test` says whether replicates have different tests.
    """

    clean: Split
    redraws_test: bool
    data: TrainedOn
    model: Fit
    seconds: Mapping[str, float]


def _trained(
    cell: Cell, data_dir: Path, compute: Compute, after_epoch: Callable[[int], None]
) -> _Training:
    content = cell.dataset, data_dir, cell.fingerprint
    clean, loading = _timed(_prepared, *content, cell.seed, cell.split_of)
    data, perturbing = _timed(trained_on, cell, clean)
    what = data.split, cell.backbone, cell.loss, cell.training, cell.training_seed
    model, fitting = _timed(fit, *what, compute.device, clean, after_epoch)
    seconds = {"load": loading, "perturbation": perturbing, "fit": fitting, **model.seconds}
    redraws = redraws_test(_read(*content), cell.dataset)
    return _Training(clean, redraws, data, model, seconds)


def _timed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """Return the result of a call, and its seconds."""
    started = time.perf_counter()
    return work(*args, **kwargs), time.perf_counter() - started


def _measured(done: _Training, compute: Compute) -> dict[str, Any]:
    """Return the stored fields of any training."""
    return {
        "best_epoch": done.model.best_epoch,
        "history": done.model.history,
        "seconds": dict(done.seconds),
        "peak_memory": peak_memory(),
        "threads": compute.threads,
        "device": compute.device,
    }


def _tested(
    cell: Cell, done: _Training, compute: Compute, metrics: Mapping[str, str]
) -> tuple[Record, Beside]:
    """Test a training for a cell."""
    made, perturbing = done.data.made, done.seconds["perturbation"]
    if cell.perturbation.acts_through == "test":
        made, perturbing = _timed(perturb, cell.perturbation, done.clean, cell.perturbation_rng())
    model, clean = done.model, done.clean
    what = model.users, model.items, made.test, done.data.masked, cell.ks, metrics
    ranking, evaluating = _timed(evaluate, *what, made.test_weights)
    kept = _measured(done, compute)
    kept["seconds"] |= {"perturbation": perturbing, "evaluation": evaluating}
    left_out = _left_out(cell, clean, done.data.split)
    n_left_out = {"left_out": left_out.size} if left_out.size else {}
    record = Record.of(
        cell,
        "done",
        metrics=ranking.means,
        metric_code=dict(metrics),
        users={"evaluated": int(ranking.users.size), "all": clean.n_users} | n_left_out,
        left_out=tuple(str(user) for user in left_out[:LEFT_OUT_NAMED]),
        realised=_realised(cell.perturbation, done.data.met, made),
        drawn=_drawn(cell, done.redraws_test),
        capped=len(model.history) > 1 and model.best_epoch > (1 - LAST) * cell.training.epochs,
        diagnostics=dict(model.diagnostics).get(model.best_epoch, {}),
        diagnostics_history=model.diagnostics,
        **kept,
    )
    return record, _user_values(ranking, clean, made)


def _left_out(cell: Cell, clean: Split, split: Split) -> NDArray[Any]:
    """Return the original ids (n,) of users left out of training: they had no negative."""
    if not cell.backbone.learns:
        return np.empty(0, dtype=np.int64)
    full, before = (one.train.user_counts == one.n_items for one in (split, clean))
    users = np.flatnonzero(full & ~before)
    return users if clean.user_ids is None else clean.user_ids[users]


def _drawn(cell: Cell, redraws_test: bool) -> Drawn:
    """Return the part that the replicate of a cell drew: split, validation or training."""
    if cell.replicates_vary == "training":
        return "training"
    return "split" if redraws_test else "validation"


def _realised(perturbation: Perturbation, met: Split, made: Split) -> dict[str, float]:
    realised = {key: float(value) for key, value in perturbation.realised(met, made).items()}
    for key, value in realised.items():
        if not np.isfinite(value):
            raise ValueError(f"{type(perturbation).__name__}.realised gave {key} = {value}")
    return realised


def _user_values(ranking: Ranking, clean: Split, tested: Split) -> Beside:
    """Return the values of each user, under original ids."""
    user_ids, item_ids = (
        np.arange(n) if ids is None else ids
        for n, ids in ((clean.n_users, clean.user_ids), (clean.n_items, clean.item_ids))
    )
    users = user_ids[ranking.users]
    weight = {} if tested.test_weights is None else {WEIGHT: ranking.user_weights}
    values = {**ranking.per_user, **weight}
    per_user = {name: of_users.astype(np.float16) for name, of_users in values.items()}
    is_whole = len(tested.test) == len(clean.test)
    places = ranking.recommended[:, :LENGTH]
    return Beside(users, per_user, Lists.of(users, places, item_ids) if is_whole else None)
