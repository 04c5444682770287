"""The pool on an engine that knows which call a worker died of, and returns results."""

from concurrent.futures import Future

import pytest
import runs
from tiny import WORLD

from robustbench_rec.records.events import Events
from robustbench_rec.records.run import compact
from robustbench_rec.running.compute import restored_libraries
from robustbench_rec.running.engines import WorkerDied
from robustbench_rec.running.manifest import manifest_of
from robustbench_rec.running.pool import DEATHS, Limits, Workplace
from robustbench_rec.running.run_cells import run_cells
from robustbench_rec.running.session import open_session, run
from robustbench_rec.running.watch import Watch

SUITE = (
    """\
name = "pooled"
baselines = []
training = { epochs = 2, batch_size = 512 }
"""
    + WORLD
    + """\
[[loss]]
name = "mse"
"""
)


class Elsewhere:
    """Two workers that share no folder. One dies of each call of `deadly`; `endless` never ends.

    Attributes:
        calls: the names of the losses that were called, in order.
        lost: turns to come without any worker.

    """

    shares_folder = False
    runs_here = False
    n_workers = 2

    def __init__(self, deadly: str = "", endless: str = "", lost: int = 0) -> None:
        self.deadly, self.endless, self.lost = deadly, endless, lost
        self.calls: list[str] = []

    def has_room(self, calls: int) -> bool:
        return calls < self.n_workers and not self.lost

    def look(self) -> None:
        self.lost = max(self.lost - 1, 0)

    def submit(self, function, *args) -> Future:
        call: Future = Future()
        (cell,) = args[-4].values()  # of `run_training`: cells, plugins, compute, metrics
        name = cell["loss"]["name"]
        self.calls.append(name)
        if name == self.deadly:
            call.set_exception(WorkerDied("it is gone"))
        elif name != self.endless:
            call.set_result(function(*args))
        return call

    def end_call(self, call: Future, process: int) -> bool:
        call.set_exception(WorkerDied("it was ended"))
        return True

    def close(self) -> None:
        """There is nothing to end."""


@pytest.fixture
def ran(tmp_path):
    """Return a function that runs the suite on an engine, and returns the run."""
    (tmp_path / "pooled.toml").write_text(SUITE)

    def runs(engine, events=None, **limits):
        session = open_session(tmp_path / "pooled.toml", tmp_path / "out", data_dir=tmp_path)
        with session.folder.locked(), restored_libraries():
            plan = session.plan()
            session.folder.begin(manifest_of(plan))
            titles = {cell.id: cell.loss.name for cell in plan.cells}
            place = Workplace(
                session.folder,
                tmp_path,
                (),
                session.compute,
                engine,
                events or Events(),
                Limits(**limits),
            )
            run_cells(plan, place, titles)
            assert not session.folder.marks.read()
        return compact(session.folder)

    return runs


def test_what_workers_return_is_what_they_would_have_written(ran, tmp_path):
    there = ran(Elsewhere(lost=2)).folder
    here = run(tmp_path / "pooled.toml", tmp_path / "here", engine="serial").folder
    for name in ("results.csv", "diagnostics.csv", "users.npz"):
        assert (there / name).read_bytes() == (here / name).read_bytes()
    names = [sorted(path.name for path in (out / "lists").iterdir()) for out in (here, there)]
    assert names[0] == names[1]


def test_only_the_call_that_a_worker_dies_of_is_charged(ran):
    engine, heard = Elsewhere(deadly="mse"), runs.Heard()
    summary = ran(engine, heard).summary
    assert (summary.done, summary.left) == (1, 0)
    assert [why for _, why in summary.failed.values()] == [
        f"RuntimeError: its worker died {DEATHS} times (killed, or out of memory)"
    ]
    assert sorted(engine.calls) == ["bpr", "mse", "mse", "mse"]
    assert heard.warnings == [
        *["a worker died (killed, or out of memory); runs again: mse"] * 2,
        "a worker died (killed, or out of memory)",
    ]


def test_a_call_that_takes_too_long_is_given_up_and_not_repeated(ran):
    engine = Elsewhere(endless="mse")
    summary = ran(engine, seconds=0.6).summary
    assert (summary.done, summary.left) == (1, 0)
    assert [why for _, why in summary.failed.values()] == [
        "TimeoutError: took longer than 0.6 s (--cell-timeout)"
    ]
    assert sorted(engine.calls) == ["bpr", "mse"]


def test_a_training_that_became_slow_is_told_of_with_its_usual_time(ran, monkeypatch):
    heard = runs.Heard()

    def slowed(self, now):
        return [] if heard.warnings else [(id, 100.0, 2.0) for id in self._courses]

    monkeypatch.setattr(Watch, "slowed", slowed)
    summary = ran(Elsewhere(endless="mse"), heard, seconds=1.0).summary
    assert len(summary.failed) == 1
    (told,) = heard.warnings
    assert "mse" in told
    assert told.endswith(
        "no evaluation for 100 s, where one took 2 s; is the machine busy or out of memory?"
    )
