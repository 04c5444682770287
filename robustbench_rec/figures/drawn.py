"""drawn.json: the list of the files that we drew into a run's figures/, and their replacement.

    RUN/figures/drawn.json    file name -> digests of the data it shows and of its bytes, sorted

A file is redrawn if the digest of its data differs or its bytes are damaged; modification times do
not matter. Lists of earlier versions hold names alone, or names and one digest.

Only files of this list are ever deleted or overwritten. In a folder without a list (written by a
still earlier version) a figure is overwritten only if we draw its name now and its content is ours
(PNG or PDF of matplotlib, a PDF without a date); all other files stay, old figures of ours too.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from robustbench_rec.errors import InputError
from robustbench_rec.records.files import contents, digest

LIST = "drawn.json"
OURS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,123}\.(png|pdf|svg|csv)")
"""File names of ours; any other name in a list, such as "../x", is never touched."""


def listed(folder: Path) -> dict[str, str] | None:
    """Return the files that we drew into a folder, name -> digest; None if there is no list.

    The digest is "" if the data of a file are not known.

    Raises:
        InputError: the list cannot be read.

    """
    held = _read_list(folder)
    return None if held is None else {name: shown for name, (shown, _) in held.items()}


class _Digests(NamedTuple):
    """Digests of a figure: of the data it shows, and of its bytes; "" if not known."""

    shown: str = ""
    content: str = ""


def _read_list(folder: Path) -> dict[str, _Digests] | None:
    """Return the list of the files that we drew; see `listed`."""
    path = folder / LIST
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a file")
        held = json.loads(path.read_text(encoding="utf-8"))
        names = dict.fromkeys(held, "") if isinstance(held, list) else held
        if not isinstance(names, dict):
            raise TypeError("it is no list of file names")
        digests = {name: _digests(told) for name, told in names.items()}
        if not all(isinstance(one, str) for name, told in digests.items() for one in (name, *told)):
            raise TypeError("it is no list of file names")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); it lists the figures drawn "
            "here; delete it (old figures stay)"
        ) from None
    return {name: told for name, told in digests.items() if OURS.fullmatch(name)}


def _digests(told: Any) -> _Digests:
    """Return the digests of a file from a list of any version."""
    return _Digests(*told) if isinstance(told, list) else _Digests(told)


def refuse_others(folder: Path, names: Iterable[str]) -> None:
    """Raise InputError if a file that we did not draw has a name that we want to write.

    Args:
        folder: the folder of the figures; it may be missing.
        names: the names of the files to write.

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
            f"{others[0]}{more}: not drawn by robustbench-rec, but a figure of this run has the "
            "same "
            "name; move it"
        )


def _is_ours(path: Path) -> bool:
    """Say whether a file is a figure as any version of ours wrote it."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if content.startswith(b"\x89PNG"):
        return b"tEXtSoftware\0Matplotlib" in content[:1024]
    return content.startswith(b"%PDF") and (
        b"/Creator (Matplotlib" in content and b"/CreationDate" not in content
    )


def unchanged(folder: Path, shown: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the files that exist, are undamaged and show the right data.

    Args:
        folder: the folder of the figures; it may be missing.
        shown: name of each wanted file -> digest of the data it must show.

    Raises:
        InputError: drawn.json cannot be read.

    """
    held = _read_list(folder) or {}
    return frozenset(
        name
        for name, digest in shown.items()
        if digest and held.get(name) == (digest, _digest_of(folder / name))
    )


def _digest_of(path: Path) -> str | None:
    """Return the digest of a file; None if it cannot be read."""
    try:
        return digest(contents(path))
    except OSError:
        return None


def replace_drawn(
    folder: Path,
    files: Mapping[str, bytes],
    shown: Mapping[str, str] | None = None,
    keep: bool = False,
) -> None:
    """Write files, and delete the files that we drew before and that are no longer wanted.

    If interrupted, every file is whole and the list names all files of ours, old and new; the files
    that were being written have no digest in it.

    Args:
        folder: the folder of the figures; made if missing.
        files: name of each file to write -> its content.
        shown: name of each wanted file -> digest of its data; the names of `files`, without
            digests, if None.
        keep: whether files that we drew before and that are not in `shown` stay.

    Raises:
        InputError: a user's file has the same name, the list is damaged, or writing failed.

    """
    refuse_others(folder, files)
    shown = dict.fromkeys(files, "") if shown is None else shown
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = _read_list(folder) or {}
        after = before | {name: _Digests(content=digest(held)) for name, held in files.items()}
        told = {name: after[name]._replace(shown=one) for name, one in shown.items()}
        after = after | told if keep else told
        if files or before != after:
            _write_list(folder, before | dict.fromkeys(files, _Digests()))
            for name, content in files.items():
                _write(folder / name, content)
            for name in before.keys() - after.keys():
                if (folder / name).is_file() or (folder / name).is_symlink():
                    (folder / name).unlink()
            _write_list(folder, after)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None


def _write_list(folder: Path, names: Mapping[str, _Digests]) -> None:
    _write(folder / LIST, json.dumps(names, indent=1, sort_keys=True).encode() + b"\n")


def _write(path: Path, content: bytes) -> None:
    """Write to a temporary file and rename: at every moment the old or the new file is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
