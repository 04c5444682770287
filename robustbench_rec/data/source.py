"""Location of files: a folder, a zip that is read without unpacking, or one file."""

from __future__ import annotations

import hashlib
import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from robustbench_rec.data.compression import unpacked
from robustbench_rec.errors import InputError

ENCRYPTED = 0x1
SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))
"""System folders, whose files may never end."""
MEMORY = Path("/dev/shm")  # noqa: S108  # where memory is lent as a disk: files in it are files


@dataclass(frozen=True)
class Source:
    """Files by name; in a zip, names include folders. Hidden files are ignored.

    Compressed files (gzip, bz2, xz, zstd) are unpacked during reading.

    Raises:
        InputError: from every method, if the path is missing or unreadable, or the zip is damaged.

    """

    path: Path

    @cached_property
    def is_zip(self) -> bool:
        """Whether the path is a zip, or is named like one."""
        with self._clear(""):
            if not self.path.is_file():
                return False
            refuse_of_system(self.path)
            if self.path.suffix.lower() == ".zip":
                return True
            with self.path.open("rb") as stream:
                return stream.read(4) == b"PK\x03\x04"

    @cached_property
    def is_alone(self) -> bool:
        """Whether the path is one file, and not a zip."""
        return not self.is_zip and not self.path.is_dir()

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The names of the files in the folder or zip, ascending."""
        if self.is_zip:
            return self._members_of_zip()
        with self._clear(""):
            if self.path.is_dir():
                names = [p.name for p in self.path.iterdir() if p.is_file()]
                return tuple(sorted(filter(_counts, names)))
            if self.path.is_file():
                return (self.path.name,)
            if self.path.exists():
                raise InputError(f"{self.path} is neither a file nor a folder")
            raise InputError(f"no such file or folder: {self.path}")

    def _members_of_zip(self) -> tuple[str, ...]:
        with self._clear(""), self._archive() as archive:
            names = [name for name in archive.namelist() if _counts(name)]
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise InputError(f"{self.path} holds {twice[0]!r} more than once; pack it again")
        return tuple(sorted(names))

    def where(self, name: str) -> str:
        """Name a member for messages: `folder/train.tsv`, `data.zip!train.tsv`."""
        if self.is_zip:
            return f"{self.path}!{name}"
        return str(self.path / name) if self.path.is_dir() else str(self.path)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member to read bytes; damage found while reading becomes an InputError."""
        with self._clear(name), self._packed(name) as stream:
            yield unpacked(stream, self.where(name), self.is_zip)

    @contextmanager
    def _packed(self, name: str) -> Iterator[IO[bytes]]:
        if not self.is_zip:
            path = self.path / name if self.path.is_dir() else self.path
            refuse_of_system(path)
            with path.open("rb") as stream:
                yield stream
            return
        with self._archive() as archive:
            if archive.getinfo(name).flag_bits & ENCRYPTED:
                raise InputError(
                    f"{self.where(name)} is encrypted; unpack the zip, or pack it without "
                    "encryption"
                )
            with archive.open(name) as stream:
                yield stream

    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except ValueError as error:  # of a name or a place that damage made
            raise zipfile.BadZipFile(str(error)) from None

    @contextmanager
    def _clear(self, name: str) -> Iterator[None]:
        """Say in one line why a file or zip cannot be read."""
        try:
            yield
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            EOFError,
            NotImplementedError,
        ) as error:
            kind = "zip" if self.is_zip else "compressed"
            says = " ".join(str(error).split())
            raise InputError(
                f"{self._called(name)}: not a whole {kind} file ({says}); it may be truncated: "
                "get it again"
            ) from None
        except OSError as error:
            says = " ".join(str(error.strerror or error).split())
            raise InputError(f"{self._called(name)} cannot be read: {says}") from None

    def _called(self, name: str) -> str:
        return self.where(name) if name else str(self.path)

    def digest(self, names: Iterable[str]) -> str:
        """Return the sha256, as hex, of the bytes of the named members, in the given order."""
        whole = hashlib.sha256()
        for name in names:
            with self.open(name) as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())  # type: ignore[arg-type]  # zips' streams lack a stub
        return whole.hexdigest()


def refuse_of_system(path: Path) -> None:
    """Raise InputError if a path leads into the system, for example by a link to /proc/kmsg."""
    if is_of_system(path):
        raise InputError(
            f"{path} is a system file (in {', '.join(map(str, SYSTEM))}), which may never end; "
            "give another file"
        )


def is_of_system(path: Path) -> bool:
    """Say whether a path leads into system folders."""
    real = path.resolve()
    return any(map(real.is_relative_to, SYSTEM)) and not real.is_relative_to(MEMORY)


def _counts(name: str) -> bool:
    """Say whether a name is of a file, and neither the file nor its folders are hidden."""
    parts = [part for part in name.split("/") if part != "."]
    return bool(parts[-1:] and parts[-1]) and not any(p.startswith((".", "__")) for p in parts)
