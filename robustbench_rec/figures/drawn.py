"""drawn.json: the list of the files that we drew into a run's figures/, and the replacing of these.

    RUN/figures/drawn.json    names of files in this folder, sorted, as a JSON list

Only a file of this list is ever deleted or overwritten. A folder without a list, as earlier
versions left it, loses nothing: a figure is overwritten there if its name is one that we draw now
and its content says that it is ours (PNG or PDF of matplotlib, a PDF without a date); all other
files, old figures of ours among them, stay.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from robustbench_rec.errors import InputError

LIST = "drawn.json"
OURS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,123}\.(png|pdf)")
"""Names that we give; what else a list may hold, such as "../x", is never touched."""


def listed(folder: Path) -> frozenset[str] | None:
    """Return the names of the files that we drew into a folder; None where there is no list.

    Raises:
        InputError: the list cannot be read.

    """
    path = folder / LIST
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("it is no list of file names")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); it lists the figures that "
            "were drawn here; delete it, and old figures stay"
        ) from None
    return frozenset(name for name in names if OURS.fullmatch(name))


def refuse_others(folder: Path, names: Iterable[str]) -> None:
    """Raise InputError where a file that we did not draw has a name that we are to write.

    Args:
        folder: of the figures; it may be missing.
        names: of the files to write.

    """
    drawn = listed(folder)
    present = [folder / name for name in names if os.path.lexists(folder / name)]
    if drawn is None:
        others = [path for path in present if not _is_ours(path)]
    else:
        others = [path for path in present if path.name not in drawn]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(
            f"{others[0]}{more}: not drawn by robustbench-rec, and a figure of this run has that "
            "name; move or rename it"
        )


def _is_ours(path: Path) -> bool:
    """Say whether a file is a figure as every version of ours wrote it."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if content.startswith(b"\x89PNG"):
        return b"tEXtSoftware\0Matplotlib" in content[:1024]
    return content.startswith(b"%PDF") and (
        b"/Creator (Matplotlib" in content and b"/CreationDate" not in content
    )


def replace_drawn(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, and delete what we drew into the folder before and not again.

    Stopped at any moment, it leaves a list of all that is ours, old and new, and each file whole.

    Args:
        folder: of the figures; made where it is missing.
        files: the content of each, by its name.

    Raises:
        InputError: a user's file has such a name, the list is damaged, or nothing can be written.

    """
    refuse_others(folder, files)
    try:
        folder.mkdir(exist_ok=True)
        before = listed(folder) or frozenset()
        _write_list(folder, before | files.keys())
        for name, content in files.items():
            _write(folder / name, content)
        for name in before - files.keys():
            if (folder / name).is_file() or (folder / name).is_symlink():
                (folder / name).unlink()
        _write_list(folder, files)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None


def _write_list(folder: Path, names: Iterable[str]) -> None:
    _write(folder / LIST, json.dumps(sorted(names), indent=1).encode() + b"\n")


def _write(path: Path, content: bytes) -> None:
    """Write beside and rename: at every moment the old file or the new one is there, whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def are_newer(folder: Path, results: Path) -> bool:
    """Say whether a whole drawing of a run is there, and newer than its results.

    Args:
        folder: of the figures.
        results: the table that they show.

    Raises:
        InputError: the list of what was drawn cannot be read.

    """
    names = listed(folder)
    if names is None:
        return False
    since = results.stat().st_mtime_ns
    paths = [folder / name for name in (LIST, *names)]
    return all(path.is_file() and path.stat().st_mtime_ns >= since for path in paths)
