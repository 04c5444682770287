"""Records of a run: their types, their folder, and frames made from them."""

from pathlib import Path

RUNS = Path("results") / "runs"
"""Default folder of runs."""
