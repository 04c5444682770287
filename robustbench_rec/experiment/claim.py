"""Claims: a suite's `[[claim]]` tables, to confirm or refute, checked against its grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from robustbench_rec.components.registry import make
from robustbench_rec.components.settings import Settings
from robustbench_rec.errors import InputError, placed
from robustbench_rec.experiment.reference import Grid, label_meant

Kind = Literal["keeps-more", "uses-less", "equivalent", "not-beaten"]
NEEDS: Mapping[Kind, tuple[str, ...]] = {
    "keeps-more": ("than", "perturbation"),
    "uses-less": ("than",),
    "equivalent": ("than",),
    "not-beaten": ("perturbation",),
}
"""Kind of claim -> its required keys, besides `says` and `loss`."""
TAKES: Mapping[Kind, tuple[str, ...]] = {"keeps-more": ("level",)}
"""Kind of claim -> its optional keys."""


@dataclass(frozen=True, kw_only=True)
class Claim(Settings):
    """A claim about a loss, on every data set and backbone of a suite.

    Attributes:
        says: the claim in words.
        kind: "keeps-more": `loss` retains more than `than` under `perturbation`, at each level
            from `level` on; "uses-less": on clean data, fewer negatives of `loss` have a weight
            than of `than`; "equivalent": the two are equivalent on clean data; "not-beaten": no
            other loss keeps more under `perturbation`.
        loss, than, perturbation: labels, as in results.
        level: the lowest level, above 0; 0 means all.
        untested: settings that make `loss` a degenerate case: if it was run with them, the claim is
            not tested.

    """

    says: str
    kind: Kind
    loss: str
    than: str = ""
    perturbation: str = ""
    level: float = 0.0
    untested: Mapping[str, Any] = field(default_factory=dict)


def read_claim(table: Mapping[str, Any], grid: Grid) -> Claim:
    """Check one `[[claim]]` table, and return it with full labels.

    Raises:
        InputError: an unknown key, a value of a wrong type, a missing key, a key that its kind does
            not use, or a name that the suite does not have.

    """
    row: Claim = make(Claim, table, "claim")
    if not row.says.strip():
        raise InputError("says is empty; it must state the claim in words", ("says",))
    for key in NEEDS[row.kind]:
        if not getattr(row, key):
            raise InputError(f"a claim of kind {row.kind!r} needs {key!r}", ("kind",))
    for key in ("than", "perturbation", "level"):
        if key in table and key not in NEEDS[row.kind] + TAKES.get(row.kind, ()):
            raise InputError(f"{key} does not apply to a claim of kind {row.kind!r}", (key,))
    loss = label_meant("loss", row.loss, "loss", grid)
    than = row.than and label_meant("loss", row.than, "than", grid)
    if than == loss:
        raise InputError(f"than is {than}, the loss itself; name another", ("than",))
    under = row.perturbation and label_meant("perturbation", row.perturbation, "perturbation", grid)
    if under:
        with placed("level"):
            _check_level(row, under, grid)
    return Claim(
        says=" ".join(row.says.split()),
        kind=row.kind,
        loss=loss,
        than=than,
        perturbation=under,
        level=row.level,
        untested=dict(row.untested),
    )


def _check_level(row: Claim, perturbation: str, grid: Grid) -> None:
    levels = sorted(grid.levels[perturbation])
    if row.level and row.level not in levels:
        allowed = ", ".join(f"{level:g}" for level in levels if level)
        raise InputError(
            f"level is {row.level:g}; it must be one of {allowed}, the sweep of {perturbation}"
        )
    if levels[0] != 0 or len(levels) < 2:
        raise InputError(f"a claim needs level 0 and a higher level of {perturbation}")
