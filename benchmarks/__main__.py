"""Measure everything and write results.md beside this file: `make bench`, about forty minutes.

python -m benchmarks              # all
python -m benchmarks step scale   # some, printed alone
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    conclusions,
    device,
    evaluation,
    figures,
    parts,
    propagation,
    runner,
    scale,
    scoring,
    since,
    step,
)
from benchmarks.timing import machine, table

Section = tuple[str, Callable[[], str]]
SECTIONS: dict[str, Section] = {
    "step": (
        "A training step, at Amazon-Electronic's size",
        lambda: table(step.AGAINST, step.against()),
    ),
    "bound": (
        "That step against what it must take",
        lambda: table(step.BOUND, step.bound()),
    ),
    "parts": (
        "Where the time of a training goes: milliseconds of CPU a step, and shares of it",
        lambda: table(*parts.measured()),
    ),
    "since": (
        f"Steps and epochs against those of commit {since.COMMIT}",
        lambda: table(since.HEADER, since.rows()),
    ),
    "suites": (
        f"Whole suites and figures against those of commit {since.COMMIT}",
        lambda: table(since.SUITES, since.suites()),
    ),
    "scoring": (
        "Scores and gradients of 1024 rows alone; others as multiples of ours",
        lambda: table(scoring.HEADER, scoring.rows()),
    ),
    "propagation": (
        "LightGCN's propagation, forward and backward",
        lambda: table(propagation.HEADER, propagation.rows()),
    ),
    "evaluation": (
        "Full ranking with its metrics",
        lambda: table(evaluation.HEADER, evaluation.rows()),
    ),
    "device": ("Steps on a GPU against one core", device.measured),
    "runner": ("The runner", lambda: table(runner.HEADER, runner.rows(cells=60))),
    "figures": ("Figures of a stored run", lambda: table(figures.HEADER, figures.rows())),
    "conclusions": (
        "Conclusions, tables and figures from 2,000 cells of 1,000 users",
        lambda: table(conclusions.HEADER, conclusions.rows()),
    ),
    "scale": ("How cost grows", lambda: table(scale.HEADER, scale.rows())),
}
RESULTS = Path(__file__).with_name("results.md")


def main() -> None:
    """Measure the sections named, or all; all of them are written down."""
    names = sys.argv[1:]
    if unknown := set(names) - SECTIONS.keys():
        sys.exit(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    lines = [f"# Measured by `make bench` on {machine()}"]
    for title, measure in (SECTIONS[name] for name in names or SECTIONS):
        lines += [f"## {title}", measure()]
        print("\n\n".join(lines[-2:]), end="\n\n", flush=True)
    if not names:
        RESULTS.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
        print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
