"""What the registry costs: rows a second into SQLite, its share of an epoch of one second, a page of 10,000 runs."""

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
PAUSE = 0.05  # seconds of a made-up epoch; its cost is then held against one second
RUNS = 10_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --dump-dom"


def run(_):
    rates = [into_sqlite() for _ in range(REPEATS)]
    print(f"epochs a second, a transaction each         {summed_up([epochs for epochs, _ in rates], 0)}")
    print(f"rows of epoch_metric a second               {summed_up([rows for _, rows in rates], 0)}")
    with free_port() as closed, mute_server() as mute:
        for name, url in (
            ("up", None),
            ("down", f"postgresql://nobody@127.0.0.1:{closed}/none"),
            ("never answering", f"postgresql://nobody@127.0.0.1:{mute}/none"),
        ):
            waits, shares = beside_training(url)
            print(
                f"database {name:<16} wait of an epoch   {1e3 * statistics.median(waits):.2f} ms, CPU of an epoch ",
                end="",
            )
            print(f"{1e3 * shares:.2f} ms, so {100 * shares:.2f} % of one second")
    made, opened = a_page()
    print(f"page of {RUNS:,} runs: made in                {made:.2f} s, opened in {opened} s")


def begin(folder):
    return {
        **dict.fromkeys(("command", "host", "git_commit", "git_dirty"), "x"),
        **{"name": folder.name, "folder": str(folder), "seed": 0, "data": "d", "model": "m", "training": "fit"},
        **{"config": {}, "git_dirty": False, "architecture": {"config": {}, "parameters": 1, "summary": ""}},
        "environment": {"lock_name": "l", "lock_digest": "d", "drifted": 0, "packages": {}, "hardware": {}},
        "dataset": {"fingerprint": "f", "rows": {}, "spec": {}, "profile": None},
    }


def metrics(epoch):
    return {name: epoch + place / 7 for place, name in enumerate(METRICS)}


def into_sqlite():
    """(epochs, rows) a second: a line of the journal, on disk, and a transaction for each epoch."""
    with tempfile.TemporaryDirectory() as root:
        engine = store.create_engine(Registry(), root)
        store.require_revision(engine)
        kept = journal.RunJournal(Path(root) / "journal")
        kept.add(Event.BEGIN, **begin(Path(root)))
        ingestion.ingest_journal(engine, kept.path)
        began = time.perf_counter()
        for epoch in range(1, EPOCHS + 1):
            kept.add(Event.EPOCH, epoch=epoch, metrics=metrics(epoch))
            ingestion.ingest_journal(engine, kept.path)
        seconds = time.perf_counter() - began
        engine.dispose()
    return EPOCHS / seconds, EPOCHS * len(METRICS) / seconds


def beside_training(url):
    """(seconds that each epoch waited, CPU seconds of the process an epoch) of made-up epochs that only wait."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "run"
        folder.mkdir()
        record = Recorder(
            Config(registry=Registry(url, patience=60 if url is None else 0.1), run=Run("run", root)), folder
        )
        record(Event.BEGIN, **begin(folder))
        time.sleep(2)  # the imports and the connection are the run's, not an epoch's
        waits, cpu = [], time.process_time()
        for epoch in range(1, EPOCHS + 1):
            began = time.perf_counter()
            record(Event.EPOCH, epoch=epoch, metrics=metrics(epoch))
            waits.append(time.perf_counter() - began)
            time.sleep(PAUSE)
        share = (time.process_time() - cpu) / EPOCHS
        record.close()
    return waits, share


@contextmanager
def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def mute_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def a_page():
    """(seconds to make the page, what the browser took to open it; less what it takes for an empty one)."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    known = dict.fromkeys(runs_page.COLUMNS) | {
        "status": "finished",
        "data": "digits",
        "training": "fit",
        "host": "here",
    }
    runs = [
        known
        | {
            "name": f"run-{n}",
            "model": ("mlp", "cnn")[n % 2],
            "started": (start + timedelta(minutes=10 * n)).isoformat(),
        }
        | {"lock": f"{n // 2_000:064x}", "architecture": f"{n // 3_000:064x}", "git_commit": f"{n // 50:040x}"}
        | {"scores": {"digit": dict.fromkeys(("accuracy", "macro_f1", "loss", "ece"), n % 97 / 97)}}
        for n in range(RUNS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        runs_page.write_runs_page(Path(folder) / "page.html", runs, "now")
        made = time.perf_counter() - began
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            return made, "(no Chromium here)"
        (Path(folder) / "empty.html").write_text("<!doctype html><title>empty</title>")
        took = {name: [opening(browser, folder, name) for _ in range(REPEATS)] for name in ("empty.html", "page.html")}
    return made, f"{summed_up(took['page.html'])}, where an empty page takes {summed_up(took['empty.html'])}"


def opening(browser, folder, name):
    command = [browser, *FLAGS.split(), f"--user-data-dir={folder}/browser", f"file://{folder}/{name}"]
    began = time.perf_counter()
    answer = subprocess.run(command, capture_output=True, timeout=120)
    if answer.returncode:
        sys.exit(answer.stderr.decode())
    return time.perf_counter() - began
