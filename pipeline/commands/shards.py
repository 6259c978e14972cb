"""`shards`: turn any data set into TFRecord shards once, split and checked, to be streamed ever after."""

import logging

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.shards import write_shards
from pipeline.errors import ConfigError, ExitStatus

logger = logging.getLogger(__name__)


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Write the splits of `config.data` as shards under `config.shards.path`.

    Raises:
        ConfigError: No path is given, or the data may have missing values.
        DataError: A row is wrong.
    """
    if not config.shards.path:
        raise ConfigError("shards.path: expected the folder to make, found none. Set it: shards.path=FOLDER")
    if config.data.allows_missing_values:
        raise ConfigError(
            "data.missing_values=impute: shards hold whole rows only. Fill the gaps in, or train on the CSV."
        )
    data = splits.load(config.data)
    write_shards(data.spec, data.splits, config.shards.path, rows_per_shard=config.shards.rows, progress=show_progress)
    print(f"shards   {config.shards.path}: " + ", ".join(f"{rows:,} {name}" for name, rows in data.rows.items()))
    print(f"next     make train data=tfrecord data.path={config.shards.path}")
    return ExitStatus.DONE


def show_progress(split, done, total):
    logger.info("%s: %s of %s rows", split, f"{done:,}", f"{total:,}")
