"""One training step at Amazon-Electronic's size: against the usual code, and part by part.

    python -m benchmarks.step

Pairs are drawn at random over 13,455 users and 8,360 items, 165,000 of them: the size of the
published data, without needing them. Loss: softmax, N = 1000, batches of 1024, 64 dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.scoring import gather_bmm, gemm_gather
from benchmarks.timing import best, read_speed, table, using
from robustbench_rec import BACKBONES, LOSSES, Batch, Interactions, Split, kernels
from robustbench_rec.seeds import rng_for
from robustbench_rec.training import fit as training

USERS, ITEMS, PAIRS = 13_455, 8_360, 165_000
B, N, DIM = 1024, 1000, 64
AGAINST = ("threads", "ours, ms", "gather + bmm", "GEMM + gather")
PARTS = ("part", "ms", "bytes that must move, MB", "from", "floor, ms", "times its floor")
Part = tuple[str, Callable[[], object], float, int]
"""Name, what to time, bytes moved, and the size of what is read again and again."""


def random_split(n_users: int, n_items: int, n_pairs: int) -> Split:
    """Return training pairs at random, two a user for validation, popularity by a power law."""
    rng = rng_for(0, "benchmark")
    users = np.concatenate([np.arange(n_users), rng.integers(n_users, size=n_pairs)])
    items = (n_items * rng.random(users.size) ** 2).astype(np.int64)
    keys = np.unique(users * n_items + items)
    rng.shuffle(keys)
    kept = np.sort(keys[: n_pairs + n_users])
    pairs = Interactions.of(kept // n_items, kept % n_items, n_users, n_items)
    is_valid = rng.random(len(pairs)) < n_users / len(pairs)
    is_valid &= pairs.user_counts[pairs.users] > 3
    train, valid = pairs[~is_valid], pairs[is_valid]
    return Split.of(train, valid, train.none())


def trainer(split: Split, dim: int = DIM, n_negatives: int = N) -> training.Trainer:
    """Return a training that is about to begin."""
    module = BACKBONES["mf"](dim=dim).build(split.train, torch.Generator().manual_seed(0))
    config = training.TrainConfig(lr=1e-2, batch_size=B)
    return training.Trainer(module, split, LOSSES["softmax"](n_negatives=n_negatives), config, 0)


def against(times: int = 9) -> list[tuple[object, ...]]:
    """Time whole steps that differ in how they score, each in a training of its own."""
    rows = []
    for threads in (1, 2):
        with using(threads):
            ms = best(_steps(), times)
        ours = ms.pop("ours")
        rows.append((threads, f"{ours:.1f}", *(f"{other / ours:.1f}x" for other in ms.values())))
    return rows


def _steps() -> Mapping[str, Callable[[], object]]:
    split = random_split(USERS, ITEMS, PAIRS)
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


def parts(times: int = 25) -> list[tuple[object, ...]]:
    """Time each part of a step on one thread, and set it against what it must at least move."""
    with using(1):
        split = random_split(USERS, ITEMS, PAIRS)
        one = trainer(split)
        rows = rng_for(0).permutation(len(split.train))[:B]
        found = list(_parts(one, rows))
        step = ("whole step", partial(one.step, 1, rows))
        ms = best({name: run for name, run, *_ in [*found, step]}, times)
        speeds = {size: read_speed(size) for *_, size in found}
    lines = [_line(name, ms[name], moved, speeds[size], size) for name, _, moved, size in found]
    summed = sum(ms.values()) - ms["whole step"]
    last = ("whole step", f"{ms['whole step']:.2f}", "", "", "", "")
    total = ("all parts", f"{summed:.2f}", "", "", "", f"step: {ms['whole step'] / summed:.2f}x")
    return [*lines, total, last]


def _line(name: str, ms: float, moved: float, speed: float, size: int) -> tuple[object, ...]:
    floor = moved / speed / 1e6
    source = f"{size / 2**20:.1f} MB at {speed:.0f} GB/s"
    return (name, f"{ms:.2f}", f"{moved / 1e6:.1f}", source, f"{floor:.2f}", f"{ms / floor:.1f}x")


def _parts(one: training.Trainer, rows: np.ndarray) -> list[Part]:
    users, items = one.module()
    index = torch.from_numpy(one.sampler.draw(1, rows, N))
    who = torch.from_numpy(one.train.users[rows])
    chosen = users.index_select(0, who).detach()
    scores = kernels.gathered_scores(chosen, items.detach(), index, True)
    batch = one.batch(1, rows, (users, items), N, True)
    weights = torch.rand_like(scores)
    tables = [tensor.detach().numpy() for tensor in (chosen, items)]
    scales = [kernels.scales(part, True) for part in tables]
    places, by_user, by_item = (
        index.numpy().view(np.uint32),
        np.empty_like(tables[0]),
        np.empty_like(tables[1]),
    )
    ends, pairs = kernels.by_item_order(places, weights.numpy(), ITEMS, 1)
    slots, both, table_bytes = B * (1 + N), (USERS + ITEMS) * DIM * 4, ITEMS * DIM * 4
    gradients = [torch.rand_like(parameter) for parameter in one.parameters]
    out = np.empty_like(places, dtype=np.float32)
    return [
        ("negatives", partial(one.sampler.draw, 1, rows, N), slots * 4, slots * 4),
        ("directions", partial(kernels.scales, tables[1], True), table_bytes, table_bytes),
        (
            "scores",
            partial(kernels.score, *tables, *scales, places, out),
            slots * (DIM * 4 + 8),
            table_bytes,
        ),
        ("loss, both ways", partial(_loss, one, batch, scores), slots * 4 * 3, slots * 4),
        (
            "gradient by user",
            partial(kernels.by_user, *tables, *scales, places, weights.numpy(), True, by_user),
            slots * (DIM * 4 + 8),
            table_bytes,
        ),
        (
            "pairs by item",
            partial(kernels.by_item_order, places, weights.numpy(), ITEMS, 1),
            slots * (2 * 8 + 8),
            slots * 8,
        ),
        (
            "gradient by item",
            partial(kernels.by_item, *tables, *scales, ends, pairs, True, by_item),
            slots * (DIM * 4 + 8),
            B * DIM * 4,
        ),
        ("users picked, both ways", partial(_pick, users, who), USERS * DIM * 4, USERS * DIM * 4),
        ("Adam", partial(one.optimizer.step, gradients), 7 * both, 4 * both),
    ]


def _loss(one: training.Trainer, batch: Batch, scores: Tensor) -> None:
    held = scores.detach().requires_grad_()
    pos, neg = torch.split(held, [1, N], dim=1)
    torch.autograd.grad(one.objective(replace(batch, pos=pos.squeeze(1), neg=neg)), held)


def _pick(users: Tensor, who: Tensor) -> None:
    chosen = users.index_select(0, who)
    torch.autograd.grad(chosen, users, torch.ones_like(chosen))


def main() -> None:
    """Print both tables."""
    print(table(AGAINST, against()))
    print()
    print(table(PARTS, parts()))


if __name__ == "__main__":
    main()
