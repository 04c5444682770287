"""Events: who hears what happens in a run."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustbench_rec.running.plan import Plan
    from robustbench_rec.running.pool import Status
    from robustbench_rec.running.session import Session


class Events:
    """Hears what happens in a run: override what you want to hear.

    Without it plans and progress are not told, and a warning is a Python warning.
    """

    def plan(self, plan: Plan, session: Session) -> None:
        """Hear what is to be run, before any of it is."""

    def progress(self, status: Status) -> None:
        """Hear how trials or cells stand, about twice a second and at their end."""

    def warning(self, message: str) -> None:
        """Hear of what does not stop a run, such as a corrupt record: one line."""
        warnings.warn(message, stacklevel=3)


TOLD_AS_WARNINGS = Events()
"""Tells of nothing but warnings."""
