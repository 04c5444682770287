import gc

import pandas as pd
import pytest
from matplotlib.figure import Figure
from panels import baselines, drawings_of, published, world

from robustbench_rec.figures.curves import draw_figure
from robustbench_rec.figures.files import by_stem, file_stems, save_all
from robustbench_rec.figures.kind import Drawing
from robustbench_rec.processes import helper

ENDINGS = ("png", "pdf", "csv")


def test_published_values_reach_the_files(tmp_path):
    frame = pd.concat([world(), world(metric="recall@20")])
    values = published(("bpr", 0.0, 0.5, "a"))
    plain = save_all(drawings_of(frame), tmp_path / "plain", ("png",))
    drawn = save_all(drawings_of(frame, published=values), tmp_path / "drawn", ("png",))
    ndcg, recall = zip(plain, drawn, strict=True)
    assert ndcg[0].read_bytes() != ndcg[1].read_bytes()
    assert recall[0].read_bytes() == recall[1].read_bytes()
    with helper("robustbench_rec.figures.curves") as other:
        drawings = drawings_of(frame, published=values)
        shared = save_all(drawings, tmp_path / "shared", ("png",), other.starmap)
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in drawn]


def test_baselines_go_into_every_figure_of_their_data_and_perturbation_and_get_none(tmp_path):
    two = pd.concat([world(("bpr",)), world(("bpr",)).assign(backbone="lightgcn")])
    other = world(("bpr",), perturbation="other")
    plain = save_all(drawings_of(pd.concat([two, other])), tmp_path / "plain", ("png",))
    drawn = save_all(
        drawings_of(pd.concat([two, other, baselines()])), tmp_path / "drawn", ("png",)
    )
    assert [path.name for path in drawn] == [path.name for path in plain]
    same = {
        path.name: path.read_bytes() == beside.read_bytes()
        for path, beside in zip(plain, drawn, strict=True)
    }
    stem = "negative_contamination_pool_own-ndcg_at_20.png"
    assert same == {
        f"toy-lightgcn-{stem}": False,
        f"toy-mf-{stem}": False,
        "toy-mf-other-ndcg_at_20.png": True,
    }


def test_baselines_alone_have_no_figure(tmp_path):
    assert save_all(drawings_of(baselines()), tmp_path) == []
    with pytest.raises(ValueError, match="no curve"):
        draw_figure(baselines())


def test_files_are_written_twice_alike(tmp_path):
    frame = pd.concat([world(), world(metric="coverage@20")])
    first = save_all(drawings_of(frame), tmp_path / "a" / "b")
    again = save_all(drawings_of(frame.sample(frac=1, random_state=0)), tmp_path / "c")
    stem = "toy-mf-negative_contamination_pool_own"
    names = [f"{stem}-{m}_at_20.{kind}" for m in ("coverage", "ndcg") for kind in ENDINGS]
    assert [path.name for path in first] == names
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert first[1].read_bytes().startswith(b"%PDF")


def test_files_are_the_same_with_a_helper(tmp_path):
    metrics = ("coverage@20", "ndcg@20", "recall@20")
    frame = pd.concat([world(metric=metric) for metric in metrics])
    alone = save_all(drawings_of(frame), tmp_path / "alone")
    with helper("robustbench_rec.figures.curves") as other:
        shared = save_all(drawings_of(frame), tmp_path / "shared", starmap=other.starmap)
    assert [path.name for path in shared] == [path.name for path in alone]
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in alone]


def test_file_stems_are_safe_short_and_distinct():
    keys = [("a", "p(x=1)"), ("a", "p[x=1]"), ("../a/b", "p"), ("a" * 300, "p"), ("A", "q")]
    stems = file_stems(keys)
    assert len(set(stems.values())) == len(keys)
    assert all(len(stem) <= 120 and "/" not in stem and stem[0] != "." for stem in stems.values())
    assert stems[keys[2]] == "a_b-p"
    assert stems[keys[4]] == "A-q"
    assert file_stems(keys[1:])[keys[1]] == "a-p_x_1"


def test_names_tell_the_figures_of_all_kinds_apart():
    drawings = [Drawing(key, Figure, ()) for key in (("a", "b"), ("a-b",), ("c",))]
    one, other, plain = by_stem(drawings)
    assert plain == "c"
    assert one.startswith("a-b-")
    assert other.startswith("a-b-")
    with pytest.raises(AssertionError, match="two figures are called"):
        by_stem([*drawings, drawings[0]])


@pytest.mark.parametrize("enabled", [True, False])
def test_the_callers_garbage_collection_stays(tmp_path, enabled):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        save_all(drawings_of(world(("bpr",))), tmp_path, ("png",))
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
