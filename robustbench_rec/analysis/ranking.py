"""Ranking: losses from most to least robust, and the groups that do not differ significantly."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from robustbench_rec.analysis.asked import label_asked, labels_asked
from robustbench_rec.analysis.estimate import Estimate
from robustbench_rec.analysis.intervals import interval_text, replicates_on
from robustbench_rec.analysis.marks import NOT_APPLICABLE, joined
from robustbench_rec.analysis.measures import MEASURES, Curve, Known, Levels, Measure, measured
from robustbench_rec.analysis.panels import KEY, PANEL, Panel, panels_of
from robustbench_rec.analysis.points import of_suite
from robustbench_rec.analysis.verdicts import ALPHA, holm, p_different
from robustbench_rec.errors import InputError, nearest
from robustbench_rec.records.run import Run

SHOWN = ("value", "retention", "excess", "jaccard", "rbo")
"""Measures of the hardest level, printed beside the score."""
NO_CELLS: dict[str, Any] = {"top": False, "beaten_by": (), "replicates": 0, "users": False}
"""Text for a loss that is not applicable."""
RANKED = [
    *PANEL,
    *("place", "loss", "top", "beaten_by", "by", "score", "low", "high"),
    "level",
    *(name + end for name in SHOWN for end in ("", "_low", "_high")),
    "random_retention",
    *("replicates", "interval", "family", "flags"),
]


class Pair(NamedTuple):
    """A pair of losses, the difference in a measure, and its p value, not adjusted."""

    one: str
    other: str
    difference: float
    p: float


class Judged(NamedTuple):
    """A panel by one measure: its pairs, and its rows without those who beat each loss."""

    panel: Panel
    pairs: list[Pair]
    rows: list[dict[str, Any]]


def rank(
    results: Run | pd.DataFrame,
    by: str = "kept",
    perturbation: str | None = None,
    metric: str | None = None,
    reference: str | None = None,
) -> pd.DataFrame:
    """Rank the losses of each panel with several levels, and find the top group.

    A loss is in the top group unless another loss beats it: their difference, paired by user and
    replicate, has a p value of at most 5%, adjusted by Holm over all pairs of all returned panels.
    Losses in the top group are not proven equal.

    Args:
        results: as for `degradation.curves`; of one suite.
        by: the name of a measure, see `measures.MEASURES`.
        perturbation: the label of a perturbation, or an unambiguous part of it; all if None.
        metric: a metric of the suite; the first if None.
        reference: the label of the reference loss of `relative_error`, or an unambiguous part.

    Returns:
        One row per loss, the most robust of each panel first: the panel's names, `place`, `loss`,
        `top` (whether it is in the top group), `beaten_by` (losses that beat it), `by`, `score`,
        `low`, `high` (the measure up to the hardest `level` with its 95% interval), each of `SHOWN`
        at that level with its interval (for `jaccard` and `rbo` over replicates alone),
        `random_retention` (retention of the random baseline there), `replicates` (their number),
        `interval` (description of the score's interval), `family` (number of tested pairs),
        `flags`; then the metric at each level, as `at 0.5`, NaN if a panel lacks the level. Losses
        without the values that the measure needs come last, without place and score, and so do
        losses that are not applicable, which their `flags` say.

    Raises:
        InputError: an unknown measure, perturbation, metric or reference; no panel with several
            levels; as `degradation.curves`.

    """
    measure = _measure(by)
    panels = _panels(results, perturbation, metric)
    relative = "reference" in measure.beside
    if reference is not None and not relative:
        raise InputError(f"a reference does not apply to {by}, only to relative_error")
    if relative:
        if reference is None:
            raise InputError(f"{by} needs a reference loss: --reference LOSS")
        losses = list(dict.fromkeys(loss for one in panels for loss in one.losses))
        against = label_asked("loss", reference, losses, results)
        panels = [_with_reference(one, against) for one in panels]
    return _ranked(results, panels, [measure])[measure.name]


def rank_all(results: Run | pd.DataFrame, by: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rankings of each metric by several measures, in about the time of one.

    Args:
        results: as for `rank`.
        by: names of measures, except `relative_error`.

    Yields:
        What `rank` returns for each metric of the suite and each measure; a metric in which nothing
        can be ranked has none. Each measure of each metric is a family of tests of its own.

    """
    measures = [_measure(one) for one in by]
    panels = panels_of(results, with_lists=True)
    for metric in dict.fromkeys(one.names["metric"] for one in panels):
        if its := [one for one in panels if _is_ranked(one, metric)]:
            yield from _ranked(results, its, measures).values()


def _measure(by: str) -> Measure:
    if by not in MEASURES:
        known = ", ".join(MEASURES)
        raise InputError(f"no measure named {by!r}{nearest(by, MEASURES)} (known: {known})")
    return MEASURES[by]


def _ranked(
    results: Run | pd.DataFrame, panels: Sequence[Panel], measures: Sequence[Measure]
) -> dict[str, pd.DataFrame]:
    """Return the ranking of panels by each measure."""
    judged: dict[str, list[Judged]] = {}
    for panel in panels:
        known = Known()  # of one panel at a time, as it holds the influence of each user
        for measure in measures:
            pairs, rows = _pairs(panel, measure, known), _rows(panel, measure, known)
            judged.setdefault(measure.name, []).append(Judged(panel, list(pairs), list(rows)))
    apart = results.manifest.not_applicable if isinstance(results, Run) else ()
    frame = of_suite(results)
    return {by: _table(its, MEASURES[by], apart, frame) for by, its in judged.items()}


def _table(
    judged: Sequence[Judged],
    measure: Measure,
    apart: Sequence[tuple[str, str]],
    frame: pd.DataFrame,
) -> pd.DataFrame:
    """Return the ranking by a measure; its pairs are one family of tests."""
    rows: list[dict[str, Any]] = []
    for one, losers in zip(judged, _beaten(judged, measure), strict=True):
        names, hardest = one.panel.names, one.panel.levels[-1]
        rows += [row | _standing(row, losers) for row in one.rows]
        rows += [
            names | {"loss": loss, "by": measure.name, "level": hardest} | NO_CELLS
            for loss, under in apart
            if under == names["perturbation"]
        ]
    family = sum(len(one.pairs) for one in judged)
    return _completed(pd.DataFrame(rows).assign(family=family), frame)


def _panels(
    results: Run | pd.DataFrame, perturbation: str | None, metric: str | None
) -> list[Panel]:
    """Return the panels to rank."""
    named = results.manifest.metrics if isinstance(results, Run) else results["metric"].unique()
    metric = _metric([str(one) for one in named], metric)
    panels = [one for one in panels_of(results, with_lists=True) if _is_ranked(one, metric)]
    if not panels:
        raise InputError(
            f"nothing to rank: no perturbation has level 0 and a higher level, in {metric}"
        )
    if perturbation is None:
        return panels
    ran = list(dict.fromkeys(one.names["perturbation"] for one in panels))
    wanted = labels_asked("perturbation", perturbation, ran, results)
    return [one for one in panels if one.names["perturbation"] in wanted]


def _metric(held: Sequence[str], asked: str | None) -> str:
    """Return the selected metric; by default the first."""
    if asked in held or (asked is None and held):
        return asked or held[0]
    known = ", ".join(held) or "none"
    raise InputError(f"no metric {asked!r} here{nearest(str(asked), held)} (known: {known})")


def _with_reference(panel: Panel, reference: str) -> Panel:
    """Add the values of a reference loss to each curve; empty if it was not run."""
    held = panel.curves.get(reference, Curve({})).values
    curves = {loss: replace(one, reference=held) for loss, one in panel.curves.items()}
    return replace(panel, curves=curves)


def _is_ranked(panel: Panel, metric: str) -> bool:
    levels = panel.levels
    several = len(levels) > 1 and levels[0] == 0
    return several and not panel.is_baseline and panel.names["metric"] == metric


def _beaten(judged: Sequence[Judged], measure: Measure) -> list[dict[str, list[str]]]:
    """Return, for each panel, the losses that beat each loss; all pairs are one family."""
    adjusted = iter(holm([pair.p for one in judged for pair in one.pairs]).tolist())
    found: list[dict[str, list[str]]] = []
    for its in judged:
        beaten: dict[str, list[str]] = {}
        for one, other, difference, _ in its.pairs:
            if next(adjusted) <= ALPHA and difference:
                first = measure.sign * difference > 0
                better, worse = (one, other) if first else (other, one)
                beaten.setdefault(worse, []).append(better)
        found.append(beaten)
    return found


def _pairs(panel: Panel, measure: Measure, known: Known) -> Iterator[Pair]:
    """Yield each pair of losses, their difference in a measure, and its p value."""
    for one, other in combinations(panel.losses, 2):
        both = measured(measure, [panel.curves[one], panel.curves[other]], panel.levels, known)
        if both is not None and not any(np.isnan(found.value) for found in both):
            difference = both[0] - both[1]
            yield Pair(one, other, difference.value, p_different(difference))


def _rows(panel: Panel, measure: Measure, known: Known) -> Iterator[dict[str, Any]]:
    """Yield the rows of a panel, the best first, then those without a score."""
    scores = {
        loss: _alone(measure, panel.curves[loss], panel.levels, known) for loss in panel.losses
    }
    order = sorted(panel.losses, key=lambda loss: (_rank_of(scores[loss], measure), loss))
    for place, loss in enumerate(order, 1):
        score, curve = scores[loss], panel.curves[loss]
        scored = score is not None and score.value == score.value
        row = panel.names | {"loss": loss, "by": measure.name, "level": panel.levels[-1]}
        row |= {"place": place if scored else None}
        row |= _ends(score, ("score", "low", "high"))
        for name in SHOWN:
            one = _alone(MEASURES[name], curve, panel.levels[-1:], known)
            row |= _ends(one, (name, f"{name}_low", f"{name}_high"))
        random = _alone(MEASURES["retention"], Curve(curve.random), panel.levels[-1:])
        row |= {"random_retention": random.value if random else None}
        row |= {"replicates": score.n_replicates if score else 0}
        row |= {"users": score is not None and score.n_users > 1}
        for level in panel.levels:
            at = _alone(MEASURES["value"], curve, (level,), known)
            row |= {level_column(level): None if at is None else at.value}
        yield row


def _standing(row: dict[str, Any], beaten: dict[str, list[str]]) -> dict[str, Any]:
    """Return whether a loss is in the top group of its panel, and the losses that beat it."""
    losers = tuple(beaten.get(row["loss"], ()))
    return {"top": row["place"] is not None and not losers, "beaten_by": losers}


def is_tested(rows: pd.DataFrame) -> bool:
    """Say whether the losses of a panel were tested against each other.

    Without intervals they could not be; and a loss alone is compared with nothing.
    """
    return bool(rows["low"].notna().any() and rows["place"].notna().sum() > 1)


def not_separable(
    losses: Sequence[str], beaten_by: Sequence[Collection[str]]
) -> list[tuple[int, ...]]:
    """Return the largest groups of losses in which no loss beats another; each as positions.

    Two losses share a group if and only if neither beats the other. A group need not be a run of
    neighbours: a loss with a wide interval may be beaten by none, and one before it by some.

    Args:
        losses: the losses of a panel, in the order of their places, from either end.
        beaten_by: of each, the losses that beat it.

    """
    beaten = dict(zip(losses, beaten_by, strict=True))
    alike = {
        at: {
            other
            for other, name in enumerate(losses)
            if other != at and name not in beaten[loss] and loss not in beaten[name]
        }
        for at, loss in enumerate(losses)
    }

    def grown(group: set[int], may: set[int], had: set[int]) -> Iterator[tuple[int, ...]]:
        """Yield the largest groups with `group`, of `may`, none with `had` (Bron, Kerbosch)."""
        if not may and not had and len(group) > 1:
            yield tuple(sorted(group))
        for at in sorted(may):
            yield from grown(group | {at}, may & alike[at], had & alike[at])
            may, had = may - {at}, had | {at}

    return sorted(grown(set(), set(range(len(losses))), set()))


def level_column(level: float) -> str:
    """Return the name of the column with values at a level."""
    return f"at {level:g}"


def _alone(
    measure: Measure, curve: Curve, levels: Levels, known: Known | None = None
) -> Estimate | None:
    found = measured(measure, [curve], levels, known)
    return found[0] if found else None


def _rank_of(score: Estimate | None, measure: Measure) -> float:
    known = score is not None and score.value == score.value
    return -measure.sign * score.value if score and known else float("inf")


def _ends(estimate: Estimate | None, names: tuple[str, str, str]) -> dict[str, float | None]:
    if estimate is None:
        return dict.fromkeys(names)
    return dict(zip(names, (estimate.value, *estimate.interval), strict=True))


def _completed(found: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Add descriptions of intervals, and flags."""
    called = replicates_on(found["dataset"], frame)
    told = zip(found["replicates"], called, found["users"], strict=True)
    found["interval"] = [interval_text(n, called=called, users=users) for n, called, users in told]
    cells = frame.reindex(columns=[*KEY, "loss", "flags"], fill_value="")
    flags = cells.groupby([*KEY, "loss"])["flags"].agg(joined)
    found["flags"] = [
        flags.get(key, NOT_APPLICABLE)
        for key in found[[*KEY, "loss"]].itertuples(index=False, name=None)
    ]
    levels = sorted(set(frame["level"]))
    columns = [name for name in map(level_column, levels) if name in found]
    return found.reindex(columns=[*RANKED, *columns])


def told(ranked: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each panel of `rank`: the most robust loss, and how clearly."""
    for _, panel in ranked.groupby(PANEL, sort=False, dropna=False):
        dataset, backbone, perturbation, metric = panel[KEY].iloc[0]
        scored = panel[panel["place"].notna()]
        where = f"{perturbation} on {dataset}, {backbone}"
        if scored.empty:
            yield f"Under {where}, no loss has a score."
            continue
        first = scored.iloc[0]
        others = scored.loc[scored["top"], "loss"].drop(first.name, errors="ignore").tolist()
        says = f"Under {where} {first['loss']} comes first by {first['by']} of {metric}"
        says += f" ({_shown(first['score'], first['low'], first['high'])})"
        if first["beaten_by"]:
            says += f"; where both were run {_and(first['beaten_by'])} beats it"
        elif len(scored) > 1 and not is_tested(scored):
            says += "; without intervals nothing is tested"
        elif others:
            does = "does" if len(others) == 1 else "do"
            says += f"; {_and(others)} {does} not differ significantly"
        elif len(scored) > 1:
            says += "; every other loss is beaten by some loss"
        yield f"{says}. {disagreement(scored)}".rstrip()


def _shown(value: float, low: float | None, high: float | None) -> str:
    known = low is not None and low == low
    return f"{value:.3f}" + (f" [{low:.3f}, {high:.3f}]" if known else ", no interval")


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def disagreement(scored: pd.DataFrame) -> str:
    """Say where retention and excess at the hardest level have different winners."""
    both = [scored.dropna(subset=name) for name in ("retention", "excess")]
    if any(rows.empty for rows in both):
        return ""
    keeps = both[0].sort_values("retention", kind="stable")["loss"].iloc[-1]
    leads = both[1].sort_values("excess", kind="stable")["loss"].iloc[-1]
    if keeps == leads:
        return ""
    random = scored["random_retention"].iloc[0]
    known = f": the random baseline keeps {random:.2f}" if pd.notna(random) else ""
    return (
        f"At level {scored['level'].iloc[0]:g} {keeps} retains the most of its own value, which "
        f"rewards whatever has little to lose{known}; {leads} retains the most of its lead over "
        "popularity, which rewards a lead that stays."
    )
