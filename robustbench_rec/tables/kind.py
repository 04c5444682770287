"""A kind of table: one module with a `KIND`, which `kinds` has in its list."""

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
    """What a user may ask of a table, beside its kind; None where nothing was asked.

    Attributes:
        metric: `name@k`, or for `k` the name alone.
        level: those of a perturbation that are shown, beside 0.
        ours: the loss whose improvement is shown, its label or as much of it as tells it apart.
        data_dir: where data sets lie.

    """

    metric: str | None = None
    level: tuple[float, ...] | None = None
    ours: str | None = None
    data_dir: Path | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of table.

    Attributes:
        about: one line that says what it shows.
        tables: makes it of a run; several where one would not hold what is of several forms. It
            raises InputError where the run has nothing to show.
        takes: which of `Asked` it looks at; anything else is refused.

    """

    about: str
    tables: Callable[[Run, Asked], Sequence[Table]]
    takes: frozenset[str] = frozenset()

    def of(self, run: Run, asked: Asked, name: str) -> Sequence[Table]:
        """Return the tables of a run.

        Raises:
            InputError: the run has nothing to show, or something is asked that means nothing here.

        """
        for field in fields(Asked):
            if getattr(asked, field.name) is not None and field.name not in self.takes:
                option = f"--{field.name.replace('_', '-')}"
                takes = ", ".join(f"--{one.replace('_', '-')}" for one in sorted(self.takes))
                raise InputError(
                    f"{option} means nothing for table {name}; it takes {takes or 'no such option'}"
                )
        names = Standing(run).names
        tables = self.tables(run, asked)
        return [replace(table, names=names | dict(table.names)) for table in tables]
