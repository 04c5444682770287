"""Spreadsheets: text that no spreadsheet reads as a formula."""

from __future__ import annotations

from robustbench_rec.errors import visible

FORMULA = ("=", "+", "-", "@")
"""First characters of texts that a spreadsheet would compute."""


def in_csv(text: str) -> str:
    """Return a text that no spreadsheet reads as a formula."""
    told = visible(text)
    return f"'{told}" if told.lstrip().startswith(FORMULA) else told
