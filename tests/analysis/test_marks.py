"""Marks: flags of cells that go along, and of losses whose settings stand at an edge."""

from itertools import product
from types import SimpleNamespace

from frames import frame

from robustbench_rec.analysis.marks import AT_EDGE, joined, marked, with_edges

TWO = frame(("bpr", 0.0, 0, 0.4), ("bpr", 0.1, 0, 0.3), ("ccl", 0.0, 0, 0.5), ("ccl", 0.1, 0, 0.2))


def test_flags_are_joined_once_each_in_order_and_what_is_missing_is_none():
    assert joined(["b a", "", "a", float("nan"), None]) == "a b"
    assert joined([]) == ""


def test_rows_get_what_their_cells_achieved_and_are_flagged_with():
    tidy = TWO.assign(flags=["", "capped", "few_users", ""], realised=[0.0, 0.08, 0.0, 0.1])
    rows = TWO[["loss"]].drop_duplicates()
    found = marked(rows, tidy, ["loss"]).set_index("loss")
    assert found["flags"].to_dict() == {"bpr": "capped", "ccl": "few_users"}
    assert found["realised"].to_dict() == {"bpr": 0.04, "ccl": 0.05}


CLEAN = {
    "dataset": "d",
    "backbone": "mf",
    "loss": "bpr",
    "perturbation": "",
    "level": 0.0,
    "split": "own",
    "edges": ("lr at its least",),
}
INSIDE = CLEAN | {"edges": ()}
CELLS = frame(*((*cell, 0.4) for cell in product(("bpr", "ccl"), (0.0, 0.1), (0, 1))))


def at_edge(*studies) -> list[tuple]:
    """Return the loss, level and replicate of the cells that are marked, given all studies."""
    held = [SimpleNamespace(**study) for study in studies]
    run = SimpleNamespace(summary=SimpleNamespace(tuning=held))
    found = with_edges(CELLS.assign(flags="capped"), run)
    assert set(found["flags"]) <= {"capped", f"capped {AT_EDGE}"}
    found = found[found["flags"] == f"capped {AT_EDGE}"]
    return list(found[["loss", "level", "replicate"]].itertuples(index=False, name=None))


def test_a_loss_that_was_tuned_once_is_marked_everywhere_where_it_was_tuned():
    everywhere = [("bpr", 0.0, 0), ("bpr", 0.0, 1), ("bpr", 0.1, 0), ("bpr", 0.1, 1)]
    assert at_edge(CLEAN, INSIDE | {"loss": "ccl"}) == everywhere
    assert at_edge(CLEAN | {"backbone": "lightgcn"}) == []
    assert at_edge(INSIDE) == []


def test_settings_of_a_level_are_marked_at_this_level_alone():
    noisy = {"perturbation": "p", "level": 0.1}
    assert at_edge(CLEAN, INSIDE | noisy) == [("bpr", 0.0, 0), ("bpr", 0.0, 1)]
    assert at_edge(INSIDE, CLEAN | noisy) == [("bpr", 0.1, 0), ("bpr", 0.1, 1)]
    other = {"perturbation": "shift", "level": 0.1}
    assert at_edge(INSIDE, INSIDE | noisy, CLEAN | other) == []


def test_settings_of_a_replicate_are_marked_in_this_replicate_alone():
    first, second = {"split": "replicate 0"}, {"split": "replicate 1"}
    assert at_edge(INSIDE | first, CLEAN | second) == [("bpr", 0.0, 1), ("bpr", 0.1, 1)]


def test_flags_of_other_kinds_stay_as_they_are():
    tidy = TWO.assign(flags=["", "capped", "few_users", ""])
    run = SimpleNamespace(summary=SimpleNamespace(tuning=[SimpleNamespace(**CLEAN)]))
    marks = [AT_EDGE, f"capped {AT_EDGE}", "few_users", ""]
    assert with_edges(tidy, run)["flags"].tolist() == marks


def test_no_cells_yet_are_no_marks():
    run = SimpleNamespace(summary=SimpleNamespace(tuning=[SimpleNamespace(**CLEAN)]))
    assert with_edges(CELLS[:0].assign(flags=""), run)["flags"].tolist() == []
