"""Turns the signals that ask a run to stop into a note that the training loop reads between two steps."""

import queue
import signal
import threading
import time
from contextlib import contextmanager

from pipeline.errors import Interrupted

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Whether the process was asked to stop. received: the signal's name, or None.

    grace: seconds it then has. too_late(name of the signal): called, once, in a thread of its own when they are over.
    """

    def __init__(self, grace=None, too_late=None):
        self.received = None
        self.grace = grace
        self.too_late = too_late
        self.events = queue.SimpleQueue()  # may be put to from a signal's handler, unlike threading's own

    def note(self, number, frame):
        if self.received == "SIGINT" and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice from a keyboard: at once
        self.received = signal.Signals(number).name
        self.events.put("asked")

    def watch(self):
        """Wait until the block has ended, or the grace of a request is over."""
        if self.events.get() == "ended":
            return
        until = time.monotonic() + self.grace
        try:
            while self.events.get(timeout=max(0, until - time.monotonic())) != "ended":
                pass  # asked again
        except queue.Empty:
            self.too_late(self.received)


@contextmanager
def stop_request(grace=None, too_late=None):
    """A StopRequest that listens to SIGTERM, SIGINT and SIGUSR1 while the block runs."""
    request = StopRequest(grace, too_late)
    if too_late is not None:
        threading.Thread(target=request.watch, name="grace", daemon=True).start()
    try:
        with _handled(request.note):
            yield request
    finally:
        request.events.put("ended")


class AskedToStop(BaseException):
    """A signal's name. No Exception, since preflight takes those for what a model raises when it is tried."""


@contextmanager
def stopping_at_once():
    """Raise Interrupted at the first of these signals in the block: nothing is in training, so nothing is lost."""

    def stop(number, frame):
        raise AskedToStop(signal.Signals(number).name)

    try:
        with _handled(stop):
            yield
    except AskedToStop as asked:
        raise Interrupted(f"{asked}: stopped while nothing was in training; the same command goes on.") from None


@contextmanager
def _handled(handler):
    before = {number: signal.signal(number, handler) for number in ASKING}
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)
