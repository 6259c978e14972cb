"""The registry beside a run: down, stopped, locked or full, it costs the run a line on stderr and no more."""

import socket
import sqlite3
import subprocess
from contextlib import closing

import pytest
import sqlalchemy as sa
from written_runs import beginning, write_run

from pipeline.config import Config
from pipeline.registry import background_ingestion, ingestion, journal, store, tables, verification
from pipeline.registry.journal import Event
from pipeline.registry.options import Registry
from pipeline.runs.options import Run
from pipeline.runs.recorder import Recorder


def recorder(registry, root, name="a", patience=60.0):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(registry=Registry(registry.url, registry.password_file, patience), run=Run(name, str(root)))
    record = Recorder(config, folder)
    record(Event.BEGIN, **beginning(folder))
    return record


def train(record, epochs):
    for epoch in epochs:
        record(Event.EPOCH, epoch=epoch, metrics={"loss": 1.0})


def epochs_of(engine):
    with store.connect_read_only(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(tables.epoch_metric))


def test_a_run_on_a_fresh_folder_makes_the_file_and_is_in_it(tmp_path, capsys):
    record = recorder(Registry(), tmp_path)
    train(record, range(1, 6))
    record.close()
    assert capsys.readouterr().err == ""
    assert epochs_of(store.create_engine(Registry(), tmp_path)) == 5


def test_a_server_that_is_down_costs_a_warning_and_the_next_run_brings_the_journal_in(tmp_path, capsys):
    with socket.socket() as taken:  # a port that nobody listens on
        taken.bind(("127.0.0.1", 0))
        down = Registry(f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/none")
        record = recorder(down, tmp_path, patience=5)
        train(record, range(1, 4))
        record.close()
    assert "warning: registry:" in capsys.readouterr().err
    record = recorder(Registry(), tmp_path, "b")
    record.close()
    assert capsys.readouterr().err == ""
    engine = store.create_engine(Registry(), tmp_path)
    assert epochs_of(engine) == 3
    assert verification.verify_journals(engine, tmp_path) == (2, [])


def test_a_server_that_never_answers_is_not_waited_for_longer_than_told(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and says nothing
        config = Registry(f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/none")
        record = recorder(config, tmp_path, patience=0.2)
        train(record, range(1, 4))
        record.close()
        assert record.ingestion.thread.is_alive()  # still asking, while the run has ended
    assert "not done within registry.patience=0.2 seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_stopped_in_mid_run_and_started_again_loses_nothing(server, tmp_path, capsys):
    config = Registry(url=server.new_database())
    engine = store.create_engine(config, tmp_path)
    store.upgrade_schema(engine)
    engine.dispose()
    record = recorder(config, tmp_path)
    train(record, range(1, 11))
    server.stop()
    try:
        train(record, range(11, 21))
    finally:
        server.start()
    train(record, range(21, 31))
    record.close()
    assert epochs_of(engine) == 30
    assert verification.verify_journals(engine, tmp_path) == (1, [])
    assert "left for the next run" not in capsys.readouterr().err


def test_a_locked_database_holds_up_no_epoch_and_gets_all_of_them_later(sqlite, tmp_path, capsys):
    root = tmp_path / "runs"
    with closing(sqlite3.connect(root / "registry.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        record = recorder(Registry(), root, patience=0.2)
        train(record, range(1, 6))  # returns although the lock is held
        record.close()
        assert "left for the next run" in capsys.readouterr().err
        holder.execute("ROLLBACK")
    record.ingestion.thread.join()  # it was only waiting for its turn
    ingestion.ingest_all(sqlite, root)
    assert epochs_of(sqlite) == 5


def test_an_old_revision_is_told_and_the_run_goes_on(tmp_path, capsys):
    engine = store.create_engine(Registry(), tmp_path)
    store.upgrade_schema(engine, "0001")
    record = recorder(Registry(), tmp_path, patience=5)
    train(record, range(1, 4))
    record.close()
    assert "found 0001. Bring it up to date" in capsys.readouterr().err
    store.upgrade_schema(engine)
    ingestion.ingest_all(engine, tmp_path)
    assert epochs_of(engine) == 3


def test_another_programs_database_costs_a_warning_and_stays_as_it_is(tmp_path, capsys):
    theirs = tmp_path / "registry.db"
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("CREATE TABLE customer (id INTEGER)")
        connection.commit()
    before = theirs.read_bytes()
    record = recorder(Registry(), tmp_path, patience=5)
    train(record, [1])
    record.close()
    assert "another program's" in capsys.readouterr().err
    assert theirs.read_bytes() == before


def test_without_a_registry_only_the_journal_is_kept(tmp_path):
    record = recorder(Registry(url="none"), tmp_path)
    train(record, [1])
    record.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert ingestion.ingest_journal(verification.create_in_memory(), tmp_path / "a" / journal.FILE_NAME) == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place):
    with (place / "filling").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return


def test_a_full_disk_under_the_database_costs_a_warning_and_the_lines_come_in_later(small_disk, tmp_path, capsys):
    config = Registry(f"sqlite:///{small_disk}/registry.db", patience=5)
    engine = store.create_engine(config, tmp_path)
    store.upgrade_schema(engine)
    ingestion.ingest_journal(engine, write_run(tmp_path / "runs", "before"))
    fill(small_disk)
    record = recorder(config, tmp_path / "runs", patience=5)
    train(record, range(1, 2_000))  # more than what SQLite has room for in pages that it holds already
    record.close()
    assert "full" in capsys.readouterr().err
    (small_disk / "filling").unlink()
    ingestion.ingest_all(engine, tmp_path / "runs")
    assert verification.verify_journals(engine, tmp_path / "runs") == (2, [])
    engine.dispose()


def test_a_full_disk_under_the_journal_costs_a_warning_and_the_lines_come_with_the_next(small_disk, tmp_path, capsys):
    config = Registry(f"sqlite:///{tmp_path}/registry.db")
    record = recorder(config, small_disk)
    fill(small_disk)
    train(record, range(1, 200))
    assert "No space left" in capsys.readouterr().err
    (small_disk / "filling").unlink()
    train(record, [200])
    record.close()
    assert epochs_of(store.create_engine(config, "")) == 200


def test_a_database_error_is_reported_on_one_line():
    error = sa.exc.OperationalError("SELECT 1", {}, Exception("first\n\tsecond"))
    assert background_ingestion.one_line(error) == "first second"
