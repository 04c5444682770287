"""The gallery: its list of kinds, and what becomes of files when a run is drawn again."""

import ast
import json
import os
import pkgutil
from importlib import import_module
from itertools import starmap
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from robustbench_rec import figures
from robustbench_rec.errors import InputError
from robustbench_rec.figures import files, gallery
from robustbench_rec.figures.kind import Asked, Drawing
from robustbench_rec.figures.kinds import KINDS
from robustbench_rec.records.run import read_run

REUSED = {"robustbench_rec.figures.curves"}
"""What small multiples are made of."""


@pytest.fixture
def run(tmp_path, checkout):
    """Return a copy of a run without figures."""
    kept = checkout / "results" / "reference" / "false-negatives"
    return read_run(copytree(kept, tmp_path / "run", ignore=ignore_patterns("figures")))


def toy(name="toy", metric="ndcg@20"):
    """Make a kind of one empty figure for each data set of a run."""

    def drawings(frames, _):
        datasets = frames.curves["dataset"].unique()
        return [Drawing((dataset, name, metric), Figure, ()) for dataset in datasets]

    return SimpleNamespace(drawings=drawings)


def present(run):
    return {path.name for path in (run.folder / "figures").iterdir()}


def test_a_new_kind_is_drawn_and_listed_and_goes_when_its_kind_goes(run):
    names = gallery.redraw(run, kinds=(toy(), toy("other")))
    toys, others = (
        [f"movielens-100k-{kind}-ndcg_at_20.{ending}" for ending in ("png", "pdf", "csv")]
        for kind in ("toy", "other")
    )
    assert names == [*others, *toys]
    assert present(run) == {*names, "drawn.json"}
    listed = json.loads((run.folder / "figures" / "drawn.json").read_text())
    assert list(listed) == sorted(names)
    assert gallery.redraw(run, kinds=(toy("other"),)) == others
    assert present(run) == {*others, "drawn.json"}


def counted_kind(drawn, value=0.0):
    """Make a kind of one figure, which shows a value and counts how often it is drawn."""

    def draw(shown):
        drawn.append(shown)
        return Figure()

    frame = pd.DataFrame({"value": [0.1 + 0.2, value]})
    drawing = Drawing(("toy",), draw, (frame,))
    return SimpleNamespace(drawings=lambda *_: [drawing])


def test_figures_are_drawn_anew_when_their_data_changed_whatever_clocks_say(run):
    drawn = []
    names = gallery.redraw(run, kinds=(counted_kind(drawn),), only_changed=True)
    assert len(names) == 3
    for path in (run.folder / "figures").iterdir():
        os.utime(path, (0, 0))  # long before the results
    assert gallery.redraw(run, kinds=(counted_kind(drawn),), only_changed=True) == []
    assert len(drawn) == 1
    for path in (run.folder / "figures").iterdir():
        os.utime(path, (2**31, 2**31))  # long after them
    changed = counted_kind(drawn, value=np.nextafter(0.0, 1.0))
    assert gallery.redraw(run, kinds=(changed,), only_changed=True) == names
    assert len(drawn) == 2
    (run.folder / "figures" / "toy.pdf").unlink()
    assert gallery.redraw(run, kinds=(changed,), only_changed=True) == names
    assert gallery.redraw(run, kinds=(changed,)) == names  # who asks for figures gets all
    assert len(drawn) == 4


def test_what_a_figure_of_ours_shows_is_told_by_a_digest_that_is_the_same_each_time(run):
    asked = Asked(against="bpr")

    def digests():
        frames = gallery.frames_of(run)
        drawings = [one for kind in KINDS.values() for one in kind.drawings(frames, asked)]
        return [files.digest_of(drawing) for drawing in drawings]

    once = digests()
    assert digests() == once
    assert len(set(once)) == len(once) > 3


def test_a_stale_figure_of_any_metric_goes_and_a_user_s_of_any_name_stays(run):
    gallery.redraw(run, kinds=(toy(metric="hit_rate@20"), toy(metric="ndcg@20")))
    theirs = run.folder / "figures" / "paper-ndcg_at_20.pdf"
    theirs.write_text("of the user")
    gallery.redraw(run, kinds=(toy(metric="ndcg@20"),))
    assert present(run) == {
        "drawn.json",
        "movielens-100k-toy-ndcg_at_20.csv",
        "movielens-100k-toy-ndcg_at_20.pdf",
        "movielens-100k-toy-ndcg_at_20.png",
        "paper-ndcg_at_20.pdf",
    }
    assert theirs.read_text() == "of the user"


def test_a_user_s_file_in_a_figure_s_place_is_refused_before_anything_is_drawn(run):
    gallery.redraw(run, kinds=(toy(),))
    theirs = run.folder / "figures" / "movielens-100k-other-ndcg_at_20.png"
    theirs.write_text("of the user")
    drawn = []
    with pytest.raises(InputError, match=r"other-ndcg_at_20\.png: not drawn by"):
        gallery.redraw(run, starmap=drawn.append, kinds=(toy("other"),))
    assert drawn == []
    assert theirs.read_text() == "of the user"


def first_of_each(function, jobs):
    """Call a function with the first of several tuples of arguments alone, and return it for all.

    Drawing all takes long.
    """
    contents = next(starmap(function, jobs))
    return [contents for _ in jobs]


def test_equal_results_give_equal_bytes(run):
    def drawn():
        gallery.redraw(run, starmap=first_of_each, kinds=[KINDS["curves"]])
        return {path.name: path.read_bytes() for path in (run.folder / "figures").iterdir()}

    assert drawn() == drawn()


def test_a_run_with_the_figures_of_an_earlier_version_is_drawn_again_and_loses_none(run, checkout):
    kept = checkout / "results" / "reference" / "false-negatives" / "figures"
    copytree(kept, run.folder / "figures")
    before = present(run)
    names = gallery.redraw(run, starmap=first_of_each)
    assert present(run) == {*names, "drawn.json"}
    assert {name for name in names if not name.endswith(".csv")} == before
    gallery.redraw(run, starmap=first_of_each, kinds=[KINDS["curves"]])
    assert {name for name in names if "diagnostics" not in name} | {"drawn.json"} == present(run)


def test_every_module_that_says_what_it_draws_is_in_the_list_and_knows_no_other_kind():
    found = {f"{figures.__name__}.{one.name}" for one in pkgutil.iter_modules(figures.__path__)}
    modules = {name: import_module(name) for name in found}
    kinds = {name: module for name, module in modules.items() if hasattr(module, "KIND")}
    assert {id(module.KIND) for module in kinds.values()} == {*map(id, KINDS.values())}
    for module in kinds.values():
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        known = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not known & ({files.__name__, gallery.__name__, *kinds} - REUSED)
