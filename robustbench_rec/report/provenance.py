"""The provenance of a run: its commands, versions, data, settings and suite file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from robustbench_rec.errors import counted, visible
from robustbench_rec.records.manifest import Manifest, Summary
from robustbench_rec.report.sheets import Cell, Sheet

LONGEST_SUITE = 20_000
"""Characters of a suite file that a page shows."""


def provenance(manifest: Manifest, held: Summary, folder: str) -> list[Sheet]:
    """Return the sheets on how a run was made."""
    facts = [[name, value] for name, value in _facts(manifest, held, folder)]
    found = [
        Sheet("provenance", "The run", ["", "value"], facts),
        Sheet("parts", "The last command of each part", PART, [*_parts(manifest)]),
        Sheet("versions", "Versions that computed the cells", VERSIONS, [*_computed(held)]),
        Sheet("data", "Fingerprints of the data", ["data set", "digest"], [*_pairs(manifest.data)]),
        Sheet("components", "Full settings", ["axis", "label", "settings"], [*_specs(manifest)]),
        Sheet("tables", "Digests of the tables", ["file", "digest"], [*_pairs(manifest.tables)]),
    ]
    return [one for one in found if one.rows]


PART = ("command", "started", "cells", "versions", "platform")
VERSIONS = ("cells", "versions")


def _facts(manifest: Manifest, held: Summary, folder: str) -> Iterator[tuple[str, str]]:
    n = counted(manifest.replicates, "replicate")
    yield "suite", f"{manifest.suite}: {manifest.about}" if manifest.about else manifest.suite
    yield "folder", folder
    yield "cells", f"{held.done} of {held.cells} done; the whole suite has {held.suite_cells}"
    yield "protocol", " and ".join(manifest.protocol)
    yield "replicates", f"{n} in the suite, which vary in {manifest.replicates_vary}"
    yield "metrics", f"{', '.join(manifest.metrics)}, over {manifest.averaging.replace('-', ' ')}"
    yield "epochs", f"chosen on {manifest.selection} validation pairs"
    yield "last command", manifest.command
    yield "started", manifest.started
    yield "versions of that command", _versions(manifest.versions)
    yield "platform", manifest.platform
    if manifest.plugins:
        yield "plugins", ", ".join(manifest.plugins)


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _parts(manifest: Manifest) -> Iterator[Sequence[Cell]]:
    for one in manifest.parts:
        n = len(one.cells)
        yield [one.command, one.started, [str(n), n], _versions(one.versions), one.platform]


def _computed(held: Summary) -> Iterator[Sequence[Cell]]:
    for one in held.computed:
        yield [[str(len(one.cells)), len(one.cells)], _versions(one.versions)]


def _pairs(held: Mapping[str, str]) -> Iterator[Sequence[Cell]]:
    yield from ([name, value] for name, value in held.items())


def _specs(manifest: Manifest) -> Iterator[Sequence[Cell]]:
    for axis, of in manifest.specs.items():
        yield from ([axis, label, spec] for label, spec in of.items())


def suite_text(manifest: Manifest) -> str:
    """Return the suite file, its lines kept, cut to a length."""
    text = manifest.suite_text
    cut = "\n[...]" if len(text) > LONGEST_SUITE else ""
    return "\n".join(map(visible, text[:LONGEST_SUITE].splitlines())) + cut
