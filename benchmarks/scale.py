"""Growth of the cost of a step and of an evaluation, up to Amazon-Book's size.

    python -m benchmarks.scale

Each size runs in a process of its own, on one thread, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from typing import Any

from benchmarks.data import random_split
from benchmarks.step import trainer
from benchmarks.timing import best, peak, table, using
from robustbench_rec.evaluation.ranking import evaluate
from robustbench_rec.seeds import rng_for

HEADER = (
    "users", "items", "pairs", "N", "dim", "step, ms", "evaluation, s", "a user, ms", "peak, MB"
)  # fmt: skip
ELECTRONIC = {"users": 13_455, "items": 8_360, "pairs": 165_000, "n": 1000, "dim": 64}
BOOK = {"users": 135_000, "items": 115_000, "pairs": 4_000_000, "n": 1000, "dim": 64}
SIZES = [
    ELECTRONIC,
    *(ELECTRONIC | {"n": n} for n in (1, 64, 250)),
    *(ELECTRONIC | {"dim": dim} for dim in (16, 32, 128, 256)),
    *(ELECTRONIC | {"items": items} for items in (1_000, 41_000, 115_000)),
    *(ELECTRONIC | {"users": users, "pairs": 12 * users} for users in (1_000, 135_000)),
    *(ELECTRONIC | {"pairs": pairs} for pairs in (80_000, 1_300_000)),
    BOOK,
]


def rows() -> list[tuple[object, ...]]:
    """Measure every size."""
    return [_row(size) for size in SIZES]


def _row(size: dict[str, int]) -> tuple[object, ...]:
    command = [sys.executable, "-m", "benchmarks.scale", json.dumps(size)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603  # our own command, no shell
    found: dict[str, Any] = json.loads(output)
    spent = (f"{found['step']:.1f}", f"{found['evaluation']:.2f}", f"{found['a user']:.3f}")
    return (*(f"{size[key]:,}" for key in size), *spent, f"{found['peak']:.0f}")


def measure(users: int, items: int, pairs: int, n: int, dim: int) -> dict[str, float]:
    """Train for a few steps and evaluate once, by softmax and matrix factorisation."""
    with using(1):
        split = random_split(users, items, pairs)
        one = trainer(split, n_negatives=n, dim=dim)
        rows = rng_for(0).permutation(len(split.train))[:1024]
        step = best({"step": partial(one.step, 1, rows)}, 10)["step"].wall
        started = time.perf_counter()
        ranking = evaluate(*one.embeddings(), split.valid, split.seen, [20])
        seconds = time.perf_counter() - started
    a_user = 1000 * seconds / ranking.users.size
    return {"step": step, "evaluation": seconds, "a user": a_user, "peak": peak() / 1000}


def main() -> None:
    """Print the table, or measure the one size given."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(**json.loads(sys.argv[1]))))
    else:
        print(table(HEADER, rows()))


if __name__ == "__main__":
    main()
