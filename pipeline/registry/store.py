"""Connect to the database of the registry, and migrate it to the schema revision of this program."""

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event

from pipeline.errors import RegistryError
from pipeline.files import read_limited
from pipeline.registry import tables
from pipeline.registry.options import Registry

MAX_PASSWORD_FILE = 1 << 16  # bytes
BUSY_SECONDS = 60  # largest wait of a SQLite writer for other writers; with 64 writers some waited for several seconds
CONNECT_SECONDS = 5  # limit for the answer of a PostgreSQL server
STATEMENT_SECONDS = 60  # limit for one of its statements
ADVISORY_LOCK = tables.APPLICATION_ID  # key of the PostgreSQL lock that is held during a migration
UPGRADE_COMMAND = "python -m pipeline registry upgrade, with the same registry=... and registry.url=..."


def create_engine(options: Registry, root: str | Path) -> sa.Engine:
    """Create the engine of a registry, without connecting to the database.

    Args:
        options: The options with the URL of the database.
        root: The folder of the runs, run.root, which holds the SQLite file by default.

    Raises:
        RegistryError: The URL or the password file cannot be read.
    """
    if options.url is None:
        return create_sqlite_engine(Path(root) / "registry.db")
    if options.url.startswith("sqlite:"):
        return create_sqlite_engine(Path(sa.make_url(options.url).database or ""))
    try:
        url = sa.make_url(options.url).set(drivername="postgresql+psycopg")
    except (ValueError, sa.exc.ArgumentError):  # its message may contain the password
        raise RegistryError(
            "registry.url: expected postgresql://USER@HOST:PORT/DATABASE; found a URL that cannot be parsed. It is not "
            "printed, since it may contain a password."
        ) from None
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "options": f"-c statement_timeout={STATEMENT_SECONDS}s",
        "tcp_user_timeout": 1000 * STATEMENT_SECONDS,
        "application_name": "pipeline",
    }
    if options.password_file:
        arguments["password"] = read_password(options.password_file)
    return sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_size=1)


def create_sqlite_engine(path: Path) -> sa.Engine:
    """Create the engine of a SQLite file.

    A transaction that writes takes the write lock when it begins. It waits for the lock there and cannot fail later
    because of it.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}
    )

    @sqlalchemy_event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction itself
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")  # after a power failure, the journals hold what is missing

    @sqlalchemy_event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        read_only = connection.get_execution_options().get("read_only")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def read_password(path: str) -> str:
    """Read the first line of a password file.

    Raises:
        RegistryError: The file cannot be read.
    """
    try:
        return read_limited(Path(path), MAX_PASSWORD_FILE).decode().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RegistryError(
            f"registry.password_file: expected a file whose first line is the password; {path}: {reason}."
        ) from None


@contextmanager
def open_registry(options: Registry, root: str | Path) -> Iterator[sa.Engine]:
    """Open the registry at the schema revision of this program.

    Raises:
        RegistryError: There is none (registry.url=none), it has another revision, or the database reports an error.
    """
    if options.url == "none":
        raise RegistryError(
            "registry.url: expected a database; found none, so that runs write journals only. Remove this option."
        )
    with translate_errors(create_engine(options, root)) as engine:
        require_revision(engine)
        yield engine


@contextmanager
def translate_errors(engine: sa.Engine) -> Iterator[sa.Engine]:
    """Re-raise errors of a database as RegistryError, and close its connections at the end.

    Raises:
        RegistryError: The database reports an error, or the lock file beside a SQLite file cannot be written.
    """
    try:
        yield engine
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise RegistryError(
            f"{describe_database(engine)}: expected a database that answers; {reason}. "
            "Check registry.url, and that the database is available."
        ) from None
    except OSError as error:
        raise RegistryError(f"{error.filename}: expected a writable path; {error.strerror}.") from None
    finally:
        engine.dispose()


def connect_read_only(engine: sa.Engine) -> sa.Connection:
    """Connect for queries only. The connection does not block writers."""
    return engine.execution_options(read_only=True).connect()


def describe_database(engine: sa.Engine) -> str:
    """Return the file or URL of a database for messages, without a password."""
    if engine.dialect.name == "sqlite":
        return engine.url.database or ""
    return engine.url.render_as_string(hide_password=True)


# ---- revisions ------------------------------------------------------------------------------------------------------


def require_revision(engine: sa.Engine) -> None:
    """Check that a database has the schema revision of this program. A SQLite file that does not exist is created.

    Raises:
        RegistryError: It has no tables, another revision, or the tables of another program.
    """
    revision = read_revision(engine)
    if revision is None and engine.dialect.name == "sqlite":
        revision = upgrade_schema(engine)
    if revision == tables.REVISION:
        return
    name = describe_database(engine)
    if revision is None:
        raise RegistryError(f"{name}: expected the tables of the registry; found none. Create them: {UPGRADE_COMMAND}")
    expected = f"{name}: expected revision {tables.REVISION} of the tables; found {revision}"
    if revision > tables.REVISION:
        raise RegistryError(f"{expected}, of a newer version of this program. Use that version.")
    raise RegistryError(f"{expected}. Upgrade them: {UPGRADE_COMMAND}")


def read_revision(engine: sa.Engine) -> str | None:
    """Read the schema revision of a database; None if it is empty. Nothing is written to it.

    Raises:
        RegistryError: It cannot be read, or has the tables of another program.
    """
    if engine.dialect.name == "sqlite":
        return read_sqlite_revision(Path(describe_database(engine)))
    with engine.connect() as connection:
        names = set(sa.inspect(connection).get_table_names())
        if not names:
            return None
        if tables.VERSION_TABLE not in names:
            raise create_foreign_database_error(describe_database(engine), names)
        return connection.scalar(sa.text(f"SELECT version_num FROM {tables.VERSION_TABLE}"))


def read_sqlite_revision(path: Path) -> str | None:
    """Read the schema revision of a SQLite file; None if the file is empty or does not exist.

    Raises:
        RegistryError: The file cannot be read, or belongs to another program.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    address = f"file:{quote(str(path.absolute()))}?mode=ro"  # another mode would write the file header
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if not names and application == 0:
                return None
            if application != tables.APPLICATION_ID or tables.VERSION_TABLE not in names:
                raise create_foreign_database_error(str(path), names)
            (revision,) = connection.execute(f"SELECT version_num FROM {tables.VERSION_TABLE}").fetchone()
            return revision
    except sqlite3.OperationalError as error:  # the file is locked, or this user may not read it
        raise RegistryError(f"{path}: expected a database that can be read; {error}.") from None
    except sqlite3.DatabaseError as error:
        raise RegistryError(
            f"{path}: expected a SQLite database; {error}. It was not changed. Choose another file: registry.url"
        ) from None


def create_foreign_database_error(name: str, table_names: Iterable[str]) -> RegistryError:
    """Return the error for a database that belongs to another program."""
    return RegistryError(
        f"{name}: expected an empty database or a registry of runs; found the database of another program, with the "
        f"tables {', '.join(sorted(table_names)[:5]) or '(none)'}. It was not changed. Choose another: registry.url"
    )


def upgrade_schema(engine: sa.Engine, target: str = "head") -> str | None:
    """Migrate a database to a revision in one transaction. Only one process at a time migrates a database.

    Args:
        engine: The engine of the registry.
        target: A revision, or "head" for the newest. A database that is newer stays as it is.

    Returns:
        The revision after the migration.

    Raises:
        RegistryError: The database belongs to another program.
    """
    from alembic import command  # imported here: the import is too slow for every run
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    sqlite_path = Path(describe_database(engine)) if engine.dialect.name == "sqlite" else None
    with lock_sqlite_file(sqlite_path) if sqlite_path else nullcontext():
        revision = read_revision(engine)
        if sqlite_path:
            with closing(sqlite3.connect(sqlite_path, timeout=BUSY_SECONDS)) as connection:
                # a property of the file, which cannot be set inside a transaction
                connection.execute("PRAGMA journal_mode = WAL")
        with engine.begin() as connection:
            if sqlite_path:
                connection.exec_driver_sql(f"PRAGMA application_id = {tables.APPLICATION_ID}")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
            if revision is None or revision < tables.REVISION:
                settings.attributes["connection"] = connection
                command.upgrade(settings, target)
    return read_revision(engine)


@contextmanager
def lock_sqlite_file(path: Path) -> Iterator[None]:
    """Hold the lock file beside a SQLite file. Its folder is created if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
