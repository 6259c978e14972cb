"""Schema revisions are applied under a lock, required by runs, and never applied to the database of another program."""

import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from written_runs import write_run

from pipeline.errors import RegistryError
from pipeline.registry import ingestion, store, tables, verification
from pipeline.registry.options import Registry


def test_required_revision_is_the_newest_migration():
    settings = Config()
    settings.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(settings).get_current_head() == tables.REVISION


def test_migrations_create_the_tables_that_the_program_uses(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []


def test_older_revision_is_refused_with_the_command_and_upgraded_without_losing_rows(registry, tmp_path):
    engine = store.create_engine(registry, tmp_path)
    store.upgrade_schema(engine, "0001")
    with pytest.raises(RegistryError, match=r"found 0001.*registry upgrade"):
        store.require_revision(engine)
    ingestion.ingest_journal(engine, write_run(tmp_path, "a"))
    assert store.upgrade_schema(engine) == tables.REVISION
    store.require_revision(engine)
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def test_newer_revision_is_refused_and_not_changed(engine):
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {tables.VERSION_TABLE} SET version_num = '9999'"))
    assert store.upgrade_schema(engine) == "9999"
    with pytest.raises(RegistryError, match="of a newer version"):
        store.require_revision(engine)


def test_server_without_tables_is_refused_with_the_command(server):
    engine = store.create_engine(Registry(url=server.new_database()), "")
    with pytest.raises(RegistryError, match=r"found none.*registry upgrade"):
        store.require_revision(engine)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_parallel_upgrades_wait_for_each_other(registry, tmp_path):
    revisions = []
    threads = [
        threading.Thread(target=lambda: revisions.append(store.upgrade_schema(store.create_engine(registry, tmp_path))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert revisions == [tables.REVISION] * 6


def test_failed_upgrade_leaves_the_database_empty(registry, tmp_path):
    engine = store.create_engine(registry, tmp_path)
    with pytest.raises(Exception, match="no-such-revision"):
        store.upgrade_schema(engine, "no-such-revision")
    assert store.read_revision(engine) is None
    assert store.upgrade_schema(engine) == tables.REVISION


# ---- databases of other programs ------------------------------------------------------------------------------------


def create_foreign_database(path):
    """Create the SQLite file of another program, and return its content."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE run (id INTEGER)")
        connection.commit()
    return path.read_bytes()


def test_file_of_another_program_is_refused_and_not_changed(tmp_path):
    before = create_foreign_database(tmp_path / "theirs.db")
    engine = store.create_engine(Registry(url=f"sqlite:///{tmp_path}/theirs.db"), "")
    for operation in (store.require_revision, store.upgrade_schema):
        with pytest.raises(RegistryError, match=r"another program, with the tables alembic_version, run.*not changed"):
            operation(engine)
    engine.dispose()
    assert (tmp_path / "theirs.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"theirs.db", "theirs.db.lock"}


def test_file_that_is_not_a_database_is_refused_and_not_changed(tmp_path):
    (tmp_path / "notes.txt").write_text("just some notes\n" * 100)
    engine = store.create_engine(Registry(url=f"sqlite:///{tmp_path}/notes.txt"), "")
    with pytest.raises(RegistryError, match=r"expected a SQLite database.*not changed"):
        store.require_revision(engine)
    assert (tmp_path / "notes.txt").read_text() == "just some notes\n" * 100


def test_server_of_another_program_is_refused_and_not_changed(server):
    engine = store.create_engine(Registry(url=server.new_database()), "")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customer (id INTEGER)")
    for operation in (store.require_revision, store.upgrade_schema):
        with pytest.raises(RegistryError, match="another program, with the tables customer"):
            operation(engine)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["customer"]


# ---- passwords ------------------------------------------------------------------------------------------------------


def test_password_is_read_from_a_file(server, tmp_path, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "password").write_text(f"{server.password}\n")
    engine = store.create_engine(Registry(url=server.url("postgres"), password_file=str(tmp_path / "password")), "")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    assert server.password not in repr(engine) + store.describe_database(engine)


def test_error_for_a_wrong_password_does_not_contain_it(server, tmp_path):
    (tmp_path / "password").write_text("t0ps3cret\n")
    options = Registry(url=server.url("postgres"), password_file=str(tmp_path / "password"))
    with (
        pytest.raises(RegistryError, match="expected a database that answers") as raised,
        store.open_registry(options, ""),
    ):
        pass
    assert "t0ps3cret" not in str(raised.value)


@pytest.mark.parametrize("path", ["/no/such/file", "/dev/zero", sys.executable, "/"])
def test_missing_or_unsuitable_password_file_is_refused(path):
    with pytest.raises(RegistryError, match=r"registry\.password_file"):
        store.create_engine(Registry(url="postgresql://a@b/c", password_file=path), "")
