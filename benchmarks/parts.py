"""The parts of the time of a training: Amazon-Electronic's size, and MovieLens-100K.

    python -m benchmarks.parts

CPU time on one thread. A part is timed alone; what a step takes beyond its parts is its glue:
views, small tensors, autograd, the loop itself. Evaluation and the probe of the diagnostics come
every five epochs, and are spread over the steps between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch

from benchmarks.data import random_split
from benchmarks.step import B, trainer
from benchmarks.timing import best, table, using
from robustbench_rec import Split, load_dataset
from robustbench_rec.evaluation.ranking import evaluate
from robustbench_rec.kernels import compiled
from robustbench_rec.seeds import rng_for
from robustbench_rec.training.fit import Trainer

EVERY = 5
"""Epochs between evaluations."""
LOSSES = {"bpr": 1, "softmax": 1000, "drrl": 1000}
SMALL = {"bpr": 1, "softmax": 200, "drrl": 200}
"""Negatives that each loss samples, at either size."""
IN_ONE_GO = ("scores", "loss", "gradient by user")
"""What a loss without margins does row by row; its time is then one."""


def measured(times: int = 15) -> tuple[list[str], list[tuple[object, ...]]]:
    """Measure each loss at both sizes: a header, and a line a part."""
    found = {}
    with using(1):
        for size, split, losses in (
            ("Electronic", random_split(), LOSSES),
            ("MovieLens-100K", load_dataset("movielens-100k"), SMALL),
        ):
            for loss, n in losses.items():
                found[f"{loss}, N = {n}, {size}"] = _spent(split, loss, n, times)
    names = dict.fromkeys(name for spent in found.values() for name in spent)
    lines = [(name, *(_told(spent, name) for spent in found.values())) for name in names]
    return ["part", *found], lines


def _told(spent: Mapping[str, float], name: str) -> str:
    if name not in spent:
        return ""
    return f"{spent[name]:.2f} ({100 * spent[name] / spent['step']:.0f} %)"


def _spent(split: Split, loss: str, n_negatives: int, times: int) -> dict[str, float]:
    one = trainer(split, loss, n_negatives)
    batch = rng_for(0).permutation(len(split.train))[:B]
    one.step(1, batch)
    model = one.snapshot(1)
    steps = -(-len(split.train) // B) * EVERY
    seldom = {
        "evaluation": partial(evaluate, model.users, model.items, split.valid, split.seen, [20]),
        "probe": partial(one.diagnostics, model),
    }
    often = parts_of(one, batch) | {"step": partial(one.step, 1, batch)}
    ms = {name: spent.cpu for name, spent in best({**often, **seldom}, times).items()}
    whole = ms.pop("step")
    later = {name: ms.pop(name) / steps for name in seldom}
    ms["glue"] = whole - sum(ms[name] for name in ms if name not in _told_apart(one))
    return {**ms, "step": whole, **later}


def _told_apart(one: Trainer) -> tuple[str, ...]:
    """Return the parts that another one holds."""
    return () if one.movers else IN_ONE_GO


def parts_of(one: Trainer, batch: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return what to time of a training whose loss has a compiled form."""
    assert one.form is not None
    loss, cosine = one.form.loss, one.loss.score == "cosine"
    index, who = (part.numpy() for part in one._drawn(1, batch, one.loss.n_negatives))
    places = index.view(np.uint32)
    users, items = (part.detach().numpy() for part in one.module())
    chosen = users[who]
    scaled = chosen, items, compiled.scales(chosen, cosine), compiled.scales(items, cosine)
    scores, slopes = np.empty(index.shape, np.float32), np.empty(index.shape, np.float32)
    values, totals, own_slopes = np.empty((3, len(who)), np.float32)
    own = one.form.own(torch.from_numpy(who)).detach().numpy()
    by_user, by_item, by_table = (np.empty_like(part) for part in (chosen, items, users))
    given = loss.function, loss.settings, own
    compiled.score(*scaled, places, scores)
    losses = partial(compiled.row_losses, *given, scores, slopes, values, own_slopes)
    losses()
    weights = slopes.copy()
    order = compiled.by_item_order(places, weights, len(items), 1)
    left = values, totals, own_slopes, by_user
    parts: dict[str, Callable[[], object]] = {
        "negatives": partial(one.sampler.draw, 1, batch, one.loss.n_negatives),
        "directions": partial(compiled.scales, items, cosine),
        "scores": partial(compiled.score, *scaled, places, scores),
        "loss": losses,
        "gradient by user": partial(compiled.by_user, *scaled, places, weights, cosine, 1, by_user),
        "the three, row by row": partial(
            compiled.row_steps, *given, *scaled, places, cosine, 1, slopes, *left
        ),
        "pairs by item": partial(compiled.by_item_order, places, weights, len(items), 1),
        "gradient by item": partial(compiled.by_item, *scaled, *order, cosine, by_item),
        "users' rows": partial(compiled.by_table, who, by_user, by_table),
        "Adam": partial(one.optimizer.step, [torch.rand_like(part) for part in one.parameters]),
    }
    if one.movers:  # its margins move first: the loss is taken twice, and apart
        del parts["the three, row by row"]
        parts["loss, for the margins"] = losses
    return parts


def main() -> None:
    """Print the table."""
    print(table(*measured()))


if __name__ == "__main__":
    main()
