"""The watch over trainings in flight: which exceeds its time, and which has become slow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from robustbench_rec.records.run_folder import InFlight

SLOW = 10.0
"""A step from evaluation to evaluation that takes so many times its usual time is told of."""
LEAST = 30.0
"""Seconds that it must take besides: less is a busy machine."""


@dataclass
class _Course:
    """The course of one training in flight, by the clock that `look` is given."""

    since: float
    epoch: int
    at: float
    steps: list[float] = field(default_factory=list)
    """Seconds from one evaluation to the next."""
    is_slow: bool = False


class Watch:
    """Watches trainings in flight from outside, by their marks.

    Args:
        limit: seconds that a training may take; None for any time.

    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self._courses: dict[str, _Course] = {}

    def look(self, marks: Mapping[str, InFlight], now: float) -> None:
        """Take up the marks at a time, in seconds; trainings without a mark are forgotten."""
        self._courses = {id: self._moved(id, mark, now) for id, mark in marks.items()}

    def _moved(self, id: str, mark: InFlight, now: float) -> _Course:
        course = self._courses.get(id)
        if course is None or mark.epoch < course.epoch:  # it has begun, or begun again
            return _Course(now, mark.epoch, now)
        if mark.epoch > course.epoch:
            course.steps.append(now - course.at)
            course.epoch, course.at = mark.epoch, now
        return course

    def overdue(self, now: float) -> list[str]:
        """Return the trainings that exceed the limit."""
        if self.limit is None:
            return []
        return [id for id, one in self._courses.items() if now - one.since > self.limit]

    def slowed(self, now: float) -> Iterator[tuple[str, float, float]]:
        """Yield each training that has become slow, once.

        Two evaluations of its own say what is usual. With its id come the seconds since its last
        evaluation, and the usual seconds from one to the next.
        """
        for id, one in self._courses.items():
            if one.is_slow or len(one.steps) < 2:
                continue
            usual, waited = median(one.steps), now - one.at
            if waited > SLOW * usual + LEAST:
                one.is_slow = True
                yield id, waited, usual
