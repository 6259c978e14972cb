"""The tables of the registry. docs/registry.md documents them with example queries.

Times are text, UTC in ISO 8601, so that they sort in the same order in every database. A number that is NaN or infinite
is stored in the column `not_finite` instead of `value`, so that averages and maxima of `value` stay correct.
"""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

REVISION = "0002"  # the newest under migrations/versions
VERSION_TABLE = "registry_revision"
APPLICATION_ID = 0x52756E73  # "Runs" in ASCII, in the header of the SQLite file


class StorableText(TypeDecorator[str]):
    """Text in which each character that UTF-8 or PostgreSQL cannot store is replaced by a backslash and its code."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape a value before it is sent to the database."""
        return None if value is None else value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def split_number(value: float | str | None) -> tuple[float | None, str | None]:
    """Return the values of the columns (value, not_finite) for a number.

    One of them is None. Both are None if the number is None.

    Args:
        value: A number, or "nan", "inf" or "-inf" as written in a journal.
    """
    if value is None:
        return None, None
    value = float(value)
    return (value, None) if math.isfinite(value) else (None, str(value))


def check_row(table: Table, row: Mapping[str, Any]) -> None:
    """Check the values of a row against the types of its columns. SQLite itself stores any value in any column.

    Raises:
        TypeError: A value has another type than its column or is missing, or an integer is too large for it.
        KeyError: The table has no such column.
    """
    for name, value in row.items():
        column = table.c[name]
        if not (column.nullable if value is None else fits(column.type, value)):
            raise TypeError(f"{name}: expected {type(column.type).__name__.lower()}; found {str(value)[:50]!r}")


def fits(kind: TypeEngine[Any], value: Any) -> bool:
    """Return whether a value, other than None, has the type of a column."""
    match value:
        case bool():
            return False
        case int():
            limit = 2**63 if isinstance(kind, BigInteger) else 2**31
            return isinstance(kind, Double) or (isinstance(kind, Integer) and -limit <= value < limit)
        case float():
            return isinstance(kind, Double)
    return isinstance(value, str) and isinstance(kind, StorableText)


def create_number_columns() -> tuple[Column[float], Column[str]]:
    """Return the two columns that store a number. See `split_number`."""
    return Column("value", Double), Column("not_finite", StorableText)


def create_run_id_column() -> Column[int]:
    """Return the column that holds the ID of the run to which a row belongs."""
    return Column("run_id", Integer, ForeignKey("run.id"), nullable=False)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

architecture = Table(
    "architecture",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", StorableText, nullable=False),  # sha256 of `config`
    Column("config", StorableText, nullable=False),  # canonical JSON of the model in Keras's serialised form
    Column("parameters", BigInteger),
    Column("summary", StorableText),
    UniqueConstraint("digest"),
)
environment = Table(
    "environment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", StorableText, nullable=False),  # sha256 of all the columns below
    Column("lock_name", StorableText),
    Column("lock_digest", StorableText),
    Column("drifted", Integer, nullable=False),  # packages that differ from the lock, plus changes during the run
    Column("packages", StorableText, nullable=False),  # JSON: name -> installed version
    Column("image_digest", StorableText),
    Column("python", StorableText),
    Column("platform", StorableText),
    Column("hardware", StorableText, nullable=False),  # JSON: processor, memory, devices, threads
    Column("driver", StorableText),
    UniqueConstraint("digest"),
)
dataset = Table(
    "dataset",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", StorableText, nullable=False),  # sha256 of all the columns below
    Column("fingerprint", StorableText, nullable=False),  # sha256 over all rows, independent of the splits
    Column("rows", StorableText, nullable=False),  # JSON: split -> number of rows
    Column("spec", StorableText, nullable=False),  # JSON: shapes, dtypes and kinds of features and labels
    Column("profile", StorableText),  # JSON: one histogram per column of the training split
    UniqueConstraint("digest"),
    Index(None, "fingerprint"),
)
run = Table(
    "run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", StorableText, nullable=False),
    Column("name", StorableText),
    Column("status", StorableText),  # running, finished, interrupted or failed
    Column("command", StorableText),
    Column("started", StorableText),
    Column("ended", StorableText),
    Column("seconds", Double),
    Column("data", StorableText),  # `data`, `model` and `training` are choices of the config
    Column("model", StorableText),
    Column("training", StorableText),
    Column("seed", Integer),
    Column("git_commit", StorableText),
    Column("git_dirty", Integer),  # 1 if files differed from the commit
    Column("host", StorableText),
    Column("folder", StorableText),
    Column("config", StorableText),  # JSON: dotted key -> value
    Column("config_digest", StorableText),
    Column("architecture_id", Integer, ForeignKey("architecture.id")),
    Column("environment_id", Integer, ForeignKey("environment.id")),
    Column("dataset_id", Integer, ForeignKey("dataset.id")),
    Column("epochs", Integer),
    Column("best_epoch", Integer),
    Column("weights_digest", StorableText),
    Column("journal_bytes", BigInteger, nullable=False),  # bytes of the journal that have been ingested
    Column("journal_sha256", StorableText, nullable=False),  # of those bytes
    UniqueConstraint("uuid"),
    Index(None, "name"),
    Index(None, "started"),
)
epoch_metric = Table(
    "epoch_metric",
    metadata,
    create_run_id_column(),
    Column("epoch", Integer, nullable=False),  # counted from 1
    Column("metric", StorableText, nullable=False),
    *create_number_columns(),
    PrimaryKeyConstraint("run_id", "epoch", "metric"),
)
evaluation = Table(
    "evaluation",
    metadata,
    create_run_id_column(),
    Column("fingerprint", StorableText, nullable=False),  # of the evaluated data
    Column("split", StorableText, nullable=False),
    Column("label", StorableText, nullable=False),
    Column("metric", StorableText, nullable=False),
    *create_number_columns(),
    Column("low", Double),  # limits of the confidence interval
    Column("high", Double),
    Column("confidence", Double),
    Column("rows", BigInteger),
    Column("data", StorableText),  # choice of the config
    Column("evaluated", StorableText),
    PrimaryKeyConstraint("run_id", "fingerprint", "split", "label", "metric"),
    Index(None, "metric"),
)
artifact = Table(
    "artifact",
    metadata,
    create_run_id_column(),
    Column("path", StorableText, nullable=False),  # relative to the run folder
    Column("sha256", StorableText, nullable=False),
    Column("bytes", BigInteger),
    PrimaryKeyConstraint("run_id", "path"),
)
event = Table(
    "event",
    metadata,
    create_run_id_column(),
    Column("place", BigInteger, nullable=False),  # byte offset of the line in the journal
    Column("at", StorableText, nullable=False),
    Column("kind", StorableText, nullable=False),
    Column("message", StorableText),
    PrimaryKeyConstraint("run_id", "place"),
)
prediction_profile = Table(
    "prediction_profile",
    metadata,
    create_run_id_column(),
    Column("fingerprint", StorableText, nullable=False),
    Column("split", StorableText, nullable=False),
    Column("label", StorableText, nullable=False),
    Column("rows", BigInteger),
    Column("profile", StorableText, nullable=False),  # JSON: histograms of the predictions
    PrimaryKeyConstraint("run_id", "fingerprint", "split", "label"),
)
drift_result = Table(
    "drift_result",
    metadata,
    create_run_id_column(),
    Column("place", BigInteger, nullable=False),  # byte offset of the DRIFT line in the journal
    Column("number", Integer, nullable=False),  # index within the check
    Column("at", StorableText, nullable=False),
    Column("kind", StorableText, nullable=False),  # input, prediction, performance or series
    Column("subject", StorableText, nullable=False),  # column, label or metric
    Column("method", StorableText, nullable=False),
    Column("data", StorableText),  # fingerprint of the new data, or the choice of data of a series
    Column("reference_rows", BigInteger),
    Column("rows", BigInteger),
    Column("effect", Double),
    Column("p_value", Double),  # corrected for the number of comparisons
    Column("threshold", Double),
    Column("verdict", StorableText, nullable=False),  # none, drift or too few rows
    Column("detail", StorableText),
    PrimaryKeyConstraint("run_id", "place", "number"),
    Index(None, "verdict"),
)
