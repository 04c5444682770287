"""Common to all processes that we start: they end with their parent, which alone handles Ctrl-C."""

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
"""Option of prctl(2): the signal that a process gets when its parent ends."""


SAFELY = {"PYTHONSAFEPATH": "1"}
"""Variable that keeps a process from importing, say, a json.py from the current folder."""


@contextmanager
def safe_path() -> Iterator[None]:
    """Make processes started inside a `with` import nothing from the current folder."""
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
    """A text stream that drops control characters except line feeds and tabs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str | bytes) -> int:  # click writes bytes
        """Write text without control characters."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", errors="backslashreplace")
        kept = (char if char.isprintable() or char in "\n\t" else " " for char in text)
        return self._stream.write("".join(kept))

    def flush(self) -> None:
        """Flush the stream behind it."""
        self._stream.flush()

    def fileno(self) -> int:
        """Return the descriptor of the stream behind it."""
        return self._stream.fileno()


@contextmanager
def open_streams() -> Iterator[None]:
    """Restore both streams at the end of a `with`, in case a plugin closes them."""
    with ExitStack() as stack:
        for name, place in (("stdout", 1), ("stderr", 2)):
            with suppress(OSError):  # it was closed before
                kept = os.dup(place)
                stack.callback(_reopen, name, place, kept, getattr(sys, name))
        yield


def _reopen(name: str, place: int, kept: int, stream: TextIO) -> None:
    """Restore a stream, and reopen it if it was closed."""
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
    """Protect the terminal and its streams from a plugin's output inside a `with`."""
    with open_streams(), redirect_stdout(_Plain(sys.stdout)), redirect_stderr(_Plain(sys.stderr)):
        yield


@contextmanager
def same_folder() -> Iterator[None]:
    """Return to the current folder at the end of a `with`, in case a plugin leaves it."""
    before = Path.cwd()
    try:
        yield
    finally:
        os.chdir(before)


def start_worker(parent: int) -> None:
    """Ignore Ctrl-C, which the parent handles, and end when the parent has ended.

    On Linux the kernel ends us, even if C code blocks the interpreter and no thread of ours runs.
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
    """Pause garbage collection inside a `with`, because it would scan all objects repeatedly.

    It is enabled again at the end if it was enabled before.
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
    """Import modules, and exclude their objects from garbage collection now and later."""
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
        """Call a function with the arguments of each job; return the results in order.

        The helper takes the second half. If it fails, this process does that half too, so that an
        error is raised as without a helper.
        """
        held = list(jobs)
        here, there = held[: (len(held) + 1) // 2], held[(len(held) + 1) // 2 :]
        if not there:
            return [function(*job) for job in here]
        self.tell((function, there))
        done = [function(*job) for job in here]
        return done + (self._results() or [function(*job) for job in there])

    def tell(self, message: object) -> None:
        """Send the input of `serve`."""
        assert self._process.stdin
        with suppress(OSError):  # it is gone, as will be seen when it is asked for results
            self._process.stdin.write(pickle.dumps(message))
            self._process.stdin.flush()

    def _results(self) -> Any:
        """Return the helper's results, or None if it failed."""
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
    """Start a process that imports modules meanwhile, and end it at the end of a `with`."""
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
    """Run as the helper: read modules to import, then calls, and write their results."""
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
