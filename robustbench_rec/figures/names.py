"""Names as matplotlib draws them."""

from __future__ import annotations

from robustbench_rec.analysis.names import named
from robustbench_rec.errors import visible
from robustbench_rec.figures.page import page


def called(label: str) -> str:
    """Return the name that a figure shows for a component, by its label."""
    return plain(named(label, dict(page().names)))


def plain(text: str) -> str:
    """Return a text that matplotlib draws literally: a dollar begins no formula."""
    return visible(text).replace("$", r"\$")
