"""`shards`: turn any data set into TFRecord shards once, split and checked, to be streamed ever after."""

import sys

from pipeline.data import shards, splits
from pipeline.errors import ConfigError


def run(config, composition, command_line):
    """Write the splits of config.data as shards under config.shards.path. Returns the exit status."""
    if not config.shards.path:
        raise ConfigError("shards.path: expected the folder to make, found none. Set it: shards.path=FOLDER")
    if config.data.allows_missing_values:
        raise ConfigError(
            "data.missing_values=impute: shards hold whole rows only. Fill the gaps in, or train on the CSV."
        )
    data = splits.load(config.data)
    shards.write(data.spec, data.parts, config.shards.path, config.shards.rows, show_progress)
    print(f"shards   {config.shards.path}: " + ", ".join(f"{rows:,} {name}" for name, rows in data.rows.items()))
    print(f"next     make train data=tfrecord data.path={config.shards.path}")
    return 0


def show_progress(split, done, total):
    print(f"{split}: {done:,} of {total:,} rows", file=sys.stderr, flush=True)
