"""Fonts of PDFs: the glyphs of a figure, cut from what nearly every figure uses of a font.

Matplotlib cuts them from the whole font, its tables for the layout of text included. These take
ten times as long as the glyphs, and serve nobody: a PDF says itself where each glyph stands.
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
"""Characters that are cut once for all figures: ASCII, and ligatures of f, i and l."""
DROPPED = ("GDEF", "GPOS", "GSUB", "MATH", "kern", "FFTM")
"""Tables for the layout of text, and one that says when the font was made."""
REPLACED = "get_glyphs_subset"
"""The private function of matplotlib that `cut_once` replaces."""


class Cut(NamedTuple):
    """Some glyphs of a font; it stands for matplotlib's SubsetResults, of the same fields."""

    font: TTFont
    glyph_index_map: dict[int, int]
    """A glyph's index in the whole font -> its index here."""


@contextmanager
def cut_once() -> Iterator[None]:
    """Have PDFs take glyphs from `cut` inside a `with`.

    Bytes depend on the font and on the glyphs used, never on what was drawn before. Where
    matplotlib's own function is not as we know it, files are drawn by that, more slowly.
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
    """Say whether a function takes and returns what `cut` does."""
    fields = getattr(getattr(backend, "SubsetResults", None), "_fields", None)
    return callable(function) and fields == Cut._fields and _takes(function) == _takes(cut)


def _takes(function: Callable[..., Any]) -> list[str]:
    return [*inspect.signature(function).parameters]


@contextmanager
def cut(fontfile: Any, glyphs: Iterable[int]) -> Iterator[Cut]:
    """Yield a font of these glyphs alone, and what they need.

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
    """Return a font file of the glyphs of COMMON, and where these are in it."""
    font, places = _cut(str(fontfile), fontfile.face_index, unicodes=COMMON)
    content = BytesIO()
    with font:
        font.save(content, reorderTables=False)
    return content.getvalue(), places


def _cut(file: str | BytesIO, face: int = 0, **glyphs: Iterable[int]) -> Cut:
    """Return some glyphs of a font file, as `Subsetter.populate` takes them."""
    options = subset.Options(font_number=face)
    options.drop_tables += DROPPED
    font = subset.load_font(file, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(**glyphs)
    subsetter.subset(font)
    return Cut(font, subsetter.glyph_index_map)
