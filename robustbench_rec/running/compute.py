"""The resources of a worker: threads and device."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from robustbench_rec.errors import InputError
from robustbench_rec.records.events import TOLD_AS_WARNINGS, Events

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Environment variables with the number of threads, read when the libraries are imported."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's malloc, from malloc.h."""


@dataclass(frozen=True)
class Compute:
    """The resources of a cell, which are recorded, but are no part of its id.

    Attributes:
        threads: threads of torch and of the compiled code. Bit-identical results need equal
            threads.
        device: "cpu", "cuda" or "cuda:1", as `find_device` returns it: the device of training and
            evaluation. Negatives are drawn on the CPU, the same ones for every device.

    """

    threads: int = 1
    device: str = "cpu"

    def environment(self) -> dict[str, str]:
        """Return the environment of a worker, to be set before it imports the libraries."""
        counts = dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        return counts | {
            # torch and numba bring an OpenMP each: the one must not spin where the other works.
            "OMP_WAIT_POLICY": "passive",
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what makes its products deterministic
        }

    def configure_libraries(self) -> None:
        """Set the threads of torch and the compiled code, and deterministic algorithms.

        Freed memory is kept for the next step; see `keep_freed_memory`.

        Raises:
            InputError: torch or numba does not support this number of threads.

        """
        import numba
        import torch

        for library in (torch, numba):
            with suppress(ValueError):  # numba's, where it was started with fewer
                library.set_num_threads(self.threads)
            if library.get_num_threads() != self.threads:
                raise InputError(
                    f"{library.__name__} runs {library.get_num_threads()} threads, not the "
                    f"{self.threads} requested; it supports no other number here"
                )
        # On an accelerator some operations have no deterministic form: they warn, and go on.
        # torch.use_deterministic_algorithms would import torch's compiler: seconds, and 70 MB.
        torch.set_deterministic_debug_mode("error" if self.device == "cpu" else "warn")
        # Some versions warn of matrices they did not check, until told that this is meant.
        torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        # Deterministic as it is, all that is new would be filled first: a pass over each tensor.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch's stubs lack it
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, up to 1 GiB, where the C library is glibc.

    By default glibc returns large blocks at once; each step then gets its few megabytes as new
    pages, which the system fills with zeros: a fifth of a step at Amazon-Electronic's size. This
    setting cannot be undone.
    """
    with suppress(OSError, AttributeError, TypeError):  # another system, or another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the most it takes
        mallopt(M_TRIM_THRESHOLD, 2**30)


def peak_memory() -> int:
    """Return the peak memory of this process in bytes; 0 if the system does not report it."""
    try:
        import resource
    except ImportError:  # not a Unix
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_cores() -> int:
    """Return the number of cores for this process; a container or taskset may limit it."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


COMPUTE = Compute()
"""One thread on the CPU."""
GPU_JOBS = 4
"""Default number of workers that share a GPU: on an H200 they do 3.7 times the work of one, 16
of them 5.0 times (benchmarks/README.md)."""


def workers_for(
    jobs: int | None, compute: Compute, most: int | None, events: Events = TOLD_AS_WARNINGS
) -> int:
    """Return the number of workers: `jobs`, or as many as fit the cores.

    More threads than cores make a run slower, so they are refused. More jobs than cores only cause
    a warning, so that the same command runs on small and large machines.

    Args:
        jobs: the requested number; None to choose by the cores.
        compute: the resources of each worker.
        most: the largest number of workers of the engine; None for any.
        events: receives a warning of more jobs than cores.

    Raises:
        InputError: numbers below 1, more threads than cores, more jobs than the engine supports.

    """
    cores, threads = available_cores(), compute.threads
    for name, value in (("--threads-per-job", threads), ("--jobs", 1 if jobs is None else jobs)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} {value!r}: it must be a whole number from 1")
    if threads > cores:
        raise InputError(f"--threads-per-job {threads}: it must be at most {cores}, the cores here")
    if jobs is None:
        room = cores // threads if compute.device == "cpu" else min(cores // threads, GPU_JOBS)
        return min(room, most or room)
    if most is not None and jobs > most:
        raise InputError(f"--jobs {jobs}: this engine runs {most} at a time; give --jobs {most}")
    if threads > 1 and jobs * threads > cores:
        raise InputError(
            f"--jobs {jobs} x --threads-per-job {threads} is {jobs * threads} threads on {cores} "
            f"cores; give at most --jobs {cores // threads}, or fewer threads"
        )
    if jobs > cores:
        events.warning(f"--jobs {jobs} on {cores} cores: more workers than cores gain nothing")
    return jobs


@contextmanager
def restored_libraries() -> Iterator[None]:
    """Restore, at the end of a `with`, the settings of `Compute.configure_libraries`."""
    import numba
    import torch

    threads = torch.get_num_threads(), numba.get_num_threads()
    mode = torch.get_deterministic_debug_mode()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # torch's stubs lack it
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        numba.set_num_threads(threads[1])
        torch.set_deterministic_debug_mode(mode)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def find_device(name: str) -> str:
    """Return the device with a name; "auto" is a GPU if there is one.

    Raises:
        InputError: an unknown name, or a device that is missing here.

    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise InputError(f"--device {name}: it must be auto, cpu, cuda or cuda:0, cuda:1, ...")
    if name == "cpu":
        return name
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    if not count:
        raise InputError(
            f"--device {name}: torch {torch.__version__} finds no CUDA here; give cpu or auto"
        )
    if int(name.partition(":")[2] or 0) >= count:
        raise InputError(f"--device {name}: it must be one of cuda:0 to cuda:{count - 1}")
    return name
