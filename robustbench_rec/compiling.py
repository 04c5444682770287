"""Compiling by numba, whose code is cached where its user alone can write.

What numba finds in its cache it runs, and by default it looks beside the source file: a folder that
others may write, or that nobody can.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

Function = TypeVar("Function", bound=Callable[..., Any])
CHOSEN = "NUMBA_CACHE_DIR"
"""numba's own variable: a folder that the user chose, or one that was made for this run."""


@functools.cache
def code_folder() -> tuple[Path, str]:
    """Return where compiled code is kept, and a line to tell the user, or "".

    Where neither NUMBA_CACHE_DIR names a folder nor the user's own cache can be written, it is a
    new one that is gone with this process; those that this process starts share it.
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
        f"{own} cannot be kept for compiled code, so all of it is compiled anew in {made}; set "
        f"{CHOSEN} to a folder that is yours alone"
    )


def _is_private(folder: Path) -> bool:
    """Say whether a folder, made if need be, can be written by this user and nobody else."""
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
    """Let what numba is told to cache meanwhile be kept in `code_folder`, and nothing else."""
    import numba

    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(code_folder()[0])
    try:
        yield
    finally:
        config.CACHE_DIR = before


def njit(**options: Any) -> Callable[[Function], Function]:
    """Return numba's decorator of these options, whose code is kept in `code_folder`."""
    import numba

    decorate: Any = numba.njit(**options)

    def compiled(function: Function) -> Function:
        with kept_privately():
            made: Function = decorate(function)
        return made

    return compiled
