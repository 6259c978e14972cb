"""TFRecord shards."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.options import READ, option


@dataclass
class TFRecord(DataSource):
    """TFRecord shards and their spec.json, as `python -m pipeline shards` writes them. Streamed from disk.

    Example:
        python -m pipeline shards data=image_folder data.path=photos shards.path=photos-shards
        make train data=tfrecord data.path=photos-shards model=residual_cnn
    """

    path: str = option("", "the folder of spec.json and the shards", required=True, path=READ)
    shuffle_buffer: int = option(
        10_000, "examples in the shuffle buffer; the order of the shards changes in every epoch too", min=1
    )

    def read(self) -> Dataset:
        from pipeline.data import shards

        return shards.read(self.path)
