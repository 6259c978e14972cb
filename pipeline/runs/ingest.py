"""What `runs`, `registry` and `drift series` do before they ask: ingest the journals, and end those left open."""

import logging
from datetime import UTC, datetime

from pipeline.errors import RegistryError, RunError
from pipeline.registry import ingestion, journal
from pipeline.registry.journal import Event
from pipeline.runs import folder as run_folder

logger = logging.getLogger(__name__)


def ingest(engine, root):
    """Ingest every journal under a root that has grown. Returns (lines ingested, problems as text)."""
    lines, problems = ingestion.ingest_all(engine, root)
    return lines + sum(end(engine, path) for path in ingestion.find_open_journals(engine, root)), problems


def ingest_with_warnings(engine, root):
    """The same for a command to which the journals are no more than where its answer comes from."""
    for problem in ingest(engine, root)[1]:
        logger.warning("registry: %s", problem)


def end(engine, path):
    """End a run that was killed, as of the last line of its journal, unless a process still holds its folder.

    Returns how many lines that was.
    """
    try:
        ingestion.ingest_journal(engine, path)  # a journal that is refused is left as it is
        with run_folder.lock(path.parent):  # no longer than it takes: the run may be about to go on
            last = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="microseconds")
            why = "its process ended without a word"
            journal.RunJournal(path).add(Event.END, at=last, status=run_folder.INTERRUPTED, message=why)
    except (RegistryError, RunError, OSError):
        return 0
    return ingestion.ingest_journal(engine, path)
