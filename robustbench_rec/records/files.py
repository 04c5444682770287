"""Files: how what a run keeps is written whole, and how damage to it is found."""

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
"""The first bytes of a file, which hold the checksum."""
DAMAGE = (BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, OverflowError)
"""What reading a damaged zip raises, besides ValueError and OSError."""
HELD = "held"
"""The array of a .npz that names the others: the zip has a checksum of each, but not of all."""


def sealed(data: BaseModel) -> bytes:
    """Return a record as text that holds the checksum of itself, taken with that left empty."""
    text = as_json(data.model_copy(update={"checksum": ""}))
    return text.replace(UNSEALED, UNSEALED[:-1] + digest(text).encode() + b'"', 1)


def is_as_sealed(text: bytes, checksum: str) -> bool:
    """Say whether a text that holds a checksum is the one that it was taken of."""
    return digest(SEAL.sub(UNSEALED, text, count=1)) == checksum


def seal_of(path: Path) -> str:
    """Return the checksum that a file of ours holds, unverified; "" where there is none."""
    try:
        found = SEAL.search(contents(path)[:SEAL_WITHIN])
    except OSError:
        return ""
    return found[1].decode() if found else ""


def digest(content: bytes) -> str:
    """Return what tells the content of a file from any other."""
    return hashlib.sha256(content).hexdigest()[:32]


def zipped(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as a compressed .npz; TypeError where one holds objects."""
    if odd := [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]:
        raise TypeError(f"{odd[0]} holds objects, which are not kept")
    kept: dict[str, Any] = {**arrays, HELD: np.array(list(arrays), dtype=np.str_)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **kept)
    return buffer.getvalue()


def unzipped(path: Path) -> dict[str, Any]:
    """Return the arrays of a file that `zipped` made; every one is read, and held to its checksum.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is damaged.

    """
    _refuse_other(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
    except DAMAGE as error:
        raise ValueError(str(error)) from None
    names = found.pop(HELD, None)
    if names is None or set(names.tolist()) != found.keys():
        raise ValueError("an array is missing")
    return found


def as_json(data: BaseModel) -> bytes:
    """Return a model as text for a person too."""
    return json.dumps(data.model_dump(), indent=1, allow_nan=False).encode() + b"\n"


def contents(path: Path) -> bytes:
    """Return what a file holds; OSError where it cannot be read, or is none."""
    _refuse_other(path)
    return path.read_bytes()


def _refuse_other(path: Path) -> None:
    """Raise OSError where something else than a file stands; a named pipe would be waited for."""
    if not path.exists():
        return
    held = path.stat()
    if not S_ISREG(held.st_mode) or (not held.st_size and is_of_system(path)):
        raise OSError(errno.EINVAL, "it is no file")


def why(error: OSError) -> str:
    """Say what the system did not do."""
    return error.strerror or " ".join(str(error).split())


def move_aside(path: Path, aside: Path) -> None:
    """Move what stands at a path into a folder, under a name that is free there.

    Raises:
        OSError: it cannot be moved.

    """
    aside.mkdir(exist_ok=True)
    names = (f"{path.name}.{n}" if n else path.name for n in itertools.count())
    shutil.move(path, next(aside / name for name in names if not os.path.lexists(aside / name)))


def write(path: Path, content: bytes) -> int:
    """Write beside, sync, rename: at every moment the old file or the new one is there, whole.

    Returns:
        The bytes written.

    Raises:
        InputError: they cannot be.

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
