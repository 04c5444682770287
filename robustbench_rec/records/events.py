"""Events: callbacks during a run."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustbench_rec.running.plan import Plan
    from robustbench_rec.running.pool import Status
    from robustbench_rec.running.session import Session


class Events:
    """Receives the events of a run: override the methods you need.

    By default plans and progress are ignored, and a warning is a Python warning.
    """

    def plan(self, plan: Plan, session: Session) -> None:
        """Receive the plan, before anything runs."""

    def progress(self, status: Status) -> None:
        """Receive the status of trials or cells, about twice a second and at their end."""

    def warning(self, message: str) -> None:
        """Receive a one-line warning that does not stop the run, such as a corrupt record."""
        warnings.warn(message, stacklevel=3)


TOLD_AS_WARNINGS = Events()
"""Passes on warnings only."""
