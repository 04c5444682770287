"""Files: render figures to bytes, under unique file names."""

from __future__ import annotations

import gc
import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis.spreadsheets import in_csv
from robustbench_rec.figures.fonts import cut_once
from robustbench_rec.figures.kind import Drawing
from robustbench_rec.figures.layout import lay_out
from robustbench_rec.figures.page import drawn_for
from robustbench_rec.figures.panel import page_style
from robustbench_rec.processes import without_gc

Format = Literal["png", "pdf", "svg", "csv"]
FORMATS: tuple[Format, ...] = ("png", "pdf", "csv")
"""A CSV holds exactly the data that a figure shows."""
SORTED = ("dataset", "backbone", "perturbation", "metric", "loss", "level", "epoch", "source")
"""Columns that rows of a table are sorted by, if it has them."""
STEM = 120
"""Length of the longest file name, without its suffix."""
SAVE: dict[Format, dict[str, Any]] = {
    "png": {"pil_kwargs": {"compress_level": 3}},  # twice as fast as 6, and 3% larger
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
}
Starmap = Callable[..., Iterable[Any]]
"""Calls a function with each tuple of arguments, perhaps in other processes; returns the results in
order, as `itertools.starmap` does."""


def save_all(
    drawings: Iterable[Drawing],
    folder: Path,
    formats: Sequence[Format] = FORMATS,
    starmap: Starmap = starmap,
) -> list[Path]:
    """Draw and save figures.

    Args:
        drawings: the figures; each key once.
        folder: where STEM.png (200 dpi), STEM.pdf and STEM.csv go, STEM made of a drawing's key;
            made if missing. Files of those names are replaced; equal data give equal bytes.
        formats: the file formats; the fonts of a PDF take most of the time.
        starmap: see `Starmap`.

    Returns:
        The files written, in the order of their names.

    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = rendered(by_stem(drawings), formats, starmap)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def by_stem(drawings: Iterable[Drawing]) -> dict[str, Drawing]:
    """Return drawings by the stems of their file names, sorted."""
    keyed: dict[tuple[str, ...], Drawing] = {}
    for drawing in drawings:
        assert drawing.key not in keyed, f"two figures are called {drawing.key}"
        keyed[drawing.key] = drawing
    stems = file_stems(keyed)
    return {stems[key]: keyed[key] for key in sorted(keyed, key=stems.__getitem__)}


def file_names(stems: Iterable[str], formats: Sequence[Format] = FORMATS) -> list[str]:
    """Return the names of the files of figures."""
    return [f"{stem}.{format}" for stem in stems for format in formats]


def rendered(
    drawings: dict[str, Drawing],
    formats: Sequence[Format] = FORMATS,
    starmap: Starmap = starmap,
) -> dict[str, bytes]:
    """Draw figures, and return file name -> content, in the order of the stems.

    Nothing is written, so an interruption leaves no incomplete file.

    Args:
        drawings: stem -> figure. In sorted order large and small figures alternate, so that both
            halves take equally long.
        formats: the file formats.
        starmap: see `Starmap`.

    """
    contents = starmap(_render, [(drawing, formats) for drawing in drawings.values()])
    flat = [content for of_drawing in contents for content in of_drawing]
    return dict(zip(file_names(drawings, formats), flat, strict=True))


def digest_of(drawing: Drawing) -> str:
    """Return the digest of the data that a drawing shows."""
    shown = (f"{drawing.draw.__module__}.{drawing.draw.__qualname__}", drawing.key)
    told = [repr(shown), repr(drawing.page), *map(_printed, drawing.arguments)]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:32]


def _printed(argument: Any) -> str:
    """Print the data of a drawing, to the last digit."""
    return argument.to_csv() if isinstance(argument, pd.DataFrame) else repr(argument)


@contextmanager
def collected_after() -> Iterator[None]:
    """Run the garbage collector after a figure is drawn, not during drawing."""
    with without_gc():
        yield
    gc.collect(0)


@collected_after()
def _render(drawing: Drawing, formats: Sequence[Format]) -> list[bytes]:
    """Return the content of a file of each format; the layout is computed once for all."""
    with drawn_for(drawing.page):
        figure = drawing.draw(*drawing.arguments)
        with page_style(), cut_once():
            lay_out(figure)
            return [
                _written(drawing.table(*drawing.arguments))
                if format == "csv"
                else _saved(figure, format)
                for format in formats
            ]


def _written(table: pd.DataFrame) -> bytes:
    """Return a table as a CSV file, sorted, in which no spreadsheet reads a formula."""
    held = table.sort_values([name for name in SORTED if name in table], ignore_index=True)
    texts = held.select_dtypes(exclude=["number", "bool"]).columns
    told = {
        name: [in_csv(one) if isinstance(one, str) else one for one in held[name]] for name in texts
    }
    return held.assign(**told).to_csv(index=False, lineterminator="\n").encode()


def _saved(figure: Figure, format: Format) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, **SAVE[format])
    return buffer.getvalue()


def file_stems(keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return a stem for each key, made of letters, digits, "_", "." and "-".

    "ndcg@20" becomes "ndcg_at_20". A stem that is long, or that two keys would share, ends with a
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
