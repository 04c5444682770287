"""Every kind of figure by its name."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_rec.errors import InputError, nearest
from robustbench_rec.figures import (
    curves,
    diagnostics,
    heatmap,
    improvement,
    multiples,
    rankings,
    severity,
    stability,
    standing,
    training,
    users,
)
from robustbench_rec.figures.kind import Asked, Kind

KINDS: dict[str, Kind] = {
    "curves": curves.KIND,
    "ranking": rankings.KIND,
    "diagnostics": diagnostics.KIND,
    "heatmap": heatmap.KIND,
    "standing": standing.KIND,
    "improvement": improvement.KIND,
    "users": users.KIND,
    "stability": stability.KIND,
    "severity": severity.KIND,
    "multiples": multiples.KIND,
    "training": training.KIND,
}
"""Add a new kind as a module here."""


def kinds_of(names: Sequence[str], asked: Asked) -> list[Kind]:
    """Return the kinds of these names; without names, the kinds that are drawn by default.

    By default, only the kinds that use all options given are drawn.

    Raises:
        InputError: there is no such kind, or a kind does not use an option that was given.

    """
    for name in names:
        if name not in KINDS:
            known = ", ".join(KINDS)
            raise InputError(
                f"--kind: no figure named {name!r}{nearest(name, KINDS)} (known: {known})"
            )
        if lost := sorted(asked.given - KINDS[name].takes):
            takes = ", ".join(f"--{one}" for one in sorted(KINDS[name].takes))
            raise InputError(
                f"--{lost[0]} does not apply to figure {name}; it takes {takes or 'no such option'}"
            )
    if names:
        return [KINDS[name] for name in dict.fromkeys(names)]
    found = [kind for kind in KINDS.values() if not kind.asked_for and asked.given <= kind.takes]
    if not found:
        takers = ", ".join(name for name, kind in KINDS.items() if asked.given <= kind.takes)
        option = f"--{sorted(asked.given)[0]}"
        raise InputError(f"{option} goes with --kind, one of: {takers}")
    return found
