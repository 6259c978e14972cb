"""NumPy .npz files."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.errors import ConfigError
from pipeline.options import READ, option
from pipeline.spec import CLASS, LABEL_KINDS


@dataclass
class Npz(DataSource):
    """A NumPy .npz file. Arrays named train_NAME, validation_NAME and test_NAME are splits; NAME alone is split.

    Example:
        make train data=npz data.path=my.npz
    """

    path: str = option("", "the .npz file", required=True, path=READ)
    features: list[str] = option(["x"], "arrays that the model takes, rows first", required=True)
    labels: list[str] = option(["y"], "arrays to predict, rows first", required=True)
    lengths: str = option("", "array of row lengths, if the rows of each feature are concatenated; '' if they are not")
    label_kind: str = option(CLASS, "what each label array holds", choices=LABEL_KINDS)
    classes: int | None = option(None, "number of classes; null counts those in the file")

    def check(self) -> None:
        super().check()
        names = self.features + self.labels
        if len(set(names)) < len(names):
            raise ConfigError(f"data: an array is named more than once in {names}. An array has one role.")

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.npz_file(self)
