"""The registry's database: opened, brought to its revision, and fed from journals, each line once.

Everything that is written goes through one transaction that holds the run's row, reads how far its journal has been
taken in, and moves that mark with the rows: whoever takes a journal in, and however often, no line counts twice.
"""

import fcntl
import hashlib
import json
import sqlite3
from contextlib import closing, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import RegistryError
from pipeline.registry import journal, tables
from pipeline.registry.tables import split_number

BUSY_SECONDS = 60  # that a writer of SQLite waits for the others; 64 at once were seen to need a few
CONNECT_SECONDS = 5  # for a PostgreSQL server to answer
STATEMENT_SECONDS = 60  # for one of its statements
ADVISORY_LOCK = tables.APPLICATION_ID  # of PostgreSQL, held while revisions are applied
INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
EMPTY = hashlib.sha256().hexdigest()
UPGRADE = "python -m pipeline registry upgrade, with the same registry=... and registry.url=..."


def connect(config, root):
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
def opened(config, root):
    """The Engine of a registry at this program's revision, for a command: what the database objects to is told.

    Raises RegistryError for that too, and where config.url is "none".
    """
    if config.url == "none":
        raise RegistryError("registry.url: expected a database; found none, with which runs keep their journals only.")
    with answering(connect(config, root)) as engine:
        require_revision(engine)
        yield engine


@contextmanager
def answering(engine):
    """An Engine whose database's own errors become RegistryErrors; its connections are closed at the end."""
    try:
        yield engine
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise RegistryError(f"{shown(engine)}: expected a database that answers; {reason}.") from None
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


def reading(engine):
    """A Connection for queries only, which holds up no writer."""
    return engine.execution_options(reading=True).connect()


# ---- revisions ------------------------------------------------------------------------------------------------------


def require_revision(engine):
    """Hold the database to this program's revision; a fresh SQLite file is made. Raises RegistryError otherwise."""
    found = revision(engine)
    if found is None and engine.dialect.name == "sqlite":
        found = upgrade(engine)
    if found == tables.REVISION:
        return
    place = shown(engine)
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


def revision(engine):
    """The revision a database is at; None where it is empty.

    Raises RegistryError where it is another program's. Nothing is written, not even to a file's header.
    """
    if engine.dialect.name == "sqlite":
        return revision_of_file(engine.url.database)
    with engine.connect() as connection:
        names = set(sa.inspect(connection).get_table_names())
        if not names:
            return None
        if tables.VERSION_TABLE not in names:
            raise foreign(shown(engine), names)
        return connection.scalar(sa.text(f"SELECT version_num FROM {tables.VERSION_TABLE}"))


def revision_of_file(path):
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


def upgrade(engine, target="head"):
    """Bring a database to a revision, one process at a time and in one transaction. Returns the revision.

    Raises RegistryError where the database is another program's.
    """
    from alembic import command  # takes longer to import than a run has for it
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    is_file = engine.dialect.name == "sqlite"
    with locked_file(engine.url.database) if is_file else nullcontext():
        known = revision(engine)
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
    return revision(engine)


@contextmanager
def locked_file(path):
    """Hold the lock beside a SQLite file, whose folder is made where it is not there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def shown(engine):
    """The database as a message names it, without a password."""
    return engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)


# ---- taking journals in ---------------------------------------------------------------------------------------------


# how far a run's journal has been taken in; holds the row, so that nobody else takes the same lines in
TAKEN = (
    sa.select(tables.run.c.id, tables.run.c.journal_bytes, tables.run.c.journal_sha256)
    .where(tables.run.c.uuid == sa.bindparam("run"))
    .with_for_update()
)


def take_in(engine, path):
    """Take in what is new in a journal, in one transaction. Returns how many lines that was.

    Raises RegistryError where the journal is damaged, or is not the one of which a part was taken in before.
    """
    with engine.begin() as connection:
        return take_in_content(connection, path, *journal.read(path))


def take_in_content(connection, path, uuid, head, content):
    """The part of take_in inside the transaction. uuid, head, content: what journal.read(path) gives."""
    if uuid is None:
        return 0
    taken = connection.execute(TAKEN, {"run": uuid}).one_or_none()
    if taken is None:
        put(connection, tables.run, [{"uuid": uuid, "journal_bytes": 0, "journal_sha256": EMPTY}], keep=True)
        taken = connection.execute(TAKEN, {"run": uuid}).one()
    digest = hashlib.sha256(content[: taken.journal_bytes])
    if digest.hexdigest() != taken.journal_sha256:
        # another process may have taken in what was written after this one had read: nothing is new then
        if taken.journal_bytes > len(content) and journal.starts(path, taken.journal_bytes, taken.journal_sha256):
            return 0
        raise RegistryError(
            f"{path}: expected the journal whose first {taken.journal_bytes:,} bytes were taken in; found another. "
            "It was changed, or is a copy of a run that went on elsewhere."
        )
    new = list(journal.lines(path, content, max(head, taken.journal_bytes)))
    if new:
        try:
            apply(connection, taken.id, new)
        except (KeyError, TypeError, AttributeError) as error:
            raise RegistryError(
                f"{path}: expected lines as this program writes them; one lacks what it should hold ({error!r})."
            ) from None
        digest.update(content[taken.journal_bytes :])
        change_run(connection, taken.id, journal_bytes=len(content), journal_sha256=digest.hexdigest())
    return len(new)


def take_in_all(engine, root):
    """Take in every journal under a root that has grown. Returns (lines taken in, problems as text)."""
    with reading(engine) as connection:
        known = dict(connection.execute(sa.select(tables.run.c.uuid, tables.run.c.journal_bytes)).all())
    count, problems = 0, []
    for path in journal.under(root):
        try:
            if known.get(journal.run_of(path)) == path.stat().st_size:
                continue
            count += take_in(engine, path)
        except (RegistryError, OSError) as error:
            problems.append(str(error))
    return count, problems


def running(engine, root):
    """The journals under a root of the runs that the tables call running."""
    with reading(engine) as connection:
        known = set(connection.scalars(sa.select(tables.run.c.uuid).where(tables.run.c.status == "running")))
    return [path for path in journal.under(root) if journal.run_of(path) in known] if known else []


def apply(connection, run_id, lines):
    """Turn journal lines into rows. lines: [(offset, line)] in order."""
    epochs = {}
    for place, line in lines:
        match line["event"]:
            case journal.BEGIN:
                begin(connection, run_id, line)
            case journal.EPOCH:
                for metric, value in line["metrics"].items():
                    epochs[line["epoch"], metric] = row = {"run_id": run_id, "epoch": line["epoch"], "metric": metric}
                    row["value"], row["not_finite"] = split_number(value)
            case journal.EVALUATION:
                put(connection, tables.evaluation, evaluation_rows(run_id, line))
            case journal.ARTIFACT:
                rows = [{"run_id": run_id, **file} for file in line["files"]]
                put(connection, tables.artifact, rows)
            case journal.PREDICTIONS:
                put(connection, tables.prediction_profile, profile_rows(run_id, line))
            case journal.DRIFT:
                put(connection, tables.drift_result, drift_rows(run_id, place, line))
            case journal.END:
                known = ("status", "seconds", "epochs", "best_epoch", "weights_digest")
                change_run(connection, run_id, ended=line["at"], **{key: line[key] for key in known if key in line})
        if line["event"] != journal.EPOCH:
            row = {"run_id": run_id, "place": place, "at": line["at"], "kind": line["event"]}
            put(connection, tables.event, [row | {"message": line.get("message") or line.get("status")}])
    put(connection, tables.epoch_metric, list(epochs.values()))


def begin(connection, run_id, line):
    """The row of a run, and what it shares with others, stored once a digest."""
    model, environment, data = line["architecture"], line["environment"], line["dataset"]
    config = canonical(model["config"])
    ids = {
        "architecture_id": once(
            connection,
            tables.architecture,
            {"config": config},
            {"parameters": model["parameters"], "summary": model["summary"]},
        ),
        "environment_id": once(
            connection,
            tables.environment,
            {**environment, "packages": canonical(environment["packages"])}
            | {"hardware": canonical(environment["hardware"])},
        ),
        "dataset_id": once(
            connection,
            tables.dataset,
            {"fingerprint": data["fingerprint"]} | {key: canonical(data[key]) for key in ("rows", "spec", "profile")},
        ),
    }
    config = canonical(line["config"])
    started = connection.scalar(sa.select(tables.run.c.started).where(tables.run.c.id == run_id))
    change_run(
        connection,
        run_id,
        **{key: line[key] for key in ("name", "command", "data", "model", "training", "seed", "git_commit")},
        **{key: line[key] for key in ("host", "folder")},
        git_dirty=None if line["git_dirty"] is None else int(line["git_dirty"]),
        status="running",
        started=started or line["at"],
        ended=None,
        config=config,
        config_digest=sha256(config),
        **ids,
    )


def once(connection, table, content, more=None):
    """The id of the row with this content, which is stored where it is not there yet."""
    row = content | {"digest": sha256(next(iter(content.values())) if len(content) == 1 else canonical(content))}
    put(connection, table, [row | (more or {})], keep=True)
    return connection.scalar(sa.select(table.c.id).where(table.c.digest == row["digest"]))


def evaluation_rows(run_id, line):
    shared = {key: line[key] for key in ("fingerprint", "split", "confidence", "data")}
    for label, scores in line["metrics"].items():
        for metric, score in scores.items():
            value, not_finite = split_number(score["value"])
            low, high = (split_number(score[end])[0] for end in ("low", "high"))
            yield shared | {
                **{"run_id": run_id, "label": label, "metric": metric, "value": value, "not_finite": not_finite},
                **{"low": low, "high": high, "rows": line["rows"], "evaluated": line["at"]},
            }


def profile_rows(run_id, line):
    for label, profile in line["profiles"].items():
        yield {
            **{"run_id": run_id, "fingerprint": line["fingerprint"], "split": line["split"], "label": label},
            **{"rows": profile["rows"], "profile": canonical(profile)},
        }


def drift_rows(run_id, place, line):
    for number, result in enumerate(line["results"]):
        finite = {key: split_number(result[key])[0] for key in ("effect", "p_value", "threshold")}
        kept = ("kind", "subject", "method", "reference_rows", "rows", "verdict", "detail")
        yield {
            **{"run_id": run_id, "place": place, "number": number, "at": line["at"], "data": line["data"]},
            **{key: result[key] for key in kept},
            **finite,
        }


def put(connection, table, rows, keep=False):
    """Insert rows; those whose key is there already replace what stands there, or `keep` it."""
    rows = list(rows)
    if rows:
        connection.execute(insertion(connection.dialect.name, table, tuple(rows[0]), keep), rows)


@cache  # to build it takes longer than to run it
def insertion(dialect, table, columns, keep):
    """The statement of `put` for rows of these columns."""
    statement = INSERT[dialect](table)
    unique = [item for item in table.constraints if isinstance(item, sa.UniqueConstraint)]
    keys = [column.name for column in (unique[0].columns if unique else table.primary_key.columns)]
    others = {name: statement.excluded[name] for name in columns if name not in keys}
    if keep or not others:
        return statement.on_conflict_do_nothing(index_elements=keys)
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


CHANGE = sa.update(tables.run).where(tables.run.c.id == sa.bindparam("changed"))


def change_run(connection, run_id, **values):
    connection.execute(CHANGE, values | {"changed": run_id})


def canonical(value):
    """JSON whose text is equal for equal values; None stays None."""
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def sha256(text):
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


# ---- what is in it --------------------------------------------------------------------------------------------------

SHARED = {"architecture_id": tables.architecture, "environment_id": tables.environment, "dataset_id": tables.dataset}
OWN = (tables.epoch_metric, tables.evaluation, tables.artifact, tables.event, tables.prediction_profile)
OWN = (*OWN, tables.drift_result)


def snapshot(connection, uuid):
    """Everything that the tables say of one run, without the ids that another database would count otherwise.

    Returns table name -> rows in a fixed order; {} where the run is not there.
    """
    found = connection.execute(sa.select(tables.run).where(tables.run.c.uuid == uuid)).mappings().first()
    if found is None:
        return {}
    content = {"run": [tuple(value for key, value in found.items() if key != "id" and key not in SHARED)]}
    for key, table in SHARED.items():
        columns = [column for column in table.columns if column.name != "id"]
        content[table.name] = [
            tuple(row) for row in connection.execute(sa.select(*columns).where(table.c.id == found[key]))
        ]
    for table in OWN:
        columns = [column for column in table.columns if column.name != "run_id"]
        query = sa.select(*columns).where(table.c.run_id == found["id"]).order_by(*table.primary_key.columns)
        content[table.name] = [tuple(row) for row in connection.execute(query)]
    return content


def verify(engine, root):
    """Compare every journal under a root with the tables. Returns (runs that agree, differences as text).

    What a journal should have become is found out by taking it into an empty database.
    """
    agreeing, differences = 0, []
    with in_memory().connect() as empty, reading(engine) as connection:
        for path in journal.under(root):
            try:
                uuid, head, content = journal.read(path)
                if uuid is None:
                    continue
                found = snapshot(connection, uuid)
                take_in_content(empty, path, uuid, head, content[: taken_bytes(connection, uuid) or None])
                expected = snapshot(empty, uuid)
            except RegistryError as error:
                differences.append(str(error))
                continue
            finally:
                empty.rollback()
                connection.rollback()
            if found == expected:
                agreeing += 1
            elif not found:
                differences.append(f"{path}: has not been taken in")
            else:
                other = [table for table in expected if found[table] != expected[table]]
                differences.append(f"{path}: the tables {', '.join(other)} hold something else")
    return agreeing, differences


def count_without_journal(engine, root):
    """Runs in the tables whose journal is not under a root: another machine's, deleted since, or put in by hand."""
    here = {journal.run_of(path) for path in journal.under(root)}
    with reading(engine) as connection:
        return sum(uuid not in here for uuid in connection.scalars(sa.select(tables.run.c.uuid)))


def taken_bytes(connection, uuid):
    return connection.scalar(sa.select(tables.run.c.journal_bytes).where(tables.run.c.uuid == uuid))


def in_memory():
    """An Engine on an empty registry that lives as long as it."""
    engine = sa.create_engine("sqlite://")
    tables.metadata.create_all(engine)
    return engine


PROBLEMS = (SQLAlchemyError, RegistryError, OSError)  # what keeps a journal from being taken in
