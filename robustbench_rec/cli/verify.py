"""The command `verify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_rec.cli.options import DATA_DIR, FAILED_CELLS, PLUGINS, RUN, run_folder
from robustbench_rec.cli.output import say
from robustbench_rec.errors import counted

if TYPE_CHECKING:
    from robustbench_rec.running.verify import Finding


@click.command()
@RUN
@click.option(
    "--rerun",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Train N finished cells again, and compare every number with the record.",
)
@click.option(
    "--suite", metavar="SUITE", help="With --rerun: the suite.  [default: the name in RUN]"
)
@DATA_DIR
@PLUGINS
def verify(
    run: str, rerun: int, suite: str | None, data_dir: Path | None, plugins: tuple[str, ...]
) -> None:
    """Check the files of RUN against each other; nothing is written.

    Records are checked against their checksums, and tables against the records. With --rerun, cells
    train again: with the versions of the record they must give the same bits, with other versions
    each metric must lie within 0.005. The exit status is 3 if anything differs.

    \b
    Try:  robustbench-rec verify results/runs/smoke --rerun 3
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    from robustbench_rec.running.verify import verify as checked

    folder = run_folder(run)
    problems = _say(checked(folder))
    if rerun:
        from robustbench_rec.data.catalog import default_data_dir
        from robustbench_rec.experiment.suite_file import load_suite
        from robustbench_rec.records.run import read_run
        from robustbench_rec.running.verify import rerun as again

        where = data_dir or default_data_dir()
        asked = load_suite(suite or read_run(folder).manifest.suite, where, plugins)
        problems += _say(again(folder, asked, where, rerun))
    if problems:
        say(f"{counted(problems, 'problem')} in {folder}")
        sys.exit(FAILED_CELLS)


def _say(findings: Iterable[Finding]) -> int:
    """Print findings, and return the number of problems."""
    problems = 0
    for finding in findings:
        say(f"{'DIFFERS' if finding.problems else 'holds  '}  {finding.title}")
        for problem in finding.problems:
            say(f"         {problem}")
        problems += len(finding.problems)
    return problems
