"""A kind of table: one module with a `KIND`, which is listed in `kinds`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from robustbench_rec.errors import InputError
from robustbench_rec.records.run import Run
from robustbench_rec.tables.standing import Standing
from robustbench_rec.tables.table import Table


@dataclass(frozen=True)
class Asked:
    """The user's options for a table, beside its kind; None if not given.

    Attributes:
        metric: `name@k`; the name alone for the table `k`.
        level: the levels of a perturbation that are shown, beside 0.
        ours: the loss whose improvement is shown, its label or an unambiguous part of it.
        data_dir: the folder of the data sets.

    """

    metric: str | None = None
    level: tuple[float, ...] | None = None
    ours: str | None = None
    data_dir: Path | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of table.

    Attributes:
        about: one line on its content.
        tables: returns the tables of a run, several if their forms differ. It raises InputError
            if the run has nothing to show.
        takes: the fields of `Asked` that it uses; other options are refused.

    """

    about: str
    tables: Callable[[Run, Asked], Sequence[Table]]
    takes: frozenset[str] = frozenset()

    def of(self, run: Run, asked: Asked, name: str) -> Sequence[Table]:
        """Return the tables of a run.

        Raises:
            InputError: the run has nothing to show, or the table does not take a given option.

        """
        for field in fields(Asked):
            if getattr(asked, field.name) is not None and field.name not in self.takes:
                option = f"--{field.name.replace('_', '-')}"
                takes = ", ".join(f"--{one.replace('_', '-')}" for one in sorted(self.takes))
                raise InputError(
                    f"{option} does not apply to table {name}; it takes {takes or 'no such option'}"
                )
        names = Standing(run).names
        tables = self.tables(run, asked)
        return [replace(table, names=names | dict(table.names)) for table in tables]
