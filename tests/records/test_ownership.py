"""Ownership: nothing in somebody's folder is replaced or removed."""

import os

import pytest
import runs

from robustbench_rec.errors import InputError
from robustbench_rec.records.marks import InFlight
from robustbench_rec.records.run_folder import RunFolder

A, B, F, G, H = (two * 10 for two in ("a1", "b1", "f1", "f2", "f3"))
"""Ids are 20 hexadecimal digits."""


def put(folder, files):
    """Write files, of a path and a text; a path that ends in "/" is a folder."""
    for name, text in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def held(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"notes.txt": "mine"}, "notes.txt"),
        ({"thesis.part": "mine"}, "thesis.part"),
        ({"manifest.json": '{"name": "my web app"}'}, "manifest.json"),
        (
            {"manifest.json": '{"version": 3}', ".lock": "", "cells/": "", "results.csv": "mine"},
            "manifest.json",
        ),
        ({"started/20241126": "mine"}, "started"),
        ({"lists/12.json.3.part": "mine"}, "lists"),
        ({"manifest.json": "{"}, "manifest.json"),
        ({"manifest.json/": ""}, "manifest.json"),
        ({"cells/": "", "manifest.json": "[]"}, "manifest.json"),
        ({"started/notes.txt": "mine"}, "started"),
        ({"cells/biology.csv": "mine"}, "cells"),
        ({"tuning/piano.json": "mine"}, "tuning"),
        ({"lists": "mine"}, "lists"),
        ({"figures/mine.png": "mine"}, "figures"),
        ({".lock": "", "cells/": "", "tuning.csv": "mine"}, "tuning.csv"),
    ],
)
def test_somebody_s_folder_is_refused_and_left_as_it_is(tmp_path, files, named):
    put(tmp_path, files)
    before = held(tmp_path)
    with pytest.raises(InputError) as caught:
        RunFolder(tmp_path).refuse_foreign()
    assert str(caught.value) == (
        f"{tmp_path} holds {named}, which no run wrote; give a new or empty folder with --out"
    )
    assert held(tmp_path) == before


@pytest.mark.parametrize(
    "files",
    [
        {},
        {".lock": "", "cells/": "", "started/": ""},
        {".lock": "", "cells/": "", "manifest.json": "{", "notes.txt": "mine"},
        {f"cells/{A}.json": "{", f"cells/{A}.npz": "", f"started/{F}": ""},
        {f"tuning/{B}.json.7.part": ""},
        {"figures/drawn.json": "[]", "figures/mine.png": "mine"},
    ],
)
def test_a_folder_in_which_a_run_began_or_that_is_empty_is_ours(tmp_path, files):
    put(tmp_path, files)
    RunFolder(tmp_path).refuse_foreign()
    RunFolder(tmp_path / "missing").refuse_foreign()


def test_only_names_that_a_run_gives_are_swept(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.locked():
        folder.begin(runs.manifest())
    theirs = ("a.part", "cells/notes.part", "cells/a1.json.part", "started/notes.txt", "x.1.part")
    theirs += ("started/20241126", "started/cafe", "cells/12.json.3.part")
    ours = ("results.csv.7.part", f"cells/{A}.json.7.part", f"tuning/{B}.json.7.part")
    ours += (f"started/{F}",)
    folders = {f"started/{G}/": "", "cells/a.1.part/": ""}
    put(tmp_path, dict.fromkeys((*theirs, *ours), "x") | folders)
    with folder.locked():
        assert folder.marks.read() == {}
    assert [name for name in theirs if not (tmp_path / name).is_file()] == []
    assert [name for name in ours if (tmp_path / name).exists()] == []
    assert (tmp_path / "started" / G).is_dir()


def test_a_mark_that_is_none_stops_nothing(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.locked():
        (folder.marks.folder / F).mkdir()
        for training in (F, G):
            folder.marks.start(training)
            folder.marks.advance(training, 3)
        (folder.marks.folder / H).write_text("soon")
        assert folder.marks.read() == {G: InFlight(3, os.getpid())}
        for training in (F, G):
            folder.marks.end(training)


def test_a_folder_in_the_place_of_a_table_is_told(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "results.csv").mkdir()
    with folder.locked(), pytest.raises(InputError, match=r"results\.csv: cannot be removed"):
        folder.begin(runs.manifest())
