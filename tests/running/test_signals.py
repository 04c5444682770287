"""Signals that are held until they are asked for."""

import signal
import threading

import pytest

from robustbench_rec.running.signals import HELD, HeldSignals


class ArrivedError(Exception):
    """Raised by the handler of the tests, as Ctrl-C raises KeyboardInterrupt."""


def arrive(number, _):
    raise ArrivedError(number)


@pytest.fixture(autouse=True, params=HELD, ids=lambda number: number.name)
def sent(request):
    """Return a signal, whose handler raises `ArrivedError`."""
    before = signal.signal(request.param, arrive)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_is_delivered_where_it_is_asked_for_and_once(sent):
    with HeldSignals() as signals:
        signals.deliver()
        signal.raise_signal(sent)
        with pytest.raises(ArrivedError):
            signals.deliver()
        signals.deliver()
    assert signal.getsignal(sent) is arrive


def test_the_end_of_the_with_delivers_too(sent):
    came = pytest.raises(ArrivedError)
    with came, HeldSignals():
        signal.raise_signal(sent)
        reached = True
    assert reached
    assert signal.getsignal(sent) is arrive


def test_an_exception_is_not_replaced_by_a_signal_that_came_before_it(sent):
    own = pytest.raises(KeyError)
    with own, HeldSignals():
        signal.raise_signal(sent)
        raise KeyError
    assert signal.getsignal(sent) is arrive


def test_a_second_signal_is_not_held(sent):
    came, reached = pytest.raises(ArrivedError), 0
    with came, HeldSignals():
        signal.raise_signal(sent)
        reached = 1
        signal.raise_signal(sent)
        reached = 2
    assert reached == 1
    assert signal.getsignal(sent) is arrive


@pytest.mark.parametrize("kept", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_has_no_handler_stays_as_it_is(sent, kept):
    signal.signal(sent, kept)
    with HeldSignals():
        assert signal.getsignal(sent) is kept
    assert signal.getsignal(sent) is kept


def test_in_another_thread_nothing_is_held(sent):
    found = []

    def enter():
        with HeldSignals() as signals:
            signals.deliver()
            found.append(signal.getsignal(sent))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [arrive]
