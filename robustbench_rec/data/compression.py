"""Compressed files: told by their first bytes, and unpacked as they are read, up to a bound."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
from collections.abc import Callable
from typing import IO, Any

from robustbench_rec.errors import InputError

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""What may follow the ending of a table's name."""

BOUND = "ROBUSTBENCH_REC_MOST_UNPACKED"
"""The environment variable that bounds what one file is unpacked to, in GiB."""
USUAL_BOUND = 4.0
GIB = 2**30
TAR = (257, b"ustar")
"""Where a tar archive says so, and how."""


def bare(name: str) -> str:
    """Return a member's base name, without the ending of a compression."""
    base = name.rpartition("/")[2]
    ending = next((ending for ending in COMPRESSED if base.endswith(ending)), "")
    return base.removesuffix(ending)


def unpacked(stream: IO[bytes], where: str, from_zip: bool) -> IO[bytes]:
    """Return what a stream holds once it is unpacked; the stream itself where it is not packed.

    Args:
        stream: of a file, or of a member of a zip.
        where: its name, for messages.
        from_zip: whether the stream unpacks already.

    Raises:
        InputError: it holds a tar archive, or is of zstd and nothing that reads zstd is installed;
            as it is read, it grows beyond the bound.

    """
    head = stream.read(16)
    stream.seek(0)
    opener = next((opener for magic, opener in OPENERS.items() if re.match(magic, head)), None)
    if opener is None and not from_zip:
        return stream
    inner = stream if opener is None else opener(stream, where)
    opened = io.BufferedReader(_Bounded(inner, where), 2**20)
    at, says = TAR
    if opened.peek(512)[at:].startswith(says):
        raise InputError(f"{where} is a tar archive; unpack it, or pack its files as a zip")
    return opened


def _zstd(stream: IO[bytes], where: str) -> IO[bytes]:
    try:
        import pyarrow
    except ImportError:
        raise InputError(
            f"{where} is compressed by zstd, which needs pyarrow: "
            "pip install 'robustbench_rec[parquet]', or unpack it"
        ) from None
    opened: IO[bytes] = pyarrow.input_stream(stream, compression="zstd")
    return opened


OPENERS: dict[bytes, Callable[[IO[bytes], str], Any]] = {
    rb"\x1f\x8b": lambda stream, _: gzip.GzipFile(fileobj=stream),
    rb"BZh[1-9](1AY&SY|\x17rE8P\x90)": lambda stream, _: bz2.BZ2File(stream),
    rb"\xfd7zXZ\x00": lambda stream, _: lzma.LZMAFile(stream),  # noqa: SIM115  # closed by its reader
    rb"\x28\xb5\x2f\xfd": _zstd,
}
"""The first bytes of each compression, as a pattern -> what opens it."""


class _Bounded(io.RawIOBase):
    """A stream that is read up to a bound, and refuses to go on."""

    def __init__(self, stream: IO[bytes], where: str) -> None:
        self._stream, self._where = stream, where
        self._most, self._at = _most(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._stream.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(len(buffer))
        self._at += len(chunk)
        if self._at > self._most * GIB:
            raise InputError(
                f"{self._where} unpacks to more than {self._most:g} GiB; "
                f"if that is meant, set {BOUND} to more GiB, or unpack it"
            )
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _most() -> float:
    text = os.environ.get(BOUND, str(USUAL_BOUND))
    try:
        most = float(text)
    except ValueError:
        most = 0.0
    if not most > 0:
        raise InputError(f"{BOUND} is {text!r}; it must be a number of GiB above 0")
    return most
