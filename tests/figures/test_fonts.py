"""Fonts of PDFs: embedded, cut once, and the same whatever was drawn before."""

import io
import re
import zlib

import pytest
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.backends import _backend_pdf_ps as backend
from matplotlib.figure import Figure

from robustbench_rec.figures import fonts
from robustbench_rec.figures.files import rendered
from robustbench_rec.figures.kind import Drawing

if not hasattr(font_manager, "FontPath"):
    pytest.skip("before matplotlib 3.11 its own function cuts glyphs", allow_module_level=True)
WHOLE = font_manager.FontPath(font_manager.findfont("DejaVu Sans"), 0)
COMMON, RARE = "Office 0.5%", "Ω ≥ Naïve"


def written(text):
    """Make a figure that says something."""
    figure = Figure()
    figure.text(0.1, 0.5, text)
    return figure


def pdf(text):
    return rendered({"only": Drawing(("only",), written, (text,))}, ("pdf",))["only.pdf"]


def embedded(content):
    """Return the fonts in a PDF."""
    streams = re.findall(rb"/Length1 \d+.*?stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    return [TTFont(io.BytesIO(zlib.decompress(stream))) for stream in streams]


def outlines(font):
    """Return how the glyphs of a font are drawn, parts of composed ones put in."""
    glyphs, found = font.getGlyphSet(), []
    for name in font.getGlyphOrder():
        pen = DecomposingRecordingPen(glyphs)
        glyphs[name].draw(pen)
        found.append(pen.value)
    return found


def test_matplotlib_takes_its_glyphs_where_we_know():
    assert fonts.is_known(getattr(backend, fonts.REPLACED, None)), (
        f"matplotlib's {fonts.REPLACED} takes or returns something else than figures/fonts.py "
        "gives; until that is changed, PDFs are drawn slowly"
    )


@pytest.mark.parametrize("text", [COMMON, RARE])
def test_fonts_are_embedded_with_the_outlines_that_a_text_has_and_no_layout(text):
    found = embedded(pdf(text))
    assert found
    for font in found:
        assert {"glyf", "head", "hhea", "hmtx", "loca", "maxp"} <= set(font.keys())
        assert not {*fonts.DROPPED} & set(font.keys())
    with TTFont(WHOLE) as whole:
        glyphs = whole.getGlyphSet()
        drawn = [outline for font in found for outline in outlines(font)]
        for letter in set(text) - set(" fi"):  # "ffi" is one glyph
            pen = DecomposingRecordingPen(glyphs)
            glyphs[whole.getBestCmap()[ord(letter)]].draw(pen)
            assert pen.value in drawn


def test_bytes_are_the_same_in_any_order_of_drawing():
    fonts._common.cache_clear()
    first = [pdf(text) for text in (COMMON, RARE, "bpr")]
    fonts._common.cache_clear()
    assert [pdf(text) for text in ("bpr", RARE, COMMON)] == first[::-1]


def test_a_font_file_is_read_once_for_all_figures_of_common_characters(monkeypatch):
    read, load = [], fonts.subset.load_font

    def counted(file, options):
        read.append(file)
        return load(file, options)

    monkeypatch.setattr(fonts.subset, "load_font", counted)
    fonts._common.cache_clear()
    for text in (COMMON, "bpr", "softmax(tau=0.2)"):
        pdf(text)
    assert len([file for file in read if isinstance(file, str)]) == 1


def test_glyphs_keep_their_places_in_the_index():
    with TTFont(WHOLE) as whole:
        names = {whole.getGlyphID(name): name for name in ("A", "b", "Omega", "idieresis")}
        widths = {glyph: whole["hmtx"][name] for glyph, name in names.items()}
    for wanted in ({*list(names)[:2]}, {*names}):
        with fonts.cut(WHOLE, wanted) as (font, places):
            order = font.getGlyphOrder()
            found = {glyph: font["hmtx"][order[places[glyph]]] for glyph in wanted}
        assert found == {glyph: widths[glyph] for glyph in wanted}


@pytest.mark.parametrize("other", [None, lambda fontfile, characters: None])
def test_another_matplotlib_draws_by_its_own_means(monkeypatch, other):
    monkeypatch.setattr(backend, fonts.REPLACED, other)
    with fonts.cut_once():
        assert getattr(backend, fonts.REPLACED) is other


def test_the_callers_matplotlib_stays_as_it_is():
    plain = backend.get_glyphs_subset
    pdf(COMMON)
    assert backend.get_glyphs_subset is plain
