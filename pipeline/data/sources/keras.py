"""Data sets that Keras downloads."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.options import option

NAMES = ("mnist", "fashion_mnist", "cifar10", "imdb")


@dataclass
class KerasDataset(DataSource):
    """MNIST, Fashion-MNIST, CIFAR-10 or IMDB, which Keras downloads once into its cache.

    Example:
        make train data=keras data.name=cifar10 model=residual_cnn
    """

    name: str = option("mnist", "the data set", choices=NAMES)
    vocabulary: int = option(10_000, "imdb: number of words kept, the most frequent first", min=4)
    max_length: int = option(200, "imdb: number of words kept of a review, from its end", min=1)

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.keras_dataset(self)
