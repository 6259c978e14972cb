"""`registry`: bring the tables up to date, ingest journals, hold them against each other, and export."""

import csv
import json
from pathlib import Path

import sqlalchemy as sa

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ExitStatus, RegistryError
from pipeline.files import atomic_write
from pipeline.registry import store, tables, verification
from pipeline.runs import ingest

FETCH = 10_000  # rows in memory at a time


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Upgrade, ingest, verify or export the registry; without an action, print its address and the size of its tables.

    Raises:
        RegistryError: The registry does not answer, or a journal and the tables differ.
    """
    root = config.run.root
    if invocation.action == ("upgrade",):
        return upgrade(config.registry, root)
    with store.open_registry(config.registry, root) as engine:
        match invocation.action:
            case ("ingest",):
                return ingest_journals(engine, root)
            case ("verify",):
                return verify(engine, root)
            case ("export",):
                return export(engine, Path(root) / "registry.export")
        return show(engine)


def upgrade(config, root):
    with store.translate_errors(store.create_engine(config, root)) as engine:
        before = store.read_revision(engine)
        after = store.upgrade_schema(engine)
        came_from = "as before" if before == after else f"from {before}" if before else "made now"
        print(f"{store.display_name(engine)}: revision {after}, {came_from}")
        store.require_revision(engine)
    return ExitStatus.DONE


def ingest_journals(engine, root):
    lines, problems = ingest.ingest(engine, root)
    print(f"{store.display_name(engine)}: {lines:,} new lines from the journals under {root}/")
    if problems:
        raise RegistryError("\n".join(problems))
    return ExitStatus.DONE


def verify(engine, root):
    agreeing, differences = verification.verify_journals(engine, root)
    print(f"{store.display_name(engine)}: {agreeing:,} runs agree with their journals under {root}/")
    alone = verification.count_without_journal(engine, root)
    if alone:
        print(f"{alone:,} more in the tables have no journal there to be held against")
    if differences:
        raise RegistryError("\n".join(differences))
    return ExitStatus.DONE


def export(engine, folder):
    """Write every table as TABLE.csv and TABLE.json."""
    folder.mkdir(exist_ok=True)
    with store.connect_read_only(engine) as connection:
        for table in tables.metadata.sorted_tables:
            query = sa.select(table).order_by(*table.primary_key.columns)
            with atomic_write(folder / f"{table.name}.csv") as file:
                write_csv(file, table, connection.execution_options(yield_per=FETCH).execute(query))
            with atomic_write(folder / f"{table.name}.json") as file:
                write_json(file, connection.execution_options(yield_per=FETCH).execute(query).mappings())
    print(f"{folder}: {len(tables.metadata.sorted_tables)} tables as CSV and JSON")
    return ExitStatus.DONE


def write_csv(file, table, rows):
    lines = csv.writer(Encoded(file), lineterminator="\n")
    lines.writerow([column.name for column in table.columns])
    lines.writerows(rows)


def write_json(file, rows):
    """A list of objects, a line each."""
    between = b"[\n"
    for row in rows:
        file.write(between + json.dumps(dict(row)).encode())
        between = b",\n"
    file.write(b"\n]\n" if between == b",\n" else b"[]\n")


class Encoded:
    """A binary file that takes text, as csv.writer writes it."""

    def __init__(self, file):
        self.file = file

    def write(self, text):
        return self.file.write(text.encode())


def show(engine):
    """Say where the registry is, its revision, and how many rows each table holds."""
    print(f"{store.display_name(engine)}: revision {tables.REVISION}")
    with store.connect_read_only(engine) as connection:
        for table in tables.metadata.sorted_tables:
            print(f"  {table.name:<20}{connection.scalar(sa.select(sa.func.count()).select_from(table)):>12,}")
    return ExitStatus.DONE
