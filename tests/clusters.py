"""Clusters of dask for tests: a scheduler and workers as processes on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

WAIT = 240.0
"""Seconds that a step may take on a busy machine."""


def wait_for(condition, what: str, of: subprocess.Popen | None = None):
    """Return the first true value of `condition()`, unless the process `of` ends before."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        if found := condition():
            return found
        if of is not None and of.poll() is not None:
            raise AssertionError(f"no {what}, but: {of.communicate()}")
        time.sleep(0.1)
    raise AssertionError(f"no {what} within {WAIT:g} s")


class Cluster:
    """A scheduler and workers, which a test may end one by one.

    Attributes:
        address: that of the scheduler.
        scheduler, workers: the processes.

    """

    def __init__(self, folder: Path, preamble: str = "") -> None:
        self.folder = folder
        told = folder / "scheduler.json"
        script = f"{preamble}\nfrom distributed.cli.dask_scheduler import main\nmain()"
        self.scheduler = self._start(
            script, "--port", 0, "--no-dashboard", "--scheduler-file", told
        )
        wait_for(told.exists, "scheduler")
        self.address = wait_for(lambda: read(told), "address")
        self.workers: list[subprocess.Popen] = []

    def _start(self, script: str, *words: object, **environment: str) -> subprocess.Popen:
        words = (*words, "--host", "127.0.0.1")
        return subprocess.Popen(
            [sys.executable, "-c", f"{script}", *map(str, words)],
            cwd=self.folder,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def add(self, n: int = 1, threads: int = 1, **environment: str) -> None:
        """Start workers, each with its nanny."""
        script = "from distributed.cli.dask_worker import main\nif __name__ == '__main__': main()"
        words = (self.address, "--nthreads", threads, "--no-dashboard")
        for _ in range(n):
            self.workers.append(self._start(script, *words, **environment))

    def lose_workers(self) -> None:
        """End all workers and their nannies at once."""
        for nanny in self.workers:
            for process in (*children(nanny.pid), nanny.pid):
                kill(process)
            nanny.wait()
        self.workers.clear()

    def close(self) -> None:
        """End all."""
        self.lose_workers()
        kill(self.scheduler.pid, signal.SIGCONT)
        self.scheduler.kill()
        self.scheduler.wait()


def read(told: Path) -> str:
    try:
        return json.loads(told.read_text())["address"]
    except ValueError:  # half written
        return ""


def children(process: int) -> list[int]:
    """Return the processes that a process started, and those that these started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            of = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if of == process:
            found += [int(path.parent.name), *children(int(path.parent.name))]
    return found


def kill(process: int, how: int = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, how)


@contextmanager
def cluster(folder: Path, workers: int = 2, preamble: str = ""):
    """Return a cluster that ends at the end of a `with`."""
    folder.mkdir(exist_ok=True)
    made = Cluster(folder, preamble)
    try:
        made.add(workers)
        yield made
    finally:
        made.close()
