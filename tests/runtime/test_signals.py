"""Signals: noted, and left to the training loop; a second Ctrl-C ends at once."""

import contextlib
import os
import queue
import signal
import threading

import pytest

from pipeline.errors import Interrupted
from pipeline.runtime.signals import ASKING, stop_request, stopping_at_once


def handlers():
    return [signal.getsignal(number) for number in ASKING]


@pytest.mark.parametrize("number", ASKING)
def test_a_signal_that_asks_to_stop_is_noted_by_name(number):
    with stop_request() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        assert stop.received == signal.Signals(number).name


@pytest.mark.parametrize("number", ASKING)
def test_where_nothing_is_in_training_a_signal_ends_at_once_and_is_no_failure(number):
    before = handlers()
    with pytest.raises(Interrupted, match=f"^{signal.Signals(number).name}: ") as raised, stopping_at_once():
        os.kill(os.getpid(), number)
    assert raised.value.status == 75
    assert handlers() == before


def test_a_second_ctrl_c_ends_at_once():
    with pytest.raises(KeyboardInterrupt), stop_request():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_scheduler_may_ask_twice():
    with stop_request() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == "SIGTERM"


@pytest.mark.parametrize("error", [None, ValueError])
def test_handlers_are_put_back_however_the_block_ends(error):
    before = handlers()
    try:
        with stop_request():
            assert handlers() != before
            if error:
                raise error
    except ValueError:
        pass
    assert handlers() == before


def test_what_takes_longer_than_the_grace_is_told_so_once():
    late = queue.Queue()
    with stop_request(0.01, late.put) as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert late.get(timeout=60) == "SIGUSR1" == stop.received
        os.kill(os.getpid(), signal.SIGTERM)
    assert late.empty()


@pytest.mark.parametrize("asked", [True, False])
def test_what_ends_within_the_grace_is_left_alone(asked):
    late = queue.Queue()
    with stop_request(3600, late.put):
        if asked:
            os.kill(os.getpid(), signal.SIGUSR1)
    (watcher,) = [thread for thread in threading.enumerate() if thread.name == "grace"] or [None]
    if watcher is not None:
        watcher.join(60)
        assert not watcher.is_alive()
    assert late.empty()


def test_a_request_to_stop_at_once_is_not_taken_for_an_error_of_what_is_tried():
    with pytest.raises(Interrupted, match="SIGTERM"), stopping_at_once():
        with contextlib.suppress(Exception):  # as preflight does, for whatever a model may raise
            signal.raise_signal(signal.SIGTERM)
        pytest.fail("went on")
