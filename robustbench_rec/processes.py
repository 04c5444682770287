"""What holds in every process that we start: it ends with its parent, which alone hears Ctrl-C."""

from __future__ import annotations

import ctypes
import gc
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO, TypeVar

Result = TypeVar("Result")
SERVE = (
    "import sys; sys.path[:] = sys.argv[1:]; from robustbench_rec.processes import serve; serve()"
)


PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent ends."""


SAFELY = {"PYTHONSAFEPATH": "1"}
"""The environment without which a process imports a json.py from the current folder."""


@contextmanager
def safe_path() -> Iterator[None]:
    """Let processes that are started meanwhile import nothing from the current folder."""
    before = {name: os.environ.get(name) for name in SAFELY}
    os.environ.update(SAFELY)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Plain(io.TextIOBase):
    """A text stream through which no control character passes but line feeds and tabs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str | bytes) -> int:  # click writes bytes
        """Write what a terminal only prints."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", errors="backslashreplace")
        kept = (char if char.isprintable() or char in "\n\t" else " " for char in text)
        return self._stream.write("".join(kept))

    def flush(self) -> None:
        """Flush what is behind it."""
        self._stream.flush()

    def fileno(self) -> int:
        """Return that of what is behind it."""
        return self._stream.fileno()


@contextmanager
def open_streams() -> Iterator[None]:
    """Give back both streams on the way out, should a plugin close them."""
    with ExitStack() as stack:
        for name, place in (("stdout", 1), ("stderr", 2)):
            with suppress(OSError):  # it was closed before
                kept = os.dup(place)
                stack.callback(_reopen, name, place, kept, getattr(sys, name))
        yield


def _reopen(name: str, place: int, kept: int, stream: TextIO) -> None:
    """Put a stream back to its place, and make it anew where it was closed."""
    os.dup2(kept, place)
    os.close(kept)
    original = getattr(sys, f"__{name}__")
    if original is not None and original.closed:
        anew = os.fdopen(
            place, "w", encoding=original.encoding, errors=original.errors, closefd=False
        )
        setattr(sys, f"__{name}__", anew)
        if stream is original:
            setattr(sys, name, anew)


@contextmanager
def plain_output() -> Iterator[None]:
    """Let what a plugin prints meanwhile do nothing to the terminal, and close no stream."""
    with open_streams(), redirect_stdout(_Plain(sys.stdout)), redirect_stderr(_Plain(sys.stderr)):
        yield


@contextmanager
def same_folder() -> Iterator[None]:
    """Come back to the current folder, should a plugin leave it."""
    before = Path.cwd()
    try:
        yield
    finally:
        os.chdir(before)


def start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, however it went.

    On Linux the kernel ends us, even where C code holds the interpreter and no thread of ours runs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def without_gc() -> Iterator[None]:
    """Put off the search for garbage, which would look through all that is there again and again.

    It goes on at the end if it did before.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@without_gc()
def import_without_gc(*modules: str) -> None:
    """Import modules without looking for garbage, now or later, among what they hold for good."""
    try:
        for module in modules:
            import_module(module)
    finally:
        gc.freeze()


class Helper:
    """A process that does half of the work; `helper` starts and ends it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def starmap(
        self, function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]
    ) -> list[Result]:
        """Call a function with the arguments of each job, and return the results in order.

        The helper takes the latter half. Should it fail, that half is done here too, so that an
        error is raised as if there were no helper.
        """
        held = list(jobs)
        here, there = held[: (len(held) + 1) // 2], held[(len(held) + 1) // 2 :]
        self.tell((function, there))
        done = [function(*job) for job in here]
        return done + (self._results() or [function(*job) for job in there])

    def tell(self, message: object) -> None:
        """Hand over what `serve` reads."""
        assert self._process.stdin
        with suppress(OSError):  # it is gone, as will be seen when it is asked for results
            self._process.stdin.write(pickle.dumps(message))
            self._process.stdin.flush()

    def _results(self) -> Any:
        """Return what the helper made of its half, or None where it failed."""
        assert self._process.stdout
        try:
            return pickle.load(self._process.stdout)  # noqa: S301  # written by our own process
        except (EOFError, pickle.UnpicklingError):
            return None

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        with suppress(OSError):
            self._process.communicate()


@contextmanager
def helper(*modules: str) -> Iterator[Helper]:
    """Start a process that imports modules meanwhile, and end it on the way out."""
    # A Ctrl-C that came before it can ignore it would make it print a traceback.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        # -P: else it would import a json.py from the current folder.
        process = subprocess.Popen(  # noqa: S603  # our own code
            [sys.executable, "-P", "-c", SERVE, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started = Helper(process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        started.tell((os.getpid(), modules))
        yield started
    finally:
        started.end()


def serve() -> None:
    """Be the helper: read what to import, then calls, and write their results."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed is no result
    parent, modules = pickle.load(sys.stdin.buffer)  # noqa: S301  # written by our parent
    start_worker(parent)
    # Whatever fails here fails in the parent too, which does then what was left, and tells.
    with suppress(Exception):
        import_without_gc(*modules)
        function, jobs = pickle.load(sys.stdin.buffer)  # noqa: S301
        done = [function(*job) for job in jobs]
        sys.stdout.flush()  # once the results are there, the parent may end us
        pickle.dump(done, results)
        results.flush()
