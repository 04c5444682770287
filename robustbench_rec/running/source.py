"""The source code: its git commit, if the package runs from a checkout."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

LIMIT = 10.0
"""Seconds to wait for git, enough for a slow disk."""


@functools.cache
def commit(package: Path = Path(__file__).parents[1]) -> str:
    """Return the commit of the checkout that contains the package.

    It ends in "-dirty" if tracked files were changed. For an installed package, or without git, it
    is "".
    """
    git = shutil.which("git")
    if git is None or not (package.parent / ".git").exists():
        return ""
    words = [git, "-C", str(package.parent), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(  # noqa: S603  # fixed words and our own folder, no shell
            [*words, "--dirty"], capture_output=True, text=True, timeout=LIMIT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
