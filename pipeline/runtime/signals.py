"""Turn the signals that request a stop into a flag that the training loop reads between two steps."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pipeline.errors import Interrupted

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Whether a signal has requested a stop.

    received: Name of the signal; None if there was none.
    """

    def __init__(self, grace: float = 0.0, on_timeout: Callable[[str], None] | None = None) -> None:
        """Make a request that was not received yet.

        Args:
            grace: Seconds that the process has after a signal.
            on_timeout: Called once with the name of the signal when they are over, in a thread of its own.
        """
        self.received: str | None = None
        self.grace = grace
        self.on_timeout = on_timeout
        self.events: queue.SimpleQueue[str] = queue.SimpleQueue()  # unlike a lock, safe to use in a signal handler

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.received == "SIGINT" and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C ends the process at once
        self.received = signal.Signals(number).name
        self.events.put("received")

    def wait(self) -> None:
        """Wait until the block of `stop_request` has ended, or the grace is over and `on_timeout` was called."""
        if self.events.get() == "ended":
            return
        deadline = time.monotonic() + self.grace
        try:
            while self.events.get(timeout=max(0, deadline - time.monotonic())) != "ended":
                pass  # another signal
        except queue.Empty:
            if self.on_timeout is not None and self.received is not None:
                self.on_timeout(self.received)


@contextmanager
def stop_request(grace: float = 0.0, on_timeout: Callable[[str], None] | None = None) -> Iterator[StopRequest]:
    """Handle SIGTERM, SIGINT and SIGUSR1 in the block. Arguments as for StopRequest."""
    request = StopRequest(grace, on_timeout)
    if on_timeout is not None:
        threading.Thread(target=request.wait, name="grace", daemon=True).start()
    try:
        with _handled_by(request.receive):
            yield request
    finally:
        request.events.put("ended")


class StopSignal(BaseException):
    """The name of a signal that requested a stop.

    Derives from BaseException so that preflight's `except Exception` around the trial step cannot swallow it.
    """


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Raise Interrupted at the first stop signal in the block. For commands that have no state to save."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StopSignal(signal.Signals(number).name)

    try:
        with _handled_by(stop):
            yield
    except StopSignal as error:
        raise Interrupted(f"{error}: stopped before training; the same command starts again.") from None


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle the stop signals in the block. After an interruption, further requests are ignored: the process ends."""
    before = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
    try:
        yield
    except (Interrupted, StopSignal):
        before |= {signal.SIGTERM: signal.SIG_IGN, signal.SIGUSR1: signal.SIG_IGN}
        raise
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
