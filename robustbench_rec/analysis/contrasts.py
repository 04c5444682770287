"""Contrasts: one loss of a run against every other, or against itself in another run.

Differences are paired by user and replicate, and have verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from robustbench_rec.analysis.asked import label_asked
from robustbench_rec.analysis.estimate import Estimate
from robustbench_rec.analysis.intervals import interval_text, replicates_on
from robustbench_rec.analysis.marks import joined
from robustbench_rec.analysis.measures import MEASURES, Curve, Levels, measured
from robustbench_rec.analysis.panels import KEY, PANEL, Panel, panels_of
from robustbench_rec.analysis.points import of_suite
from robustbench_rec.analysis.verdicts import REGION, judged
from robustbench_rec.errors import InputError
from robustbench_rec.records.merge import refuse_other_data, refuse_other_suites
from robustbench_rec.records.run import Run

CONTRAST = [
    *PANEL,
    *("loss", "quantity", "level", "against", "pairs"),
    *("difference", "low", "high", "relative", "interval"),
    *("region", "p", "p_equivalent", "equal_within", "verdict", "decides", "flags"),
]


class Contrast(NamedTuple):
    """A difference of two losses, its quantity, and the scale of its region of equivalence."""

    row: dict[str, Any]
    difference: Estimate
    scale: float


def contrasts(results: Run | pd.DataFrame, against: str, region: float = REGION) -> pd.DataFrame:
    """Compare every other loss with one: by value, and by retention.

    In a replicate all losses have the same data, initial embeddings and test users, so differences
    are paired by user and replicate. All rows are one family; see `verdicts`. Intervals are not
    adjusted for the family.

    Args:
        results: as `degradation.curves` takes them; of one suite.
        against: the label of the reference loss, or an unambiguous part of it: `softmax`,
            `psl(activation=relu)`.
        region: differences below this share of the reference's clean value count as none.

    Returns:
        One row for each (dataset, backbone, perturbation, unit, metric), other trained loss and
        quantity: `value` at the lowest and the highest level of the panel, and `kept`, the mean
        retention up to that level. Level 0 has one row for all perturbations that share it, with
        perturbation "". `difference` is loss minus `against`, over `pairs` replicates, in
        [`low`, `high`], which `interval` describes; `relative` is its share of the clean value of
        `against`; `region` is the argument. `p`, `p_equivalent`, `equal_within`, `verdict` and
        `decides` are those of `verdicts.Verdict`. `flags` are the flags of any cell of the two
        losses in the quantity. Replicates without the needed values are left out, and so are
        quantities without replicates or not defined, such as shares of a value that may be 0.

    Raises:
        InputError: `against` matches no loss or several, or has no replicate in common with
            another loss; `region` is not a share; as `degradation.curves`.

    """
    if not 0 <= region <= 1:
        raise InputError(f"region is {region:g}; it must be a share, in [0, 1]")
    panels = [panel for panel in panels_of(results) if not panel.is_baseline]
    losses = list(dict.fromkeys(loss for panel in panels for loss in panel.losses))
    loss = label_asked("loss", against, losses, results)
    found = list(_once(one for panel in panels for one in _of_panel(panel, loss)))
    if not found:
        raise InputError(f"no other loss was run where loss {loss} was, at any level")
    table, frame = _judged(found, region), of_suite(results)
    return _completed(table.assign(against=loss), frame, _flags(table, frame, [loss]))


def contrasts_of_runs(run: Run, other: Run, region: float = REGION) -> pd.DataFrame:
    """Compare each loss of a run with itself in another run: by value, and by retention.

    The runs have the same data and splits, and differ in the question of interest: tuning, the
    pairs that chose epochs, or the length of training.

    Args:
        run: the run.
        other: the other run, of a suite with the same seed.
        region: as for `contrasts`.

    Returns:
        As `contrasts` does; `against` is the folder of the other run.

    Raises:
        InputError: the runs have no cells in common, or differ in seed, data, averaging, in
            `replicates_vary`, or in whether single users are known; as `contrasts`.

    """
    if not 0 <= region <= 1:
        raise InputError(f"region is {region:g}; it must be a share, in [0, 1]")
    refuse_other_suites(other, run, ("seed", "averaging", "replicates_vary"))
    refuse_other_data([other, run])
    theirs = {tuple(panel.names[name] for name in KEY): panel for panel in panels_of(other)}
    found = list(
        _once(
            one
            for panel in panels_of(run)
            if (its := theirs.get(tuple(panel.names[name] for name in KEY))) and not its.is_baseline
            for one in _of_panels(panel, its)
        )
    )
    if not found:
        raise InputError(f"{run.folder} and {other.folder} have no loss in common at any level")
    table = _judged(found, region).assign(against=f"itself in {other.folder}")
    both = pd.concat([of_suite(one) for one in (run, other)])
    return _completed(table, of_suite(run), _flags(table, both, []))


def _judged(found: Sequence[Contrast], region: float) -> pd.DataFrame:
    """Return the rows of contrasts, with verdicts."""
    told = judged([one.difference for one in found], [one.scale for one in found], region)
    rows = [
        one.row
        | {
            "difference": one.difference.value,
            "low": one.difference.interval.low,
            "high": one.difference.interval.high,
            "relative": one.difference.value / one.scale if one.scale else float("nan"),
            "region": region,
            "p": verdict.p,
            "p_equivalent": verdict.p_equivalent,
            "equal_within": verdict.equal_within,
            "verdict": verdict.word,
            "decides": verdict.decides,
        }
        for one, verdict in zip(found, told, strict=True)
    ]
    return pd.DataFrame(rows)


def _of_panel(panel: Panel, against: str) -> Iterator[Contrast]:
    """Yield the differences of other losses and `against` in a panel."""
    if against in panel.curves:
        its = panel.curves[against]
        others = {loss: (one, its) for loss, one in panel.curves.items() if loss != against}
        yield from _of_pairs(panel.names, others, panel.levels)


def _of_panels(panel: Panel, other: Panel) -> Iterator[Contrast]:
    """Yield the differences of losses between two panels, at the levels that both have."""
    shared = {
        loss: (one, other.curves[loss])
        for loss, one in panel.curves.items()
        if loss in other.curves
    }
    levels = tuple(level for level in panel.levels if level in other.levels)
    yield from _of_pairs(panel.names, shared, levels)


def _of_pairs(
    names: Mapping[str, Any], pairs: Mapping[str, tuple[Curve, Curve]], levels: Levels
) -> Iterator[Contrast]:
    """Yield the differences of each pair of curves."""
    quantities: list[tuple[str, Levels]] = [("value", levels[:1])] if levels else []
    if len(levels) > 1:
        quantities += [("value", levels[-1:]), ("kept", levels)]
    for quantity, at in quantities:
        for loss, pair in pairs.items():
            both = measured(MEASURES[quantity], pair, at)
            if both is None or any(np.isnan(one.value) for one in both):
                continue
            mine, its = both
            clean = pair[1].values.get(0.0)
            scale = clean.estimate(clean.replicates).value if clean else its.value
            if mine.n_users != its.n_users:
                raise InputError(
                    f"only one of the runs has the values of single users for loss {loss}"
                )
            row = {**names, "loss": loss, "quantity": quantity, "level": at[-1]}
            row |= {"pairs": mine.n_replicates, "users": mine.n_users > 1}
            yield Contrast(row, mine - its, 1.0 if quantity == "kept" else scale)


def _once(found: Iterator[Contrast]) -> Iterator[Contrast]:
    """Yield the difference at level 0 once for all perturbations that share it."""
    seen = set()
    for one in found:
        row = one.row
        if row["quantity"] != "value" or row["level"] != 0:
            yield one
            continue
        place = *(row[name] for name in ("dataset", "backbone", "metric", "loss")), row["pairs"]
        if (*place, one.difference.value) not in seen:
            seen.add((*place, one.difference.value))
            yield one._replace(row=row | {"perturbation": "", "unit": ""})


def _completed(found: pd.DataFrame, frame: pd.DataFrame, flags: list[str]) -> pd.DataFrame:
    """Add flags, and descriptions of intervals."""
    told = zip(found["pairs"], replicates_on(found["dataset"], frame), found["users"], strict=True)
    found["interval"] = [interval_text(n, called=called, users=users) for n, called, users in told]
    found["flags"] = flags
    return found[CONTRAST]


def _flags(found: pd.DataFrame, frame: pd.DataFrame, others: Sequence[str]) -> list[str]:
    """Return the flags of the cells behind each row, of its loss and of the other."""
    cells = frame.reindex(columns=[*KEY, "loss", "level", "flags"], fill_value="")
    cells = pd.concat([cells, cells[cells["level"] == 0].assign(perturbation="")])
    of_curve = cells.groupby([*KEY, "loss"])["flags"].agg(joined)
    of_level = cells.groupby([*KEY, "loss", "level"])["flags"].agg(joined)
    told = []
    for row in found.to_dict("records"):
        curves = [(*(row[name] for name in KEY), loss) for loss in (row["loss"], *others)]
        if row["quantity"] == "kept":
            told.append(joined(of_curve[curve] for curve in curves))
        else:
            told.append(joined(of_level[(*curve, row["level"])] for curve in curves))
    return told
