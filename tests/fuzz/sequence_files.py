"""CSV files whose lines are the steps of sequences."""

from pathlib import Path
from random import Random
from typing import Any

from fuzz.csv_rows import MISSING_WORDS, change_field, permute_columns, read_rows, write_rows
from fuzz.grammar import Format, cut, flip_bytes, splice

from pipeline.data.sources.csv import Csv
from pipeline.data.table_sequences import SequenceOptions

NAME = "steps.csv"
HEADER = ["person", "time", "size", "weight", "label"]
PERSON, TIME, SIZE, LABEL = 0, 1, 2, 4  # columns


def write(folder: Path) -> None:
    """Write 24 sequences of 2 to 5 steps, of two classes."""
    steps = [(person, time) for person in range(24) for time in range(2 + person % 4)]
    rows = [
        [f"p{person}", f"{time}", f"{person / 4 + time}", f"{time % 3}", "ab"[person % 2]] for person, time in steps
    ]
    write_rows(folder / NAME, [HEADER, *rows])


def _source(**options: Any) -> Csv:
    keys = {"id": options.pop("sequence.id", "person"), "order": options.pop("sequence.order", "time")}
    return Csv(**options, sequence=SequenceOptions(**keys))


SEQUENCES = Format(
    "sequences",
    Csv,
    {"path": NAME, "numeric": ["size", "weight"], "sequence.id": "person", "sequence.order": "time"},
    write,
    make=_source,
)


@SEQUENCES.wrong
def labels_that_differ(random: Random, folder: Path) -> None:
    rows = read_rows(folder / NAME)
    row = random.choice(rows[1:])
    row[LABEL] = "b" if row[LABEL] == "a" else "a"
    write_rows(folder / NAME, rows)


@SEQUENCES.wrong
def no_time(random: Random, folder: Path) -> None:
    change_field(random, folder / NAME, (TIME,), "", "now", "inf", "2020-13-01", "1:2", *MISSING_WORDS)


@SEQUENCES.wrong
def no_person(random: Random, folder: Path) -> None:
    change_field(random, folder / NAME, (PERSON,), "", " ", "\0")


@SEQUENCES.wrong
def no_number(random: Random, folder: Path) -> None:
    change_field(random, folder / NAME, (SIZE,), "", "x", "inf", "1e999", *MISSING_WORDS)


@SEQUENCES.wrong
def step_twice(random: Random, folder: Path) -> None:
    rows = read_rows(folder / NAME)
    rows.insert(random.randrange(1, len(rows)), random.choice(rows[1:]))
    write_rows(folder / NAME, rows)


@SEQUENCES.wrong
def key_that_is_no_column(random: Random, folder: Path) -> dict[str, Any]:
    return {random.choice(["sequence.id", "sequence.order"]): random.choice(["nobody", "Person", "*", "\0"])}


@SEQUENCES.right
def steps_in_another_order(random: Random, folder: Path) -> None:
    header, *rows = read_rows(folder / NAME)
    steps: dict[str, list[list[str]]] = {}
    for row in rows:
        steps.setdefault(row[PERSON], []).append(row)
    write_rows(folder / NAME, [header, *(row for own in steps.values() for row in random.sample(own, len(own)))])


@SEQUENCES.right
def other_forms_of_times(random: Random, folder: Path) -> None:
    header, *rows = read_rows(folder / NAME)
    form = random.choice(["{}.5", "1e{}", "202{}-01-01", "-{}", "2020-01-01T00:0{}:00"])
    times = [form.format(row[TIME] if form[0] != "-" else 9 - int(row[TIME])) for row in rows]
    write_rows(folder / NAME, [header, *([row[0], time, *row[2:]] for row, time in zip(rows, times, strict=True))])


@SEQUENCES.right
def other_names_of_persons(random: Random, folder: Path) -> None:
    header, *rows = read_rows(folder / NAME)
    form = random.choice(["{} ", "=1+{}", "'{}", "ä{}", "nan{}", "0{}"])
    write_rows(folder / NAME, [header, *([form.format(row[0]), *row[1:]] for row in rows)])


@SEQUENCES.right
def permuted_columns(random: Random, folder: Path) -> None:
    permute_columns(random, folder / NAME)


@SEQUENCES.any
def changed_bytes(random: Random, folder: Path) -> None:
    random.choice([flip_bytes, cut, splice])(random, folder / NAME)


@SEQUENCES.any
def changed_fields(random: Random, folder: Path) -> None:
    for _ in range(random.randrange(1, 5)):
        columns = (random.randrange(len(HEADER)),)
        fields = (*MISSING_WORDS, "0", "1e308", "-0", "2020-01-01", '"', "\0")
        change_field(random, folder / NAME, columns, *fields)


@SEQUENCES.any
def other_options(random: Random, folder: Path) -> dict[str, Any]:
    options = {
        "sequence.id": ["label", "time", "size", ""],
        "sequence.order": ["label", "person", "size", ""],
        "missing_labels": ["drop"],
        "id": ["person", "time"],
        "categorical": [["person"]],
        "labels": [["weight"], ["person"], ["time"]],
        "label_kind": ["real", "multi_label"],
        "weight": ["size", "weight"],
    }
    return {key: random.choice(options[key]) for key in random.sample([*options], random.randrange(1, 3))}
