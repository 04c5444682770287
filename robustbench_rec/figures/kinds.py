"""Every kind of figure by its name."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_rec.errors import InputError, nearest
from robustbench_rec.figures import (
    curves,
    heatmap,
    improvement,
    mechanism,
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
    "mechanism": mechanism.KIND,
    "heatmap": heatmap.KIND,
    "standing": standing.KIND,
    "improvement": improvement.KIND,
    "users": users.KIND,
    "stability": stability.KIND,
    "severity": severity.KIND,
    "multiples": multiples.KIND,
    "training": training.KIND,
}
"""A new kind is a new module here."""


def kinds_of(names: Sequence[str], asked: Asked) -> list[Kind]:
    """Return the kinds of some names; without names, those that are drawn unasked.

    Of these, only kinds that look at all that is asked.

    Raises:
        InputError: there is no such kind, or something is asked that means nothing to one.

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
                f"--{lost[0]} means nothing for figure {name}; it takes {takes or 'no such option'}"
            )
    if names:
        return [KINDS[name] for name in dict.fromkeys(names)]
    found = [kind for kind in KINDS.values() if not kind.asked_for and asked.given <= kind.takes]
    if not found:
        takers = ", ".join(name for name, kind in KINDS.items() if asked.given <= kind.takes)
        option = f"--{sorted(asked.given)[0]}"
        raise InputError(f"{option} goes with --kind, one of: {takers}")
    return found
