"""The page that figures are drawn for: its width, its font size, and names of components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

BASE = 9.0
"""Font size in points that all other sizes assume."""
NARROW = 4.5
"""On pages narrower than this (inches), panels are one below another, and the legend below them."""


@dataclass(frozen=True)
class Page:
    """The settings common to all figures of one drawing.

    Attributes:
        width: in inches; the default of the kind if None.
        font_size: in points; the font size of `style`, else BASE, if None.
        title: whether a figure has a heading above its panels.
        log_x: whether the axis of levels is logarithmic.
        style: settings of matplotlib, as in a style file.
        names: (label, name in figures), in place of the usual name.
        order: labels of losses that come first.
        limits: (metric, least, most) of the axis of a metric.

    """

    width: float | None = None
    font_size: float | None = None
    title: bool = True
    log_x: bool = False
    style: tuple[tuple[str, Any], ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    order: tuple[str, ...] = ()
    limits: tuple[tuple[str, float, float], ...] = ()

    @property
    def letters(self) -> float:
        """The font size in points."""
        return float(self.font_size or self.styled.get("font.size") or BASE)

    @property
    def styled(self) -> Mapping[str, Any]:
        """`style` by the names of its settings."""
        return dict(self.style)


_PAGE: ContextVar[Page] = ContextVar("page", default=Page())  # noqa: B039  # it is frozen


def page() -> Page:
    """Return the page that is drawn for; a plain one outside `drawn_for`."""
    return _PAGE.get()


@contextmanager
def drawn_for(page: Page) -> Iterator[None]:
    """Draw for a page inside a `with`."""
    token = _PAGE.set(page)
    try:
        yield
    finally:
        _PAGE.reset(token)


def scaled(size: float) -> float:
    """Scale a size given for letters of BASE points to the letters of the page."""
    return size * page().letters / BASE
