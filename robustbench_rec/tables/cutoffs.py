"""The table of one metric at several K."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_rec.errors import InputError, nearest
from robustbench_rec.evaluation.metrics import label
from robustbench_rec.evaluation.overlap import OVERLAPS
from robustbench_rec.records.run import Run
from robustbench_rec.tables.clean import clean_table
from robustbench_rec.tables.kind import Asked, Kind
from robustbench_rec.tables.standing import Standing
from robustbench_rec.tables.table import Table


def tables(run: Run, asked: Asked) -> Sequence[Table]:
    """Return one metric of each loss on clean data, at every K of the run.

    Raises:
        InputError: the run does not have the metric.

    """
    standing = Standing(run)
    held = [str(one) for one in standing.results["metric"].unique()]
    names = [name for name in dict.fromkeys(map(_name, held)) if name not in OVERLAPS]
    wanted = _name(asked.metric or run.manifest.metrics[0])
    if wanted not in names:
        near = nearest(wanted, names)
        raise InputError(f"metric {wanted!r} was not recorded{near} (recorded: {', '.join(names)})")
    metrics = sorted((one for one in held if _name(one) == wanted), key=_k)
    symbol = label(metrics[0]).partition("@")[0]
    title = f"{run.manifest.suite}: {symbol} of each loss at several K"
    if len(metrics) == 1:
        title = f"{run.manifest.suite}: {symbol} of each loss at the only recorded K"
    return [clean_table(standing, title, metrics, lambda one: f"K = {_k(one)}", asked.ours)]


def _name(metric: str) -> str:
    return metric.partition("@")[0]


def _k(metric: str) -> int:
    return int(metric.partition("@")[2])


KIND = Kind("one metric at every recorded K", tables, frozenset({"metric", "ours"}))
