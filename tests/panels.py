"""Curves, baselines and published values made by hand, and what is drawn of them."""

from itertools import chain

import pandas as pd

from robustbench_rec.analysis.degradation import curves
from robustbench_rec.analysis.names import NAMES
from robustbench_rec.figures.kind import Asked, Frames
from robustbench_rec.figures.kinds import kinds_of
from robustbench_rec.records.frames import COLUMNS

SIX = ("bpr", "bce", "mse", "softmax", "ccl", "drrl")
PERTURBATION = "negative_contamination(pool=own)"


def world(losses=SIX, replicates=3, metric="ndcg@20", perturbation=PERTURBATION):
    """Make curves that fall, each at its own rate."""
    rows = [
        (
            *("s", "toy", "mf", loss, perturbation, "share of negatives", level, r, level, metric),
            (0.3 + 0.01 * r) * (1 - level * (i + 1) / 10),
            *(0.9, "split", "clean", "", "5"),
        )
        for i, loss in enumerate(losses)
        for level in (0.0, 0.1, 0.2, 0.4)
        for r in range(replicates)
    ]
    return curves(pd.DataFrame(rows, columns=list(COLUMNS)))


def baselines(names=("popularity", "random"), **options):
    """Make curves of baselines: 0.1 x (i + 1) of what the i-th loss has."""
    frame = world(names, **options).assign(backbone=lambda rows: rows["loss"], loss="untrained")
    columns = ["mean", "low", "high"]
    return frame.assign(**(frame[columns] / 10))


def lines(ax):
    """Return the lines on an axis by the labels of losses, not by what figures call these."""
    return {
        code(line.get_label()): line
        for line in ax.get_lines()
        if not line.get_label().startswith("_")
    }


def code(name):
    """Return the name in the code of what a figure calls by another, marks after it left."""
    for label, said in NAMES.items():
        if name.startswith(said) and not name.removeprefix(said).strip("\u2020\u2021\u00a7\u00b6"):
            return label + name.removeprefix(said)
    return name


def codes(texts):
    return [code(text.get_text()) for text in texts]


def published(*rows, perturbation=PERTURBATION, metric="ndcg@20"):
    """Make published values of (loss, level, value, source) rows."""
    columns = ["dataset", "backbone", "perturbation", "metric", "loss", "level", "value", "source"]
    return pd.DataFrame(
        [("toy", "mf", perturbation, metric, *row) for row in rows], columns=columns
    )


def drawings_of(found, diagnostics=None, published=None, kinds=(), asked=Asked()):  # noqa: B008
    """Return every figure of a run of such curves, or those of some kinds."""
    frames, chosen = Frames(found, diagnostics, published), kinds_of(kinds, asked)
    return list(chain.from_iterable(kind.drawings(frames, asked) for kind in chosen))
