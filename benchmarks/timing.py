"""Timing: the variants take turns, and the best time of each counts.

So what else runs on the machine weighs on all alike. Ratios within one run can be trusted, bare
times less; CPU time more than wall time, where one thread works.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray


class Ms(NamedTuple):
    """Milliseconds of the clock, and of the processor in all threads."""

    wall: float
    cpu: float


def best(ways: Mapping[str, Callable[[], object]], times: int = 15) -> dict[str, Ms]:
    """Return the least of either time of each way, after one turn that does not count."""
    for way in ways.values():
        way()
    found = dict.fromkeys(ways, Ms(float("inf"), float("inf")))
    for _ in range(times):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            spent = 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)
            found[name] = Ms(*map(min, found[name], spent))
    return found


@contextmanager
def using(threads: int) -> Iterator[None]:
    """Let torch and the compiled code use a number of threads inside the `with`."""
    from robustbench_rec.running.compute import keep_freed_memory  # an earlier commit has none

    keep_freed_memory()  # as workers do
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def read_speed(n_bytes: int) -> float:
    """Return how many GB/s one thread reads of an array of this size, again and again.

    A small array is read from a cache, a large one from memory.
    """
    array = np.ones(max(n_bytes // 4, 64), dtype=np.float32)
    again = max(2**26 // array.nbytes, 1)
    ms = best({"read": lambda: _read(array, again)})["read"].wall
    return array.nbytes * again / ms / 1e6


@njit(cache=True, fastmath=True)
def _read(array: NDArray[np.float32], again: int) -> np.float32:
    total = np.float32(0)
    for i in range(again):
        for k in range(array.size):
            total += array[k]
        array[0] = i  # else one reading would do for all
    return total


def clock_ghz() -> float:
    """Return the clock of the processor as Linux tells it."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return float(re.findall(r"^cpu MHz\s*:\s*([\d.]+)", info, re.MULTILINE)[0]) / 1000


def peak() -> int:
    """Return the KiB this process held at its peak, those of its parent not counted."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(line)


def machine() -> str:
    """Describe the machine and the versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    parts = [cpu, f"{numba.config.NUMBA_NUM_THREADS} cores", platform.system()]
    parts += [f"Python {platform.python_version()}"]
    parts += [f"{module.__name__} {module.__version__}" for module in (np, torch, numba)]
    return ", ".join(parts)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
