"""Layout: found once for all files, and where matplotlib itself would have it."""

import io

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from panels import drawings_of, world

from robustbench_rec.figures import files
from robustbench_rec.figures.curves import draw_curves
from robustbench_rec.figures.layout import lay_out
from robustbench_rec.figures.panel import page_style

COLUMNS = ["mean", "low", "high"]
TINY = world().assign(**(world()[COLUMNS] * 1e-7))


def plain_png(drawing):
    """Return what matplotlib saves by itself, layout and all."""
    buffer = io.BytesIO()
    figure = drawing.draw(*drawing.arguments)
    with page_style():
        figure.savefig(buffer, **files.SAVE["png"])
    return buffer.getvalue()


@pytest.fixture
def calls(monkeypatch):
    """Count layouts and draws."""
    counts = {"layouts": 0, "draws": 0}

    def counted(owner, name, what):
        plain = getattr(owner, name)

        def call(*arguments, **options):
            counts[what] += 1
            return plain(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    counted(ConstrainedLayoutEngine, "execute", "layouts")
    counted(Figure, "draw", "draws")
    return counts


def test_a_figure_of_two_files_is_laid_out_once_and_drawn_twice(calls, tmp_path):
    files.save_all(drawings_of(world()), tmp_path)
    assert calls == {"layouts": 1, "draws": 2}


@pytest.mark.parametrize("frame", [world(), TINY], ids=["plain", "tiny"])
def test_a_png_is_what_matplotlib_draws_by_itself(tmp_path, frame):
    (drawing,) = drawings_of(frame)
    png, *_ = files.save_all([drawing], tmp_path)
    assert png.read_bytes() == plain_png(drawing)


def test_a_file_is_the_same_whatever_else_is_saved(tmp_path):
    drawings = drawings_of(world())
    both = files.save_all(drawings, tmp_path / "both")
    alone = [
        path
        for format in files.FORMATS
        for path in files.save_all(drawings, tmp_path / format, (format,))
    ]
    assert [path.read_bytes() for path in both] == [path.read_bytes() for path in alone]


def test_a_title_stands_above_what_matplotlib_writes_on_an_axis_of_tiny_values():
    ax = draw_curves(TINY)
    with page_style():
        lay_out(ax.figure)
        ax.figure.draw_without_rendering()
    offset = ax.yaxis.get_offset_text()
    assert offset.get_text() == "1e−8"
    (title,) = ax.findobj(lambda artist: is_text(artist, ax.get_title(loc="left")))
    assert title.get_window_extent().y0 >= offset.get_window_extent().y1


def is_text(artist, words):
    return isinstance(artist, Text) and artist.get_text() == words


def test_the_callers_own_layout_takes_no_part(tmp_path):
    drawings = drawings_of(world())
    (before,) = files.save_all(drawings, tmp_path / "before", ("png",))
    with mpl.rc_context({"figure.autolayout": True}):
        (after,) = files.save_all(drawings, tmp_path / "after", ("png",))
    assert before.read_bytes() == after.read_bytes()


def test_a_figure_without_axes_or_layout_can_be_saved():
    lay_out(Figure())
