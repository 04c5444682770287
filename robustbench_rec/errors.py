"""The one exception of our own, a mistake the user can mend, and the words of messages."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Place = tuple[str | int, ...]
"""A path into a suite: `("loss", 2, "tau")` is the setting `tau` of its third loss."""


LONGEST = 1000
"""Characters of a message: of a longer one, the middle is left out."""
KEPT_END = 200
CLOSE = 200
"""Characters of a name beyond which nothing is near it."""
RENAMED = {"floors": "baselines", "mechanism": "diagnostics"}
"""Names of earlier versions -> their names today, for the question that `nearest` asks."""


class InputError(ValueError):
    """Bad input: a file, a name, a key or a value that the user gave.

    Its message is one line that says what is wrong, where, and what is allowed. The command line
    prints it without a traceback and exits with status 2.

    Attributes:
        at: the place in the suite that it speaks of, as far as that is known.

    """

    def __init__(self, message: str, at: Place = ()) -> None:
        super().__init__(printable(message))
        self.at = at


@contextmanager
def placed(*at: str | int) -> Iterator[None]:
    """Put a place before that of an InputError which is raised inside the `with`."""
    try:
        yield
    except InputError as error:
        error.at = (*at, *error.at)
        raise


def printable(text: str) -> str:
    """Return a text as one line of a sensible length that holds nothing but what can be seen.

    Files, plugins and data may hold sequences that clear a screen or rename a window.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - KEPT_END]} [...] {text[-KEPT_END:]}"
    return visible(text)


def visible(text: str) -> str:
    """Return a text as one line of the same length that holds nothing but what can be seen."""
    return "".join(char if char.isprintable() else " " for char in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or nothing."""
    if len(name) > CLOSE:
        return ""
    choices = list(known)
    if RENAMED.get(name) in choices:
        return f"; did you mean {RENAMED[name]!r}?"
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_line(error: BaseException) -> str:
    """Print an exception on one line, with its type unless that is our own InputError."""
    try:
        text = printable(" ".join(str(error).split())) or "no message"
    except Exception:  # a plugin's own, whose text fails in its turn
        text = "a message that cannot be printed"
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def is_interrupt(error: BaseException) -> bool:
    """Say whether it is the user who ends the program, and not what was called that failed.

    A plugin may raise whatever it likes. Workers do not hear Ctrl-C, so there it is the plugin's.
    """
    heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    return isinstance(error, KeyboardInterrupt) and heard


def counted(n: int, what: str) -> str:
    """Say how many of something there are: "1 cell", "2 cells", "2 studies"."""
    if n == 1:
        return f"{n} {what}"
    return f"{n} {what[:-1]}ies" if what.endswith("y") else f"{n} {what}s"
