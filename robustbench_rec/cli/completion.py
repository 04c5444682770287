"""Shell completion: names of suites, of runs, and of components."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from robustbench_rec.records import RUNS

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _of(names: Callable[[], Iterable[str]], kind: str) -> Completer:
    """Return the completion of names, or, if none matches, of paths of a kind: "file" or "dir"."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in sorted(names()) if name.startswith(begun)]
        return found or [CompletionItem(begun, type=kind)]

    return complete


def _suites() -> Iterable[str]:
    from robustbench_rec.experiment.suite_file import shipped

    return shipped()


def _runs() -> Iterable[str]:
    return (path.parent.name for path in RUNS.glob("*/manifest.json"))


def _shown() -> Iterable[str]:
    from robustbench_rec import BACKBONES, DATASETS, LOSSES, METRICS, PERTURBATIONS

    registries = (PERTURBATIONS, LOSSES, METRICS, BACKBONES, DATASETS)
    return {*_suites(), *(name for registry in registries for name in registry)}


SUITES = _of(_suites, "file")
RUNS_HERE = _of(_runs, "dir")
NAMES = _of(_shown, "file")
