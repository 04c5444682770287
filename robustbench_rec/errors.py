"""Our one exception, for mistakes that a user can correct, and helpers for messages."""

from __future__ import annotations

import difflib
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Place = tuple[str | int, ...]
"""A path into a suite: `("loss", 2, "tau")` is the setting `tau` of its third loss."""


LONGEST = 1000
"""Largest length of a message; the middle of a longer one is left out."""
KEPT_END = 200
CLOSE = 200
"""Length of a name from which on no suggestion is made."""
RENAMED = {"floors": "baselines", "mechanism": "diagnostics"}
"""Names of earlier versions -> their names today, for the suggestion of `nearest`."""


class InputError(ValueError):
    """Bad input: a file, a name, a key or a value that the user gave.

    Its message is one line: place, mistake, allowed values. The command line prints it without a
    traceback and exits with status 2.

    Attributes:
        at: the place in the suite, if known.

    """

    def __init__(self, message: str, at: Place = ()) -> None:
        super().__init__(printable(message))
        self.at = at


@contextmanager
def placed(*at: str | int) -> Iterator[None]:
    """Prefix a place to that of an InputError raised inside the `with`."""
    try:
        yield
    except InputError as error:
        error.at = (*at, *error.at)
        raise


def printable(text: str) -> str:
    """Return a text as one line of limited length with printable characters only.

    Files, plugins and data may contain sequences that clear a screen or rename a window.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - KEPT_END]} [...] {text[-KEPT_END:]}"
    return visible(text)


def visible(text: str) -> str:
    """Return a text as one line of the same length with printable characters only."""
    return "".join(char if char.isprintable() else " " for char in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or ""."""
    if len(name) > CLOSE:
        return ""
    choices = list(known)
    if RENAMED.get(name) in choices:
        return f"; did you mean {RENAMED[name]!r}?"
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_line(error: BaseException) -> str:
    """Print an exception on one line, with its type unless it is an InputError."""
    try:
        text = printable(" ".join(str(error).split())) or "no message"
    except Exception:  # a plugin's own, whose text fails in its turn
        text = "a message that cannot be printed"
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def is_interrupt(error: BaseException) -> bool:
    """Say whether a KeyboardInterrupt comes from the user, and not from called code.

    A plugin may raise any exception. Workers ignore Ctrl-C, so there it comes from the plugin;
    as it does in any thread but the main one.
    """
    heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    heard = heard and threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and heard


def counted(n: int, what: str) -> str:
    """Print a number of things: "1 cell", "2 cells", "2 studies", "2 losses"."""
    if n == 1:
        return f"{n} {what}"
    if what.endswith("y"):
        return f"{n} {what[:-1]}ies"
    return f"{n} {what}es" if what.endswith("s") else f"{n} {what}s"
