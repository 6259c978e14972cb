"""What `runs`, `registry` and `drift series` do before they ask: take the journals in, and end those left open."""

from datetime import UTC, datetime

from pipeline.errors import RegistryError, RunError
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
    try:
        store.take_in(engine, path)  # a journal that is refused is left as it is
        with run_folder.held(path.parent):  # no longer than it takes: the run may be about to go on
            last = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="microseconds")
            why = "its process ended without a word"
            journal.Journal(path).add(journal.END, at=last, status=run_folder.INTERRUPTED, message=why)
    except (RegistryError, RunError, OSError):
        return 0
    return store.take_in(engine, path)
