"""Fonts of PDFs: a figure's glyphs, cut from a small font of the glyphs that most figures use.

Matplotlib cuts glyphs from the whole font, including its tables for text layout. These tables take
ten times as long as the glyphs and are not needed: a PDF holds the position of each glyph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib.backends import _backend_pdf_ps as backend

COMMON = (*range(0x20, 0x7F), *range(0xFB00, 0xFB05))
"""Characters cut once for all figures: ASCII, and ligatures of f, i and l."""
DROPPED = ("GDEF", "GPOS", "GSUB", "MATH", "kern", "FFTM")
"""Tables for the layout of text, and the table with the date of the font."""
REPLACED = "get_glyphs_subset"
"""The private function of matplotlib that `cut_once` replaces."""


class Cut(NamedTuple):
    """Some glyphs of a font, with the fields of matplotlib's SubsetResults."""

    font: TTFont
    glyph_index_map: dict[int, int]
    """A glyph's index in the whole font -> its index here."""


@contextmanager
def cut_once() -> Iterator[None]:
    """Make PDFs take glyphs from `cut` inside a `with`.

    Bytes depend on the font and on the glyphs used, not on earlier figures. If matplotlib's own
    function has another signature than expected, it stays in use, which is slower.
    """
    plain = getattr(backend, REPLACED, None)
    if not is_known(plain):
        yield
        return
    setattr(backend, REPLACED, cut)
    try:
        yield
    finally:
        setattr(backend, REPLACED, plain)


def is_known(function: Any) -> bool:
    """Say whether a function has the parameters and the result of `cut`."""
    fields = getattr(getattr(backend, "SubsetResults", None), "_fields", None)
    return callable(function) and fields == Cut._fields and _takes(function) == _takes(cut)


def _takes(function: Callable[..., Any]) -> list[str]:
    return [*inspect.signature(function).parameters]


@contextmanager
def cut(fontfile: Any, glyphs: Iterable[int]) -> Iterator[Cut]:
    """Yield a font of these glyphs alone, with everything they need.

    Args:
        fontfile: a path, with a `face_index` where the file holds several fonts.
        glyphs: by their indices in the whole font.

    """
    wanted = set(glyphs)
    content, places = _common(fontfile)
    if wanted <= places.keys():
        font, moved = _cut(BytesIO(content), gids={places[glyph] for glyph in wanted})
        moved = {glyph: moved[places[glyph]] for glyph in wanted}
    else:
        font, moved = _cut(str(fontfile), fontfile.face_index, gids=wanted)
    with font:
        yield Cut(font, moved)


@lru_cache
def _common(fontfile: Any) -> tuple[bytes, dict[int, int]]:
    """Return a font file of the glyphs of COMMON, and their indices in it."""
    font, places = _cut(str(fontfile), fontfile.face_index, unicodes=COMMON)
    content = BytesIO()
    with font:
        font.save(content, reorderTables=False)
    return content.getvalue(), places


def _cut(file: str | BytesIO, face: int = 0, **glyphs: Iterable[int]) -> Cut:
    """Return some glyphs of a font file, selected as by `Subsetter.populate`."""
    options = subset.Options(font_number=face)
    options.drop_tables += DROPPED
    font = subset.load_font(file, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(**glyphs)
    subsetter.subset(font)
    return Cut(font, subsetter.glyph_index_map)
