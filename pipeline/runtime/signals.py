"""Turns the signals that ask a run to stop into a note that the training loop reads between two steps."""

import signal
from contextlib import contextmanager

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Whether the process was asked to stop. received: the signal's name, or None."""

    def __init__(self):
        self.received = None

    def note(self, number, frame):
        if self.received == "SIGINT" and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice from a keyboard: at once
        self.received = signal.Signals(number).name


@contextmanager
def stop_request():
    """A StopRequest that listens to SIGTERM, SIGINT and SIGUSR1 while the block runs."""
    request = StopRequest()
    before = {number: signal.signal(number, request.note) for number in ASKING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
