"""Options: the user's options for the figures of a run, checked before anything is drawn."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from robustbench_rec.analysis.asked import labels_asked
from robustbench_rec.analysis.names import first_of, given_names
from robustbench_rec.errors import InputError, nearest, one_line
from robustbench_rec.experiment.shown import shown_in
from robustbench_rec.figures.files import FORMATS, SAVE, Format
from robustbench_rec.figures.kind import PLAIN_PAGE, Asked
from robustbench_rec.figures.page import Page
from robustbench_rec.records.run import Run

WIDTHS = {
    "acm-column": 3.33,
    "acm-text": 7.0,
    "ieee-column": 3.5,
    "ieee-text": 7.16,
    "icml-column": 3.25,
    "icml-text": 6.75,
    "aaai-column": 3.3,
    "aaai-text": 7.0,
    "acl-column": 3.03,
    "acl-text": 6.3,
    "neurips": 5.5,
    "iclr": 5.5,
    "lncs": 4.8,
}
"""Inches of a column, or of the full text, in the layouts of venues."""
LEAST_WIDTH, MOST_WIDTH = 2.0, 30.0
LEAST_LETTERS, MOST_LETTERS = 4.0, 40.0
LARGEST_STYLE = 1 << 20
REFUSED = ("text.usetex", "text.latex.preamble", "pgf.preamble", "svg.hashsalt", "backend")
"""Settings that would need other programs, or would make files differ each time."""
NOTHING = Asked()
AXES = ("dataset", "backbone", "perturbation", "loss")


@dataclass(frozen=True)
class Options:
    """The user's options for the figures of a run.

    Attributes:
        kinds: the names of the kinds; the kinds drawn by default if empty.
        only: axis -> labels to show, or an unambiguous part of each; all if an axis is missing.
            The axes are the axes of a cell, and `metric`.
        asked: the options of the kinds.
        formats: the file formats.
        page: the page that figures are drawn for.
        folder: where files go; `figures` in the run's folder if None.

    """

    kinds: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: Asked = NOTHING
    formats: tuple[Format, ...] = FORMATS
    page: Page = PLAIN_PAGE
    folder: Path | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is left out, so that the folder holds exactly these figures."""
        return not self.kinds and not self.only and not self.asked.given


def labels_shown(run: Run, only: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the selected labels on each axis that is restricted, and the metrics.

    Raises:
        InputError: a selected label was not run, or a metric was not measured.

    """
    held = {axis: [str(one) for one in run.results[axis].unique()] for axis in AXES if axis in only}
    found = {
        axis: [label for one in only[axis] for label in labels_asked(axis, one, labels, run)]
        for axis, labels in held.items()
    }
    for metric in only.get("metric", ()):
        if metric not in run.manifest.metrics:
            known = run.manifest.metrics
            raise InputError(
                f"no metric {metric!r} here{nearest(metric, known)} (known: {', '.join(known)})"
            )
        found.setdefault("metric", []).append(metric)
    return found


def shown_of(frame: pd.DataFrame, labels: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the rows of some labels; baselines stay, whichever losses are selected."""
    baselines = frame["loss"].eq("untrained")
    for axis, wanted in labels.items():
        if axis in frame:
            shown = frame[axis].isin(list(wanted))
            frame = frame[shown | baselines if axis in ("loss", "backbone") else shown]
            baselines = baselines.loc[frame.index]
    return frame


def width_of(text: str) -> float:
    """Return a width in inches, from the name of a preset or a number.

    Raises:
        InputError: it is neither, or out of range.

    """
    if text in WIDTHS:
        return WIDTHS[text]
    try:
        width = float(text)
    except ValueError:
        known = ", ".join(WIDTHS)
        raise InputError(
            f"--width {text!r}{nearest(text, WIDTHS)} is no width; give inches or one of {known}"
        ) from None
    return _within("--width", width, LEAST_WIDTH, MOST_WIDTH, "inches")


def letters_of(size: float) -> float:
    """Return a font size in points; InputError if it is out of range."""
    return _within("--font-size", size, LEAST_LETTERS, MOST_LETTERS, "points")


def _within(option: str, value: float, least: float, most: float, unit: str) -> float:
    if not (math.isfinite(value) and least <= value <= most):
        raise InputError(f"{option} is {value:g}; it must lie in [{least:g}, {most:g}] {unit}")
    return value


def formats_of(text: str) -> tuple[Format, ...]:
    """Return the formats of a comma-separated list; InputError if one is not known."""
    names = [one.strip().lower() for one in text.split(",")]
    known = {str(one): one for one in SAVE}
    for name in names:
        if name not in known:
            raise InputError(
                f"--format: {name!r} is no format{nearest(name, known)} (known: {', '.join(known)})"
            )
    return (*dict.fromkeys(known[name] for name in names), "csv")


def style_of(path: Path) -> tuple[tuple[str, Any], ...]:
    """Return the settings of a matplotlib style file, lines of `setting: value`.

    Raises:
        InputError: it cannot be read, or matplotlib does not know a setting or a value.

    """
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_STYLE:
            raise OSError("no file of settings" if path.exists() else "no such file")
        path.read_text(encoding="utf-8")
        with _refused(path):
            held = mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SyntaxError, RuntimeError) as error:
        told = getattr(error, "strerror", None) or one_line(error).partition(": ")[2] or error
        raise InputError(
            f"--style {path}: {told}; a style file of matplotlib has lines `setting: value`"
        ) from None
    for name in held:
        if name.startswith(REFUSED):
            raise InputError(f"--style {path}: {name} cannot be set here; delete it")
    return tuple((name, held[name]) for name in sorted(held))


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Raise as InputError what matplotlib only logs about a file, such as an unknown setting.

    The message names the file and the line.
    """
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("matplotlib")
    held = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = held
    if told:
        line = re.sub(r"\s+", " ", told[0].replace(f"file {path}, ", "")).strip()
        raise InputError(f"--style {path}: {line.partition(' You probably')[0]}")


def page_of(run: Run, **asked: Any) -> Page:
    """Return the page of a run, from the user's options and the run's suite."""
    shown = shown_in(run.manifest.suite_text)
    order = [run.manifest.short("loss", label) for label in first_of(run)]
    limits = [(metric, ends[0], ends[1]) for metric, ends in shown.limits.items()]
    names = given_names(run).items()
    return Page(**asked, names=tuple(names), order=tuple(order), limits=tuple(limits))
