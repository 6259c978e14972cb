"""idx files, the format of the MNIST family."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.options import READ, option


@dataclass
class Idx(DataSource):
    """idx files, the format of the MNIST family, gzipped or not.

    Example:
        make train data=idx data.path=FOLDER model=cnn
    """

    path: str = option("", "folder of the four files", required=True, path=READ)
    train_images: str = option("train-images-idx3-ubyte", "file in `path`, with or without .gz")
    train_labels: str = option("train-labels-idx1-ubyte", "file in `path`, with or without .gz")
    test_images: str = option("t10k-images-idx3-ubyte", "file in `path`, with or without .gz; '' if there is none")
    test_labels: str = option("t10k-labels-idx1-ubyte", "file in `path`, with or without .gz; '' if there is none")
    classes: int = option(10, "number of classes; a label outside 0 to classes - 1 is refused", min=2)

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.idx_files(self)
