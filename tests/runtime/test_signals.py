"""Signals: they set a flag for the training loop; a second Ctrl-C ends at once."""

import contextlib
import os
import queue
import signal
import threading

import pytest

from pipeline.errors import Interrupted
from pipeline.runtime.signals import STOP_SIGNALS, stop_request, stopping_at_once


def handlers():
    return [signal.getsignal(number) for number in STOP_SIGNALS]


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stop_signal_is_received_by_name(number):
    with stop_request() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == signal.Signals(number).name


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_signal_before_training_interrupts_at_once(number):
    with pytest.raises(Interrupted, match=f"^{signal.Signals(number).name}: ") as raised, stopping_at_once():
        os.kill(os.getpid(), number)
    assert raised.value.status == 75


def test_requests_after_an_interruption_are_ignored_while_the_process_ends():
    with pytest.raises(Interrupted), stopping_at_once():
        os.kill(os.getpid(), signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_second_ctrl_c_ends_at_once():
    with pytest.raises(KeyboardInterrupt), stop_request():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_second_sigterm_changes_nothing():
    with stop_request() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == "SIGTERM"


@pytest.mark.parametrize("error", [None, ValueError])
def test_signal_handlers_are_restored_however_the_block_ends(error):
    before = handlers()
    try:
        with stop_request():
            assert handlers() != before
            if error:
                raise error
    except ValueError:
        pass
    assert handlers() == before


def test_timeout_is_called_once_after_the_grace():
    late = queue.Queue()
    with stop_request(0.01, late.put) as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert late.get(timeout=60) == "SIGUSR1" == stop.received
        os.kill(os.getpid(), signal.SIGTERM)
    assert late.empty()


@pytest.mark.parametrize("signalled", [True, False])
def test_timeout_is_not_called_if_the_block_ends_in_time(signalled):
    late = queue.Queue()
    with stop_request(3600, late.put):
        if signalled:
            os.kill(os.getpid(), signal.SIGUSR1)
    (waiting,) = [thread for thread in threading.enumerate() if thread.name == "grace"] or [None]
    if waiting is not None:
        waiting.join(60)
        assert not waiting.is_alive()
    assert late.empty()


def test_stop_signal_is_not_caught_by_except_exception():
    with pytest.raises(Interrupted, match="SIGTERM"), stopping_at_once():
        with contextlib.suppress(Exception):  # as in preflight, for any error of a model
            signal.raise_signal(signal.SIGTERM)
        pytest.fail("not interrupted")
