"""The page that figures are drawn for: its width, its letters, and what components are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

BASE = 9.0
"""Points of the letters that sizes are given for."""
NARROW = 4.5
"""Inches below which panels stand one below another, and the legend below them."""


@dataclass(frozen=True)
class Page:
    """What holds for all figures of one drawing.

    Attributes:
        width: in inches; each kind has one of its own if None.
        font_size: of the letters, in points; that of `style`, else BASE, if None.
        title: whether a figure says above its panels of what it is.
        log_x: whether levels stand on a logarithmic axis.
        style: settings of matplotlib, as of a style file.
        names: (label, what figures call it), in place of the name that people use.
        order: labels of losses, those that stand first.
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
        """Points of the letters."""
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
    """Draw for a page what is drawn inside a `with`."""
    token = _PAGE.set(page)
    try:
        yield
    finally:
        _PAGE.reset(token)


def scaled(size: float) -> float:
    """Return a size that is given for letters of BASE points, for those of the page."""
    return size * page().letters / BASE
