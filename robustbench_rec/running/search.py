"""The search: draws settings with Optuna. It is imported only if needed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from robustbench_rec.errors import InputError
from robustbench_rec.experiment.search_space import Choices, Entry, Settings, Space

REPEATS = 100
"""Number of repeated draws in a row after which Optuna is not asked again."""


def suggestions(entry: Entry, budget: int, seed: int) -> Generator[Settings, float | None, None]:
    """Draw settings by Optuna's TPE, each once, up to a budget.

    The caller answers each, by `send`, with its validation, or None if it failed. Equal answers get
    equal draws. Settings that were drawn before or that the loss refuses are drawn again; after
    `REPEATS` of these in a row, the remaining settings of a finite space follow in the file's
    order.

    Raises:
        InputError: Optuna is not installed.

    """
    space = entry.space
    assert space is not None
    optuna = import_optuna(entry.loss.name)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    drawn: list[Settings] = []
    repeats = 0
    while len(drawn) < budget and repeats < REPEATS:
        trial = study.ask(_distributions(optuna, space))
        settings = {
            name: axis.values[trial.params[name]]
            if isinstance(axis, Choices)
            else trial.params[name]
            for name, axis in space.axes
        }
        value, repeats = None, repeats + 1
        if settings not in drawn and entry.allows(settings):
            drawn.append(settings)
            value, repeats = (yield settings), 0
        if value is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, value)
    if space.size is not None:
        rest = (one for one in space.grid() if one not in drawn and entry.allows(one))
        for _, settings in zip(range(budget - len(drawn)), rest, strict=False):
            yield settings


def import_optuna(loss: str) -> Any:
    """Import Optuna; InputError with install instructions if it is missing."""
    try:
        import optuna
    except ImportError:
        raise InputError(
            f"tuning {loss} needs Optuna, because not every candidate fits the budget: pip "
            "install 'robustbench_rec[tune]'"
        ) from None
    return optuna


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    kinds = optuna.distributions
    return {
        name: kinds.CategoricalDistribution(range(len(axis.values)))
        if isinstance(axis, Choices)
        else (kinds.IntDistribution if axis.whole else kinds.FloatDistribution)(
            axis.low, axis.high, log=axis.log
        )
        for name, axis in space.axes
    }
