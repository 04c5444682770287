"""The gathered dot product, forward and backward, against the usual ways to compute it.

python -m benchmarks.scoring
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import best, table, using
from robustbench_rec.kernels.scores import gathered_scores

B, DIM = 1024, 64
HEADER = ("N", "items", "threads", "ours, ms", "gather + bmm", "GEMM + gather")
Score = Callable[[Tensor, Tensor, Tensor], Tensor]


def gather_bmm(users: Tensor, items: Tensor, index: Tensor) -> Tensor:
    """Gather (B, N, dim) vectors and multiply: what most published code does."""
    return torch.bmm(items[index], users.unsqueeze(2)).squeeze(2)


def gemm_gather(users: Tensor, items: Tensor, index: Tensor) -> Tensor:
    """Score the whole catalogue and pick."""
    return (users @ items.T).gather(1, index)


def rows(times: int = 7) -> list[tuple[object, ...]]:
    """Measure at every size, with one thread and two; the usual ways as multiples of ours."""
    return [
        _row(n, n_items, threads, times)
        for n in (1, 64, 1000)
        for n_items in (1_000, 8_360, 41_000, 115_000)
        for threads in (1, 2)
    ]


def _row(n: int, n_items: int, threads: int, times: int) -> tuple[object, ...]:
    with using(threads):
        ms = best(_ways(n, n_items), times)
    ours = ms.pop("ours").wall
    others = (f"{other.wall / ours:.1f}x" for other in ms.values())
    return (n, n_items, threads, f"{ours:.2f}", *others)


def _ways(n: int, n_items: int) -> Mapping[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    users, items = (torch.randn(rows, DIM, requires_grad=True) for rows in (B, n_items))
    index = torch.from_numpy(rng.integers(n_items, size=(B, n)))
    narrow, weights = index.int(), torch.randn(B, n)

    def step(score: Score, index: Tensor) -> Callable[[], object]:
        return lambda: torch.autograd.grad(score(users, items, index), (users, items), weights)

    ways = {"ours": step(gathered_scores, narrow), "bmm": step(gather_bmm, index)}
    return ways | {"gemm": step(gemm_gather, index)}


def main() -> None:
    """Print the table."""
    print(table(HEADER, rows()))


if __name__ == "__main__":
    main()
