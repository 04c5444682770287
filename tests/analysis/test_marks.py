"""Marks: flags of cells that go along, and of losses whose settings stand at an edge."""

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


def test_a_loss_whose_settings_were_chosen_at_an_edge_is_marked_where_it_was_tuned():
    study = {"dataset": "d", "backbone": "mf", "loss": "bpr", "edges": ("lr at its least",)}
    tuning = [SimpleNamespace(**study), SimpleNamespace(**study | {"loss": "ccl", "edges": ()})]
    run = SimpleNamespace(summary=SimpleNamespace(tuning=tuning))
    tidy = TWO.assign(flags=["", "capped", "few_users", ""])
    assert with_edges(tidy, run)["flags"].tolist() == [
        AT_EDGE,
        f"capped {AT_EDGE}",
        "few_users",
        "",
    ]
    elsewhere = SimpleNamespace(**study | {"backbone": "lightgcn"})
    run = SimpleNamespace(summary=SimpleNamespace(tuning=[elsewhere]))
    assert with_edges(tidy, run)["flags"].tolist() == tidy["flags"].tolist()
