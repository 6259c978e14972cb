"""`registry`: show the registry; upgrade its tables, ingest journals, verify it against them, or export it."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ExitStatus, RegistryError
from pipeline.files import atomic_write
from pipeline.registry import store, tables, verification
from pipeline.registry.options import Registry
from pipeline.runs import ingestion
from pipeline.visible_text import csv_cells

FETCH = 10_000  # rows in memory at a time


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Upgrade, ingest, verify or export the registry; without an action, print its address and the size of its tables.

    Raises:
        RegistryError: The registry does not answer, a journal is refused, or a journal and the tables differ.
    """
    root = config.run.root
    if invocation.action == ("upgrade",):
        upgrade(config.registry, root)
        return ExitStatus.DONE
    with store.open_registry(config.registry, root) as engine:
        match invocation.action:
            case ("ingest",):
                ingest(engine, root)
            case ("verify",):
                verify(engine, root)
            case ("export",):
                export(engine, Path(root) / "registry.export")
            case _:
                show(engine)
    return ExitStatus.DONE


def upgrade(options: Registry, root: str) -> None:
    """Create the tables, or migrate them to the schema revision of this program."""
    with store.translate_errors(store.create_engine(options, root)) as engine:
        before = store.read_revision(engine)
        after = store.upgrade_schema(engine)
        change = "unchanged" if before == after else f"was {before}" if before else "created"
        print(f"{store.describe_database(engine)}: revision {after}, {change}")
        store.require_revision(engine)


def ingest(engine: sa.Engine, root: str) -> None:
    """Ingest the journals.

    Raises:
        RegistryError: One was refused; the others are ingested.
    """
    lines, problems = ingestion.ingest(engine, root)
    print(f"{store.describe_database(engine)}: {lines:,} new lines from the journals under {root}/")
    if problems:
        raise RegistryError("\n".join(problems))


def verify(engine: sa.Engine, root: str) -> None:
    """Compare the tables with the journals.

    Raises:
        RegistryError: They differ.
    """
    agreeing, differences = verification.verify_journals(engine, root)
    print(f"{store.describe_database(engine)}: {agreeing:,} runs agree with their journals under {root}/")
    without_journal = verification.count_without_journal(engine, root)
    if without_journal:
        print(f"{without_journal:,} more in the tables have no journal there to compare with")
    if differences:
        raise RegistryError("\n".join(differences))


def export(engine: sa.Engine, folder: Path) -> None:
    """Write every table as TABLE.csv and TABLE.json."""
    folder.mkdir(exist_ok=True)
    with store.connect_read_only(engine) as connection:
        for table in tables.metadata.sorted_tables:
            query = sa.select(table).order_by(*table.primary_key.columns)
            with atomic_write(folder / f"{table.name}.csv") as file:
                rows = connection.execution_options(yield_per=FETCH).execute(query)
                write_csv(file, [column.name for column in table.columns], rows)
            with atomic_write(folder / f"{table.name}.json") as file:
                write_json(file, connection.execution_options(yield_per=FETCH).execute(query).mappings())
    print(f"{folder}: {len(tables.metadata.sorted_tables)} tables as CSV and JSON")


def write_csv(file: BinaryIO, names: list[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV with a header line."""
    lines = csv.writer(Utf8Writer(file), lineterminator="\n")
    lines.writerow(names)
    lines.writerows(map(csv_cells, rows))


def write_json(file: BinaryIO, rows: Iterable[sa.RowMapping]) -> None:
    """Write rows as a JSON list of objects, one per line."""
    separator = b"[\n"
    for row in rows:
        file.write(separator + json.dumps(dict(row)).encode())
        separator = b",\n"
    file.write(b"\n]\n" if separator == b",\n" else b"[]\n")


class Utf8Writer:
    """Writes text into a binary file, for csv.writer."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, text: str) -> int:
        """Write text. Returns the number of bytes."""
        return self.file.write(text.encode())


def show(engine: sa.Engine) -> None:
    """Print the address of the registry, its schema revision and the number of rows of each table."""
    print(f"{store.describe_database(engine)}: revision {tables.REVISION}")
    with store.connect_read_only(engine) as connection:
        for table in tables.metadata.sorted_tables:
            print(f"  {table.name:<20}{connection.scalar(sa.select(sa.func.count()).select_from(table)):>12,}")
