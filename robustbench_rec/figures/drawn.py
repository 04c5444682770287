"""drawn.json: the list of the files that we drew into a run's figures/, and the replacing of these.

    RUN/figures/drawn.json    name of each file -> digests of what it shows and of itself, sorted

A file is drawn again where what it is to show has another digest, or where it was damaged, whatever
the clocks say. The lists that earlier versions left hold names alone, or names and one digest.

Only a file of this list is ever deleted or overwritten. A folder without a list, as still earlier
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
from typing import Any, NamedTuple

from robustbench_rec.errors import InputError
from robustbench_rec.records.files import contents, digest

LIST = "drawn.json"
OURS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,123}\.(png|pdf|svg|csv)")
"""Names that we give; what else a list may hold, such as "../x", is never touched."""


def listed(folder: Path) -> dict[str, str] | None:
    """Return the files that we drew into a folder, name -> digest; None where there is no list.

    The digest is "" where it is not known what a file shows.

    Raises:
        InputError: the list cannot be read.

    """
    held = _held(folder)
    return None if held is None else {name: shown for name, (shown, _) in held.items()}


class _Digests(NamedTuple):
    """What tells a figure from others: what it shows, and its bytes; "" where that is not known."""

    shown: str = ""
    content: str = ""


def _held(folder: Path) -> dict[str, _Digests] | None:
    """Return the list of the files that we drew; see `listed`."""
    path = folder / LIST
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
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
            f"{path}: cannot be read ({' '.join(str(error).split())}); it lists the figures that "
            "were drawn here; delete it, and old figures stay"
        ) from None
    return {name: told for name, told in digests.items() if OURS.fullmatch(name)}


def _digests(told: Any) -> _Digests:
    """Return what a list says of a file, in the form of any version."""
    return _Digests(*told) if isinstance(told, list) else _Digests(told)


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


def unchanged(folder: Path, shown: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the files that are there, whole, and show what they are to show.

    Args:
        folder: of the figures; it may be missing.
        shown: name of each file that is to be there -> digest of what it is to show.

    Raises:
        InputError: the list of what was drawn cannot be read.

    """
    held = _held(folder) or {}
    return frozenset(
        name
        for name, digest in shown.items()
        if digest and held.get(name) == (digest, _digest_of(folder / name))
    )


def _digest_of(path: Path) -> str | None:
    """Return the digest of a file; None where there is none that can be read."""
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
    """Write files, and delete what we drew into the folder before and is not to be there.

    Stopped at any moment, it leaves a list of all that is ours, old and new, and each file whole;
    of those that were to be written the list does not say what they show.

    Args:
        folder: of the figures; made where it is missing.
        files: the content of each that is to be written, by its name.
        shown: name of each file that is to be there -> digest of what it shows; `files`, of which
            that is not known, if None.
        keep: whether what we drew before stays, where it is not of `shown`.

    Raises:
        InputError: a user's file has such a name, the list is damaged, or nothing can be written.

    """
    refuse_others(folder, files)
    shown = dict.fromkeys(files, "") if shown is None else shown
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = _held(folder) or {}
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
    """Write beside and rename: at every moment the old file or the new one is there, whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
