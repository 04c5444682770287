"""Execution: one training and the cells that share it, or one trial that tunes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.perturbation import Perturbation, perturb
from robustbench_rec.data.preparation import load
from robustbench_rec.evaluation.metrics import recorded
from robustbench_rec.evaluation.ranking import Ranking, evaluate
from robustbench_rec.experiment.cell import Cell
from robustbench_rec.interactions import Split
from robustbench_rec.records.record import Record, Trial
from robustbench_rec.running.compute import COMPUTE, Compute
from robustbench_rec.running.noisy_validation import trial_split
from robustbench_rec.training.fit import Fit, fit

PerUser = dict[str, NDArray[Any]]
P = ParamSpec("P")
T = TypeVar("T")


@functools.lru_cache(maxsize=2)
def _loaded(dataset: Dataset, data_dir: Path, seed: int) -> Split:
    """Load and prepare a data set once a worker, not once a cell."""
    return load(dataset, data_dir, seed)


def train_and_test(
    cells: Sequence[Cell],
    data_dir: Path,
    compute: Compute = COMPUTE,
    after_epoch: Callable[[int], None] = lambda _: None,
    metrics: Mapping[str, str] | None = None,
) -> Iterator[tuple[Record, PerUser]]:
    """Run cells that share one training; a cell that fails yields a failed record.

    Args:
        cells: of one `fit_id`.
        data_dir: where data sets lie.
        compute: threads and device.
        after_epoch: called with each epoch of the training that was evaluated.
        metrics: what to record, name -> digest of its code, as `metrics.recorded` returns it; every
            metric of ours if None.

    Yields:
        Each record as soon as it is known, with the per-user metrics beside it: `users` (U,), each
        metric (U,) float32, and where the test is weighted `weight` (U,) float32 of mean 1, what
        each user counts for in the means.

    Raises:
        InputError: torch or numba does not take so many threads.

    """
    compute.configure_libraries()
    first, metrics = cells[0], recorded(()) if metrics is None else metrics
    try:
        clean, loading = _timed(_loaded, first.dataset, data_dir, first.seed)
        trained_on, perturbing = _timed(_trained_on, first, clean)
        model, fitting = _timed(_fitted, first, trained_on, compute.device, clean, after_epoch)
    except (Exception, SystemExit) as error:
        yield from ((Record.failure(cell, error), {}) for cell in cells)
        return
    for cell in cells:
        try:
            perturbed, seconds = trained_on, perturbing
            if cell.perturbation.stage == "test":
                perturbed, seconds = _timed(_perturbed, cell, clean)
            spent = {"load": loading, "perturbation": seconds, "fit": fitting}
            yield _evaluated(cell, clean, perturbed, model, spent, compute, metrics)
        except (Exception, SystemExit) as error:
            yield Record.failure(cell, error), {}


def try_settings(
    cell: Cell,
    data_dir: Path,
    compute: Compute = COMPUTE,
    after_epoch: Callable[[int], None] = lambda _: None,
) -> Trial:
    """Train under settings that are tried, and keep the best validation; the test is not met.

    Arguments are those of `train_and_test`, with one cell.

    Raises:
        InputError: torch or numba does not take so many threads.

    """
    compute.configure_libraries()
    try:
        clean, loading = _timed(_loaded, cell.dataset, data_dir, cell.seed)
        split, perturbing = _timed(trial_split, cell, clean)
        model, fitting = _timed(_fitted, cell, split, compute.device, split, after_epoch)
    except (Exception, SystemExit) as error:
        return Trial.failure(cell, error)
    return Trial.of(
        cell,
        "done",
        validation=max(value for _, value in model.history),
        best_epoch=model.best_epoch,
        history=model.history,
        seconds={"load": loading, "perturbation": perturbing, "fit": fitting},
        threads=compute.threads,
        device=compute.device,
    )


def _timed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """Return what a call returns, and the seconds it took."""
    started = time.perf_counter()
    return work(*args, **kwargs), time.perf_counter() - started


def _trained_on(cell: Cell, clean: Split) -> Split:
    return clean if cell.perturbation.stage == "test" else _perturbed(cell, clean)


def _fitted(
    cell: Cell, split: Split, device: str, clean: Split, after_epoch: Callable[[int], None]
) -> Fit:
    how = cell.training, cell.training_seed
    return fit(split, cell.backbone, cell.loss, *how, device, clean, after_epoch)


def _perturbed(cell: Cell, clean: Split) -> Split:
    return perturb(cell.perturbation, clean, cell.perturbation_rng())


def _evaluated(
    cell: Cell,
    clean: Split,
    perturbed: Split,
    model: Fit,
    spent: Mapping[str, float],
    compute: Compute,
    metrics: Mapping[str, str],
) -> tuple[Record, PerUser]:
    ranking, evaluating = _timed(
        evaluate,
        model.users,
        model.items,
        perturbed.test,
        clean.seen,
        cell.ks,
        metrics,
        perturbed.test_weights,
    )
    record = Record.of(
        cell,
        "done",
        metrics=ranking.means,
        metric_code=dict(metrics),
        users={"evaluated": int(ranking.users.size), "all": clean.n_users},
        realised=_realised(cell.perturbation, clean, perturbed),
        best_epoch=model.best_epoch,
        history=model.history,
        diagnostics=dict(model.mechanism).get(model.best_epoch, {}),
        diagnostics_history=model.mechanism,
        seconds={**spent, "evaluation": evaluating},
        threads=compute.threads,
        device=compute.device,
    )
    return record, _per_user(ranking, perturbed.test_weights is not None)


def _per_user(ranking: Ranking, is_weighted: bool) -> PerUser:
    """Return the arrays that are kept beside a record, (U,) each."""
    weight = {"weight": ranking.user_weights} if is_weighted else {}
    values = {name: array.astype(np.float32) for name, array in (weight | ranking.per_user).items()}
    return {"users": ranking.users.astype(np.int32), **values}


def _realised(perturbation: Perturbation, clean: Split, perturbed: Split) -> dict[str, float]:
    realised = {key: float(value) for key, value in perturbation.realised(clean, perturbed).items()}
    for key, value in realised.items():
        if not np.isfinite(value):
            raise ValueError(f"{type(perturbation).__name__}.realised gave {key} = {value}")
    return realised
