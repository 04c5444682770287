"""What a run keeps of its cells, and what it refuses before any of them runs."""

import json

import numpy as np
import pytest

from robustbench_rec import InputError, load_dataset, run
from robustbench_rec.running.session import open_session

SUITE = """
name = "kept"
replicates = 2
metrics = ["ndcg@20"]
training = { epochs = 10, batch_size = 256, lr = 1e-2, eval_every = 2 }

[[dataset]]
name = "synthetic"
n_users = 120
n_items = 80

[[backbone]]
name = "mf"
dim = 8

[[loss]]
name = "bpr"

[[perturbation]]
name = "false_positives"
level = [0.0, 0.3]

[[perturbation]]
name = "popularity_shift"
level = [0.0, 0.5]
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a run of the suite, in this process, and its records by id."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "kept.toml").write_text(SUITE)
    done = run(folder / "kept.toml", folder / "out", data_dir=folder, engine="serial")
    assert done.summary.failed == {}
    return done


def test_each_training_keeps_its_lists_once(kept):
    trainings = {record.fit_id for record in kept.records.values()}
    assert {path.stem for path in (kept.folder / "lists").iterdir()} == trainings


def test_users_have_original_ids_and_come_to_the_mean(kept):
    held = kept.users["synthetic(n_users=120, n_items=80)"]
    split = load_dataset("synthetic", replicate=0, n_users=120, n_items=80)
    tested = split.user_ids[np.flatnonzero(split.test.user_counts)]
    for row, id in enumerate(held.cells):
        record, values = kept.records[id], held.values["ndcg@20"][row].astype(np.float64)
        known = ~np.isnan(values)
        if record.replicate == 0:
            np.testing.assert_array_equal(held.users[known], tested)
        weights = held.weights[row][known].astype(np.float64)
        mean = np.average(values[known], weights=weights)
        assert mean == pytest.approx(record.metrics["ndcg@20"], rel=1e-3)
        is_weighted = record.perturbation.name == "popularity_shift" and record.perturbation.level
        assert (np.ptp(weights) > 0) == bool(is_weighted)


def test_a_replicate_has_a_split_of_its_own(kept):
    ones = [record for record in kept.records.values() if record.backbone.name == "popularity"]
    values = {(one.replicate, one.metrics["ndcg@20"]) for one in ones if not one.perturbation.level}
    assert len({value for _, value in values}) == 2  # a baseline differs by its split alone


def test_lists_are_compared_with_level_0_where_training_differs(kept):
    frame = kept.results.query("metric == 'jaccard@20' and loss == 'bpr'")
    assert set(frame["perturbation"]) == {"false_positives"}
    by_level = frame.groupby("level")["value"].mean()
    assert by_level[0.0] == 1
    assert 0.05 < by_level[0.3] < 0.95


def test_records_say_what_was_achieved_and_whether_epochs_may_lack(kept):
    for record in kept.records.values():
        level = record.perturbation.level
        assert record.severity == pytest.approx(level, abs=0.1)
        assert record.capped == (record.best_epoch > 9)
        assert (record.replicates_vary, record.selection) == ("split", "clean")


def test_whole_replicates_run_one_after_the_other(tmp_path):
    (tmp_path / "kept.toml").write_text(SUITE)
    plan = open_session(tmp_path / "kept.toml", tmp_path / "out", data_dir=tmp_path).plan()
    order = [cells[0].replicate for cells in plan.left.values()]
    assert order == sorted(order)
    assert len(set(order)) == 2


def test_a_changed_record_runs_again(kept, tmp_path):
    id, record = next(iter(kept.records.items()))
    path = kept.folder / "cells" / f"{id}.json"
    held = path.read_text()
    changed = json.loads(held) | {"seed": 7}
    path.write_text(json.dumps(changed))
    try:
        session = open_session(
            kept.folder.parent / "kept.toml", kept.folder, data_dir=tmp_path, engine="serial"
        )
        with pytest.warns(UserWarning, match=f"{id}.json: corrupt record"):
            assert id not in session.plan().done
    finally:
        path.write_text(held)
    assert record.seed == 0


def test_a_perturbation_that_reaches_no_level_here_is_refused_before_anything_runs(tmp_path):
    """Three items a user: one is tested on, one validates, and the last one stays."""
    rows = "".join(f"{user},{(7 * user + 3 * at) % 40}\n" for user in range(80) for at in range(3))
    (tmp_path / "mine.csv").write_text(f"user,item\n{rows}")
    text = SUITE.replace('"synthetic"\nn_users = 120\nn_items = 80', '"mine"\npath = "mine.csv"')
    text = text.replace('"false_positives"', '"hidden_positives"')
    (tmp_path / "mine.toml").write_text(text)
    says = r"hidden_positives\(\) reaches no level on these data: 0 was achieved instead of 0\.3"
    with pytest.raises(InputError, match=says):
        run(tmp_path / "mine.toml", tmp_path / "out", data_dir=tmp_path, engine="serial")
    assert not list((tmp_path / "out" / "cells").iterdir())


def test_a_test_too_small_for_a_shift_is_refused(tmp_path):
    (tmp_path / "small.toml").write_text(SUITE.replace("n_users = 120", "n_users = 40"))
    with pytest.raises(InputError, match=r"popularity_shift at level 0\.5 rests on .* 50 are"):
        run(tmp_path / "small.toml", tmp_path / "out", data_dir=tmp_path, engine="serial")
