"""Update the registry before it is read: ingest the journals, and record the end of runs that were killed."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from pipeline.errors import RegistryError, RunError
from pipeline.registry import ingestion, journal
from pipeline.registry.journal import Event
from pipeline.runs import folder as run_folder

logger = logging.getLogger(__name__)


def ingest(engine: sa.Engine, root: str) -> tuple[int, list[str]]:
    """Ingest the new lines of every journal under `root`, and record the end of killed runs.

    Returns:
        The number of lines ingested, and a message for each journal that was refused.
    """
    lines, problems = ingestion.ingest_all(engine, root)
    return lines + sum(end_killed_run(engine, path) for path in ingestion.find_open_journals(engine, root)), problems


def ingest_with_warnings(engine: sa.Engine, root: str) -> None:
    """Ingest the journals, and log a warning for each journal that was refused."""
    for problem in ingest(engine, root)[1]:
        logger.warning("registry: %s", problem)


def end_killed_run(engine: sa.Engine, path: Path) -> int:
    """Record that a run was interrupted, unless a process holds the lock of its folder.

    The time of the end is the time of the last change of the journal.

    Args:
        engine: The engine of the registry.
        path: The journal of a run without an END line.

    Returns:
        The number of lines ingested.
    """
    try:
        ingestion.ingest_journal(engine, path)  # raises if the journal is refused, before the journal is changed
        with run_folder.lock(path.parent):  # held only for one line, since a process may be about to resume the run
            last_change = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="microseconds")
            reason = "its process was killed"
            journal.RunJournal(path).add(Event.END, at=last_change, status=run_folder.INTERRUPTED, message=reason)
    except (RegistryError, RunError, OSError):
        return 0
    return ingestion.ingest_journal(engine, path)
