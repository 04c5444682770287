"""The cost of conclusions, tables, figures and the page from a run of 2,000 cells of 1,000 users.

python -m benchmarks.conclusions
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.timing import table
from robustbench_rec.experiment.claim import Claim
from robustbench_rec.records.frames import COLUMNS
from robustbench_rec.records.manifest import Manifest, PlannedCell
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.records.users import UserValues
from robustbench_rec.training.config import PROTOCOL

HEADER = ("command", "CPU, s", "memory, MB")
LOSSES = ("untrained", *(f"loss_{at:02}" for at in range(9)))
PERTURBATIONS = tuple(f"noise_{at}" for at in range(5))
LEVELS = (0.0, 0.1, 0.2, 0.4)
REPLICATES, USERS = 10, 1000
COMMANDS = (
    ("rank",),
    ("compare", "--against", "loss_00"),
    ("claims",),
    ("table", "main"),
    ("table", "robustness"),
    ("figures",),
    ("report",),
)


def rows() -> list[tuple[str, str, str]]:
    """Write such a run's tables, and conclude from them by each command, in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "run")
        return [measured(Path(folder) / "run", words) for words in COMMANDS]


def measured(run: Path, words: tuple[str, ...]) -> tuple[str, str, str]:
    """Return a command, its CPU time, and the most memory that any process here has held."""
    name, *options = words
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "robustbench_rec", name, str(run), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own command, no shell
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return " ".join(words), f"{seconds:.1f}", f"{after.ru_maxrss / 1024:.0f}"


def write(folder: Path) -> None:
    """Write the tables of a run whose losses fall at their own rates, and users are crossed."""
    rng = np.random.default_rng(0)
    easy = 0.2 * rng.standard_normal(USERS)
    points = list(product(LOSSES, PERTURBATIONS, LEVELS, range(REPLICATES)))
    cells, rows, values = {}, [], []
    for at, (loss, perturbation, level, replicate) in enumerate(points):
        backbone = "popularity" if loss == "untrained" else "mf"
        mean = 0.3 * (1 - LOSSES.index(loss) * level / 10) if backbone == "mf" else 0.1
        own = mean + easy + 0.15 * rng.standard_normal(USERS)
        called = {"dataset": "toy", "backbone": backbone, "loss": loss}
        called |= {"perturbation": perturbation, "replicate": replicate}
        cells[f"c{at}"] = PlannedCell.model_validate(called | {"level": level})
        point = ("run", *called.values())[:5]
        row = (*point, "share", level, replicate, level, "ndcg@20", float(own.mean()))
        rows.append((*row, 1.0, "split", "clean", "", PROTOCOL))
        values.append(own)
    ids = np.array(list(cells), dtype=np.str_)
    held = UserValues(
        np.arange(USERS),
        ids,
        {"ndcg@20": np.array(values, dtype=np.float16)},
        np.ones((len(ids), USERS), dtype=np.float16),
    )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    diagnostics = pd.DataFrame(columns=[*COLUMNS[:8], "epoch", "best"])
    tables = {"diagnostics.csv": diagnostics.to_csv(index=False)}
    tables |= {"results.csv": frame.to_csv(index=False)}
    RunFolder(folder).publish(_manifest(cells), tables, {"toy": held})


def _manifest(cells: dict[str, PlannedCell]) -> Manifest:
    """Describe the run, with one claim."""
    claim = Claim(
        says="the second keeps more than the third",
        kind="keeps-more",
        loss=LOSSES[1],
        than=LOSSES[2],
        perturbation=PERTURBATIONS[0],
    )
    return Manifest(
        suite="run",
        about="",
        protocol=(PROTOCOL,),
        metrics=("ndcg@20",),
        averaging="test-users",
        replicates=REPLICATES,
        replicates_vary="split",
        selection="clean",
        versions={},
        platform="",
        data={},
        plugins=(),
        command="",
        process=1,
        started=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        suite_text="name = 'run'",
        suite_cells=len(cells),
        references=(),
        tuning={},
        specs={},
        studies={},
        cells=cells,
        claims=(claim,),
    )


if __name__ == "__main__":
    print(table(HEADER, rows()))
