"""Saving: the figures of many panels, drawn and written under names that tell them apart."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis.degradation import split_floors
from robustbench_rec.figures.curves import FIGURE, draw_figure, page_style
from robustbench_rec.figures.rankings import draw_ranking

Kind = Literal["png", "pdf"]
STEM = 120
"""Longest file name, without its suffix."""
SAVE: dict[Kind, dict[str, Any]] = {
    "png": {"pil_kwargs": {"compress_level": 3}},  # twice as fast as 6, and 3% larger
    "pdf": {"metadata": {"CreationDate": None}},
}


@dataclass(frozen=True)
class Drawing:
    """A figure that is still to be drawn: by `draw(*arguments)`, into files called `stem`."""

    stem: str
    draw: Callable[..., Figure]
    arguments: tuple[Any, ...]


def save_all(
    curves: pd.DataFrame,
    folder: Path,
    kinds: Sequence[Kind] = ("png", "pdf"),
    starmap: Callable[..., Iterable[list[Path]]] = starmap,
    published: pd.DataFrame | None = None,
    more: Iterable[Drawing] = (),
) -> list[Path]:
    """Draw and save a figure for each dataset, trained backbone, perturbation and metric.

    Args:
        curves: as `degradation.curves` returns them; floors go into each figure of their data set
            and perturbation.
        folder: where DATASET-BACKBONE-PERTURBATION-METRIC.png (200 dpi) and .pdf go; made where it
            is missing. Files of those names are replaced; equal curves give equal bytes.
        kinds: of file; most of the time goes into the fonts of a PDF.
        starmap: calls a function with each of several tuples of arguments, perhaps in processes
            beside this one, and returns the results in order.
        published: as for `draw_curves`, of any panels.
        more: figures to draw and save with these.

    Returns:
        The files written, in the order of their names.

    """
    folder.mkdir(parents=True, exist_ok=True)
    trained, floors = split_floors(curves)
    among = sorted(trained["loss"].unique())
    panels = {
        tuple(str(part) for part in key): _with_floors(panel, floors)
        for key, panel in trained.groupby(FIGURE, sort=True)
    }
    stems = file_stems(panels)
    drawings = [
        Drawing(stems[key], draw_figure if _has_levels(panel) else draw_ranking, arguments)
        for key, panel in panels.items()
        for arguments in [(panel, among, published)]
    ]
    # Sorted, large and small ones alternate, so that either half of them takes as long.
    drawings = sorted([*drawings, *more], key=lambda drawing: drawing.stem)
    jobs = [(drawing, folder, kinds) for drawing in drawings]
    return list(chain.from_iterable(starmap(_draw_and_save, jobs)))


def _has_levels(panel: pd.DataFrame) -> bool:
    return bool(panel["level"].nunique() > 1)


def _with_floors(panel: pd.DataFrame, floors: pd.DataFrame) -> pd.DataFrame:
    """Add the floors that stand beside the losses of a panel."""
    shared = [column for column in FIGURE if column != "backbone"]
    return pd.concat([panel, floors[(floors[shared] == panel[shared].iloc[0]).all(axis=1)]])


def _draw_and_save(drawing: Drawing, folder: Path, kinds: Sequence[Kind]) -> list[Path]:
    """Write a file of each kind; the layout is computed once, for the first."""
    figure = drawing.draw(*drawing.arguments)
    paths = [folder / f"{drawing.stem}.{kind}" for kind in kinds]
    for kind, path in zip(kinds, paths, strict=True):
        with page_style():
            figure.savefig(path, **SAVE[kind])
        figure.set_layout_engine("none")
    return paths


def file_stems(keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return a file name without suffix for each key, made of letters, digits, "_", "." and "-".

    "ndcg@20" becomes "ndcg_at_20". A name that is long, or that two keys would share, ends in a
    digest of its key.
    """
    plain = {key: "-".join(_safe(part) for part in key) for key in keys}
    shared = Counter(stem.lower() for stem in plain.values())
    return {
        key: stem if shared[stem.lower()] == 1 and len(stem) <= STEM else _digested(key, stem)
        for key, stem in plain.items()
    }


def _safe(part: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", part.replace("@", "_at_")).strip("_.-") or "_"


def _digested(key: tuple[str, ...], stem: str) -> str:
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:8]
    return f"{stem[: STEM - 9]}-{digest}"
