"""Files: atomic writing of a run's files, and detection of damage."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel

from robustbench_rec.data.source import is_of_system
from robustbench_rec.errors import InputError

UNSEALED = b'"checksum": ""'
SEAL = re.compile(rb'"checksum": "([0-9a-f]{32})"')
SEAL_WITHIN = 64
"""Number of first bytes of a file, which contain the checksum."""
DAMAGE = (BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, OverflowError)
"""Exceptions of reading a damaged zip, besides ValueError and OSError."""
HELD = "held"
"""The array of a .npz with the names of the others: the zip has a checksum of each, not of all."""


def sealed(data: BaseModel) -> bytes:
    """Return a record as text with its checksum, which is taken with the field left empty."""
    text = as_json(data.model_copy(update={"checksum": ""}))
    return text.replace(UNSEALED, UNSEALED[:-1] + digest(text).encode() + b'"', 1)


def has_valid_checksum(text: bytes, checksum: str) -> bool:
    """Say whether the checksum in a text is the checksum of this text."""
    return digest(SEAL.sub(UNSEALED, text, count=1)) == checksum


def seal_of(path: Path) -> str:
    """Return the checksum in a file of ours, unverified; "" if there is none."""
    try:
        found = SEAL.search(contents(path)[:SEAL_WITHIN])
    except OSError:
        return ""
    return found[1].decode() if found else ""


def digest(content: bytes) -> str:
    """Return a digest of the content of a file."""
    return hashlib.sha256(content).hexdigest()[:32]


def zipped(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as a compressed .npz; TypeError if one holds objects."""
    if odd := [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]:
        raise TypeError(f"{odd[0]} holds objects, which cannot be stored")
    kept: dict[str, Any] = {**arrays, HELD: np.array(list(arrays), dtype=np.str_)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **kept)
    return buffer.getvalue()


def unzipped(path: Path) -> dict[str, Any]:
    """Return the arrays of a file from `zipped`; each is read and checked against its checksum.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is damaged.

    """
    _refuse_other(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
    except DAMAGE as error:
        raise ValueError(str(error)) from None
    names = found.pop(HELD, None)
    if names is None or names.ndim != 1 or set(names.tolist()) != found.keys():
        raise ValueError("an array is missing")
    return found


def as_json(data: BaseModel) -> bytes:
    """Return a model as readable JSON text."""
    return json.dumps(data.model_dump(), indent=1, allow_nan=False).encode() + b"\n"


def contents(path: Path) -> bytes:
    """Return the content of a file; OSError if it cannot be read or is not a file."""
    _refuse_other(path)
    return path.read_bytes()


def _refuse_other(path: Path) -> None:
    """Raise OSError if the path is not a regular file: reading a named pipe would block."""
    if not path.exists():
        return
    held = path.stat()
    if not S_ISREG(held.st_mode) or (not held.st_size and is_of_system(path)):
        raise OSError(errno.EINVAL, "it is not a regular file")


def why(error: OSError) -> str:
    """Return the system's reason for an error."""
    return error.strerror or " ".join(str(error).split())


def move_aside(path: Path, aside: Path) -> None:
    """Move a file or folder into a folder, under a free name.

    Raises:
        OSError: it cannot be moved.

    """
    aside.mkdir(exist_ok=True)
    names = (f"{path.name}.{n}" if n else path.name for n in itertools.count())
    shutil.move(path, next(aside / name for name in names if not os.path.lexists(aside / name)))


def write(path: Path, content: bytes) -> int:
    """Write beside, sync, rename: at every moment the old or the new file is whole.

    Returns:
        The bytes written.

    Raises:
        InputError: writing failed.

    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return len(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({why(error)})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
