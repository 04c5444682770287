"""What is kept of a run: records, the folder they lie in, and the frames read from it."""

from pathlib import Path

RUNS = Path("results") / "runs"
"""Where runs go that are given no folder."""
