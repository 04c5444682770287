"""The commands `verify` and `export`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_rec.cli.options import DATA_DIR, FAILED_CELLS, PLUGINS, RUN, run_folder
from robustbench_rec.cli.output import say
from robustbench_rec.errors import InputError, counted

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
    "--suite",
    metavar="SUITE",
    help="With --rerun: the suite, a file or a shipped name.  [default: the name in RUN]",
)
@DATA_DIR
@PLUGINS
def verify(
    run: str, rerun: int, suite: str | None, data_dir: Path | None, plugins: tuple[str, ...]
) -> None:
    """Check the files of RUN, or of an archive from `export`, against each other.

    Nothing is written. Records are checked against their checksums, and tables against the records.
    With --rerun, cells train again: with the versions of the record they must give the same bits,
    with other versions each metric must lie within 0.005. The exit status is 3 if anything differs,
    and 2 if RUN or the archive cannot be read at all.

    An archive is not trusted: odd names, links, sizes and checksums are checked before anything is
    unpacked, into a temporary folder.

    \b
    Try:  robustbench-rec verify results/runs/smoke --rerun 3
          robustbench-rec verify smoke.zip
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    with _opened(run) as folder:
        problems = _verified(folder, run, rerun, suite, data_dir, plugins)
    if problems:
        say(f"{counted(problems, 'problem')} in {run}")
        sys.exit(FAILED_CELLS)


@contextmanager
def _opened(run: str) -> Iterator[Path]:
    """Return the folder of a run, or that of an archive, which goes at the end of a `with`."""
    if not Path(run).is_file():
        yield run_folder(run)
        return
    from robustbench_rec.records.archive import unpacked

    with unpacked(Path(run)) as folder:
        yield folder


def _verified(
    folder: Path,
    called: str,
    rerun: int,
    suite: str | None,
    data_dir: Path | None,
    plugins: tuple[str, ...],
) -> int:
    """Print the findings on a folder, and return the number of problems."""
    from robustbench_rec.running.verify import verify as checked

    problems = _say(checked(folder), folder, called)
    if rerun:
        from robustbench_rec.data.catalog import default_data_dir
        from robustbench_rec.experiment.suite_file import load_suite
        from robustbench_rec.records.run import read_run
        from robustbench_rec.running.verify import rerun as again

        where = data_dir or default_data_dir()
        name = suite or read_run(folder).manifest.suite
        try:
            asked = load_suite(name, where, plugins)
        except InputError as error:
            if suite:
                raise
            raise InputError(
                f"--rerun needs the suite of {called}, given by --suite FILE and --plugin FILE: "
                f"{error}"
            ) from None
        try:
            problems += _say(again(folder, asked, where, rerun), folder, called)
        except InputError as error:  # the folder of an archive is gone when it is read
            raise InputError(f"{called}: {str(error).replace(str(folder), called)}") from None
    return problems


def _say(findings: Iterable[Finding], folder: Path, called: str) -> int:
    """Print findings on a folder, under the name that the user gave it; return their problems."""
    problems = 0
    for finding in findings:
        say(f"{'DIFFERS' if finding.problems else 'holds  '}  {finding.title}")
        for problem in finding.problems:
            say(f"         {problem.replace(str(folder), called)}")
        problems += len(finding.problems)
    return problems


@click.command()
@RUN
@click.argument("file", type=click.Path(path_type=Path))
def export(run: str, file: Path) -> None:
    """Write RUN into FILE, one archive to hand over.

    It has the records, tables, lists, the suite and the versions, and the checksum of each file;
    figures and other files stay out. RUN must hold, as `verify` finds. Equal runs give equal bytes.

    FILE is a plain zip. Verify what you got from others, then unpack it: the folder is a run again,
    which every command reads and `run --out` continues.

    \b
    Try:  robustbench-rec export smoke smoke.zip
          robustbench-rec verify smoke.zip
          python3 -m zipfile -e smoke.zip results/runs/smoke
    """  # noqa: D301  # click reads a backspace character as "keep these lines"
    from robustbench_rec.records.archive import export as exported
    from robustbench_rec.records.run_folder import RunFolder
    from robustbench_rec.running.verify import verify as checked

    folder = run_folder(run)
    faults = [problem for finding in checked(folder) for problem in finding.problems]
    if faults:
        more = f", and {counted(len(faults) - 1, 'problem')} more" if len(faults) > 1 else ""
        raise InputError(f"{folder} is not exported: {faults[0]}{more} (robustbench-rec verify)")
    n = exported(RunFolder(folder), file)
    say(f"{counted(n, 'file')} of {folder} -> {file}")
