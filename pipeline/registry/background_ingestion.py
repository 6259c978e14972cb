"""Ingest the journal of a run in a background thread. Training waits for it only at the end of the run."""

import logging
import threading
from typing import TYPE_CHECKING

from pipeline.registry.journal import RunJournal
from pipeline.registry.options import Registry

if TYPE_CHECKING:
    import sqlalchemy as sa

logger = logging.getLogger(__name__)

RETRY_SECONDS = (1, 2, 5, 10, 30)  # before the next attempt after 1, 2, ... failures in a row


class BackgroundIngestion:
    """A thread that ingests the journal of a run whenever it grows. It first ingests the journals of other runs.

    The thread also flushes the journal to disk. The run continues if the registry is slow, full or unreachable: one
    warning is logged, and the next run or `registry ingest` ingests the journal.

    Args:
        options: The database, and the time that `close` waits.
        root: The folder of the runs, run.root.
        journal: The journal of the run.
    """

    def __init__(self, options: Registry, root: str, journal: RunJournal) -> None:
        self.options = options
        self.root = root
        self.journal = journal
        self.changed = threading.Event()
        self.closing = threading.Event()
        self.last_error: str | None = None
        self.thread = threading.Thread(target=self._ingest_changes, name="registry", daemon=True)
        self.thread.start()

    def notify(self) -> None:
        """Report that the journal has a new line. Returns immediately."""
        self.changed.set()

    def close(self) -> None:
        """Wait until the last lines are ingested, registry.patience seconds at most. Log a warning if they are not."""
        self.closing.set()
        self.changed.set()
        self.thread.join(self.options.patience)
        problem = self.last_error
        if self.thread.is_alive():
            problem = f"not done within registry.patience={self.options.patience:g} seconds"
        if problem:
            logger.warning("registry: %s; left for the next run, or for `python -m pipeline registry ingest`", problem)

    def _ingest_changes(self) -> None:
        engine = None
        failures = 0
        while True:
            self.changed.wait()
            self.changed.clear()
            closing = self.closing.is_set()
            try:
                self.journal.sync()  # first: the registry must not hold lines that a power failure removes
                # imported here, because the import of SQLAlchemy would delay the start of the run
                from pipeline.registry import ingestion

                if engine is None:
                    engine = self._open()
                ingestion.ingest_journal(engine, self.journal.path)
                failures, self.last_error = 0, None
            except Exception as error:  # any kind: the run continues without the registry
                if self.last_error is None and not closing:
                    logger.warning("registry: %s; the run continues, its journal is kept", format_error(error))
                self.last_error = format_error(error)
                self.closing.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                self.changed.set()
                failures += 1
            if closing:
                return

    def _open(self) -> "sa.Engine":
        from pipeline.registry import ingestion, store

        engine = store.create_engine(self.options, self.root)
        store.require_revision(engine)
        _, problems = ingestion.ingest_all(engine, self.root)
        for problem in problems:
            logger.warning("registry: %s", problem)
        return engine


def format_error(error: Exception) -> str:
    """Return the message of an error on one line. SQLAlchemy's copy of the SQL statement is left out."""
    text = str(getattr(error, "orig", None) or error)
    return " ".join(text.split()) or type(error).__name__
