"""The gain of a GPU: steps against one core, and the number of workers that it serves.

    python -m benchmarks.device

Wall time, as a GPU works apart from the processor. Negatives are drawn by one thread of the
processor for either; a step on the GPU waits for them.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.data import random_split
from benchmarks.timing import best, table, using
from robustbench_rec import BACKBONES, LOSSES, Split, load_dataset
from robustbench_rec.seeds import rng_for
from robustbench_rec.training.config import TrainConfig
from robustbench_rec.training.fit import Trainer

HEADER = ("a step, ms", "one core", "GPU", "gain", "drawing negatives")
SHARED = ("workers on one GPU", "epochs a second", "times one worker")
STEPS = {
    "softmax, N = 1000, mf, Electronic": ("electronic", "mf", "softmax", 1000),
    "drrl, N = 1000, mf, Electronic": ("electronic", "mf", "drrl", 1000),
    "softmax, N = 1000, lightgcn, Electronic": ("electronic", "lightgcn", "softmax", 1000),
    "softmax, N = 200, mf, MovieLens-100K": ("movielens-100k", "mf", "softmax", 200),
    "drrl, N = 200, mf, MovieLens-100K": ("movielens-100k", "mf", "drrl", 200),
    "bpr, mf, MovieLens-100K": ("movielens-100k", "mf", "bpr", 1),
    "softmax, N = 200, lightgcn, MovieLens-100K": ("movielens-100k", "lightgcn", "softmax", 200),
}
"""What is timed: the data, backbone, loss and N."""
AT_ONCE = 10
"""Steps between two looks at the clock."""
WORKERS = (1, 2, 4, 8, 16)
SECONDS = 5.0
"""How long a number of workers is watched."""


def measured() -> str:
    """Return both tables, or why there are none."""
    if not torch.cuda.is_available():
        return "No GPU here."
    name = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return "\n\n".join([name, table(HEADER, rows()), table(SHARED, shared())])


def rows(times: int = 5) -> list[tuple[object, ...]]:
    """Time steps on one core and on the GPU, in turns."""
    with using(1):
        return [_row(name, *of, times) for name, of in STEPS.items()]


def _row(
    name: str, data: str, backbone: str, loss: str, n_negatives: int, times: int
) -> tuple[object, ...]:
    split = _split(data)
    here, there = (
        _trainer(split, backbone, loss, n_negatives, device) for device in ("cpu", "cuda")
    )
    order = rng_for(0).permutation(len(split.train))[: here.config.batch_size]
    ways: dict[str, Callable[[], object]] = {
        "core": partial(here.step, 1, order),
        "gpu": partial(_steps, there, order),
        "negatives": partial(here.sampler.draw, 1, order, n_negatives),
    }
    ms = {name: spent.wall for name, spent in best(ways, times).items()}
    ms["gpu"] /= AT_ONCE
    gain = f"{ms['core'] / ms['gpu']:.1f}x"
    return (name, f"{ms['core']:.2f}", f"{ms['gpu']:.2f}", gain, f"{ms['negatives']:.2f}")


def _split(data: str) -> Split:
    return random_split() if data == "electronic" else load_dataset(data)


def _trainer(split: Split, backbone: str, loss: str, n_negatives: int, device: str) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    module = BACKBONES[backbone](dim=64).build(split.train, generator).to(device)
    return Trainer(module, split, LOSSES[loss](n_negatives=n_negatives), TrainConfig(lr=1e-2), 0)


def _steps(trainer: Trainer, order: Any) -> None:
    for _ in range(AT_ONCE):
        trainer.step(1, order)
    torch.cuda.synchronize()


def shared() -> list[tuple[object, ...]]:
    """Let workers train softmax on MovieLens-100K beside one another; each has a core."""
    found = {workers: _together(workers) for workers in WORKERS}
    return [(n, f"{rate:.1f}", f"{rate / found[1]:.2f}") for n, rate in found.items()]


def _together(workers: int) -> float:
    """Return the epochs a second of all workers."""
    context = multiprocessing.get_context("spawn")
    start, counts = context.Barrier(workers), context.Queue()
    crew = [context.Process(target=_worker, args=(start, counts)) for _ in range(workers)]
    for one in crew:
        one.start()
    rate = sum(counts.get(timeout=300) for _ in crew)
    for one in crew:
        one.join()
    return float(rate)


def _worker(start: Any, counts: Any) -> None:
    with using(1):
        trainer = _trainer(load_dataset("movielens-100k"), "mf", "softmax", 200, "cuda")
        trainer.run_epoch(1)
        start.wait()
        epochs, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            epochs += 1
            trainer.run_epoch(1 + epochs)
        counts.put(epochs / (time.perf_counter() - began))


def main() -> None:
    """Print both tables."""
    print(measured())


if __name__ == "__main__":
    main()
