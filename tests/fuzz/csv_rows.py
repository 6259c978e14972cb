"""The rows of a CSV file without quotes, read and written by mutations."""

from pathlib import Path
from random import Random

MISSING_WORDS = ("nan", "NaN", "None", "null", "NULL", "n/a", "#N/A", "-", "NA", "?")


def read_rows(path: Path) -> list[list[str]]:
    """Return the fields of each line, the header first."""
    return [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(
    path: Path, rows: list[list[str]], delimiter: str = ",", end: str = "\n", encoding: str = "utf-8"
) -> None:
    """Write the fields of each line."""
    path.write_bytes("".join(delimiter.join(row) + end for row in rows).encode(encoding))


def change_field(random: Random, path: Path, columns: tuple[int, ...], *fields: str) -> None:
    """Put one of these texts into one of these columns of some row."""
    rows = read_rows(path)
    rows[random.randrange(1, len(rows))][random.choice(columns)] = random.choice(fields)
    write_rows(path, rows)


def permute_columns(random: Random, path: Path) -> None:
    """Write the columns in another order."""
    rows = read_rows(path)
    order = random.sample(range(len(rows[0])), len(rows[0]))
    write_rows(path, [[row[column] for column in order] for row in rows])
