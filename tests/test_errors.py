"""Messages: one line, nothing but what can be seen, of a sensible length."""

import signal

import pytest

from robustbench_rec.errors import InputError, is_interrupt, nearest, one_line, printable


@pytest.mark.parametrize("text", ["\x1b[2J", "\r", "a\nb", "\x07", "\u202eabc", "\u2028", "\ud800"])
def test_a_message_holds_nothing_that_does_more_than_show(text):
    for told in (str(InputError(text)), one_line(ValueError(text)), printable(text)):
        assert told.isprintable()


def test_of_a_long_message_the_middle_is_left_out():
    told = str(InputError("begins " + "x" * 10**6 + " ends"))
    assert len(told) < 1100
    assert told.startswith("begins xxx")
    assert told.endswith("xxx ends")
    assert printable("x" * 1000) == "x" * 1000


def test_nothing_is_near_a_name_that_is_no_name():
    assert nearest("sofmax", ["softmax"]) == "; did you mean 'softmax'?"
    assert nearest("softmax" * 10_000, ["softmax"]) == ""


@pytest.mark.parametrize(
    ("handler", "heard"), [(signal.default_int_handler, True), (signal.SIG_IGN, False)]
)
def test_an_interrupt_is_the_users_where_ctrl_c_is_heard(handler, heard):
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert is_interrupt(KeyboardInterrupt()) == heard
        assert not is_interrupt(GeneratorExit())
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_whose_text_fails_is_told_by_its_type():
    class MuteError(Exception):
        def __str__(self):
            raise ValueError("no")

    assert one_line(MuteError()) == "MuteError: a message that cannot be printed"
