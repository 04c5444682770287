"""Signals such as Ctrl-C, held until the code that they interrupt can bear it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

HELD = (signal.SIGINT, signal.SIGTERM)


class HeldSignals:
    """Holds Ctrl-C and SIGTERM inside a `with`, until `deliver`.

    Otherwise their handlers raise between any two instructions of the main thread: in a callback,
    where Python only prints the exception, or just after a lock of a future is taken, which then
    stays locked, so that the thread that ends the workers waits forever.

    A second signal is not held, in case the code never gets to `deliver`. Outside the main thread
    nothing is held, as no handler runs there.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._came: list[int] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in HELD:
                if callable(handler := signal.getsignal(number)):
                    self._handlers[number] = handler
                    signal.signal(number, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if kind is None:
            self.deliver()

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)
        if len(self._came) > 1:
            self._handlers[number](number, frame)

    def deliver(self) -> None:
        """Call the handler of the signal that came, if one came; it may raise."""
        if self._came:
            number = self._came.pop(0)
            self._handlers[number](number, None)
