"""The registry's database: opened, and brought to this program's revision."""

import fcntl
import sqlite3
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event

from pipeline.errors import RegistryError
from pipeline.registry import tables

BUSY_SECONDS = 60  # that a writer of SQLite waits for the others; 64 at once were seen to need a few
CONNECT_SECONDS = 5  # for a PostgreSQL server to answer
STATEMENT_SECONDS = 60  # for one of its statements
ADVISORY_LOCK = tables.APPLICATION_ID  # of PostgreSQL, held while revisions are applied
UPGRADE = "python -m pipeline registry upgrade, with the same registry=... and registry.url=..."


def create_engine(config, root):
    """The Engine of a config.Registry; nothing is opened yet. root: run.root.

    Raises RegistryError where the URL or the password's file cannot be read.
    """
    if config.url is None or config.url.startswith("sqlite:"):
        path = Path(root) / "registry.db" if config.url is None else Path(sa.make_url(config.url).database or "")
        return of_file(path)
    try:
        url = sa.make_url(config.url).set(drivername="postgresql+psycopg")
    except (ValueError, sa.exc.ArgumentError):  # whose words may hold what was meant as a password
        raise RegistryError("registry.url: expected postgresql://USER@HOST:PORT/DATABASE; it cannot be read.") from None
    options = {
        "connect_timeout": CONNECT_SECONDS,
        "options": f"-c statement_timeout={STATEMENT_SECONDS}s",
        "tcp_user_timeout": 1000 * STATEMENT_SECONDS,
        "application_name": "pipeline",
    }
    if config.password_file:
        options["password"] = first_line(config.password_file)
    return sa.create_engine(url, connect_args=options, pool_pre_ping=True, pool_size=1)


@contextmanager
def open_registry(config, root):
    """The Engine of a registry at this program's revision, for a command: what the database objects to is told.

    Raises RegistryError for that too, and where config.url is "none".
    """
    if config.url == "none":
        raise RegistryError("registry.url: expected a database; found none, with which runs keep their journals only.")
    with translate_errors(create_engine(config, root)) as engine:
        require_revision(engine)
        yield engine


@contextmanager
def translate_errors(engine):
    """An Engine whose database's own errors become RegistryErrors; its connections are closed at the end."""
    try:
        yield engine
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise RegistryError(f"{display_name(engine)}: expected a database that answers; {reason}.") from None
    except OSError as error:  # the lock beside a file that cannot be written
        raise RegistryError(f"{error.filename}: expected a place that can be written; {error.strerror}.") from None
    finally:
        engine.dispose()


def first_line(path):
    try:
        return Path(path).read_text().partition("\n")[0]
    except OSError as error:
        raise RegistryError(
            f"registry.password_file: expected a file with the password; {path}: {error.strerror}."
        ) from None


def of_file(path):
    """The Engine of a SQLite file. Each transaction takes the writer's place at its start, so that none fails later."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}
    )

    @sqlalchemy_event.listens_for(engine, "connect")
    def prepare(connection, _):
        connection.isolation_level = None  # the driver opens no transaction of its own
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")  # the journals hold what a power cut takes

    @sqlalchemy_event.listens_for(engine, "begin")
    def begin(connection):
        reading = connection.get_execution_options().get("reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def connect_read_only(engine):
    """A Connection for queries only, which holds up no writer."""
    return engine.execution_options(reading=True).connect()


# ---- revisions ------------------------------------------------------------------------------------------------------


def require_revision(engine):
    """Hold the database to this program's revision; a fresh SQLite file is made. Raises RegistryError otherwise."""
    found = read_revision(engine)
    if found is None and engine.dialect.name == "sqlite":
        found = upgrade_schema(engine)
    if found == tables.REVISION:
        return
    place = display_name(engine)
    if found is None:
        raise RegistryError(f"{place}: expected the tables of the registry; found none. Make them: {UPGRADE}")
    if found > tables.REVISION:
        raise RegistryError(
            f"{place}: expected revision {tables.REVISION} of the tables; found {found}, of a newer version of this "
            "program. Use that version."
        )
    raise RegistryError(
        f"{place}: expected revision {tables.REVISION} of the tables; found {found}. Bring it up to date: {UPGRADE}"
    )


def read_revision(engine):
    """The revision a database is at; None where it is empty.

    Raises RegistryError where it is another program's. Nothing is written, not even to a file's header.
    """
    if engine.dialect.name == "sqlite":
        return read_file_revision(engine.url.database)
    with engine.connect() as connection:
        names = set(sa.inspect(connection).get_table_names())
        if not names:
            return None
        if tables.VERSION_TABLE not in names:
            raise foreign(display_name(engine), names)
        return connection.scalar(sa.text(f"SELECT version_num FROM {tables.VERSION_TABLE}"))


def read_file_revision(path):
    if not Path(path).exists() or Path(path).stat().st_size == 0:
        return None
    address = f"file:{quote(str(Path(path).absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if not names and application == 0:
                return None
            if application != tables.APPLICATION_ID or tables.VERSION_TABLE not in names:
                raise foreign(path, names)
            (found,) = connection.execute(f"SELECT version_num FROM {tables.VERSION_TABLE}").fetchone()
            return found
    except sqlite3.OperationalError as error:  # it cannot be looked at now: locked, or not ours to read
        raise RegistryError(f"{path}: expected a database that can be read; {error}.") from None
    except sqlite3.DatabaseError as error:
        raise RegistryError(
            f"{path}: expected a SQLite database; {error}. It was left untouched. Name another: registry.url"
        ) from None


def foreign(place, names):
    return RegistryError(
        f"{place}: expected an empty database or a registry of runs; found another program's, with the tables "
        f"{', '.join(sorted(names)[:5]) or '(none)'}. It was left untouched. Name another: registry.url"
    )


def upgrade_schema(engine, target="head"):
    """Bring a database to a revision, one process at a time and in one transaction. Returns the revision.

    Raises RegistryError where the database is another program's.
    """
    from alembic import command  # takes longer to import than a run has for it
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    is_file = engine.dialect.name == "sqlite"
    with locked_file(engine.url.database) if is_file else nullcontext():
        known = read_revision(engine)
        if is_file:
            with closing(sqlite3.connect(engine.url.database, timeout=BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")  # stays with the file; not inside a transaction
        with engine.begin() as connection:
            if is_file:
                connection.exec_driver_sql(f"PRAGMA application_id = {tables.APPLICATION_ID}")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
            if known is None or known < tables.REVISION:
                settings.attributes["connection"] = connection
                command.upgrade(settings, target)
    return read_revision(engine)


@contextmanager
def locked_file(path):
    """Hold the lock beside a SQLite file, whose folder is made where it is not there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def display_name(engine):
    """The database as a message names it, without a password."""
    return engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)
