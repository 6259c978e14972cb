"""A registry that is down, stopped, locked or full costs a run one warning and nothing else."""

import socket
import sqlite3
import subprocess
from contextlib import closing

import pytest
import sqlalchemy as sa
from written_runs import begin_content, write_run

from pipeline.config import Config
from pipeline.registry import background_ingestion, ingestion, journal, store, tables, verification
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry
from pipeline.runs.options import Run
from pipeline.runs.recorder import Recorder


def start_recorder(registry, root, name="a", patience=60.0):
    """Record the start of a run and return its Recorder."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(registry=Registry(registry.url, registry.password_file, patience), run=Run(name, str(root)))
    recorder = Recorder(config, folder)
    recorder.add(Event.BEGIN, **begin_content(folder))
    return recorder


def record_epochs(recorder, epochs):
    for epoch in epochs:
        recorder.add(Event.EPOCH, epoch=epoch, metrics={"loss": 1.0})


def count_epochs(engine):
    with store.connect_read_only(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(tables.epoch_metric))


def test_run_in_an_empty_folder_creates_the_registry_and_is_ingested(tmp_path, capsys):
    recorder = start_recorder(Registry(), tmp_path)
    record_epochs(recorder, range(1, 6))
    recorder.close()
    assert capsys.readouterr().err == ""
    assert count_epochs(store.create_engine(Registry(), tmp_path)) == 5


def test_unreachable_server_is_a_warning_and_the_next_run_ingests_the_journal(tmp_path, capsys):
    with socket.socket() as bound:  # a port without a listener
        bound.bind(("127.0.0.1", 0))
        options = Registry(f"postgresql://nobody@127.0.0.1:{bound.getsockname()[1]}/none")
        recorder = start_recorder(options, tmp_path, patience=5)
        record_epochs(recorder, range(1, 4))
        recorder.close()
    assert "warning: registry:" in capsys.readouterr().err
    recorder = start_recorder(Registry(), tmp_path, "b")
    recorder.close()
    assert capsys.readouterr().err == ""
    engine = store.create_engine(Registry(), tmp_path)
    assert count_epochs(engine) == 3
    assert verification.verify_journals(engine, tmp_path) == (2, [])


def test_end_of_a_run_waits_for_a_silent_server_no_longer_than_patience(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        options = Registry(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none")
        recorder = start_recorder(options, tmp_path, patience=0.2)
        record_epochs(recorder, range(1, 4))
        recorder.close()
        assert recorder.ingestion.thread.is_alive()  # still waits, although the run has ended
    assert "not done within registry.patience=0.2 seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_restart_of_the_server_during_a_run_loses_no_epoch(server, tmp_path, capsys):
    options = Registry(url=server.new_database())
    engine = store.create_engine(options, tmp_path)
    store.upgrade_schema(engine)
    engine.dispose()
    recorder = start_recorder(options, tmp_path)
    record_epochs(recorder, range(1, 11))
    server.stop()
    try:
        record_epochs(recorder, range(11, 21))
    finally:
        server.start()
    record_epochs(recorder, range(21, 31))
    recorder.close()
    assert count_epochs(engine) == 30
    assert verification.verify_journals(engine, tmp_path) == (1, [])
    assert "left for the next run" not in capsys.readouterr().err


def test_locked_database_delays_no_epoch_and_all_are_ingested_later(sqlite, tmp_path, capsys):
    root = tmp_path / "runs"
    with closing(sqlite3.connect(root / "registry.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        recorder = start_recorder(Registry(), root, patience=0.2)
        record_epochs(recorder, range(1, 6))  # returns although the lock is held
        recorder.close()
        assert "left for the next run" in capsys.readouterr().err
        holder.execute("ROLLBACK")
    recorder.ingestion.thread.join()  # waits for the lock, which is free now
    ingestion.ingest_all(sqlite, root)
    assert count_epochs(sqlite) == 5


def test_older_revision_is_a_warning_and_the_run_continues(tmp_path, capsys):
    engine = store.create_engine(Registry(), tmp_path)
    store.upgrade_schema(engine, "0001")
    recorder = start_recorder(Registry(), tmp_path, patience=5)
    record_epochs(recorder, range(1, 4))
    recorder.close()
    assert "found 0001. Upgrade them" in capsys.readouterr().err
    store.upgrade_schema(engine)
    ingestion.ingest_all(engine, tmp_path)
    assert count_epochs(engine) == 3


def test_database_of_another_program_is_a_warning_and_not_changed(tmp_path, capsys):
    foreign = tmp_path / "registry.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE customer (id INTEGER)")
        connection.commit()
    before = foreign.read_bytes()
    recorder = start_recorder(Registry(), tmp_path, patience=5)
    record_epochs(recorder, [1])
    recorder.close()
    assert "another program" in capsys.readouterr().err
    assert foreign.read_bytes() == before


def test_run_without_a_registry_writes_only_the_journal(tmp_path):
    recorder = start_recorder(Registry(url="none"), tmp_path)
    record_epochs(recorder, [1])
    recorder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert ingestion.ingest_journal(verification.create_in_memory(), tmp_path / "a" / journal.FILE_NAME) == 2


@pytest.fixture
def small_disk(tmp_path):
    """The mount point of a file system of 2 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no permission to mount a small file system: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill_disk(path):
    with (path / "filling").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return


def test_full_disk_of_the_database_is_a_warning_and_the_lines_are_ingested_later(small_disk, tmp_path, capsys):
    options = Registry(f"sqlite:///{small_disk}/registry.db", patience=5)
    engine = store.create_engine(options, tmp_path)
    store.upgrade_schema(engine)
    ingestion.ingest_journal(engine, write_run(tmp_path / "runs", "before"))
    fill_disk(small_disk)
    recorder = start_recorder(options, tmp_path / "runs", patience=5)
    record_epochs(recorder, range(1, 2_000))  # more than the free space in the pages of the file
    recorder.close()
    assert "full" in capsys.readouterr().err
    (small_disk / "filling").unlink()
    ingestion.ingest_all(engine, tmp_path / "runs")
    assert verification.verify_journals(engine, tmp_path / "runs") == (2, [])
    engine.dispose()


def test_full_disk_of_the_journal_is_a_warning_and_the_lines_are_written_with_the_next(small_disk, tmp_path, capsys):
    options = Registry(f"sqlite:///{tmp_path}/registry.db")
    recorder = start_recorder(options, small_disk)
    fill_disk(small_disk)
    record_epochs(recorder, range(1, 200))
    assert "No space left" in capsys.readouterr().err
    (small_disk / "filling").unlink()
    record_epochs(recorder, [200])
    recorder.close()
    assert count_epochs(store.create_engine(options, "")) == 200


def test_database_error_is_formatted_on_one_line():
    error = sa.exc.OperationalError("SELECT 1", {}, Exception("first\n\tsecond"))
    assert background_ingestion.format_error(error) == "first second"
