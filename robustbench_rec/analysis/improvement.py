"""The improvement of losses over one loss, at each level."""

from __future__ import annotations

from typing import Any

import pandas as pd

from robustbench_rec.analysis.asked import label_asked
from robustbench_rec.analysis.intervals import replicates_on
from robustbench_rec.analysis.marks import marked
from robustbench_rec.analysis.measures import MEASURES, measured
from robustbench_rec.analysis.panels import KEY, panels_of
from robustbench_rec.analysis.points import of_suite
from robustbench_rec.errors import InputError
from robustbench_rec.records.run import Run


def improvements(results: Run | pd.DataFrame, against: str) -> pd.DataFrame:
    """Return m / r - 1 at each level, m of a loss and r of the reference loss.

    Args:
        results: as for `degradation.curves`.
        against: the label of the reference loss, or an unambiguous part of it.

    Returns:
        One row for each (dataset, backbone, perturbation, unit, metric), other trained loss and
        level: `n` (the number of common replicates), `mean` with its 95% interval `low`, `high`
        over users and replicates at once, and `users`, `replicates`, `realised` and `flags` as in
        `degradation.curves`. Levels that either loss lacks, or at which r is 0, have no row.

    Raises:
        InputError: `against` matches no loss or several; as `degradation.curves`.

    """
    panels = [panel for panel in panels_of(results) if not panel.is_baseline]
    losses = list(dict.fromkeys(loss for panel in panels for loss in panel.losses))
    reference = label_asked("loss", against, losses, results)
    rows: list[dict[str, Any]] = []
    for panel in panels:
        its = panel.curves.get(reference)
        for loss, curve in panel.curves.items() if its else ():
            for level in panel.levels if loss != reference else ():
                both = measured(MEASURES["value"], [curve, its], (level,)) if its else None
                if both is None or not both[1].value:
                    continue
                share = both[0] / both[1]
                ends = share.interval
                row = panel.names | {"loss": loss, "level": level, "against": reference}
                row |= {"mean": share.value - 1, "low": ends.low - 1, "high": ends.high - 1}
                rows.append(row | {"n": share.n_replicates, "users": share.n_users > 1})
    if not rows:
        raise InputError(f"no other loss was run where loss {reference} was, at any level")
    found, frame = pd.DataFrame(rows), of_suite(results)
    found["replicates"] = replicates_on(found["dataset"], frame)
    return marked(found, frame, [*KEY, "loss", "level"])
