"""Archives: a run in one file, to hand over; and the reading of a file that is not trusted.

An archive is a plain zip of the files of a results folder, with the suite's text and the checksum
of each file in the form of `sha256sum`. Unpacked, it is a results folder again.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from robustbench_rec.errors import InputError
from robustbench_rec.records.events import Events
from robustbench_rec.records.files import DAMAGE, contents, why
from robustbench_rec.records.manifest import Manifest
from robustbench_rec.records.ownership import ID, TABLES
from robustbench_rec.records.run_folder import RunFolder
from robustbench_rec.training.config import PROTOCOL

SUITE, SUMS = "suite.toml", "SHA256SUMS"
NAMES = re.compile(
    rf"manifest\.json|{re.escape(SUITE)}|{SUMS}|{'|'.join(map(re.escape, TABLES))}"
    rf"|cells/{ID.pattern}\.(json|npz)|lists/{ID.pattern}\.npz|tuning/{ID.pattern}\.json"
)
"""Pattern of the names in an archive."""
WHEN = (1980, 1, 1, 0, 0, 0)
"""The time of all files, so that equal runs give equal archives."""
MODE = 0o644
ENCRYPTED = 0x1
LARGEST = 2**31
"""Largest bytes of a file in an archive, and of the arrays in a file."""
DENSEST = 500
"""Largest number of bytes that one byte of an archive may stand for; records reach 20."""


def export(folder: RunFolder, path: Path) -> int:
    """Write a run into an archive; equal runs give equal bytes.

    Args:
        folder: the results folder, with records or with tables alone.
        path: the file; it must not exist.

    Returns:
        The number of files in it.

    Raises:
        InputError: the folder is no run, a file of it cannot be read, or the archive exists or
            cannot be written.

    """
    manifest = folder.manifest()
    if os.path.lexists(path):
        raise InputError(f"{path}: exists; give another name, or remove it")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            n = _pack(archive, folder.folder, manifest)
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({why(error)})") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return n


def _pack(archive: zipfile.ZipFile, folder: Path, manifest: Manifest) -> int:
    """Write the files of a run, and return their number."""
    sums: dict[str, str] = {}
    for name in sorted([SUITE, *_names(folder, manifest)]):
        content = manifest.suite_text.encode() if name == SUITE else _content(folder / name)
        sums[name] = hashlib.sha256(content).hexdigest()
        _add(archive, name, content)
    lines = (f"{digest}  {name}\n" for name, digest in sums.items())
    _add(archive, SUMS, "".join(lines).encode())
    return len(sums)


def _names(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield the files of a run; other files in its folder are left out."""
    studies = RunFolder(folder).studies_so_far(manifest, Events())
    trials = (trial.id for study in studies for trial in study.trials)
    trainings = dict.fromkeys(cell.training for cell in manifest.cells.values())
    wanted = ["manifest.json", *TABLES]
    wanted += [f"cells/{id}.{kind}" for id in manifest.cells for kind in ("json", "npz")]
    wanted += [f"lists/{id}.npz" for id in trainings if id]
    wanted += [f"tuning/{id}.json" for id in dict.fromkeys([*manifest.studies, *trials])]
    return (name for name in wanted if (folder / name).is_file())


def _content(path: Path) -> bytes:
    try:
        return contents(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({why(error)})") from None


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, WHEN)
    info.create_system = 3  # Unix, whatever this system is
    info.external_attr = (stat.S_IFREG | MODE) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack an archive that is not trusted into a new folder, which goes at the end of a `with`.

    Every name is one that a run writes, every file is of its checksum, and none is larger than it
    says. What the files hold is still to be verified.

    Raises:
        InputError: it is no archive of a run, is damaged or altered, or is of another protocol.

    """
    with tempfile.TemporaryDirectory(prefix="robustbench-rec-") as made:
        folder = Path(made)
        try:
            with zipfile.ZipFile(path) as archive:
                _refuse_odd(path, archive.infolist())
                _unpack(archive, folder, _sums(path, archive))
        except (*DAMAGE, ValueError) as error:
            if isinstance(error, InputError):
                raise
            told = " ".join(str(error).split())
            raise InputError(f"{path}: no archive of a run, or damaged ({told})") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({why(error)})") from None
        _refuse_other_run(path, folder)
        yield folder


def _refuse_odd(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Raise InputError unless the members are files that a run writes, each once and not huge."""
    members = list(members)
    names = Counter(member.filename for member in members)
    for member in members:
        if fault := _fault(member, names[member.filename]):
            raise InputError(f"{path}: {fault}; do not unpack it")
    size, dense = path.stat().st_size, sum(member.file_size for member in members)
    if dense > DENSEST * size:
        raise InputError(f"{path}: {size:,} bytes stand for {dense:,}; do not unpack it")
    for name in ("manifest.json", SUMS, SUITE):
        if name not in names:
            raise InputError(f"{path}: no archive of a run ({name} is missing)")


def _fault(member: zipfile.ZipInfo, times: int) -> str:
    """Return the fault of a member, known without reading it; "" if there is none."""
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    if not NAMES.fullmatch(name):
        return f"holds {name!r}, which no run writes: damaged, or not from export"
    if times > 1:
        return f"holds {name!r} {times} times"
    if kind not in (0, stat.S_IFREG):
        return f"{name!r} is a link, or no file"
    if member.flag_bits & ENCRYPTED:
        return f"{name!r} is encrypted"
    if member.file_size > LARGEST:
        return f"{name!r} has {member.file_size:,} bytes, more than {LARGEST:,}"
    return ""


def _sums(path: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Return name -> checksum of the files; InputError if they are not those in the archive."""
    found = {}
    for line in archive.read(SUMS).decode("ascii").splitlines():
        digest, _, name = line.partition("  ")
        found[name] = digest
    there = set(archive.namelist()) - {SUMS}
    for name in sorted(there ^ found.keys()):
        what = "is not in" if name in there else "is missing, but in"
        raise InputError(f"{path}: altered or not whole: {name!r} {what} {SUMS}")
    return found


def _unpack(archive: zipfile.ZipFile, folder: Path, sums: Mapping[str, str]) -> None:
    """Write each file if it has its checksum."""
    for name, digest in sums.items():
        content = archive.read(name)
        if hashlib.sha256(content).hexdigest() != digest:
            raise InputError(f"{archive.filename}: altered: {name!r} is not of its checksum")
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        if place.suffix == ".npz":
            _refuse_huge(Path(str(archive.filename)), name, place)


def _refuse_huge(path: Path, name: str, arrays: Path) -> None:
    """Raise InputError if the arrays in a file are huge."""
    with zipfile.ZipFile(arrays) as held:
        size = sum(member.file_size for member in held.infolist())
    if size > LARGEST:
        raise InputError(f"{path}: {name!r} holds {size:,} bytes of arrays, more than {LARGEST:,}")


def _refuse_other_run(path: Path, folder: Path) -> None:
    """Raise InputError if the manifest is of another suite than the text, or another protocol."""
    try:
        manifest = RunFolder(folder).manifest()
    except InputError as error:
        raise InputError(f"{path}: {str(error).replace(f'{folder}/', '')}") from None
    if (folder / SUITE).read_bytes() != manifest.suite_text.encode():
        raise InputError(f"{path}: altered: {SUITE} is not the suite of manifest.json")
    if old := manifest.protocols - {PROTOCOL}:
        raise InputError(
            f"{path}: of protocol {', '.join(sorted(old))}, not of today's {PROTOCOL}; verify it "
            "with the version of robustbench_rec that its manifest.json names"
        )
