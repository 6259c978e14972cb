"""CSV files with a header row."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.errors import ConfigError
from pipeline.options import READ, option
from pipeline.spec import CLASS, REAL


@dataclass
class Csv(DataSource):
    """A CSV file with a header row.

    Example:
        make train data=csv data.path=people.csv 'data.numeric=[age,height]' 'data.categorical=[city]' model=tabular
    """

    path: str = option("", "file of the training rows, and of the splits that have no file", required=True, path=READ)
    validation_path: str = option("", "file of the validation rows; '' cuts them from `path`", path=READ)
    test_path: str = option("", "file of the test rows; '' cuts them from `path`", path=READ)
    delimiter: str = option(",", "the character between two fields")
    labels: list[str] = option(["label"], "columns to predict", required=True)
    label_kind: str = option(CLASS, "what the label columns hold", choices=(CLASS, REAL))
    numeric: list[str] = option([], "columns of numbers")
    categorical: list[str] = option([], "columns of categories, kept as text")
    text: list[str] = option([], "columns of free text, split into words inside the model")
    missing: list[str] = option(["", "NA", "NaN", "?"], "fields that mean a missing value")
    missing_values: str = option(
        "refuse",
        "refuse: an error names the row; impute: the model uses the training mean",
        choices=("refuse", "impute"),
    )
    unknown_categories: str = option(
        "refuse",
        "a category that is not in the training split; refuse: an error names the row; accept: one shared code",
        choices=("refuse", "accept"),
    )

    def check(self) -> None:
        super().check()
        if len(self.delimiter) != 1:
            raise ConfigError(f"data.delimiter: expected one character; found {self.delimiter!r}.")
        columns = self.numeric + self.categorical + self.text
        if not columns:
            raise ConfigError(
                "data: expected feature columns in data.numeric, data.categorical or data.text; found none."
            )
        twice = {name for name in columns + self.labels if (columns + self.labels).count(name) > 1}
        if twice:
            raise ConfigError(f"data: column {sorted(twice)} is named more than once. A column has one role.")

    @property
    def allows_missing_values(self) -> bool:
        return self.missing_values == "impute"

    @property
    def columns_of_known_categories(self) -> list[str]:
        return self.categorical if self.unknown_categories == "refuse" else []

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.csv_files(self)
