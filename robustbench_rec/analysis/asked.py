"""What a user asks for: a label, or as much of it as tells a component of a run apart."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from robustbench_rec.components.labels import nearest_label, one_meant
from robustbench_rec.errors import InputError
from robustbench_rec.records.run import Run


def labels_asked(
    axis: str, asked: str, held: Sequence[str], results: Run | pd.DataFrame
) -> list[str]:
    """Return the labels that a text may mean.

    Args:
        axis: of the labels.
        asked: a label, or its name with some of its settings.
        held: labels on that axis.
        results: where they come from; a run knows the full spec of each.

    Raises:
        InputError: it means none of them.

    """
    specs = results.manifest.specs.get(axis, {}) if isinstance(results, Run) else {}
    found = one_meant(asked, {specs.get(one, one): one for one in held})
    if not found:
        were = ", ".join(held) or "none"
        raise InputError(
            f"{axis} {asked!r} was not run{nearest_label(asked, held)} (these were: {were})"
        )
    return list(found)


def label_asked(axis: str, asked: str, held: Sequence[str], results: Run | pd.DataFrame) -> str:
    """Return the one label that a text means; arguments as for `labels_asked`.

    Raises:
        InputError: it means none of them, or several.

    """
    found = labels_asked(axis, asked, held, results)
    if len(found) > 1:
        raise InputError(f"{axis} {asked!r} may mean {' or '.join(found)}; say which")
    return found[0]
