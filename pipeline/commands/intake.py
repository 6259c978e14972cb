"""What `runs`, `registry` and `drift series` do before they ask: take the journals in, and end those left open."""

from contextlib import suppress
from datetime import UTC, datetime

from pipeline.errors import RunError
from pipeline.registry import journal, store
from pipeline.runtime import run_folder


def take_in_all(engine, root):
    """Take in every journal under a root that has grown. Returns (lines taken in, problems as text)."""
    lines, problems = store.take_in_all(engine, root)
    return lines + sum(end(engine, path) for path in store.running(engine, root)), problems


def end(engine, path):
    """End a run that was killed, as of the last line of its journal, unless a process still holds its folder.

    Returns how many lines that was.
    """
    with suppress(RunError, OSError), run_folder.held(path.parent):
        last = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="microseconds")
        journal.Journal(path).add(
            journal.END, at=last, status=run_folder.INTERRUPTED, message="its process ended without a word"
        )
        return store.take_in(engine, path)
    return 0
