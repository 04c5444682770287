"""The bibliography of a run: BibTeX entries of its suite and of each component that it used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from robustbench_rec import __version__
from robustbench_rec.components.backbone import BACKBONES
from robustbench_rec.components.dataset import DATASETS
from robustbench_rec.components.labels import AXES, UNTRAINED
from robustbench_rec.components.loss import LOSSES
from robustbench_rec.components.perturbation import PERTURBATIONS
from robustbench_rec.components.registry import Registry
from robustbench_rec.errors import visible
from robustbench_rec.records.run import Run
from robustbench_rec.tables.written import in_latex

FILE = "references.bib"
REGISTRIES: Mapping[str, Registry[Any]] = {
    "dataset": DATASETS,
    "backbone": BACKBONES,
    "loss": LOSSES,
    "perturbation": PERTURBATIONS,
}
USED_BY = re.compile(r",\n  used_by = \{([^}]*)\}")
IN_BIBTEX = {"@": r"{\char64}", r"\{": r"\textbraceleft{}", r"\}": r"\textbraceright{}"}
"""Escaped braces, which LaTeX reads and BibTeX does not: it counts each brace."""
HEAD = "% Components of the run; one without an entry has a comment with its source in words."


def bibliography(run: Run) -> str:
    """Return the BibTeX of a run: its suite, data sets, backbones, losses and perturbations.

    A component without an entry has a comment line, with its source in words if known.
    """
    entries: dict[str, None] = {}
    unknown = []
    for axis, name in _used(run):
        kind = REGISTRIES[axis].kind
        found = known().get(f"{kind} {name}", ())
        entries |= dict.fromkeys(found)
        if not found:
            unknown.append(f"% {kind} {name}: {_in_words(axis, name)}")
    comments = [visible(line).replace("@", "(at)") for line in (HEAD, *unknown)]
    return "\n\n".join(["\n".join(comments), _of_suite(run), *entries]) + "\n"


@cache
def known() -> Mapping[str, tuple[str, ...]]:
    """Return (kind, name) of each component with entries -> its entries."""
    text = files("robustbench_rec.tables").joinpath(FILE).read_text(encoding="utf-8")
    found: dict[str, tuple[str, ...]] = {}
    for entry in re.findall(r"^@.*?^}$", text, flags=re.DOTALL | re.MULTILINE):
        (used_by,) = USED_BY.findall(entry)
        for component in used_by.split(", "):
            found[component] = (*found.get(component, ()), USED_BY.sub("", entry))
    return found


def _used(run: Run) -> Iterator[tuple[str, str]]:
    """Yield axis and name of each component of a run, once each."""
    cells = run.manifest.cells.values()
    apart = run.manifest.not_applicable
    held = {axis: [getattr(one, axis) for one in cells] for axis in AXES}
    held["loss"] += [loss for loss, _ in apart]
    held["perturbation"] += [under for _, under in apart]
    for axis, labels in held.items():
        for name in dict.fromkeys(label.partition("(")[0] for label in labels):
            if name != UNTRAINED:
                yield axis, name


def _in_words(axis: str, name: str) -> str:
    """Return the source, in words, of a component without an entry."""
    registry = REGISTRIES[axis]
    source = getattr(registry[name], "source", "") if name in registry else ""
    return f"{source} (no entry)" if source else "no source is known"


def _of_suite(run: Run) -> str:
    """Return the entry of this program, and of the suite of the run."""
    computed = {one.versions.get("robustbench_rec", "") for one in run.computed}
    versions = sorted(filter(None, computed)) or [
        run.manifest.versions.get("robustbench_rec", __version__)
    ]
    protocol = " and ".join(sorted(run.manifest.protocols))
    told = f"Suite {run.manifest.suite}, protocol {protocol}, version {', '.join(versions)}"
    note = in_latex(told)
    for char, command in IN_BIBTEX.items():
        note = note.replace(char, command)
    return (
        "@misc{robustbench_rec,\n"
        "  author = {{The robustbench\\_rec developers}},\n"
        "  title = {{robustbench\\_rec}: A robustness benchmark for the loss functions of "
        "recommender systems},\n"
        f"  note = {{{note}}}\n"
        "}"
    )
