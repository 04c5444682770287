"""Labels in options: match a text with the labels of a run."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from robustbench_rec.analysis.names import given_names, head, named
from robustbench_rec.components.labels import nearest_label, one_meant
from robustbench_rec.errors import InputError
from robustbench_rec.records.run import Run


def labels_asked(
    axis: str, asked: str, held: Sequence[str], results: Run | pd.DataFrame
) -> list[str]:
    """Return the labels that match a text.

    Args:
        axis: the axis of the labels.
        asked: a label, its name with some of its settings, or the name that tables print.
        held: the labels on that axis.
        results: the source of the labels; a run knows the full spec of each.

    Raises:
        InputError: no label matches.

    """
    specs = results.manifest.specs.get(axis, {}) if isinstance(results, Run) else {}
    found = one_meant(asked, {specs.get(one, one): one for one in held})
    found = found or _printed_as(axis, asked, held, results)
    if not found:
        were = ", ".join(held) or "none"
        raise InputError(
            f"{axis} {asked!r} was not run{nearest_label(asked, held)} (recorded: {were})"
        )
    return list(found)


def _printed_as(
    axis: str, asked: str, held: Sequence[str], results: Run | pd.DataFrame
) -> list[str]:
    """Return the labels with a printed name, which may lack what stands in its brackets."""
    short, given = dict[str, str](), dict[str, str]()
    if isinstance(results, Run):
        short = {label: results.manifest.short(axis, label) for label in held}
        given = given_names(results)
    names = {label: named(short.get(label, label), given).casefold() for label in held}
    wanted = asked.casefold()
    return [one for one, name in names.items() if wanted in (name, head(name))]


def label_asked(axis: str, asked: str, held: Sequence[str], results: Run | pd.DataFrame) -> str:
    """Return the single label that matches a text; arguments as for `labels_asked`.

    Raises:
        InputError: no label matches, or several do.

    """
    found = labels_asked(axis, asked, held, results)
    if len(found) > 1:
        raise InputError(f"{axis} {asked!r} may mean {' or '.join(found)}; give more of the label")
    return found[0]
