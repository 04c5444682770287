"""What plugins warn of and log is heard as lines, once each."""

import logging
import warnings
from contextlib import suppress

import pytest

from robustbench_rec.components.overheard import MOST, overheard

pytestmark = pytest.mark.filterwarnings("default")


def test_warnings_and_logs_are_lines_each_told_once(capfd):
    with overheard() as lines:
        for _ in range(2):
            warnings.warn("of\ntwo \x1b[2Jlines", FutureWarning, stacklevel=1)
            logging.getLogger("theirs").warning("in %d\nlines", 2)
            logging.getLogger("theirs").info("nothing")
        try:
            raise KeyError("it")
        except KeyError:
            logging.exception("tried")
    assert lines.told() == (
        "FutureWarning: of two  [2Jlines (test_overheard.py, line 17)",
        "theirs logs: in 2 lines",
        "root logs: tried (KeyError: 'it')",
    )
    assert capfd.readouterr() == ("", "")


def test_a_message_that_its_arguments_do_not_fit_is_heard_as_it_is(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with overheard() as lines:
        logging.warning("%d and %d", "one")
    assert lines.told() == ("root logs: %d and %d",)


def test_lines_without_end_are_cut():
    with overheard() as lines:
        for n in range(MOST + 5):
            logging.warning("%d", n)
        logging.warning("x" * 5000)
    assert len(lines.told()) == MOST + 1
    assert lines.told()[-1] == "6 more warnings, not shown"
    with overheard() as lines:
        logging.warning("x" * 5000)
    assert len(lines.told()[0]) < 1100


def test_handlers_and_warnings_are_as_they_were_and_files_still_hear(tmp_path):
    root, terminal = logging.getLogger(), logging.StreamHandler()
    file = logging.FileHandler(tmp_path / "log")
    root.addHandler(terminal)
    root.addHandler(file)
    before, shown = set(root.handlers), warnings.showwarning
    try:
        with suppress(ValueError), overheard():
            assert terminal not in root.handlers
            logging.warning("kept")
            raise ValueError
        assert set(root.handlers) == before
        assert warnings.showwarning is shown
        assert (tmp_path / "log").read_text() == "kept\n"
    finally:
        root.removeHandler(terminal)
        root.removeHandler(file)
        file.close()
