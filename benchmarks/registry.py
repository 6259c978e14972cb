"""Measure the registry: rows per second into SQLite, its CPU time per epoch, and a page of 10,000 runs."""

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measuring import summed_up
from pipeline.config import Config
from pipeline.registry import ingestion, journal, store
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry
from pipeline.reports import runs_page
from pipeline.runs.options import Run
from pipeline.runs.recorder import Recorder

REPEATS = 5
EPOCHS = 300
METRICS = ("accuracy", "learning_rate", "loss", "val_accuracy", "val_loss")
EPOCH_SECONDS = 0.05  # length of a simulated epoch
STARTUP_SECONDS = 2  # for imports and the connection, which are not part of an epoch
RUNS = 10_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--dump-dom",
)


def run(_: str | None) -> None:
    """Print the figures. The argument is the folder of MNIST, which this benchmark does not need."""
    rates = [measure_ingestion() for _ in range(REPEATS)]
    print(f"epochs per second, one transaction each     {summed_up([epochs for epochs, _ in rates], 0)}")
    print(f"rows of epoch_metric per second             {summed_up([rows for _, rows in rates], 0)}")
    with reserve_port() as unused, start_silent_server() as silent:
        for state, url in (
            ("up", None),
            ("down", f"postgresql://nobody@127.0.0.1:{unused}/none"),
            ("not answering", f"postgresql://nobody@127.0.0.1:{silent}/none"),
        ):
            waits, cpu = measure_epochs(url)
            print(
                f"database {state:<16} wait per epoch     {1e3 * statistics.median(waits):.2f} ms, "
                f"CPU per epoch {1e3 * cpu:.2f} ms: {100 * cpu:.2f} % of an epoch of one second"
            )
    written, opened = measure_page()
    print(f"page of {RUNS:,} runs: written in             {written:.2f} s, opened in {opened}")


def build_begin_content(folder: Path) -> dict[str, Any]:
    """Return the content of a BEGIN line."""
    return {
        "name": folder.name,
        "folder": str(folder),
        "command": "x",
        "host": "x",
        "git_commit": "x",
        "git_dirty": False,
        "seed": 0,
        "data": "d",
        "model": "m",
        "training": "fit",
        "config": {},
        "architecture": {"config": {}, "parameters": 1, "summary": ""},
        "environment": {"lock_name": "l", "lock_digest": "d", "drifted": 0, "packages": {}, "hardware": {}},
        "dataset": {"fingerprint": "f", "rows": {}, "spec": {}, "profile": None},
    }


def simulate_metrics(epoch: int) -> dict[str, float]:
    """Return the metrics of a simulated epoch."""
    return {name: epoch + index / 7 for index, name in enumerate(METRICS)}


def measure_ingestion() -> tuple[float, float]:
    """Return (epochs, rows) per second: each epoch is a line on disk and a transaction of SQLite."""
    with tempfile.TemporaryDirectory() as root:
        engine = store.create_engine(Registry(), root)
        store.require_revision(engine)
        run_journal = journal.RunJournal(Path(root) / "journal")
        run_journal.add(Event.BEGIN, **build_begin_content(Path(root)))
        ingestion.ingest_journal(engine, run_journal.path)
        start = time.perf_counter()
        for epoch in range(1, EPOCHS + 1):
            run_journal.add(Event.EPOCH, epoch=epoch, metrics=simulate_metrics(epoch))
            ingestion.ingest_journal(engine, run_journal.path)
        seconds = time.perf_counter() - start
        engine.dispose()
    return EPOCHS / seconds, EPOCHS * len(METRICS) / seconds


def measure_epochs(url: str | None) -> tuple[list[float], float]:
    """Record epochs that only sleep.

    Returns:
        The seconds that each epoch waited for the recorder, and the CPU seconds of the process per epoch.
    """
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "run"
        folder.mkdir()
        options = Registry(url, patience=60 if url is None else 0.1)
        recorder = Recorder(Config(registry=options, run=Run("run", root)), folder)
        recorder.add(Event.BEGIN, **build_begin_content(folder))
        time.sleep(STARTUP_SECONDS)
        waits, cpu_start = [], time.process_time()
        for epoch in range(1, EPOCHS + 1):
            start = time.perf_counter()
            recorder.record_epoch(epoch, simulate_metrics(epoch))
            waits.append(time.perf_counter() - start)
            time.sleep(EPOCH_SECONDS)
        cpu = (time.process_time() - cpu_start) / EPOCHS
        recorder.close()
    return waits, cpu


@contextmanager
def reserve_port() -> Iterator[int]:
    """Reserve a port of this machine on which no server listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def start_silent_server() -> Iterator[int]:
    """Start a server that accepts connections and never answers, and give its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def simulate_runs() -> list[dict[str, Any]]:
    """Return rows as `queries.list_runs` does."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    shared = dict.fromkeys(runs_page.COLUMNS) | {
        "status": "finished",
        "data": "digits",
        "training": "fit",
        "host": "here",
    }
    return [
        {
            **shared,
            "name": f"run-{n}",
            "model": ("mlp", "cnn")[n % 2],
            "started": (start + timedelta(minutes=10 * n)).isoformat(),
            "lock": f"{n // 2_000:064x}",
            "architecture": f"{n // 3_000:064x}",
            "git_commit": f"{n // 50:040x}",
            "scores": {"digit": dict.fromkeys(("accuracy", "macro_f1", "loss", "ece"), n % 97 / 97)},
        }
        for n in range(RUNS)
    ]


def measure_page() -> tuple[float, str]:
    """Return the seconds that writing the page takes, and those of a browser to open it, as text."""
    runs = simulate_runs()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = time.perf_counter()
        runs_page.write_runs_page(folder / "page.html", runs, "now")
        written = time.perf_counter() - start
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            return written, "? s: Chromium is not installed"
        (folder / "empty.html").write_text("<!doctype html><title>empty</title>")
        seconds = {
            name: [measure_browser(browser, folder / name) for _ in range(REPEATS)]
            for name in ("empty.html", "page.html")
        }
    return written, f"{summed_up(seconds['page.html'])} s, an empty page in {summed_up(seconds['empty.html'])} s"


def measure_browser(browser: str, page: Path) -> float:
    """Return the seconds that a browser takes to start and open a page. If it fails, exit with its error output."""
    command = [browser, *BROWSER_FLAGS, f"--user-data-dir={page.parent}/browser", f"file://{page}"]
    start = time.perf_counter()
    completed = subprocess.run(command, capture_output=True, timeout=120)
    if completed.returncode:
        sys.exit(completed.stderr.decode())
    return time.perf_counter() - start
