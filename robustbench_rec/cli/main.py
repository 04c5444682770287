"""The command line: the group of commands, and the printing of errors."""

from __future__ import annotations

import sys
import warnings
from typing import Any, NoReturn

import click

from robustbench_rec import __version__
from robustbench_rec.cli.catalogue import data, list_, show
from robustbench_rec.cli.drawing import figures
from robustbench_rec.cli.kit import check, new
from robustbench_rec.cli.options import GOES_ON
from robustbench_rec.cli.output import warn
from robustbench_rec.cli.report import leaderboard, report
from robustbench_rec.cli.results import claims, compare, merge, rank, status
from robustbench_rec.cli.run import run
from robustbench_rec.cli.tables import cite, table
from robustbench_rec.cli.verify import export, verify
from robustbench_rec.errors import InputError, one_line, printable

INTERRUPTED = 130


class _OneLineErrors(click.Group):
    """Prints a user's mistake on one line and exits with 2, wherever it was raised."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning  # type: ignore[assignment]  # made to be replaced
                return super().invoke(ctx)
        except InputError as error:
            _fail(str(error), 2)
        except MemoryError as error:
            _fail(f"not enough memory ({one_line(error)}); use a smaller suite or fewer --jobs", 2)
        except KeyboardInterrupt:
            _fail(f"interrupted; {GOES_ON}", INTERRUPTED)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Print click's own errors on one line too."""
        command: Any = super()
        if not standalone_mode:
            return command.main(*args, standalone_mode=False, **extra)
        try:
            sys.exit(command.main(*args, standalone_mode=False, **extra))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "robustbench-rec"
            _fail(f"{' '.join(error.format_message().split())} (see {path} --help)", 2)
        except click.ClickException as error:
            _fail(error.format_message(), 2)


def _show_warning(message: Warning | str, category: Any, *_: object) -> None:
    """Print a Python warning on one line."""
    kind = "" if category is UserWarning else f"{category.__name__}: "
    warn(f"{kind}{message}")


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"robustbench-rec: {printable(message)}", err=True)
    sys.exit(status)


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Measure the robustness of recommender loss functions to wrong data.

    \b
    Try:  robustbench-rec run quickstart
          robustbench-rec list losses
          robustbench-rec show negative_contamination
          robustbench-rec report quickstart

    Exit status: 0 all done, 1 our bug, 2 bad usage or input, 3 finished with failed cells,
    130 Ctrl-C, 143 terminated.
    """  # noqa: D301  # click reads a backspace character as "keep these lines"


RUNS = (run, merge, figures, table, report, cite, status, rank, claims, compare, verify, export)
for command in (*RUNS, leaderboard, list_, show, data, new, check):
    main.add_command(command)
