"""What the tables say of a run against its journal."""

import sqlalchemy as sa

from pipeline.errors import RegistryError
from pipeline.registry import journal, tables
from pipeline.registry.ingestion import ingest_content
from pipeline.registry.store import connect_read_only

SHARED = {"architecture_id": tables.architecture, "environment_id": tables.environment, "dataset_id": tables.dataset}
OWN = (tables.epoch_metric, tables.evaluation, tables.artifact, tables.event, tables.prediction_profile)
OWN = (*OWN, tables.drift_result)


def read_run(connection, uuid):
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


def verify_journals(engine, root):
    """Compare every journal under a root with the tables. Returns (runs that agree, differences as text).

    What a journal should have become is found out by ingesting it into an empty database.
    """
    agreeing, differences = 0, []
    with create_in_memory().connect() as empty, connect_read_only(engine) as connection:
        for path in journal.find_journals(root):
            try:
                uuid, head, content = journal.read_journal(path)
                if uuid is None:
                    continue
                found = read_run(connection, uuid)
                ingest_content(empty, path, uuid, head, content[: taken_bytes(connection, uuid) or None])
                expected = read_run(empty, uuid)
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
    here = {journal.read_run_id(path) for path in journal.find_journals(root)}
    with connect_read_only(engine) as connection:
        return sum(uuid not in here for uuid in connection.scalars(sa.select(tables.run.c.uuid)))


def taken_bytes(connection, uuid):
    return connection.scalar(sa.select(tables.run.c.journal_bytes).where(tables.run.c.uuid == uuid))


def create_in_memory():
    """An Engine on an empty registry that lives as long as it."""
    engine = sa.create_engine("sqlite://")
    tables.metadata.create_all(engine)
    return engine
