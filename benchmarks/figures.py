"""The cost of the figures of the stored run false-negatives, on one core.

python -m benchmarks.figures
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from shutil import copytree, ignore_patterns

from benchmarks.timing import table
from robustbench_rec.figures.gallery import redraw
from robustbench_rec.records.run import read_run

HEADER = ("figures of", "files", "CPU, s", "a file, s")
RUN = Path(__file__).parents[1] / "results" / "reference" / "false-negatives"


def rows() -> list[tuple[str, int, str, str]]:
    """Draw all figures of the run into a temporary folder; imports are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        run = read_run(copytree(RUN, Path(folder) / "run", ignore=ignore_patterns("figures")))
        started = time.process_time()
        files = len(redraw(run))
        seconds = time.process_time() - started
    return [(RUN.name, files, f"{seconds:.1f}", f"{seconds / files:.2f}")]


if __name__ == "__main__":
    print(table(HEADER, rows()))
