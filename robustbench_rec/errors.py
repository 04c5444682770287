"""The one exception of our own, a mistake the user can mend, and the words of messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Place = tuple[str | int, ...]
"""A path into a suite: `("loss", 2, "tau")` is the setting `tau` of its third loss."""


class InputError(ValueError):
    """Bad input: a file, a name, a key or a value that the user gave.

    Its message is one line that says what is wrong, where, and what is allowed. The command line
    prints it without a traceback and exits with status 2.

    Attributes:
        at: the place in the suite that it speaks of, as far as that is known.

    """

    def __init__(self, message: str, at: Place = ()) -> None:
        super().__init__(message)
        self.at = at


@contextmanager
def placed(*at: str | int) -> Iterator[None]:
    """Put a place before that of an InputError which is raised inside the `with`."""
    try:
        yield
    except InputError as error:
        error.at = (*at, *error.at)
        raise


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_line(error: BaseException) -> str:
    """Print an exception on one line, with its type unless that is our own InputError."""
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def counted(n: int, what: str) -> str:
    """Say how many of something there are: "1 cell", "2 cells", "2 studies"."""
    if n == 1:
        return f"{n} {what}"
    return f"{n} {what[:-1]}ies" if what.endswith("y") else f"{n} {what}s"
