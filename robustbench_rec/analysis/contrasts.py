"""One loss of a run beside every other: differences within replicates, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from robustbench_rec.analysis.degradation import (
    PANEL,
    T_FROM,
    area,
    interval_text,
    paired,
    replicates_on,
    split_floors,
    summary,
)
from robustbench_rec.analysis.marks import joined
from robustbench_rec.components.labels import nearest_label, one_meant
from robustbench_rec.errors import InputError
from robustbench_rec.records.run import Run

QUANTITY = [*PANEL, "loss", "quantity", "level"]
"""What of a loss is held against another."""
WHERE = [name for name in PANEL if name != "unit"]
"""What tells panels apart; the unit hangs on the perturbation, and may be missing."""
CONTRAST = [
    *QUANTITY,
    "against",
    "pairs",
    "difference",
    "low",
    "high",
    "interval",
    "verdict",
    "flags",
]


def contrasts_of(run: Run, against: str) -> pd.DataFrame:
    """Return `contrasts` of a run, in the metrics that its suite names.

    Raises:
        InputError: a table of the run is not whole; as `contrasts`.

    """
    frame = run.results
    parts = [frame[frame["metric"] == metric] for metric in dict.fromkeys(run.manifest.metrics)]
    return contrasts(pd.concat(parts), against, run.manifest.specs.get("loss", {}))


def contrasts(
    frame: pd.DataFrame, against: str, specs: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Say how much better than one loss the others are, and how much more they keep.

    A replicate gives every loss the same data and the same initial embeddings, so losses differ by
    the mean of their differences within replicates. Its interval is that of `degradation.curves`:
    the range of fewer than 6 replicates, the 95% t interval of more. Intervals are of one
    difference each; among twenty, one leaves out 0 by chance.

    Args:
        frame: as `degradation.curves` takes it; of one suite.
        against: the label of the loss that the others are held against, or as much of it as tells
            it apart: `softmax`, `psl(activation=relu)`.
        specs: label -> full spec, where that is known.

    Returns:
        One row for each (dataset, backbone, perturbation, unit, metric), other trained loss and
        quantity: `value` at the lowest and the highest level of the panel, and `retention`, the
        mean of what is retained up to that level (`degradation.areas`). `difference` is loss less
        `against`, the mean over `pairs` replicates, in [`low`, `high`], which `interval` names.
        The verdict is "higher" or "lower" where a t interval leaves out 0, else "undecided".
        `flags` are those of any cell of the two losses that the quantity is of. A replicate that
        lacks what a quantity needs is left out of it, and a quantity without one.

    Raises:
        InputError: `against` is none of the losses, may mean several, or has no replicate in
            common with another.
        ValueError: as `degradation.curves`.

    """
    trained, _ = split_floors(frame.dropna(subset="value"))
    losses = list(trained["loss"].unique())
    loss = _named(against, losses, specs or {})
    others = [one for one in losses if one != loss]
    panels = trained.groupby(PANEL, sort=False, dropna=False)
    differences = pd.concat([_differences(panel, loss, others) for _, panel in panels])
    if differences.empty:
        raise InputError(f"no other loss was run where loss {loss} was, at any level")
    found = summary(
        differences.groupby(QUANTITY, sort=False, dropna=False)["difference"],
        ["pairs", "difference", "low", "high"],
    ).reset_index()
    found["against"] = loss
    both = zip(found["pairs"], replicates_on(found["dataset"], frame), strict=True)
    found["interval"] = [interval_text(n, called=called) for n, called in both]
    decided = found["pairs"] >= T_FROM
    found["verdict"] = np.select(
        [decided & (found["low"] > 0), decided & (found["high"] < 0)],
        ["higher", "lower"],
        "undecided",
    )
    found["flags"] = _flags(found, trained, loss)
    return found[CONTRAST]


def _flags(found: pd.DataFrame, trained: pd.DataFrame, against: str) -> list[str]:
    """Return what the cells behind each row are marked with, of its loss and of `against`."""
    cells = trained.reindex(columns=[*WHERE, "loss", "level", "flags"], fill_value="")
    of_curve = cells.groupby([*WHERE, "loss"])["flags"].agg(joined)
    of_level = cells.groupby([*WHERE, "loss", "level"])["flags"].agg(joined)
    told = []
    for row in found.to_dict("records"):
        pair = [(*(row[name] for name in WHERE), loss) for loss in (row["loss"], against)]
        if row["quantity"] == "retention":
            told.append(joined(of_curve[curve] for curve in pair))
        else:
            told.append(joined(of_level[(*curve, row["level"])] for curve in pair))
    return told


def _named(asked: str, losses: list[str], specs: Mapping[str, str]) -> str:
    found = one_meant(asked, {specs.get(one, one): one for one in losses})
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"loss {asked!r} may mean {' or '.join(found)}; say which")
    were = ", ".join(losses) or "none"
    raise InputError(
        f"loss {asked!r} was not run{nearest_label(asked, losses)} (these were: {were})"
    )


def _differences(panel: pd.DataFrame, against: str, others: list[str]) -> pd.DataFrame:
    """Return what others have more than `against` in a panel, replicate by replicate."""
    held = {name: panel[name].iloc[0] for name in PANEL}
    parts = []
    for quantity, level, values in _quantities(panel):
        values = values.reindex(index=[against, *others])
        more = (values - values.loc[against]).drop(index=against)
        rows = more.T.melt(ignore_index=False, value_name="difference").dropna().reset_index()
        parts.append(rows.assign(quantity=quantity, level=level, **held))
    return pd.concat(parts)


def _quantities(panel: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """Yield quantity, level, and its values, (losses, replicates)."""
    values = paired(panel)
    levels = np.unique(values["level"])
    for level in np.unique(levels[[0, -1]]):
        at = values[values["level"] == level]
        yield "value", level, at.pivot(index="loss", columns="replicate", values="value")
    kept = values.pivot(index="level", columns=["loss", "replicate"], values="retention")
    areas = pd.Series(area(levels, kept.to_numpy()), index=kept.columns)
    yield "retention", levels[-1], areas.unstack("replicate")
