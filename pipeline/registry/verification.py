"""Compare the tables of the registry with the journals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipeline.errors import RegistryError
from pipeline.registry import journal, tables
from pipeline.registry.ingestion import ingest_new_lines
from pipeline.registry.store import connect_read_only

# tables whose rows several runs share, by the column of `run` that refers to them
SHARED = {"architecture_id": tables.architecture, "environment_id": tables.environment, "dataset_id": tables.dataset}
# tables whose rows belong to one run
OWNED = (
    tables.epoch_metric,
    tables.evaluation,
    tables.artifact,
    tables.event,
    tables.prediction_profile,
    tables.drift_result,
)


def verify_journals(engine: sa.Engine, root: str | Path) -> tuple[int, list[str]]:
    """Compare every journal under a root with the tables.

    The expected rows of a run are those that result from ingesting its journal into an empty database.

    Returns:
        The number of runs that agree, and a message for each that differs.
    """
    agreeing = 0
    differences = []
    with create_in_memory().connect() as empty, connect_read_only(engine) as connection:
        for path in journal.find_journals(root):
            try:
                stored = journal.read_journal(path)
                if stored is None:
                    continue
                actual = read_run(connection, stored.run_id)
                ingested = read_ingested_bytes(connection, stored.run_id)
                ingest_new_lines(empty, replace(stored, content=stored.content[:ingested]))
                expected = read_run(empty, stored.run_id)
            except RegistryError as error:
                differences.append(str(error))
                continue
            finally:
                empty.rollback()
                connection.rollback()
            if actual == expected:
                agreeing += 1
            elif not actual:
                differences.append(f"{path}: has not been ingested")
            else:
                unequal = [table for table in expected if actual[table] != expected[table]]
                differences.append(f"{path}: the tables {', '.join(unequal)} differ from it")
    return agreeing, differences


def count_without_journal(engine: sa.Engine, root: str | Path) -> int:
    """Count the runs in the tables without a journal under a root.

    The journal of such a run is on another machine, or was deleted.
    """
    run_ids = {journal.read_run_id(path) for path in journal.find_journals(root)}
    with connect_read_only(engine) as connection:
        return sum(uuid not in run_ids for uuid in connection.scalars(sa.select(tables.run.c.uuid)))


def read_run(connection: sa.Connection, uuid: str) -> dict[str, list[tuple[Any, ...]]]:
    """Read all rows of a run, without the row IDs, which differ between databases.

    Returns:
        The name of each table and its rows in a fixed order; {} if there is no such run.
    """
    run = connection.execute(sa.select(tables.run).where(tables.run.c.uuid == uuid)).mappings().first()
    if run is None:
        return {}
    content = {"run": [tuple(value for key, value in run.items() if key != "id" and key not in SHARED)]}
    for key, table in SHARED.items():
        columns = [column for column in table.columns if column.name != "id"]
        content[table.name] = fetch_rows(connection, sa.select(*columns).where(table.c.id == run[key]))
    for table in OWNED:
        columns = [column for column in table.columns if column.name != "run_id"]
        query = sa.select(*columns).where(table.c.run_id == run["id"]).order_by(*table.primary_key.columns)
        content[table.name] = fetch_rows(connection, query)
    return content


def fetch_rows(connection: sa.Connection, query: sa.Select) -> list[tuple[Any, ...]]:
    """Return the rows of a query as tuples."""
    return [tuple(row) for row in connection.execute(query)]


def read_ingested_bytes(connection: sa.Connection, uuid: str) -> int | None:
    """Return the number of ingested bytes of the journal of a run; None if the run is not in the tables."""
    return connection.scalar(sa.select(tables.run.c.journal_bytes).where(tables.run.c.uuid == uuid)) or None


def create_in_memory() -> sa.Engine:
    """Create an empty registry in memory, which exists as long as the engine."""
    engine = sa.create_engine("sqlite://")
    tables.metadata.create_all(engine)
    return engine
