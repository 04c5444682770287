"""Where files lie: a folder, a zip that is read without unpacking, or one file alone."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from robustbench_rec.errors import InputError


@dataclass(frozen=True)
class Source:
    """Files by their base names.

    A zip may hold its files at the top or in folders; of two that share a base name, the one
    nearer to the top counts. Hidden files do not count.

    Raises:
        InputError: from every method, where the path is missing or unreadable, or the zip is not
            whole.

    """

    path: Path

    @cached_property
    def is_zip(self) -> bool:
        """Whether the path is, or says it is, a zip."""
        if not self.path.is_file():
            return False
        if self.path.suffix.lower() == ".zip":
            return True
        with self.path.open("rb") as stream:
            return stream.read(4) == b"PK\x03\x04"

    @cached_property
    def members(self) -> dict[str, str]:
        """Base name -> name within the folder or zip, ascending."""
        with self._clear(""):
            if self.is_zip:
                with zipfile.ZipFile(self.path) as archive:
                    return _by_base_name(archive.namelist())
            if self.path.is_dir():
                return _by_base_name(p.name for p in self.path.iterdir() if p.is_file())
            if not self.path.is_file():
                raise InputError(f"no such file or folder: {self.path}")
            return {self.path.name: self.path.name}

    def where(self, name: str) -> str:
        """Name a member for messages: `folder/train.tsv`, `data.zip!train.tsv`."""
        if self.is_zip:
            return f"{self.path}!{self.members[name]}"
        return str(self.path / name) if self.path.is_dir() else str(self.path)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member to read bytes; damage that reading meets becomes an InputError."""
        with self._clear(name):
            if self.is_zip:
                with (
                    zipfile.ZipFile(self.path) as archive,
                    archive.open(self.members[name]) as stream,
                ):
                    yield stream
            else:
                path = self.path / name if self.path.is_dir() else self.path
                with path.open("rb") as stream:
                    yield stream

    @contextmanager
    def _clear(self, name: str) -> Iterator[None]:
        """Say in one line what is wrong with a file or zip."""
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            inside = f"!{name}" if name else ""
            raise InputError(
                f"{self.path}{inside}: not a whole zip file ({error}); "
                "it may be truncated, so get it again"
            ) from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def digest(self, names: Iterable[str]) -> str:
        """Return the sha256, as hex, of the bytes of the named members, in the given order."""
        whole = hashlib.sha256()
        for name in names:
            with self.open(name) as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())  # type: ignore[arg-type]  # zips' streams lack a stub
        return whole.hexdigest()


def _by_base_name(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (-name.count("/"), name), reverse=False):
        base = name.rpartition("/")[2]
        if base and not base.startswith((".", "__")):
            found[base] = name
    return dict(sorted(found.items()))
