"""Everything that the author of a data source imports.

A data source is one file: pipeline/data/sources/NAME.py, or custom/data/NAME.py for your own; `data=NAME` selects it.
The file holds one dataclass that derives from `DataSource`, with the options and the method `read`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pipeline.data.categories import class_names
from pipeline.data.columns import class_indices, numbered_classes, numbered_rows, to_feature_dtype
from pipeline.data.containers import SPLIT_NAMES, Dataset, Images, Sequences, Table, in_chunks
from pipeline.data.description import describe
from pipeline.data.options import SplitOptions
from pipeline.errors import ConfigError, DataError
from pipeline.lazy import np
from pipeline.options import READ, Options, option, section
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, DataSpec, class_label, ordinal_label, real_label, row_label

__all__ = [
    "CLASS",
    "MULTI_LABEL",
    "ONE_HOT",
    "READ",
    "REAL",
    "SPLIT_NAMES",
    "ConfigError",
    "DataError",
    "DataSource",
    "Dataset",
    "Images",
    "Sequences",
    "Table",
    "class_indices",
    "class_label",
    "class_names",
    "describe",
    "np",
    "numbered_classes",
    "numbered_rows",
    "option",
    "ordinal_label",
    "real_label",
    "row_label",
    "to_feature_dtype",
]


@dataclass
class DataSource(Options):
    """Base class of the data sources. A subclass declares its options and implements `read`."""

    key: ClassVar[str] = "data"

    split: SplitOptions = section(SplitOptions, "how rows are divided into splits")
    shuffle: bool = option(True, "use a new order in every epoch, a pure function of (seed, epoch)")
    buckets: list[int] = option(
        [],
        "variable lengths: upper bounds of the length buckets in steps; a batch holds rows of one bucket; "
        "[] makes four buckets of equal size",
        min=1,
    )
    oversample: float = option(
        0.0,
        "repeat rows of rare classes in every epoch of training, until each class has this share of the rows of the "
        "largest class; 0: none, 1: all classes alike",
        min=0,
        max=1,
    )
    normalize_labels: Any = option(
        "auto",
        "train on real labels of mean 0 and variance 1, while outputs, losses and metrics stay in the unit of the "
        "label; auto: if the loss compares numbers in that unit",
        choices=("auto", True, False),
    )

    def check(self) -> None:
        """Check rules between options. A subclass that adds rules calls super().check() first."""
        if any(a >= b for a, b in zip(self.buckets, self.buckets[1:], strict=False)):
            raise ConfigError(f"data.buckets: expected increasing lengths; found {self.buckets}.")

    def class_argument(self, label: str, classes: int) -> str | None:
        """Return the argument that declares the numbers of a label as classes; None if the options define its kind.

        Args:
            label: The name of the label.
            classes: The number of different values.
        """
        return None

    def read(self) -> Dataset:
        """Read the data set. Every subclass implements this method.

        `describe(splits, labels=..., location=...)` returns the data set for one `Table` per split. If "train" is the
        only split, it is divided afterwards. Values are checked afterwards too.

        Returns:
            The data set, with "train" and the other splits that the data itself has.

        Raises:
            DataError: The data cannot be read. The message names the file and the line or row.
            OSError: Likewise; it is re-raised as a DataError.
        """
        raise NotImplementedError(f"{type(self).__name__}.read")

    def read_with_keys(self, columns: Collection[str]) -> Dataset:
        """Read the data set, and keep further columns of its files as keys of its tables.

        Sources whose files have columns without a role override this method. Columns that do not exist may be left out.

        Args:
            columns: The names of the columns to keep.
        """
        return self.read()

    def without_absent_weights(self) -> DataSource:
        """Return the source without its option for row weights if the data lacks them: new rows need not have weights.

        Sources with such an option override this method.

        Raises:
            DataError: The data cannot be read.
            OSError: Likewise.
        """
        return self

    def file_of(self, split_name: str) -> str:
        """Return the file that holds the rows of one split only; "" if there is none."""
        return ""

    def read_unlabeled(self, trained: DataSpec, *, known: Mapping[str, Collection[str]], rows: int) -> Iterator[Table]:
        """Read all rows of the data set for `predict`, in order, in tables without labels.

        A subclass that can read rows without labels, or in several tables, overrides this method. This implementation
        reads the data set as for training.

        Args:
            trained: The spec of the training data.
            known: Feature -> the categories that the model knows.
            rows: The largest number of rows of a table.

        Raises:
            DataError: The data cannot be read, as for `read`.
        """
        splits = self.read().splits
        for split in (splits[name] for name in SPLIT_NAMES if name in splits):
            assert isinstance(split, Table), f"{type(self).__name__}.read_unlabeled"
            yield from in_chunks(replace(split, labels={}), rows)

    def fix_of_features(self, trained: DataSpec) -> str:
        """Return the end of an error message: how to read the features that a model was trained on.

        Args:
            trained: The spec of the training data, which differs from that of this data.
        """
        return "Read the data with the options of the training."

    @property
    def allows_missing_values(self) -> bool:
        """Whether NaN in a feature means a missing value, which the model replaces."""
        return False

    @property
    def requires_known_categories(self) -> bool:
        """Whether every category must occur in the train split."""
        return False
