from robustbench_rec.records.marks import InFlight
from robustbench_rec.running.watch import LEAST, SLOW, Watch


def watched(watch, moments):
    """Let a watch look at trainings: (seconds, id -> epoch) of each moment."""
    for now, epochs in moments:
        watch.look({id: InFlight(epoch, 1) for id, epoch in epochs.items()}, now)


def test_a_training_is_overdue_after_its_time_alone():
    watch = Watch(10)
    watched(watch, [(0, {"a": 0}), (6, {"a": 5, "b": 0}), (9, {"a": 10, "b": 5})])
    assert watch.overdue(10) == []
    assert watch.overdue(11) == ["a"]
    assert watch.overdue(17) == ["a", "b"]
    assert Watch().overdue(1e9) == []


def test_a_training_that_begins_again_has_its_time_again():
    watch = Watch(10)
    watched(watch, [(0, {"a": 0}), (5, {"a": 5}), (8, {"a": 0})])
    assert watch.overdue(17) == []
    watched(watch, [(18, {}), (19, {"a": 0})])
    assert watch.overdue(28) == []
    assert watch.overdue(30) == ["a"]


def test_a_training_that_has_become_slow_is_told_of_once():
    watch = Watch()
    watched(watch, [(0, {"a": 0}), (2, {"a": 5}), (4, {"a": 10}), (6, {"a": 15})])
    bound = 6 + SLOW * 2 + LEAST
    assert list(watch.slowed(bound)) == []
    assert list(watch.slowed(bound + 1)) == [("a", SLOW * 2 + LEAST + 1, 2)]
    assert list(watch.slowed(bound + 9)) == []


def test_one_step_says_nothing_of_what_is_usual():
    watch = Watch()
    watched(watch, [(0, {"a": 0}), (2, {"a": 5})])
    assert list(watch.slowed(1e6)) == []
