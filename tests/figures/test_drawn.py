"""The list of what we drew: only that is deleted or overwritten."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from robustbench_rec.errors import InputError
from robustbench_rec.figures.drawn import LIST, listed, refuse_others, replace_drawn, unchanged
from robustbench_rec.figures.files import by_stem, rendered
from robustbench_rec.figures.kind import Drawing

NDCG, RECALL = "toy-mf-noise-ndcg_at_20.png", "toy-mf-noise-recall_at_20.pdf"
HITS = "toy-mf-noise-hit_rate_at_20.png"
A_LIST = '["toy-mf-noise-ndcg_at_20.png"]'


@pytest.fixture
def folder(tmp_path):
    """Return where figures go, with one of ours in it."""
    replace_drawn(tmp_path / "figures", {NDCG: b"old"})
    return tmp_path / "figures"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LIST}


def names_in_list(folder):
    return list(json.loads((folder / LIST).read_text(encoding="utf-8")))


def test_the_list_holds_the_names_of_what_was_written_sorted(tmp_path):
    replace_drawn(tmp_path / "figures", {RECALL: b"r", NDCG: b"n"})
    assert contents(tmp_path / "figures") == {RECALL: b"r", NDCG: b"n"}
    assert names_in_list(tmp_path / "figures") == [NDCG, RECALL]


def test_what_is_not_drawn_again_goes_whatever_the_metric_is_called(folder):
    replace_drawn(folder, {NDCG: b"new", HITS: b"hits"})
    replace_drawn(folder, {RECALL: b"r"})
    assert contents(folder) == {RECALL: b"r"}
    assert names_in_list(folder) == [RECALL]
    replace_drawn(folder, {})
    assert contents(folder) == {}
    assert names_in_list(folder) == []


def test_a_user_s_file_stays_whatever_it_is_called(folder):
    theirs = ("paper-ndcg_at_20.pdf", "my-diagnostics.png", "notes.txt")
    for name in theirs:
        (folder / name).write_bytes(b"of the user")
    replace_drawn(folder, {RECALL: b"r"})
    assert contents(folder) == dict.fromkeys(theirs, b"of the user") | {RECALL: b"r"}


def test_a_user_s_file_in_the_place_of_a_figure_is_refused_before_anything_is_replaced(folder):
    (folder / RECALL).write_bytes(b"of the user")
    before = contents(folder)
    with pytest.raises(InputError) as caught:
        replace_drawn(folder, {NDCG: b"new", RECALL: b"r"})
    assert str(caught.value) == (
        f"{folder / RECALL}: not drawn by robustbench-rec, but a figure of this run has "
        "the same name; move it"
    )
    assert contents(folder) == before
    assert names_in_list(folder) == [NDCG]
    (folder / HITS).symlink_to("nowhere")
    with pytest.raises(InputError, match="and 1 more: not drawn by"):
        refuse_others(folder, [RECALL, HITS])


def test_a_folder_of_an_earlier_version_loses_nothing_but_figures_of_the_same_names(tmp_path):
    ours = rendered(by_stem([Drawing(("toy",), Figure, ())]), ("png", "pdf"))
    for name, content in ours.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"old-{name}").write_bytes(content)
    replace_drawn(tmp_path, {"toy.png": b"new", "toy.pdf": b"new"})
    assert contents(tmp_path) == {
        "toy.png": b"new",
        "toy.pdf": b"new",
        "old-toy.png": ours["toy.png"],
        "old-toy.pdf": ours["toy.pdf"],
    }
    assert names_in_list(tmp_path) == ["toy.pdf", "toy.png"]


@pytest.mark.parametrize("theirs", ["text", "a PNG of another program", "a dated PDF", "a folder"])
def test_in_a_folder_of_an_earlier_version_what_is_not_ours_is_refused(tmp_path, theirs):
    name = "toy.pdf" if "PDF" in theirs else "toy.png"
    if theirs == "a folder":
        (tmp_path / name).mkdir()
    elif theirs == "a dated PDF":
        Figure().savefig(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"\x89PNG by hand" if "PNG" in theirs else b"text")
    with pytest.raises(InputError, match="not drawn by robustbench-rec"):
        replace_drawn(tmp_path, {name: b"new"})
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "text", ["", "3", '{"a": 1}', "[1]", "[[]]", '["a.png"', "null", "[" * 100_000, "\ud800"]
)
def test_a_damaged_list_is_told_in_one_line_and_nothing_is_deleted(folder, text):
    (folder / LIST).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError) as caught:
        replace_drawn(folder, {RECALL: b"r"})
    message = str(caught.value)
    assert message.startswith(f"{folder / LIST}: cannot be read (")
    assert message.endswith("; delete it (old figures stay)")
    assert "\n" not in message
    assert contents(folder) == {NDCG: b"old"}
    assert (folder / LIST).read_bytes() == text.encode("utf-8", "surrogatepass")


def test_names_that_are_not_of_our_figures_are_never_touched(folder):
    outside = folder.parent / "x.png"
    within = folder / "sub" / "x.png"
    within.parent.mkdir()
    theirs = [outside, within, folder / ".x.png", folder / "notes.txt"]
    for path in theirs:
        path.write_bytes(b"of the user")
    (folder / "folder.png").mkdir()
    names = ["../x.png", str(outside), "sub/x.png", ".x.png", "notes.txt", "folder.png", "", "."]
    names += ["..", LIST, "gone.png", "a\0.png", "x" * 5000 + ".png"]
    (folder / LIST).write_text(json.dumps(names), encoding="utf-8")
    replace_drawn(folder, {RECALL: b"r"})
    assert all(path.read_bytes() == b"of the user" for path in theirs)
    assert (folder / "folder.png").is_dir()
    assert names_in_list(folder) == [RECALL]


@pytest.mark.parametrize("at", range(4))
def test_whenever_it_is_stopped_the_list_knows_all_that_is_ours(folder, monkeypatch, at):
    shown = {HITS: "of hits", RECALL: "of recall"}
    replace = Path.replace
    done = []

    def stopped(path, target):
        if len(done) == at:
            raise KeyboardInterrupt
        done.append(target)
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            replace_drawn(folder, {HITS: b"h", RECALL: b"r"}, shown)
    assert contents(folder).keys() <= listed(folder).keys() <= {NDCG, HITS, RECALL}
    assert not unchanged(folder, shown)
    replace_drawn(folder, {RECALL: b"r"}, {RECALL: "of recall"})
    assert contents(folder) == {RECALL: b"r"}
    assert unchanged(folder, shown) == {RECALL}


def test_what_is_there_and_shows_the_same_is_unchanged(folder):
    shown = {NDCG: "of ndcg", RECALL: "of recall"}
    assert not unchanged(folder, shown)  # it is not known what was drawn
    replace_drawn(folder, {NDCG: b"n", RECALL: b"r"}, shown)
    assert unchanged(folder, shown) == {NDCG, RECALL}
    assert unchanged(folder, {NDCG: "of other data", RECALL: "of recall"}) == {RECALL}
    (folder / RECALL).unlink()
    assert unchanged(folder, shown) == {NDCG}
    assert not unchanged(folder.parent / "missing", shown)


@pytest.mark.parametrize("content", [b"", b"figu", b"a figurE", b"a figure and more"])
def test_a_file_that_was_cut_or_changed_is_drawn_again(folder, content):
    shown = {NDCG: "of ndcg", RECALL: "of recall"}
    replace_drawn(folder, {NDCG: b"a figure", RECALL: b"r"}, shown)
    (folder / NDCG).write_bytes(content)
    assert unchanged(folder, shown) == {RECALL}
    replace_drawn(folder, {NDCG: b"a figure"}, shown)
    assert unchanged(folder, shown) == {NDCG, RECALL}


def test_a_list_without_digests_of_files_is_of_an_earlier_version(folder):
    (folder / LIST).write_text(json.dumps({NDCG: "of ndcg"}))
    assert listed(folder) == {NDCG: "of ndcg"}
    assert not unchanged(folder, {NDCG: "of ndcg"})
    for odd in ({NDCG: ["a", "b", "c"]}, {NDCG: 1}, {NDCG: ["a", 1]}, {NDCG: None}, 3):
        (folder / LIST).write_text(json.dumps(odd))
        with pytest.raises(InputError, match=r"drawn\.json: cannot be read"):
            listed(folder)


def test_what_is_unchanged_stays_and_is_still_listed(folder):
    replace_drawn(folder, {NDCG: b"n", HITS: b"h"}, {NDCG: "of ndcg", HITS: "of hits"})
    replace_drawn(folder, {RECALL: b"r"}, {NDCG: "of ndcg", RECALL: "of recall"})
    assert contents(folder) == {NDCG: b"n", RECALL: b"r"}
    assert listed(folder) == {NDCG: "of ndcg", RECALL: "of recall"}


def test_a_list_of_names_alone_is_of_an_earlier_version(folder):
    (folder / LIST).write_text(A_LIST)
    assert listed(folder) == {NDCG: ""}
    assert not unchanged(folder, {NDCG: ""})
    replace_drawn(folder, {})
    assert contents(folder) == {}


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "figures").touch()
    with pytest.raises(InputError, match="figures: cannot be written"):
        replace_drawn(tmp_path / "figures", {})


def test_what_is_kept_stays_in_the_list_and_in_the_folder(folder):
    replace_drawn(folder, {RECALL: b"r"}, keep=True)
    assert contents(folder) == {NDCG: b"old", RECALL: b"r"}
    assert names_in_list(folder) == sorted([NDCG, RECALL])
    replace_drawn(folder, {RECALL: b"r"})
    assert contents(folder) == {RECALL: b"r"}
