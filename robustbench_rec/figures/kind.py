"""A kind of figure: one module with a `KIND`, which is listed in `kinds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from robustbench_rec.analysis.panels import split_baselines
from robustbench_rec.errors import InputError
from robustbench_rec.figures.page import Page
from robustbench_rec.records.run import Run

PLAIN_PAGE = Page()
Values = Literal["absolute", "retention", "excess", "rank"]


@dataclass(frozen=True)
class Frames:
    """The frames of one run that figures are drawn from.

    Args:
        curves: as `degradation.curves` returns them, baselines among them.
        diagnostics: as `Run.diagnostics` returns them; None if there are none.
        published: values to draw beside ours, of any panels; see `curves.draw_curves`.
        run: the run of these frames, for kinds that need more; it has full labels.
        labels: axis -> full label in `run` -> label in these frames; only of the rows shown.

    """

    curves: pd.DataFrame
    diagnostics: pd.DataFrame | None = None
    published: pd.DataFrame | None = None
    run: Run | None = None
    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    @cached_property
    def losses(self) -> list[str]:
        """All losses of all figures, sorted; a variant looks the same in all figures."""
        trained, _ = split_baselines(self.curves)
        measured = () if self.diagnostics is None else self.diagnostics["loss"].unique()
        return sorted({*trained["loss"].unique(), *measured, *self.labels.get("loss", {}).values()})

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a frame of `run` that figures show, with the labels of the figures."""
        renamed = frame.replace({axis: to for axis, to in self.labels.items() if axis in frame})
        keys = [key for key in SHOWN if key in frame]
        held = pd.MultiIndex.from_frame(self.curves[keys].drop_duplicates())
        return renamed[pd.MultiIndex.from_frame(renamed[keys]).isin(held)]

    def known(self) -> Run:
        """Return the run; InputError if the frames were made without a run."""
        if self.run is None:
            raise InputError("this kind of figure needs a run, not only frames")
        return self.run


SHOWN = ["dataset", "backbone", "perturbation", "loss", "metric"]
"""Axes of filters."""


def first(*arguments: Any) -> pd.DataFrame:
    """Return the first frame among the arguments of a figure, if the figure shows that frame."""
    frames = [one for one in arguments if isinstance(one, pd.DataFrame)]
    return frames[0] if frames else pd.DataFrame()


@dataclass(frozen=True)
class Drawing:
    """A figure that is not drawn yet: `draw(*arguments)` draws it, perhaps in another process.

    `key` is unique in the run and holds the parts of the file name, such as data set, backbone,
    perturbation and metric. `table(*arguments)` returns the data shown as a frame; `page` is the
    page it is drawn for.
    """

    key: tuple[str, ...]
    draw: Callable[..., Figure]
    arguments: tuple[Any, ...]
    table: Callable[..., pd.DataFrame] = first
    page: Page = PLAIN_PAGE


@dataclass(frozen=True)
class Asked:
    """The options of kinds of figures, beside the options common to all kinds.

    Attributes:
        value: the value drawn of a metric; the default of the kind if None.
        x: the requested or the realised levels.
        against: the label of the reference loss.

    """

    value: Values | None = None
    x: Literal["level", "realised"] = "level"
    against: str | None = None

    @property
    def given(self) -> frozenset[str]:
        """The names of the options that were given."""
        plain = Asked()
        return frozenset(name for name in vars(self) if getattr(self, name) != getattr(plain, name))


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        about: one line on its content.
        drawings: returns the figures of this kind that a run has.
        takes: the fields of `Asked` that it uses.
        needs: the data that a run must have for any figure of this kind.
        asked_for: whether it is drawn only on request.

    """

    about: str
    drawings: Callable[[Frames, Asked], Iterable[Drawing]]
    takes: frozenset[str] = frozenset()
    needs: str = "a perturbation of several levels, including level 0"
    asked_for: bool = True
