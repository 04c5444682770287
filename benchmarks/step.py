"""One training step at Amazon-Electronic's size: against the usual code, and against its bound.

    python -m benchmarks.step

Pairs are drawn at random over 13,455 users and 8,360 items, 165,000 of them: the size of the
published data, without needing them. Loss: softmax, N = 1000, batches of 1024, 64 dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import ITEMS, USERS, random_split
from benchmarks.scoring import gather_bmm, gemm_gather
from benchmarks.timing import best, clock_ghz, read_speed, table, using
from robustbench_rec import BACKBONES, LOSSES, Batch, Split
from robustbench_rec.seeds import rng_for
from robustbench_rec.training import fit as training

B, N, DIM = 1024, 1000, 64
BOUND = ("softmax at Electronic's size needs", "ms of CPU", "times that")
AGAINST = ("threads", "ours, ms", "CPU, ms", "gather + bmm", "GEMM + gather")


def trainer(
    split: Split, loss: str = "softmax", n_negatives: int = N, dim: int = DIM
) -> training.Trainer:
    """Return a training by matrix factorisation that is about to begin."""
    module = BACKBONES["mf"](dim=dim).build(split.train, torch.Generator().manual_seed(0))
    config = training.TrainConfig(lr=1e-2, batch_size=B)
    return training.Trainer(module, split, LOSSES[loss](n_negatives=n_negatives), config, 0)


def against(times: int = 9) -> list[tuple[object, ...]]:
    """Time whole steps that differ in how they score, each in a training of its own."""
    rows = []
    for threads in (1, 2):
        with using(threads):
            ms = best(_steps(), times)
        ours = ms.pop("ours")
        others = (f"{other.wall / ours.wall:.1f}x" for other in ms.values())
        rows.append((threads, f"{ours.wall:.1f}", f"{ours.cpu:.1f}", *others))
    return rows


def _steps() -> Mapping[str, Callable[[], object]]:
    split = random_split()
    rows = np.sort(rng_for(0).permutation(len(split.train))[:B])
    steps = {"ours": partial(trainer(split).step, 1, rows)}
    for name, score in (("gather + bmm", gather_bmm), ("GEMM + gather", gemm_gather)):
        steps[name] = partial(_usual_step, trainer(split), score, rows)
    return steps


def _usual_step(
    one: training.Trainer, score: Callable[[Tensor, Tensor, Tensor], Tensor], rows: np.ndarray
) -> None:
    """Take the step of usual code: both tables normalised whole, then scored as `score` does.

    Negatives, loss and optimizer are ours, so that the scoring alone is compared.
    """
    index = torch.from_numpy(one.sampler.draw(1, rows, N)).long()
    who = torch.from_numpy(one.train.users[rows])
    users, items = (torch.nn.functional.normalize(part, dim=1) for part in one.module())
    chosen, liked = users[who], items[index[:, 0]]
    batch = Batch(
        pos=(chosen * liked).sum(dim=1),
        neg=score(chosen, items, index[:, 1:]),
        users=who,
        items=index[:, 0],
        negatives=index[:, 1:],
        user_vectors=chosen,
        item_vectors=liked,
    )
    value = one.objective(batch)
    one.optimizer.step(torch.autograd.grad(value, one.parameters))


def bound(times: int = 25) -> list[tuple[object, ...]]:
    """Compute a lower bound for a softmax step on one core, and compare ours with it.

    Nothing is taken to overlap. Speeds of reading are measured; arithmetic is that of 8 lanes with
    two fused operations a cycle, at the clock that the system tells.
    """
    with using(1):
        split = random_split()
        one, rows = trainer(split), rng_for(0).permutation(len(split.train))[:B]
        ours = best({"step": partial(one.step, 1, rows)}, times)["step"].cpu
        slots, tables = B * (1 + N), (USERS + ITEMS) * DIM * 4
        cycle = 1e-6 / clock_ghz()
        pairs = slots * DIM * 4 / 1e6
        lines = [
            ("products, 3 a pair", 3 * slots * 2 * DIM / 32 * cycle),
            ("items, fetched once", pairs / read_speed(ITEMS * DIM * 4)),
            ("items again, from the nearest cache", slots * DIM * 4 / 64 * cycle),
            ("users, fetched by item", pairs / read_speed(B * DIM * 4)),
            ("negatives, 3 products of 64 bits a slot", 3 * slots * cycle),
            ("exponentials, 20 operations a slot", slots * 20 / 8 / 2 * cycle),
            ("pairs by item, moved", 24 * slots / 1e6 / read_speed(slots * 8)),
            ("Adam, 7 passes over the tables", 7 * tables / 1e6 / read_speed(4 * tables)),
        ]
    least = sum(ms for _, ms in lines)
    told: list[tuple[object, ...]] = [(name, f"{ms:.2f}", "") for name, ms in lines]
    told += [("sum", f"{least:.2f}", ""), ("our step", f"{ours:.2f}", f"{ours / least:.2f}x")]
    return told


def main() -> None:
    """Print both tables."""
    print(table(AGAINST, against()))
    print()
    print(table(BOUND, bound()))


if __name__ == "__main__":
    main()
