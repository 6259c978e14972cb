"""Revisions: applied under a lock, held by jobs, and never to another program's database."""

import sqlite3
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


def test_the_newest_revision_is_the_one_that_jobs_hold_to():
    settings = Config()
    settings.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(settings).get_current_head() == tables.REVISION


def test_the_revisions_make_the_tables_that_the_program_uses(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []


def test_an_old_revision_is_told_with_the_command_and_brought_up_without_losing_rows(registry, tmp_path):
    engine = store.create_engine(registry, tmp_path)
    store.upgrade_schema(engine, "0001")
    with pytest.raises(RegistryError, match=r"found 0001.*registry upgrade"):
        store.require_revision(engine)
    ingestion.ingest_journal(engine, write_run(tmp_path, "a"))
    assert store.upgrade_schema(engine) == tables.REVISION
    store.require_revision(engine)
    assert verification.verify_journals(engine, tmp_path) == (1, [])


def test_a_newer_revision_is_left_as_it_is(engine):
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {tables.VERSION_TABLE} SET version_num = '9999'"))
    assert store.upgrade_schema(engine) == "9999"
    with pytest.raises(RegistryError, match="of a newer version"):
        store.require_revision(engine)


def test_a_server_without_tables_is_told_with_the_command(server):
    engine = store.create_engine(Registry(url=server.new_database()), "")
    with pytest.raises(RegistryError, match=r"found none.*registry upgrade"):
        store.require_revision(engine)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_upgrades_at_once_wait_for_each_other(registry, tmp_path):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(store.upgrade_schema(store.create_engine(registry, tmp_path))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tables.REVISION] * 6


def test_an_upgrade_that_fails_leaves_nothing_behind(registry, tmp_path, monkeypatch):
    engine = store.create_engine(registry, tmp_path)
    with pytest.raises(Exception, match="no-such-revision"):
        store.upgrade_schema(engine, "no-such-revision")
    assert store.read_revision(engine) is None
    assert store.upgrade_schema(engine) == tables.REVISION


# ---- what is not ours -----------------------------------------------------------------------------------------------


def other_program(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE run (id INTEGER)")
        connection.commit()
    return path.read_bytes()


def test_another_programs_file_is_refused_untouched(tmp_path):
    before = other_program(tmp_path / "theirs.db")
    engine = store.create_engine(Registry(url=f"sqlite:///{tmp_path}/theirs.db"), "")
    for touch in (store.require_revision, store.upgrade_schema):
        with pytest.raises(RegistryError, match=r"another program's, with the tables alembic_version, run.*untouched"):
            touch(engine)
    engine.dispose()
    assert (tmp_path / "theirs.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"theirs.db", "theirs.db.lock"}


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("just some notes\n" * 100)
    engine = store.create_engine(Registry(url=f"sqlite:///{tmp_path}/notes.txt"), "")
    with pytest.raises(RegistryError, match=r"expected a SQLite database.*untouched"):
        store.require_revision(engine)
    assert (tmp_path / "notes.txt").read_text() == "just some notes\n" * 100


def test_another_programs_server_is_refused_untouched(server):
    engine = store.create_engine(Registry(url=server.new_database()), "")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customer (id INTEGER)")
    for touch in (store.require_revision, store.upgrade_schema):
        with pytest.raises(RegistryError, match="another program's, with the tables customer"):
            touch(engine)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["customer"]


# ---- passwords ------------------------------------------------------------------------------------------------------


def test_a_password_comes_from_a_file(server, tmp_path, monkeypatch):
    password = server.password
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "password").write_text(f"{password}\n")
    engine = store.create_engine(Registry(url=server.url("postgres"), password_file=str(tmp_path / "password")), "")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    assert password not in repr(engine) + store.display_name(engine)


def test_a_wrong_password_is_not_repeated(server, tmp_path):
    (tmp_path / "password").write_text("t0ps3cret\n")
    config = Registry(url=server.url("postgres"), password_file=str(tmp_path / "password"))
    with (
        pytest.raises(RegistryError, match="expected a database that answers") as told,
        store.open_registry(config, ""),
    ):
        pass
    assert "t0ps3cret" not in str(told.value)


def test_a_password_file_that_is_not_there_is_told():
    with pytest.raises(RegistryError, match=r"registry\.password_file"):
        store.create_engine(Registry(url="postgresql://a@b/c", password_file="/no/such/file"), "")
