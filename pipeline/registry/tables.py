"""The tables of the registry, in words that people query; docs/registry.md tells them by example.

Times are text, UTC in ISO 8601, so that they sort and cut alike in every database. A number that is NaN or infinite
has no value: it stands in `not_finite`, so that averages and maxima stay what they are.
"""

import math

from sqlalchemy import (
    BigInteger,
    Column,
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

REVISION = "0002"  # the newest under migrations/versions
VERSION_TABLE = "registry_revision"
APPLICATION_ID = 0x52756E73  # "Runs", in the header of the SQLite file


class Words(TypeDecorator):
    """Text of any origin: what UTF-8 or PostgreSQL cannot hold is kept as a backslash and its code."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else words(value)


def words(value):
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def split_number(value):
    """(value, not_finite) as two columns hold a number: one of them is None; both are for None."""
    if value is None:
        return None, None
    value = float(value)
    return (value, None) if math.isfinite(value) else (None, str(value))


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


def table(name, *columns):
    return Table(name, metadata, *columns)


def number():
    """The two columns of a number, see split_number."""
    return Column("value", Double), Column("not_finite", Words)


def of_run():
    return Column("run_id", Integer, ForeignKey("run.id"), nullable=False)


architecture = table(
    "architecture",
    Column("id", Integer, primary_key=True),
    Column("digest", Words, nullable=False),  # sha256 of config
    Column("config", Words, nullable=False),  # canonical JSON of the model in Keras's own form
    Column("parameters", BigInteger),
    Column("summary", Words),
    UniqueConstraint("digest"),
)
environment = table(
    "environment",
    Column("id", Integer, primary_key=True),
    Column("digest", Words, nullable=False),  # sha256 of all the columns below
    Column("lock_name", Words),
    Column("lock_digest", Words),
    Column("drifted", Integer, nullable=False),  # packages installed otherwise than locked, and what changed amid a run
    Column("packages", Words, nullable=False),  # JSON: name -> version installed
    Column("image_digest", Words),
    Column("python", Words),
    Column("platform", Words),
    Column("hardware", Words, nullable=False),  # JSON: processor, memory, devices, threads
    Column("driver", Words),
    UniqueConstraint("digest"),
)
dataset = table(
    "dataset",
    Column("id", Integer, primary_key=True),
    Column("digest", Words, nullable=False),  # sha256 of all the columns below
    Column("fingerprint", Words, nullable=False),  # sha256 of every row, however they are split
    Column("rows", Words, nullable=False),  # JSON: split -> rows
    Column("spec", Words, nullable=False),  # JSON
    Column("profile", Words),  # JSON: of the training split, a histogram a column
    UniqueConstraint("digest"),
    Index(None, "fingerprint"),
)
run = table(
    "run",
    Column("id", Integer, primary_key=True),
    Column("uuid", Words, nullable=False),
    Column("name", Words),
    Column("status", Words),  # running, finished, interrupted or failed
    Column("command", Words),
    Column("started", Words),
    Column("ended", Words),
    Column("seconds", Double),
    Column("data", Words),  # the choices of the config
    Column("model", Words),
    Column("training", Words),
    Column("seed", Integer),
    Column("git_commit", Words),
    Column("git_dirty", Integer),  # 1 where files differed from the commit
    Column("host", Words),
    Column("folder", Words),
    Column("config", Words),  # JSON: dotted key -> value
    Column("config_digest", Words),
    Column("architecture_id", Integer, ForeignKey("architecture.id")),
    Column("environment_id", Integer, ForeignKey("environment.id")),
    Column("dataset_id", Integer, ForeignKey("dataset.id")),
    Column("epochs", Integer),
    Column("best_epoch", Integer),
    Column("weights_digest", Words),
    Column("journal_bytes", BigInteger, nullable=False),  # how far the journal has been taken in
    Column("journal_sha256", Words, nullable=False),  # of so many of its bytes
    UniqueConstraint("uuid"),
    Index(None, "name"),
    Index(None, "started"),
)
epoch_metric = table(
    "epoch_metric",
    of_run(),
    Column("epoch", Integer, nullable=False),  # counted from 1
    Column("metric", Words, nullable=False),
    *number(),
    PrimaryKeyConstraint("run_id", "epoch", "metric"),
)
evaluation = table(
    "evaluation",
    of_run(),
    Column("fingerprint", Words, nullable=False),  # of the data it was judged on
    Column("split", Words, nullable=False),
    Column("label", Words, nullable=False),
    Column("metric", Words, nullable=False),
    *number(),
    Column("low", Double),  # the confidence interval
    Column("high", Double),
    Column("confidence", Double),
    Column("rows", BigInteger),
    Column("data", Words),  # the choice of the config
    Column("evaluated", Words),
    PrimaryKeyConstraint("run_id", "fingerprint", "split", "label", "metric"),
    Index(None, "metric"),
)
artifact = table(
    "artifact",
    of_run(),
    Column("path", Words, nullable=False),  # from the run's folder
    Column("sha256", Words, nullable=False),
    Column("bytes", BigInteger),
    PrimaryKeyConstraint("run_id", "path"),
)
event = table(
    "event",
    of_run(),
    Column("place", BigInteger, nullable=False),  # byte of the journal where its line begins
    Column("at", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("message", Words),
    PrimaryKeyConstraint("run_id", "place"),
)
prediction_profile = table(
    "prediction_profile",
    of_run(),
    Column("fingerprint", Words, nullable=False),
    Column("split", Words, nullable=False),
    Column("label", Words, nullable=False),
    Column("rows", BigInteger),
    Column("profile", Words, nullable=False),  # JSON
    PrimaryKeyConstraint("run_id", "fingerprint", "split", "label"),
)
drift_result = table(
    "drift_result",
    of_run(),
    Column("place", BigInteger, nullable=False),  # byte of the journal where its check begins
    Column("number", Integer, nullable=False),  # within its check
    Column("at", Words, nullable=False),
    Column("kind", Words, nullable=False),  # input, prediction, performance or series
    Column("subject", Words, nullable=False),  # the column, label or metric
    Column("method", Words, nullable=False),
    Column("data", Words),  # fingerprint of the new data, or the series
    Column("reference_rows", BigInteger),
    Column("rows", BigInteger),
    Column("effect", Double),
    Column("p_value", Double),  # corrected for the number of comparisons
    Column("threshold", Double),
    Column("verdict", Words, nullable=False),  # none, drift or too few rows
    Column("detail", Words),
    PrimaryKeyConstraint("run_id", "place", "number"),
    Index(None, "verdict"),
)
