"""Numbers and texts of a page: rounded, without NaN, safe from control characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from robustbench_rec.errors import visible

DIGITS = 6
"""Significant digits of numbers in a page."""
RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
"""Classes of characters (Unicode, annex 9) that turn the direction of a text."""
ISOLATED = "\N{FIRST STRONG ISOLATE}{}\N{POP DIRECTIONAL ISOLATE}"
"""A name inside a sentence whose direction must not change that of the sentence."""


def rounded(value: Any) -> float | None:
    """Return a number with `DIGITS` significant digits; None if it is missing or NaN."""
    if value is None or value != value:
        return None
    return float(f"{float(value):.{DIGITS}g}")


def numbers(values: Sequence[Any]) -> list[float | None]:
    """Return numbers as `rounded` does."""
    return [rounded(one) for one in values]


def isolated(name: str) -> str:
    """Return a name for use in a sentence: in isolation if any of it reads from right to left."""
    told = visible(name)
    turned = any(unicodedata.bidirectional(char) in RIGHT_TO_LEFT for char in told)
    return ISOLATED.format(told) if turned else told
