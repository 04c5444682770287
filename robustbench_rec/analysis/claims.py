"""Claims of a run's suite: confirmed, refuted or undecided, and their contradictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from robustbench_rec.analysis.estimate import Estimate
from robustbench_rec.analysis.intervals import interval_text, replicates_on
from robustbench_rec.analysis.marks import joined
from robustbench_rec.analysis.measures import MEASURES, Known, Levels, Measure, measured
from robustbench_rec.analysis.panels import Panel, panels_of
from robustbench_rec.analysis.points import of_suite
from robustbench_rec.analysis.two_way import LEAST
from robustbench_rec.analysis.verdicts import (
    ALPHA,
    REGION,
    holm,
    p_beyond,
    p_different,
    p_equivalent,
    what_decides,
)
from robustbench_rec.components.labels import one_meant
from robustbench_rec.components.settings import shown
from robustbench_rec.errors import InputError
from robustbench_rec.experiment.claim import Claim
from robustbench_rec.records.run import Run

CLAIMED = [
    *("says", "dataset", "backbone", "verdict", "about"),
    *("effect", "low", "high", "at", "interval", "p", "family", "levels"),
    *("beaten_by", "decides", "flags"),
]
USED = "utilisation"
"""The diagnostic that is the share of negatives with a weight."""
BOTH_WAYS = "levels point both ways"
LACKS = "the run lacks a loss, a level or a perturbation of the claim"
HOW_TO_ADD = (
    'add tables to the suite\'s file, as in [[claim]] says = "A keeps more than B", kind = '
    '"keeps-more", loss = ..., than = ..., perturbation = ..., and run it again; finished '
    "cells are not trained again"
)


@dataclass
class Case:
    """A claim on one data set and backbone, with the evidence.

    Attributes:
        claim, dataset, backbone: the claim and its place.
        about: the quantity of `effects`.
        effects: each must be above 0 for the claim to hold, or, for equivalence, within `margin`;
            empty if the run lacks data.
        levels: the level of each effect, if they are of levels.
        rivals: loss -> its lead over the claim's loss: in retention under the claim's
            perturbation, in clean value, or in using few negatives.
        untested: the reason if it is not tested.
        lacking: losses that cannot be compared with the claim's loss there.
        flags: the flags of any cell of the losses of the claim.

    """

    claim: Claim
    dataset: str
    backbone: str
    about: str = ""
    effects: Sequence[Estimate] = ()
    levels: Sequence[float] = ()
    margin: float = 0.0
    rivals: Mapping[str, Estimate] = field(default_factory=dict)
    untested: str = ""
    lacking: tuple[str, ...] = ()
    flags: str = ""


def claims(run: Run) -> pd.DataFrame:
    """Judge each claim of a run's suite on each data set and backbone.

    A claim with several effects, as at several levels, is confirmed if each is significant, and
    refuted if any is significant in the other direction. All tests of all claims are one family,
    with p values adjusted by Holm. "not-beaten" claims are never confirmed, only refuted.

    Returns:
        One row per claim, data set and backbone: `says`, `dataset`, `backbone`, `verdict`
        ("confirmed", "refuted", "not refuted", "undecided", "untested", "not run"), `about`,
        `effect` with `low`, `high` (the decisive effect with its interval, which `interval`
        describes), `at` (the level of it, where it is one of several), `p` (adjusted within
        `family` tests), `levels` (where it is one of several: the `at`, `effect`, `low`, `high` and
        `p` of each), `beaten_by` (losses ahead of the claim's loss there: they keep more under
        its perturbation, have a higher clean value, or use fewer negatives), `decides` (what would
        decide, or why nothing was tested), and `flags` of the cells of its losses.

    Raises:
        InputError: the suite makes no claim, or a table of the run is not whole.

    """
    manifest = run.manifest
    if not manifest.claims:
        told = f"{run.folder}: suite {manifest.suite!r} makes no claim"
        raise InputError(f"{told}; {HOW_TO_ADD}")
    metric = manifest.metrics[0]
    panels = [
        one for one in panels_of(run) if not one.is_baseline and one.names["metric"] == metric
    ]
    asked = any(claim.kind == "uses-less" for claim in manifest.claims)
    panels += _of_negatives(run) if asked else []
    cases = [case for claim in manifest.claims for case in _cases(claim, run, panels)]
    frame = of_suite(run)
    flagged = list(frame[frame["flags"] != ""].itertuples(index=False))
    for case in cases:
        case.flags = _flags(case, flagged)
    raw = [p for case in cases for p in _tests(case)]
    adjusted = iter(holm(raw).tolist())
    called = replicates_on(pd.Series([case.dataset for case in cases]), frame)
    rows = [
        _judged(case, [next(adjusted) for _ in _tests(case)], len(raw), kind) | {"family": len(raw)}
        for case, kind in zip(cases, called, strict=True)
    ]
    return pd.DataFrame(rows, columns=CLAIMED)


def _cases(claim: Claim, run: Run, panels: Sequence[Panel]) -> Iterator[Case]:
    """Yield a claim on each data set and backbone of the run."""
    places: dict[tuple[str, str], list[Panel]] = {}
    for panel in panels:
        places.setdefault((panel.names["dataset"], panel.names["backbone"]), []).append(panel)
    for (dataset, backbone), its in places.items():
        case = Case(claim, dataset, backbone)
        case.untested = _degenerate(claim, run, dataset, backbone)
        under = [one for one in its if one.names["perturbation"] == claim.perturbation]
        if claim.kind == "equivalent":
            _equivalent(case, [one for one in its if one.names["metric"] != USED])
        elif claim.kind == "uses-less":
            _uses_less(case, [one for one in its if one.names["metric"] == USED])
        elif under:
            _under(case, under[0])
        if case.untested:
            case.effects = ()
        yield case


def _flags(case: Case, flagged: Iterable[Any]) -> str:
    """Return the flags of the cells of a claim's losses, on clean data or under its case."""
    claim, place = case.claim, (case.dataset, case.backbone)
    return joined(
        row.flags
        for row in flagged
        if (row.dataset, row.backbone) == place
        and row.loss in (claim.loss, claim.than)
        and (row.perturbation == claim.perturbation if claim.perturbation else row.level == 0)
    )


def _under(case: Case, panel: Panel) -> None:
    """Compare retention under the claim's perturbation."""
    if case.claim.loss in panel.curves and len(panel.levels) > 1:
        case.rivals = _rivals(panel, case.claim.loss, MEASURES["kept"], panel.levels)
        others = (one for one in panel.losses if one not in (case.claim.loss, *case.rivals))
        case.lacking = tuple(others)
    if case.claim.kind == "not-beaten":
        case.about = f"kept up to {panel.levels[-1]:g}"
        return
    pair = _pair(panel, case.claim)
    levels = [one for one in panel.levels if one > 0 and one >= case.claim.level]
    found = [measured(MEASURES["retention"], pair, (level,)) for level in levels] if pair else []
    case.about = "retention at " + ", ".join(f"{level:g}" for level in levels)
    case.effects = [both[0] - both[1] for both in found if both] if None not in found else ()
    case.levels = levels


def _equivalent(case: Case, panels: Sequence[Panel]) -> None:
    """Compare clean values, under any perturbation in which both losses have level 0."""
    case.about = f"clean {panels[0].names['metric']}"
    for panel in panels:
        pair = _pair(panel, case.claim)
        both = measured(MEASURES["value"], pair, (0.0,)) if pair else None
        if both:
            case.effects, case.margin = [both[0] - both[1]], REGION * abs(both[1].value)
            case.rivals = _rivals(panel, case.claim.loss, MEASURES["value"], (0.0,))
            return


def _of_negatives(run: Run) -> list[Panel]:
    """Return panels of the shares of negatives with a weight, on clean data."""
    rows = run.diagnostics
    rows = rows[(rows["diagnostic"] == USED) & rows["best"] & (rows["level"] == 0)]
    once = rows.drop_duplicates(["dataset", "backbone", "loss", "replicate"])
    return panels_of(once.rename(columns={"diagnostic": "metric"}).assign(perturbation=""))


def _uses_less(case: Case, panels: Sequence[Panel]) -> None:
    """Compare the shares of negatives with a weight, over replicates."""
    case.about = f"less {USED} of the negatives"
    pair = _pair(panels[0], case.claim) if panels else None
    both = measured(MEASURES["value"], pair, (0.0,)) if pair else None
    if both:
        case.effects = [both[1] - both[0]]
        more = _rivals(panels[0], case.claim.loss, MEASURES["value"], (0.0,))
        case.rivals = {loss: one * -1.0 for loss, one in more.items()}


def _pair(panel: Panel, claim: Claim) -> list[Any] | None:
    held = [panel.curves.get(loss) for loss in (claim.loss, claim.than)]
    return None if None in held else held


def _rivals(panel: Panel, loss: str, measure: Measure, levels: Levels) -> dict[str, Estimate]:
    """Return the lead of each other loss in a measure, if it is defined for both."""
    found, known = {}, Known()
    for other in panel.losses:
        pair = [panel.curves[other], panel.curves[loss]]
        both = measured(measure, pair, levels, known) if other != loss else None
        if both and both[0].value == both[0].value and both[1].value == both[1].value:
            found[other] = both[0] - both[1]
    return found


def _degenerate(claim: Claim, run: Run, dataset: str, backbone: str) -> str:
    """Say why a claim is not tested if its loss was run as a degenerate case."""
    if not claim.untested:
        return ""
    chosen = [
        dict(one.chosen or {})
        for one in run.summary.tuning
        if (one.dataset, one.backbone, one.loss) == (dataset, backbone, claim.loss)
    ]
    told = f"{claim.loss.partition('(')[0]}({shown(claim.untested)})"
    spec = run.manifest.specs.get("loss", {}).get(claim.loss, claim.loss)
    tuned = any(all(one.get(key) == at for key, at in claim.untested.items()) for one in chosen)
    fixed = bool(one_meant(told, {spec: claim.loss}))
    return f"it was run as {told}, a degenerate case" if tuned or fixed else ""


def _tests(case: Case) -> list[float]:
    """Return the raw p values of a case: of its effects, equivalence and rivals."""
    if case.claim.kind == "equivalent":
        found = [p_beyond(one, case.margin) for one in case.effects]
        found += [p_equivalent(one, case.margin) for one in case.effects]
    else:
        found = [p_different(one) for one in case.effects]
    return found + [p_different(one) for one in case.rivals.values()]


def _judged(case: Case, p: Sequence[float], family: int, called: str) -> dict[str, Any]:
    """Return a row of the table."""
    of_rivals = zip(case.rivals.items(), p[len(p) - len(case.rivals) :], strict=True)
    beaten = tuple(loss for (loss, more), at in of_rivals if at <= ALPHA and more.value > 0)
    row: dict[str, Any] = dict.fromkeys(CLAIMED)
    row |= {"says": case.claim.says, "dataset": case.dataset, "backbone": case.backbone}
    row |= {"about": case.about, "beaten_by": beaten, "decides": "", "flags": case.flags}
    row["levels"] = ()
    if case.untested:
        return row | {"verdict": "untested", "decides": case.untested}
    if case.claim.kind == "not-beaten":
        return row | _not_beaten(case, beaten)
    if not case.effects:
        return row | {"verdict": "not run", "decides": LACKS}
    p = p[: len(p) - len(case.rivals)]
    if case.claim.kind == "equivalent":
        beyond, within = p
        word = "confirmed" if within <= ALPHA else "refuted" if beyond <= ALPHA else "undecided"
        one, p_of_it = case.effects[0], beyond if word == "refuted" else within
    else:
        word, at = _one_sided([each.value for each in case.effects], p)
        one, p_of_it = case.effects[at], p[at]
        if len(case.levels) > 1:
            row["at"] = case.levels[at]
            row["levels"] = tuple(
                {"at": level} | _numbers(each, its)
                for level, each, its in zip(case.levels, case.effects, p, strict=True)
            )
    row |= _numbers(one, p_of_it)
    row |= {"interval": interval_text(one.n_replicates, called=called, users=one.n_users > 1)}
    if word == "undecided":
        known = [each.value for each in case.effects if each.value == each.value]
        both_ways = len(known) == len(case.effects) and len({value > 0 for value in known}) > 1
        decides = BOTH_WAYS if both_ways else what_decides(one, case.margin, family)
        row |= {"decides": decides}
    return row | {"verdict": word}


def _numbers(effect: Estimate, p: float) -> dict[str, float]:
    """Return an effect with its interval and its adjusted p value."""
    interval = effect.interval
    return {"effect": effect.value, "low": interval.low, "high": interval.high, "p": p}


def _one_sided(values: Sequence[float], p: Sequence[float]) -> tuple[str, int]:
    """Return the verdict of effects that must all be above 0, and the decisive effect.

    The surest effect below 0 decides: if it is significant it refutes the claim, and if not it
    keeps the claim undecided. Without one the least certain effect decides.
    """
    contrary = [at for at, value in enumerate(values) if value < 0]
    if contrary:
        surest = min(contrary, key=lambda at: (p[at], values[at]))
        return ("refuted" if p[surest] <= ALPHA else "undecided"), surest
    worst = max(range(len(p)), key=lambda at: p[at])
    sure = all(value > 0 for value in values) and p[worst] <= ALPHA
    return ("confirmed" if sure else "undecided"), worst


def _not_beaten(case: Case, beaten: tuple[str, ...]) -> dict[str, str]:
    """Return the verdict on whether any loss beats the claim's, and losses without comparison."""
    told = f"not compared: {', '.join(case.lacking)}" if case.lacking else ""
    if beaten:
        return {"verdict": "refuted", "decides": told}
    if not case.rivals:
        word = "undecided" if case.lacking else "not run"
        return {"verdict": word, "decides": told or LACKS}
    if all(np.isnan(p_different(one)) for one in case.rivals.values()):
        return {"verdict": "undecided", "decides": f"{LEAST} replicates at least"}
    return {"verdict": "not refuted", "decides": told}
