"""A kind of figure: one module with a function `drawings`, which the gallery has in its list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis.panels import split_floors


@dataclass(frozen=True)
class Frames:
    """The frames of one run that figures are drawn from.

    Args:
        curves: as `degradation.curves` returns them, floors among them.
        diagnostics: as `Run.diagnostics` returns them; None where nothing was measured.
        published: values to draw beside ours, of any panels; see `curves.draw_curves`.

    """

    curves: pd.DataFrame
    diagnostics: pd.DataFrame | None = None
    published: pd.DataFrame | None = None

    @cached_property
    def losses(self) -> list[str]:
        """All losses that any figure shows, sorted; variants of one look alike in all figures."""
        trained, _ = split_floors(self.curves)
        measured = () if self.diagnostics is None else self.diagnostics["loss"].unique()
        return sorted({*trained["loss"].unique(), *measured})


@dataclass(frozen=True)
class Drawing:
    """A figure that is still to be drawn, by `draw(*arguments)`, perhaps in another process.

    `key` names it, and nothing else in the run: the parts of its file name, such as data set,
    backbone, perturbation and metric.
    """

    key: tuple[str, ...]
    draw: Callable[..., Figure]
    arguments: tuple[Any, ...]


class Kind(Protocol):
    """A kind of figure: a module of one function."""

    def drawings(self, frames: Frames, /) -> Iterable[Drawing]:
        """Return the figures of this kind that a run has."""
