"""How times are taken here: the ways to do a thing take turns, and the best of each counts.

So what else runs on the machine weighs on all alike. Ratios within one run can be trusted, bare
times less.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray


def best(ways: Mapping[str, Callable[[], object]], times: int = 15) -> dict[str, float]:
    """Return the least milliseconds of each way, after one turn that does not count."""
    for way in ways.values():
        way()
    found = dict.fromkeys(ways, float("inf"))
    for _ in range(times):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            found[name] = min(found[name], 1000 * (time.perf_counter() - started))
    return found


@contextmanager
def using(threads: int) -> Iterator[None]:
    """Let torch and the compiled code use a number of threads inside the `with`."""
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
    ms = best({"read": lambda: _read(array, again)})["read"]
    return array.nbytes * again / ms / 1e6


@njit(cache=True, fastmath=True)
def _read(array: NDArray[np.float32], again: int) -> np.float32:
    total = np.float32(0)
    for i in range(again):
        for k in range(array.size):
            total += array[k]
        array[0] = i  # else one reading would do for all
    return total


def peak() -> int:
    """Return the KiB this process held at its peak, those of its parent not counted."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(line)


def machine() -> str:
    """Describe what the times were taken on."""
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
