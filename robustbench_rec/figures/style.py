"""Looks: the style of each loss, the same in every figure and on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from robustbench_rec.figures.page import page

GREY = "0.35"
SOLID = ""
LONG = "6 1.6"
DASH = "3.5 1.5"
DOT = "1.1 1.2"
DASHDOT = "5 1.3 1.1 1.3"
DASHDOTDOT = "5 1.3 1.1 1.3 1.1 1.3"
PATTERNS = (SOLID, LONG, DASH, DOT, DASHDOT, DASHDOTDOT)
"""Ink and gap alternating, in line widths."""
FILLS: tuple[Literal["full", "none", "left", "bottom"], ...] = ("full", "none", "left", "bottom")
SHADES = (0.0, 0.5, 0.25)
"""Share of black in the colours of variants, where no other loss's colour is close."""

VARIANT_MARKERS = ("d", "H", "*", "p", "8")
"""Markers of the variants of a loss after the first: shades alone are hard to distinguish."""


@dataclass(frozen=True)
class Look:
    """The style of a loss; no two known losses share a colour, or both marker and pattern."""

    color: str
    marker: str
    pattern: str
    fill: Literal["full", "none", "left", "bottom"] = "full"

    @property
    def linestyle(self) -> tuple[float, tuple[float, ...] | None]:
        """The pattern in matplotlib's form."""
        return (0.0, tuple(float(part) for part in self.pattern.split()) or None)


LOOKS = {
    # Okabe and Ito's palette for what nearly every figure shows.
    "bpr": Look("#000000", "s", DASH),
    "bce": Look("#E69F00", "^", DOT),
    "mse": Look("#CC79A7", "v", DASHDOT),
    "softmax": Look("#0072B2", "o", SOLID),
    "ccl": Look("#009E73", "D", LONG),
    "drrl": Look("#D55E00", "P", DASHDOTDOT),
    "bsl": Look("#56B4E9", "X", LONG),
    # Tol's muted palette, and dark relatives, for the rest.
    "psl": Look("#882255", "<", SOLID),
    "sl_at_k": Look("#332288", ">", DASHDOT),
    "advinfonce": Look("#999933", "p", DASH),
    "llpauc": Look("#44AA99", "h", DASHDOTDOT),
    "gbce": Look("#8C510A", "^", DASH),
    "directau": Look("#AA4499", "*", SOLID),
    "t_ce": Look("#C9A227", "v", LONG),
    "r_ce": Look("#117733", "v", DASHDOTDOT),
    "popularity": Look("#666666", "d", DOT),
    "random": Look("#A0A0A0", "o", DOT),
}

PLUGIN_COLORS = ("#4477AA", "#EE6677", "#228833", "#AA3377", "#CC6600", "#555555", "#6A3D9A")
PLUGIN_MARKERS = ("8", "H", "d", "*", "p")
_TAKEN = {(look.marker, look.pattern) for look in LOOKS.values()}
PLUGIN_LOOKS = [
    Look(color, marker, pattern)
    for color in PLUGIN_COLORS
    for marker in PLUGIN_MARKERS
    for pattern in PATTERNS
    if (marker, pattern) not in _TAKEN
]


def look(loss: str) -> Look:
    """Return the look of a loss by its name, the label up to its first "(".

    A loss that is not in LOOKS, such as a plugin's, gets a look by a hash of its name: the same on
    every machine and beside any other losses. Two such losses may have the same look.
    """
    name = _name(loss)
    digest = hashlib.sha256(name.encode()).digest()
    return LOOKS.get(name) or PLUGIN_LOOKS[int.from_bytes(digest[:8], "big") % len(PLUGIN_LOOKS)]


def baseline_look(backbone: str) -> Look:
    """Return the look of a baseline; grey for a plugin's."""
    return LOOKS.get(_name(backbone)) or replace(look(backbone), color=GREY)


def _name(label: str) -> str:
    return label.partition("(")[0].strip()


def in_order(losses: Iterable[str]) -> list[str]:
    """Return losses in the order of all figures.

    Losses in the page's order come first, then the order of LOOKS, then labels.
    """
    first, known = page().order, [*LOOKS]

    def place(loss: str) -> tuple[int, int, str]:
        name = _name(loss)
        wanted = next((at for at, one in enumerate(first) if one in (loss, name)), len(first))
        return wanted, known.index(name) if name in LOOKS else len(known), loss

    return sorted(set(losses), key=place)


def looks(losses: Iterable[str]) -> dict[str, Look]:
    """Return each loss's look; variants of one loss differ by shade, pattern and marker.

    The first variant, in order of the labels, has the look of the loss itself.
    """
    found: dict[str, Look] = {}
    seen: Counter[str] = Counter()
    for loss in sorted(set(losses)):
        found[loss] = _variant(look(loss), seen[_name(loss)])
        seen[_name(loss)] += 1
    return found


def _variant(look: Look, i: int) -> Look:
    pattern = PATTERNS[(PATTERNS.index(look.pattern) + i) % len(PATTERNS)]
    color = _shade(look.color, SHADES[i % len(SHADES)])
    marker = VARIANT_MARKERS[(i - 1) % len(VARIANT_MARKERS)] if i else look.marker
    return replace(look, color=color, marker=marker, pattern=pattern, fill=FILLS[i % len(FILLS)])


def _shade(color: str, by: float) -> str:
    """Mix a colour "#RRGGBB" with black."""
    parts = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round((1 - by) * part):02X}" for part in parts)
