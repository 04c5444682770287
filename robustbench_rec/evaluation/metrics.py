"""Metrics by name@k: parsed, printed, and computed for the lists of a model; pure numpy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from robustbench_rec.components.metric import METRICS, FloatArray, ListMetric, Metric, Ranks
from robustbench_rec.components.registry import code_of
from robustbench_rec.errors import InputError, counted, is_interrupt, one_line
from robustbench_rec.evaluation.overlap import OVERLAPS
from robustbench_rec.interactions import IntArray

Averaging = Literal["test-users", "all-users"]


def parse(metric: str) -> tuple[str, int]:
    """Read "ndcg@20" as ("ndcg", 20).

    Raises:
        InputError: not of the form name@k with k a whole number from 1, an unknown name, or a
            metric that cannot be made without settings.

    """
    name, k = _name_and_k(metric)
    METRICS.build({"name": name})
    return name, k


def _name_and_k(metric: str) -> tuple[str, int]:
    match = re.fullmatch(r"([^@]*)@([1-9][0-9]{0,8})", metric, flags=re.ASCII)
    if match is None:
        raise InputError(f"metric {metric!r} must have the form name@k, such as ndcg@20")
    return match[1], int(match[2])


def is_per_user(metric: str) -> bool:
    """Say whether `name@k` has a value for each user, 0 for users without test items.

    Coverage and the agreement of lists have not. Unknown metrics, of plugins that are not loaded,
    are assumed to have one.
    """
    name, _ = _name_and_k(metric)
    return METRICS[name].per_user if name in METRICS else name not in OVERLAPS


def defined_under_weights(name: str) -> bool:
    """Say whether a metric, without its k, is defined for weighted test pairs.

    A metric of users is if it is additive; a metric of all lists is, because it uses no test pairs.
    """
    kind = METRICS[name]
    return kind.additive or not kind.per_user


def label(metric: str) -> str:
    """Print a metric as in figures: "ndcg@20" as "NDCG@20"; unknown metrics do not change."""
    name, k = _name_and_k(metric)
    known = METRICS[name] if name in METRICS else OVERLAPS.get(name)
    return f"{(known.symbol if known else '') or name}@{k}"


def recorded(asked: Iterable[str]) -> dict[str, str]:
    """Return the metrics that a cell records for a suite's `name@k`: name -> digest of its code.

    These are all of our metrics, and the plugins' metrics in the suite: a plugin's metric that is
    not in the suite must not make cells fail.

    Raises:
        InputError: as `parse`.

    """
    return codes_of(dict.fromkeys([*METRICS.ours, *(parse(metric)[0] for metric in asked)]))


def codes_of(names: Iterable[str]) -> dict[str, str]:
    """Return name -> digest of today's code, for metrics."""
    classes: dict[str, Any] = {name: METRICS[name] for name in names}
    return {name: code_of(cls) for name, cls in classes.items()}


def up_to_date(
    metric: str, held: Mapping[str, float], code: Mapping[str, str], codes: Mapping[str, str]
) -> bool:
    """Say whether a finished cell has `name@k` by today's code.

    Args:
        metric: `name@k`.
        held: its values, by `name@k`.
        code: name -> digest of the code that computed them.
        codes: name -> digest, from `recorded`.

    """
    name, _ = _name_and_k(metric)
    return metric in held and code.get(name) == codes[name]


def try_out(asked: Iterable[str]) -> None:
    """Compute the plugins' metrics among some `name@k` for five made-up users.

    So a metric that fails is reported before anything runs.

    Raises:
        InputError: as `parse`, or as `user_values` and `list_values` raise ValueError.

    """
    metrics = [parse(metric) for metric in asked]
    names = [name for name, _ in metrics if name not in METRICS.ours]
    found = Ranks.of(np.tri(5, k=-1, dtype=np.bool_), [2, 3, 3, 5, 9])
    try:
        for k in {k for _, k in metrics}:
            user_values(found, [k], names)
            list_values(np.arange(25).reshape(5, 5), np.arange(25), [k], names)
    except ValueError as error:
        raise InputError(f"{' '.join(str(error).split())} (five made-up users)") from error


def user_values(
    found: Ranks, ks: Sequence[int], names: Iterable[str], users: IntArray | None = None
) -> dict[str, FloatArray]:
    """Compute the metrics with a value for each user.

    Args:
        found: ranks of the test items.
        ks: cut-offs, each >= 1.
        names: names of metrics; metrics of lists are ignored.
        users: (U,) ids of users, for messages; positions if None.

    Returns:
        "name@k" -> (U,) float64, finite.

    Raises:
        ValueError: a cut-off below 1, or a metric that fails, or returns another number of values,
            or something else than finite numbers; the message names the metric.

    """
    _check_cutoffs(ks)
    metrics = [metric for metric in _built(names) if isinstance(metric, Metric)]
    called = np.arange(found.n_users) if users is None else users
    return {
        f"{metric.name}@{k}": _of_users(metric, _called(metric, found, k), called, k)
        for k in ks
        for metric in metrics
    }


def list_values(
    recommended: IntArray, item_counts: IntArray, ks: Sequence[int], names: Iterable[str]
) -> dict[str, float]:
    """Compute the metrics of the lists of all users together.

    Args:
        recommended: (U, K) int item ids in rank order; a negative id is an empty place, and a list
            shorter than k ends there.
        item_counts: (I,) training pairs of each item.
        ks: cut-offs, each >= 1.
        names: names of metrics; metrics of users are ignored.

    Returns:
        "name@k" -> value.

    Raises:
        ValueError: ids outside the catalogue, nothing recommended, a cut-off below 1, or a metric
            that fails or returns no finite number; the message names the metric.

    """
    _check_cutoffs(ks)
    metrics = [metric for metric in _built(names) if isinstance(metric, ListMetric)]
    return {
        f"{metric.name}@{k}": _of_lists(metric, _called(metric, recommended, item_counts, k))
        for k in ks
        for metric in metrics
    }


def _check_cutoffs(ks: Sequence[int]) -> None:
    if not ks or min(ks) < 1:
        raise ValueError(f"cut-offs are {list(ks)}; give at least one, each at least 1")


def _built(names: Iterable[str]) -> list[Metric | ListMetric]:
    return [METRICS.build({"name": name}) for name in names]


def _called(metric: Metric | ListMetric, *arguments: Any) -> Any:
    """Call a metric; divisions by 0 are reported by the check of its result."""
    try:
        with np.errstate(all="ignore"):
            return metric(*arguments)
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ValueError(f"metric {metric.name!r} failed: {one_line(error)}") from error


def _of_users(metric: Metric, returned: Any, users: IntArray, k: int) -> FloatArray:
    """Return the result of a metric, checked: (U,) float64."""
    values = _numbers(metric, returned, f"{users.size} numbers, one a user")
    if values.shape != users.shape:
        shape = values.size if values.ndim == 1 else f"an array {values.shape} of"
        raise ValueError(f"metric {metric.name!r} returned {shape} values for {users.size} users")
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        more = int(np.sum(~finite)) - 1
        others = f" and {counted(more, 'other')}" if more else ""
        raise ValueError(
            f"metric {metric.name!r} returned {_printed(values[at])} for user {users[at]}{others} "
            f"at k = {k}; it must return finite numbers"
        )
    return values


def _of_lists(metric: ListMetric, returned: Any) -> float:
    value = _numbers(metric, returned, "one number")
    if value.shape != ():
        raise ValueError(f"metric {metric.name!r} returned {value.size} values for all lists")
    if not np.isfinite(value):
        raise ValueError(
            f"metric {metric.name!r} returned {_printed(float(value))} for the lists of all users; "
            "it must return a finite number"
        )
    return float(value)


def _numbers(metric: Metric | ListMetric, returned: Any, wanted: str) -> FloatArray:
    try:
        values = np.asarray(returned)
    except ValueError:  # lists of several lengths
        values = np.asarray(None)
    if values.dtype.kind not in "biuf":
        found = f"{type(returned).__name__} of {values.dtype}" if values.ndim else repr(returned)
        raise ValueError(f"metric {metric.name!r} returned {found}; it must return {wanted}")
    return values.astype(np.float64, copy=False)


def _printed(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:g}"
