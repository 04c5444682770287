"""Pages of runs made by hand, and what they hold."""

import json
import re
from pathlib import Path
from typing import Any

from tables_by_hand import run_of

from robustbench_rec.records.run import Run
from robustbench_rec.report.contents import contents
from robustbench_rec.report.page import page

LOSSES = ("bpr", "ccl", "softmax")
LEVELS = (0.0, 0.2, 0.5)


def falling(losses=LOSSES, levels=LEVELS, replicates=3) -> dict[tuple[str, float, int], float]:
    """Return what losses reach that fall at rates of their own, the first the least."""
    return {
        (loss, level, replicate): (0.3 + 0.01 * replicate) * (1 - level * (at + 1) / 4)
        for at, loss in enumerate(losses)
        for level in levels
        for replicate in range(replicates)
    }


def run_with(folder: Path, **changes: Any) -> Run:
    """Return a run of losses that fall."""
    return run_of(folder, falling(), **({"users": True} | changes))


def content_of(text: str) -> dict[str, Any]:
    """Return what a page holds, as its script reads it."""
    (held,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', text)
    return json.loads(held)


def content(*runs: Run) -> dict[str, Any]:
    """Return the content of the page of some runs, by way of the page."""
    return content_of(page(contents(list(runs))))
