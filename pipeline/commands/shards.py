"""`shards`: check and split a data set, and write it as TFRecord shards for streaming."""

import logging

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.containers import Table
from pipeline.data.shards import write_shards
from pipeline.errors import ConfigError, ExitStatus

logger = logging.getLogger(__name__)


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Write the splits of `config.data` as shards under `config.shards.path`.

    Raises:
        ConfigError: No path is given, the data consists of shards already, or it may have missing values.
        DataError: A row is wrong.
    """
    path = config.shards.path
    if not path:
        raise ConfigError("shards.path: expected a folder to create; found none. Set it: shards.path=FOLDER")
    if config.data.allows_missing_values:
        raise ConfigError(
            "data.missing_values: expected refuse, since shards hold complete rows only; found impute. Fill in the "
            "missing values, or train on the CSV file."
        )
    data = splits.load(config.data)
    tables = {name: rows for name, rows in data.splits.items() if isinstance(rows, Table)}
    if len(tables) < len(data.splits):
        raise ConfigError(
            f"data: expected a data set that is not written as shards yet; found data={config.data.choice}. Copy its "
            "folder instead."
        )
    write_shards(data.spec, tables, path, rows_per_shard=config.shards.rows, progress=log_progress)
    rows = ", ".join(f"{count:,} {name}" for name, count in data.rows.items())
    print(f"shards   {path}: {rows}\nnext     make train data=tfrecord data.path={path}")
    return ExitStatus.DONE


def log_progress(split: str, done: int, total: int) -> None:
    """Log how many rows of a split are written."""
    logger.info("%s: %s of %s rows", split, f"{done:,}", f"{total:,}")
