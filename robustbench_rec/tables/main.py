"""The main table: losses by data sets and metrics, a block for each backbone."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_rec.evaluation.metrics import label
from robustbench_rec.records.run import Run
from robustbench_rec.tables.clean import clean_table
from robustbench_rec.tables.kind import Asked, Kind
from robustbench_rec.tables.standing import Standing
from robustbench_rec.tables.table import Table


def tables(run: Run, asked: Asked) -> Sequence[Table]:
    """Return the results of each loss on clean data, in the metrics of the suite."""
    metrics = run.manifest.metrics
    title = f"{run.manifest.suite}: {' and '.join(map(label, metrics))} of each loss"
    return [clean_table(Standing(run), title, metrics, label, asked.ours)]


KIND = Kind(
    "results on clean data: losses x data sets x metrics, a block for each backbone",
    tables,
    frozenset({"ours"}),
)
