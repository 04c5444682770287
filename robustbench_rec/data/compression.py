"""Compressed files: recognised by their first bytes, and unpacked during reading, up to a limit."""

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

COMPRESSED = (".gz", ".bz2", ".xz", ".lzma", ".zst")
"""Endings of compression, after the ending of a table."""

BOUND = "ROBUSTBENCH_REC_MOST_UNPACKED"
"""Environment variable: the largest unpacked size of a file, in GiB."""
USUAL_BOUND = 4.0
GIB = 2**30
MOST_LAYERS = 3
"""Largest number of compressions of a file; some files unpack to themselves."""
UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|([^\0]\0){8}|(\0[^\0]){8}", re.DOTALL)
"""First bytes of UTF-16 and UTF-32 text, with and without byte-order mark."""
TAR = (257, b"ustar")
"""Position and text of the mark of a tar archive."""


def bare(name: str) -> str:
    """Return a member's base name without endings of compression; its ending in lower case."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    if stem and f".{ending.lower()}" in COMPRESSED:
        return bare(stem)
    return f"{stem}{dot}{ending.lower() if dot else ending}"


def unpacked(stream: IO[bytes], where: str, from_zip: bool, layers: int = 0) -> IO[bytes]:
    """Return a stream of the unpacked content; the stream itself if it is not packed.

    Args:
        stream: a stream of a file, or of a member of a zip.
        where: its name, for messages.
        from_zip: whether the stream is unpacked from a zip.
        layers: the number of further compressions removed so far.

    Raises:
        InputError: it is a tar archive, UTF-16 text, packed in an unknown way or too often, or by
            zstd without a library for zstd; or it exceeds the limit while it is read.

    """
    head = stream.peek(16)[:16]  # type: ignore[attr-defined]  # files and members of zips have it
    _refuse_unread(head, where)
    opener = next((opener for magic, opener in OPENERS.items() if re.match(magic, head)), None)
    if opener is None and not from_zip:
        return stream
    if layers == MOST_LAYERS:
        raise InputError(f"{where} is compressed more than {MOST_LAYERS} times; unpack it")
    inner = stream if opener is None else opener(stream, where)
    opened = io.BufferedReader(_Bounded(inner, where), 2**20)
    at, says = TAR
    if opened.peek(512)[at:].startswith(says):
        raise InputError(f"{where} is a tar archive; unpack it, or pack its files as a zip")
    return opened if opener is None else unpacked(opened, where, from_zip=False, layers=layers + 1)


def _refuse_unread(head: bytes, where: str) -> None:
    """Raise InputError if the first bytes are of a format that we do not read."""
    if UTF_16.match(head):
        raise InputError(f"{where} is text of UTF-16 or UTF-32; save it as UTF-8")
    kind = next((kind for magic, kind in UNREAD.items() if head.startswith(magic)), "")
    if kind:
        raise InputError(f"{where} is packed by {kind}, which is not supported; unpack it")


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
    rb"\xfd7zXZ\x00|\x5d\x00\x00": lambda stream, _: lzma.LZMAFile(stream),  # noqa: SIM115  # closed by its reader
    rb"\x28\xb5\x2f\xfd": _zstd,
}
"""Pattern of the first bytes of each compression -> its opener."""


UNREAD = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress",
}
"""First bytes of unsupported formats -> their names."""


class _Bounded(io.RawIOBase):
    """A stream with a limit on the bytes to read."""

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
                f"{self._where} unpacks to more than {self._most:g} GiB; if that is intended, set "
                f"{BOUND} to more GiB, or unpack it"
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
