"""Full ranking with all its metrics, against its GEMM and `torch.topk` alone.

python -m benchmarks.evaluation
"""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import best, peak, table, using
from robustbench_rec import Interactions
from robustbench_rec.evaluation.ranking import evaluate

DIM, KS = 64, (5, 10, 20)
SEEN, HELD_OUT = 13, 2
"""Items of each user, about what Electronic has."""
ROWS_AT_ONCE = 128
"""Of the GEMM and `torch.topk` alone, which at Electronic's size are fastest with about so many."""
SHAPES = (
    ("Electronic", 13_455, 8_360),
    ("2,048 of 135,000 users", 2_048, 115_000),
    ("256 users, a million items", 256, 1_000_000),
)
HEADER = ("users x items", "threads", "ours, s", "GEMM + top-20, s", "ours / that", "memory, MiB")


def rows(times: int = 5) -> list[tuple[object, ...]]:
    """Measure each shape with one thread and two: all metrics at three lengths, against one top-20.

    The last column is what `evaluate` holds at its peak beyond its arguments; Linux tells it.
    """
    return [_row(*shape, threads, times) for shape in SHAPES for threads in (1, 2)]


def _row(name: str, n_users: int, n_items: int, threads: int, times: int) -> tuple[object, ...]:
    with using(threads):
        ms = best(
            {"ours": _evaluation(n_users, n_items), "alone": _gemm_and_topk(n_users, n_items)},
            times,
        )
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        memory = fresh.apply(_memory, (n_users, n_items, threads))
    ours, alone = ms["ours"].wall, ms["alone"].wall
    seconds = (f"{ours / 1000:.3f}", f"{alone / 1000:.3f}")
    shape = f"{name}: {n_users:,} x {n_items:,}"
    return (shape, threads, *seconds, f"{ours / alone:.2f}", f"{memory:.0f}")


def _embeddings(n_users: int, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(n_users, DIM, generator=generator)
    return users, torch.randn(n_items, DIM, generator=generator)


def _evaluation(n_users: int, n_items: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    drawn = np.array([rng.choice(n_items, SEEN + HELD_OUT, False) for _ in range(n_users)])
    seen, held_out = (
        Interactions.of(
            np.repeat(np.arange(n_users), part.shape[1]), part.ravel(), n_users, n_items
        )
        for part in (drawn[:, :SEEN], drawn[:, SEEN:])
    )
    users, items = _embeddings(n_users, n_items)
    return lambda: evaluate(users, items, held_out, seen, KS)


def _gemm_and_topk(n_users: int, n_items: int) -> Callable[[], object]:
    users, items = _embeddings(n_users, n_items)
    buffer = torch.empty(ROWS_AT_ONCE, n_items)

    def run() -> None:
        for chosen in users.split(ROWS_AT_ONCE):
            torch.mm(chosen, items.T, out=buffer[: len(chosen)]).topk(max(KS), dim=1)

    return run


def _memory(n_users: int, n_items: int, threads: int) -> float:
    """Return the MiB by which an evaluation raises the peak of this process, which is fresh."""
    with using(threads):
        _evaluation(100, 100)()  # loads the compiled code
        run = _evaluation(n_users, n_items)
        ctypes.CDLL(None).malloc_trim(0)  # else what was freed would be used again, unseen
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is now the size
        before = peak()
        run()
        return (peak() - before) / 2**10


def main() -> None:
    """Print the table."""
    print(table(HEADER, rows()))


if __name__ == "__main__":
    main()
