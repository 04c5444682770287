"""Threads of the compiled code and of torch, set for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch

MOST = numba.config.NUMBA_NUM_THREADS


@contextmanager
def using(threads: int) -> Iterator[None]:
    """Run what stands inside the `with` on a number of threads."""
    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(threads)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])
