"""Compilation by numba, with a cache that only its user can write.

Numba runs the code in its cache. By default the cache is beside the source file: a folder that
others may be able to write, or nobody.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

Function = TypeVar("Function", bound=Callable[..., Any])
CHOSEN = "NUMBA_CACHE_DIR"
"""Numba's own variable: a folder chosen by the user, or made for this run."""


@functools.cache
def code_folder() -> tuple[Path, str]:
    """Return the folder of compiled code, and a warning for the user, or "".

    If NUMBA_CACHE_DIR is not set and the user's cache cannot be written, it is a temporary folder
    of this process; child processes share it.
    """
    if chosen := os.environ.get(CHOSEN):
        return Path(chosen), ""
    own = platformdirs.user_cache_path("robustbench-rec") / "compiled"
    if _is_private(own):
        return own, ""
    made = tempfile.mkdtemp(prefix="robustbench-rec-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.environ[CHOSEN] = made
    return Path(made), (
        f"{own} cannot hold compiled code safely, so code is compiled again in {made}; set "
        f"{CHOSEN} to a folder that only you can write"
    )


def _is_private(folder: Path) -> bool:
    """Say whether a folder, made if missing, can be written by this user and nobody else."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = folder.stat()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return False
    return held.st_uid == os.getuid() and not held.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextmanager
def kept_privately() -> Iterator[None]:
    """Make numba's cache use `code_folder` inside a `with`, and nothing else."""
    import numba

    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(code_folder()[0])
    try:
        yield
    finally:
        config.CACHE_DIR = before


def njit(**options: Any) -> Callable[[Function], Function]:
    """Return numba's decorator with these options; its code is cached in `code_folder`."""
    import numba

    _take_scipy_for_granted()
    decorate: Any = numba.njit(**options)

    def compiled(function: Function) -> Function:
        with kept_privately():
            made: Function = decorate(function)
        return made

    return compiled


@functools.cache
def _take_scipy_for_granted() -> None:
    """Answer numba's question whether scipy multiplies matrices, without an import of scipy.

    Numba asks once, before it loads its first function, and the import takes a fifteenth of a
    worker's start. Scipy is a dependency; compiled code that multiplies matrices still imports it.
    """
    with suppress(ImportError, AttributeError):  # a numba that asks otherwise
        from numba.np import linalg

        asks, linalg.ensure_blas = linalg.ensure_blas, lambda: None
        try:
            importlib.import_module("numba.np.arraymath")
        finally:
            linalg.ensure_blas = asks
