"""The answer of a run in words: who keeps most under each perturbation, and the claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from robustbench_rec.analysis.claims import claims
from robustbench_rec.analysis.ranking import disagreement, is_tested
from robustbench_rec.components.labels import AXES
from robustbench_rec.errors import counted, visible
from robustbench_rec.report.labels import Labels
from robustbench_rec.report.numbers import numbers
from robustbench_rec.report.panels import PLACE

MOST_NAMES = 6
"""Longest enumeration in a sentence."""
UNTESTED = "Differences cannot be tested: too few replicates, without values of single users."
VERDICTS = ("confirmed", "refuted", "not refuted", "undecided", "untested", "not run")
"""Verdicts on claims, in the order in which their numbers are told."""


def answer(labels: Labels, kept: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the answer for each perturbation: its name, a summary, and a sentence a panel.

    Args:
        labels: the labels of the run.
        kept: of `ranking.rank` by `kept`; None if no perturbation has several levels.

    """
    if kept is None:
        return []
    return [
        {
            "perturbation": labels.name("perturbation", str(perturbation)),
            "summary": (summary := _summary(labels, rows)),
            "panels": [
                _panel(labels, its, told=summary) for _, its in rows.groupby(PLACE, sort=False)
            ],
        }
        for perturbation, rows in kept.groupby("perturbation", sort=False)
    ]


def _summary(labels: Labels, rows: pd.DataFrame) -> str:
    """Say in how many panels each loss is in the top group; "" for a single panel."""
    panels = rows.groupby(["dataset", "backbone"]).ngroups
    if panels == 1:
        return ""
    if rows["place"].isna().all():
        return f"No loss has a score on any of {panels} pairs of a data set and a backbone."
    tested = [its for _, its in rows.groupby(["dataset", "backbone"]) if is_tested(its)]
    if not tested:
        return UNTESTED
    tops = Counter(loss for its in tested for loss in its.loc[its["top"], "loss"]).most_common()
    told = [f"{labels.said('loss', str(loss))} on {n}" for loss, n in tops]
    others = "; the others on none" if len(tops) < rows["loss"].nunique() else ""
    pairs = "pairs of a data set and a backbone"
    return f"In the top group, of {panels} {pairs}: {joined(told)}{others}."


def _panel(labels: Labels, rows: pd.DataFrame, told: str) -> str:
    """Say who comes first and last in a panel, and how clearly, unless that was told already."""
    first_row = rows.iloc[0]
    where = f"On {_said(labels, 'dataset', first_row)}, {_said(labels, 'backbone', first_row)}"
    scored = rows[rows["place"].notna()]
    if scored.empty:
        return f"{where}, no loss has a score."
    first, last = scored.iloc[0], scored.iloc[-1]
    metric = labels.name("metric", str(first["metric"]))
    kept = f"{_kept(first)} of its clean {metric}, on average up to level {first['level']:g}"
    if len(scored) == 1:
        return f"{where}, only {_said(labels, 'loss', first)} has a score: it keeps {kept}."
    says = [f"{where}, {_said(labels, 'loss', first)} keeps most: {kept}."]
    says += [one for one in _company(labels, scored) if one != told]
    says.append(f"{_said(labels, 'loss', last)} keeps least: {_kept(last)}.")
    return " ".join(filter(None, [*says, _disagreement(labels, scored)]))


def _company(labels: Labels, scored: pd.DataFrame) -> Iterator[str]:
    """Say which losses cannot be told from the first, or beat it."""
    first, others = scored.iloc[0], scored.iloc[1:]
    beside = [labels.said("loss", str(one)) for one in others.loc[others["top"], "loss"]]
    if not is_tested(scored):
        yield UNTESTED
    elif first["beaten_by"]:
        names = [labels.said("loss", one) for one in first["beaten_by"]]
        yield f"Where both were run, {joined(names)} {'beats' if len(names) == 1 else 'beat'} it."
    elif beside:
        yield f"No loss beats {joined(beside)} significantly either."
    else:
        yield "Every other loss is beaten significantly by some loss."


def _disagreement(labels: Labels, scored: pd.DataFrame) -> str:
    """Say where two measures at the hardest level have different winners."""
    names = {one: labels.said("loss", str(one)) for one in scored["loss"]}
    return disagreement(scored.assign(loss=scored["loss"].map(names)))


def _said(labels: Labels, axis: str, row: pd.Series[Any]) -> str:
    return labels.said(axis, str(row[axis]))


def _kept(row: pd.Series[Any]) -> str:
    score, low, high = numbers([row["score"], row["low"], row["high"]])
    if low is None or high is None:
        return f"{score:.3f} (no interval)"
    return f"{score:.3f} [{low:.3f}, {high:.3f}]"


def joined(names: Sequence[str]) -> str:
    """Return names as an enumeration: "a, b and c"; of many the first, and how many more."""
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} others"]
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def judged(labels: Labels) -> dict[str, Any]:
    """Return the claims of a run's suite: `summary`, the number of tests, and a row for each."""
    if not labels.run.manifest.claims:
        return {}
    found = claims(labels.run)
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    counts = Counter(row["verdict"] for row in rows)
    told = ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])
    n = len(labels.run.manifest.claims)
    pairs = f", each on {len(rows) // n} pairs of a data set and a backbone" * (len(rows) > n)
    return {
        "summary": f"{counted(n, 'claim')} of the suite{pairs}: {told}.",
        "family": rows[0]["family"],
        "intervals": list(dict.fromkeys(row["interval"] for row in rows if row["interval"])),
        "rows": [_claim(labels, row) for row in rows],
    }


def _claim(labels: Labels, row: dict[Any, Any]) -> dict[str, Any]:
    names = {axis: labels.name(axis, row[axis]) for axis in AXES if axis in row}
    return names | {
        "says": visible(row["says"]),
        "verdict": row["verdict"],
        "about": visible(row["about"]),
        "effect": numbers([row["effect"], row["low"], row["high"]]),
        "at": numbers([row["at"]])[0],
        "p": numbers([row["p"]])[0],
        "beaten_by": [labels.name("loss", one) for one in row["beaten_by"]],
        "decides": visible(row["decides"]),
        "flags": row["flags"],
    }
