"""Carries a run's journal into the registry behind the training's back, which waits for it nowhere but at its end."""

import logging
import threading

logger = logging.getLogger(__name__)

RETRY_SECONDS = (1, 2, 5, 10, 30)  # between two attempts at a registry that is not there; the last one stays


class BackgroundIngestion:
    """A thread that takes a run's journal in whenever there is news, and at its start what other runs have left.

    config: a Registry. root: run.root. journal: the run's RunJournal, which this thread puts on disk too.
    The registry may be slow, full or away: the run goes on, one line says so, and the journal is taken in by the next
    run or by `registry ingest`.
    """

    def __init__(self, config, root, journal):
        self.config = config
        self.root = root
        self.journal = journal
        self.news = threading.Event()
        self.closing = threading.Event()
        self.problem = None
        self.thread = threading.Thread(target=self._work, name="registry", daemon=True)
        self.thread.start()

    def notify(self):
        """There is a new line. Returns at once."""
        self.news.set()

    def close(self):
        """Wait for the last lines to be taken in, config.patience seconds at most, and say so if they are not."""
        self.closing.set()
        self.news.set()
        self.thread.join(self.config.patience)
        late = self.thread.is_alive() and f"not done within registry.patience={self.config.patience:g} seconds"
        if late or self.problem:
            logger.warning(
                "registry: %s; left for the next run, or for `python -m pipeline registry ingest`", late or self.problem
            )

    def _work(self):
        engine, failures = None, 0
        while True:
            self.news.wait()
            self.news.clear()
            last = self.closing.is_set()
            try:
                self.journal.sync()  # the journal comes before the registry
                if engine is None:
                    engine = self._open()
                self._carry(engine)
                failures, self.problem = 0, None
            except Exception as error:  # whatever it is, the run goes on without
                if self.problem is None and not last:
                    logger.warning("registry: %s; the run continues, its journal is kept", one_line(error))
                self.problem = one_line(error)
                self.closing.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                self.news.set()
                failures += 1
            if last:
                return

    def _open(self):
        # SQLAlchemy takes a while to import, and not of every run's own time
        from pipeline.registry import ingestion, store

        engine = store.create_engine(self.config, self.root)
        store.require_revision(engine)
        _, problems = ingestion.ingest_all(engine, self.root)
        for problem in problems:
            logger.warning("registry: %s", problem)
        return engine

    def _carry(self, engine):
        from pipeline.registry import ingestion

        ingestion.ingest_journal(engine, self.journal.path)


def one_line(error):
    """An error of the database without the statement it was found in."""
    text = str(getattr(error, "orig", None) or error)
    return " ".join(text.split()) or type(error).__name__
