"""Files: how what a run keeps is written whole, and how damage to it is found."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel

from robustbench_rec.errors import InputError

UNSEALED = b'"checksum": ""'
SEAL = re.compile(rb'"checksum": "([0-9a-f]{32})"')
DAMAGE = (BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, OverflowError)
"""What reading a damaged zip raises, besides ValueError and OSError."""
HELD = "held"
"""The array of a .npz that names the others: the zip has a checksum of each, but not of all."""


def sealed(data: BaseModel) -> bytes:
    """Return a record as text that holds the checksum of itself, taken with that left empty."""
    text = as_json(data.model_copy(update={"checksum": ""}))
    return text.replace(UNSEALED, UNSEALED[:-1] + _checksum(text).encode() + b'"', 1)


def is_as_sealed(text: bytes, checksum: str) -> bool:
    """Say whether a text that holds a checksum is the one that it was taken of."""
    return _checksum(SEAL.sub(UNSEALED, text, count=1)) == checksum


def _checksum(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]


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
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
