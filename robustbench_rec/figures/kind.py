"""A kind of figure: one module with a `KIND`, which `kinds` has in its list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis.panels import split_floors
from robustbench_rec.errors import InputError
from robustbench_rec.figures.page import Page
from robustbench_rec.records.run import Run

PLAIN_PAGE = Page()
Values = Literal["absolute", "retention", "excess", "rank"]


@dataclass(frozen=True)
class Frames:
    """The frames of one run that figures are drawn from.

    Args:
        curves: as `degradation.curves` returns them, floors among them.
        diagnostics: as `Run.diagnostics` returns them; None where nothing was measured.
        published: values to draw beside ours, of any panels; see `curves.draw_curves`.
        run: what all of it is of, for kinds that need more; its labels are the full ones.
        labels: axis -> full label of `run` -> the label here, of what is shown.

    """

    curves: pd.DataFrame
    diagnostics: pd.DataFrame | None = None
    published: pd.DataFrame | None = None
    run: Run | None = None
    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    @cached_property
    def losses(self) -> list[str]:
        """All losses that any figure shows, sorted; variants of one look alike in all figures."""
        trained, _ = split_floors(self.curves)
        measured = () if self.diagnostics is None else self.diagnostics["loss"].unique()
        return sorted({*trained["loss"].unique(), *measured, *self.labels.get("loss", {}).values()})

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a frame of `run` that figures show, with the labels that they have."""
        renamed = frame.replace({axis: to for axis, to in self.labels.items() if axis in frame})
        keys = [key for key in SHOWN if key in frame]
        held = pd.MultiIndex.from_frame(self.curves[keys].drop_duplicates())
        return renamed[pd.MultiIndex.from_frame(renamed[keys]).isin(held)]

    def known(self) -> Run:
        """Return the run; InputError where the frames were made without one."""
        if self.run is None:
            raise InputError("this kind of figure is drawn of a run, not of frames alone")
        return self.run


SHOWN = ["dataset", "backbone", "perturbation", "loss", "metric"]
"""What filters are of."""


def first(*arguments: Any) -> pd.DataFrame:
    """Return the first frame among the arguments of a figure, where that is what it shows."""
    frames = [one for one in arguments if isinstance(one, pd.DataFrame)]
    return frames[0] if frames else pd.DataFrame()


@dataclass(frozen=True)
class Drawing:
    """A figure that is still to be drawn, by `draw(*arguments)`, perhaps in another process.

    `key` names it, and nothing else in the run: the parts of its file name, such as data set,
    backbone, perturbation and metric. `table(*arguments)` is what it shows, as a frame; `page` is
    what it is drawn for.
    """

    key: tuple[str, ...]
    draw: Callable[..., Figure]
    arguments: tuple[Any, ...]
    table: Callable[..., pd.DataFrame] = first
    page: Page = PLAIN_PAGE


@dataclass(frozen=True)
class Asked:
    """What a user may ask of kinds, beside what all of them show.

    Attributes:
        value: what is drawn of a metric; each kind has one of its own if None.
        x: levels as they were asked for, or as they were realised.
        against: the label of the loss that others are held against.

    """

    value: Values | None = None
    x: Literal["level", "realised"] = "level"
    against: str | None = None

    @property
    def given(self) -> frozenset[str]:
        """The names of what was asked."""
        plain = Asked()
        return frozenset(name for name in vars(self) if getattr(self, name) != getattr(plain, name))


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        about: one line that says what it shows.
        drawings: returns the figures of this kind that a run has.
        takes: which of `Asked` it looks at.
        needs: of a run, to have any figure.
        asked_for: whether it is drawn only where it is asked for.

    """

    about: str
    drawings: Callable[[Frames, Asked], Iterable[Drawing]]
    takes: frozenset[str] = frozenset()
    needs: str = "a perturbation of several levels, level 0 among them"
    asked_for: bool = True
