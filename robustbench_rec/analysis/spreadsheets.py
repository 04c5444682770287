"""Spreadsheets: text that none of them takes for a formula."""

from __future__ import annotations

from robustbench_rec.errors import visible

FORMULA = ("=", "+", "-", "@")
"""How a text begins that a spreadsheet would compute."""


def in_csv(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    told = visible(text)
    return f"'{told}" if told.lstrip().startswith(FORMULA) else told
