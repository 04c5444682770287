"""The watch over trainings in flight: detects those over their time, and those that become slow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from robustbench_rec.records.marks import InFlight

SLOW = 10.0
"""An interval between evaluations so many times longer than usual causes a warning."""
LEAST = 30.0
"""Least seconds of such an interval: shorter ones only mean a busy machine."""


@dataclass
class _Course:
    """The progress of one training in flight, by the clock of `look`."""

    since: float
    worker: int
    epoch: int
    at: float
    steps: list[float] = field(default_factory=list)
    """Seconds from one evaluation to the next."""
    is_slow: bool = False


class Watch:
    """Watches trainings in flight from outside, by their marks.

    Args:
        limit: the largest seconds of a training; None for any.

    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self._courses: dict[str, _Course] = {}

    def look(self, marks: Mapping[str, InFlight], now: float) -> None:
        """Read the marks at a time in seconds; trainings without a mark are dropped."""
        self._courses = {id: self._moved(id, mark, now) for id, mark in marks.items()}

    def _moved(self, id: str, mark: InFlight, now: float) -> _Course:
        course = self._courses.get(id)
        again = course and (mark.worker != course.worker or mark.epoch < course.epoch)
        if course is None or again:
            return _Course(now, mark.worker, mark.epoch, now)
        if mark.epoch > course.epoch:
            course.steps.append(now - course.at)
            course.epoch, course.at = mark.epoch, now
        return course

    def overdue(self, now: float) -> list[str]:
        """Return the trainings over the limit."""
        if self.limit is None:
            return []
        return [id for id, one in self._courses.items() if now - one.since > self.limit]

    def slowed(self, now: float) -> Iterator[tuple[str, float, float]]:
        """Yield each training that has become slow, once.

        The usual interval is the median of its intervals, two at least. Each id comes with the
        seconds since its last evaluation, and the usual interval in seconds.
        """
        for id, one in self._courses.items():
            if one.is_slow or len(one.steps) < 2:
                continue
            usual, waited = median(one.steps), now - one.at
            if waited > SLOW * usual + LEAST:
                one.is_slow = True
                yield id, waited, usual
