"""Progress: what a run says of itself while it goes on."""

import io
import time

import pytest
from rich.console import Console

from robustbench_rec.cli.progress import SECONDS_BETWEEN_LINES, Display, duration
from robustbench_rec.running.pool import Status


@pytest.fixture
def said(monkeypatch):
    """Return a function that shows statuses where there is no terminal, a minute apart."""

    def show(*statuses: Status) -> list[str]:
        now = time.monotonic()
        file = io.StringIO()
        with Display(Console(file=file, width=200)) as display:
            for minute, status in enumerate(statuses, start=1):
                monkeypatch.setattr(time, "monotonic", lambda at=minute: now + 60 * at)
                display(status)
        return file.getvalue().splitlines()

    return show


def test_lines_tell_how_far_the_running_trainings_are_and_how_long_the_rest_takes(said):
    status = Status(total=4, already=1, running=2, epochs=((50, 200), (0, 100)), under_way=0.25)
    # a quarter of a training took a minute, and 2.75 are left
    assert said(status) == ["1/4 cells, 2 running (epoch 50 of 200), 0 failed, 11 min 00 s left"]
    status.epochs, status.under_way = ((100, 200), (10, 100)), 0.6
    assert said(status)[0].startswith("1/4 cells, 2 running (epoch 100 of 200, epoch 10 of 100), 0")


def test_no_time_is_told_before_anything_is_behind(said):
    assert said(Status(total=4, already=0, running=1)) == ["0/4 cells, 1 running, 0 failed"]


def test_a_failed_cell_is_told_once_with_the_reason(said):
    status = Status(total=2, already=0, running=1, failed={"a": ("the first", "why [not]")})
    lines = said(status, status)
    assert lines[0] == "failed: the first: why [not]"
    assert [line.startswith("1/2 cells, 1 running, 1 failed") for line in lines] == [0, 1, 1]


def test_lines_come_now_and_then_and_once_at_the_end(said):
    assert SECONDS_BETWEEN_LINES < 60
    end = Status(total=2, already=0, done=2)
    assert len(said(Status(total=2, already=0, done=1), end, end, end)) == 2


@pytest.mark.parametrize(
    ("seconds", "told"), [(41.6, "42 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_told_in_the_units_of_a_person(seconds, told):
    assert duration(seconds) == told
