"""Names in figures: of components, as matplotlib draws them, and of diagnostics."""

from __future__ import annotations

from robustbench_rec.analysis.names import named
from robustbench_rec.errors import visible
from robustbench_rec.figures.page import page

ON_FALSE, EVEN = "false_negative_share", "false_negative_rate"
"""The share of a loss's weight on known false negatives, and that share under even weights."""
PUSH = "push_on_false_negatives"
BY_LEVEL = {
    ON_FALSE: "Weight on known false negatives",
    PUSH: "Push on false negatives / pull on positives",
    "utilisation": "Negatives above 1% of an even weight",
    "effective_sample_size": "Effective share of the negatives",
    "active_rows": "Rows in which any negative has a weight",
    "kl": "KL divergence from even weights, in nats",
    "renyi_2": "Renyi divergence of order 2, in nats",
}
"""Diagnostic -> title of its panel."""


def called(label: str) -> str:
    """Return the name that a figure shows for a component, by its label."""
    return plain(named(label, dict(page().names)))


def plain(text: str) -> str:
    """Return a text that matplotlib draws literally: a dollar begins no formula."""
    return visible(text).replace("$", r"\$")
