"""CSV files: one row per line."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz.csv_rows import MISSING_WORDS, change_field, permute_columns, read_rows, write_rows
from fuzz.grammar import Format, cut, flip_bytes, splice

from pipeline.data.sources.csv import Csv

NAME = "rows.csv"
HEADER = ["size", "weight", "town", "label"]
NUMBERS, TOWN, LABEL = (0, 1), 2, 3  # columns


def write(folder: Path) -> None:
    """Write 48 rows of two numbers, a category and a class."""
    rows = [
        [f"{row / 8 - 2}", f"{row * row % 17}", ("Ulm", "Bonn", "Köln")[row % 3], "ab"[row % 2]] for row in range(48)
    ]
    write_rows(folder / NAME, [HEADER, *rows])


CSV = Format("csv", Csv, {"path": NAME, "numeric": ["size", "weight"], "categorical": ["town"]}, write)


def _in_field(columns: tuple[int, ...], *fields: str) -> Callable[[Random, Path], None]:
    """Return a mutation that puts one of these texts into a field of some row."""

    def change(random: Random, folder: Path) -> None:
        change_field(random, folder / NAME, columns, *fields)

    return change


def _named(name: str, change: Callable[[Random, Path], Any]) -> Callable[[Random, Path], Any]:
    change.__name__ = name
    return change


WRONG_FIELDS = {
    "text_in_a_number": (NUMBERS, "abc", "1.2.3", "--1", "1;5", "0x10", "1e", "12:30", "'1", "½", "1e5x"),
    "digits_of_a_program": (NUMBERS, "1_000", "10_0.5"),
    "infinite_number": (NUMBERS, "inf", "-inf", "Infinity", "1e999", "-1e400"),
    "missing_number": (NUMBERS, "", " ", *MISSING_WORDS),
    "missing_category": ((TOWN,), "", " ", *MISSING_WORDS),
    "missing_label": ((LABEL,), "", " ", *MISSING_WORDS),
    "rounded_number": (NUMBERS, "9007199254740993", "-9007199254740993", "123456789012345678901"),
    "control_character_nul": ((*NUMBERS, TOWN, LABEL), "\0", "a\0b", "1\0"),
    "quotes_that_are_not_closed": ((TOWN, LABEL), '"a"b', '"a', '""a'),
    "decimal_comma": (NUMBERS, '"1,5"', '"1.234,5"', '"1,234"'),
    "one_field_more": ((*NUMBERS, TOWN, LABEL), "1,2", "a,"),
}
for _name, (_columns, *_fields) in WRONG_FIELDS.items():
    CSV.wrong(_named(_name, _in_field(_columns, *_fields)))

ODD_FIELDS = (
    "\uff11\uff12",
    "٣",
    "1e308",
    "5e-324",
    "-0",
    "+1",
    "1e-5",
    "\ufeff",
    "\u202e",
    "=1+1",
    "\x1b[31m",
    "a" * 200_000,
    "∞",
)
CSV.any(_named("odd_field", _in_field((*NUMBERS, TOWN, LABEL), *ODD_FIELDS)))


@CSV.wrong
def one_field_less(random: Random, folder: Path) -> None:
    rows = read_rows(folder / NAME)
    rows[random.randrange(1, len(rows))].pop()
    write_rows(folder / NAME, rows)


@CSV.wrong
def cut_inside_the_last_row(random: Random, folder: Path) -> None:
    text = (folder / NAME).read_text(encoding="utf-8").rstrip("\n")
    (folder / NAME).write_text(text[: text.rindex(",") - random.randrange(3)], encoding="utf-8")


@CSV.wrong
def column_twice(random: Random, folder: Path) -> None:
    column = random.randrange(len(HEADER))
    write_rows(folder / NAME, [[*row, row[column]] for row in read_rows(folder / NAME)])


@CSV.wrong
def column_missing(random: Random, folder: Path) -> None:
    column = random.randrange(len(HEADER))
    write_rows(folder / NAME, [row[:column] + row[column + 1 :] for row in read_rows(folder / NAME)])


@CSV.wrong
def other_name_of_a_column(random: Random, folder: Path) -> None:
    rows = read_rows(folder / NAME)
    column = random.randrange(len(HEADER))
    rows[0][column] = random.choice(["", "Size", f" {rows[0][column]}", f"{rows[0][column]}\0", "\u017fize"])
    write_rows(folder / NAME, rows)


@CSV.wrong
def no_header(random: Random, folder: Path) -> None:
    write_rows(folder / NAME, read_rows(folder / NAME)[1:])


@CSV.wrong
def no_rows(random: Random, folder: Path) -> None:
    write_rows(folder / NAME, read_rows(folder / NAME)[: random.choice([0, 1])])


@CSV.wrong
def one_row_per_class(random: Random, folder: Path) -> None:
    rows = read_rows(folder / NAME)[: random.randrange(3, 20)]
    for number, row in enumerate(rows[1:]):
        row[LABEL] = f"class{number}"
    write_rows(folder / NAME, rows)


@CSV.wrong
def one_row(random: Random, folder: Path) -> None:
    write_rows(folder / NAME, read_rows(folder / NAME)[: random.choice([2, 3])])


@CSV.wrong
def not_utf_8(random: Random, folder: Path) -> None:
    content = (folder / NAME).read_bytes()
    at = random.randrange(len(content))
    (folder / NAME).write_bytes(
        content[:at] + random.choice([b"\xff", b"\xc3\x28", b"\xe2\x82", b"\xf8"]) + content[at:]
    )


@CSV.wrong
def utf_16_without_mark(random: Random, folder: Path) -> None:
    write_rows(folder / NAME, read_rows(folder / NAME), encoding=random.choice(["utf-16-le", "utf-16-be"]))


@CSV.wrong
def another_file_format(random: Random, folder: Path) -> None:
    content = (folder / NAME).read_bytes()
    others = [gzip.compress(content), b"PK\x03\x04" + content, random.randbytes(500), b"\0" * 500, b"[]", b"\n\n\n"]
    (folder / NAME).write_bytes(random.choice(others))


@CSV.wrong
def no_regular_file(random: Random, folder: Path) -> None:
    path = folder / NAME
    path.unlink()
    other_kind(random, path)


@CSV.wrong
def unknown_encoding(random: Random, folder: Path) -> dict[str, Any]:
    return {"encoding": random.choice(["utf-9", "", "rot13", "base64", "zip", "a\0b", "x" * 5000, "utf-32", "idna"])}


def other_kind(random: Random, path: Path) -> None:
    """Make something at a path that is no file."""
    make = [
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to("/dev/stdin"),
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to("nothing"),
    ]
    random.choice(make)()


@CSV.right
def permuted_columns(random: Random, folder: Path) -> None:
    permute_columns(random, folder / NAME)


@CSV.right
def other_line_ends(random: Random, folder: Path) -> None:
    write_rows(folder / NAME, read_rows(folder / NAME), end=random.choice(["\r\n", "\n\n", "\r\n\r\n"]))


@CSV.right
def no_last_line_end(random: Random, folder: Path) -> None:
    (folder / NAME).write_bytes((folder / NAME).read_bytes().rstrip(b"\n"))


@CSV.right
def byte_order_mark(random: Random, folder: Path) -> None:
    write_rows(folder / NAME, read_rows(folder / NAME), encoding=random.choice(["utf-8-sig", "utf-16", "utf-32"]))


@CSV.right
def named_encoding(random: Random, folder: Path) -> dict[str, Any]:
    encoding = random.choice(["latin-1", "cp1252", "utf-16-le", "utf-16-be", "mac_roman"])
    write_rows(folder / NAME, read_rows(folder / NAME), encoding=encoding)
    return {"encoding": encoding}


@CSV.right
def quoted_fields(random: Random, folder: Path) -> None:
    write_rows(
        folder / NAME,
        [[f'"{field}"' if random.random() < 0.5 else field for field in row] for row in read_rows(folder / NAME)],
    )


@CSV.right
def another_delimiter(random: Random, folder: Path) -> None:
    write_rows(folder / NAME, read_rows(folder / NAME), delimiter=random.choice(["\t", ";", "|"]))


@CSV.right
def named_delimiter(random: Random, folder: Path) -> dict[str, Any]:
    delimiter = random.choice(["~", "^", "§", "\t"])
    write_rows(folder / NAME, read_rows(folder / NAME), delimiter=delimiter)
    return {"delimiter": delimiter}


@CSV.right
def column_without_a_role(random: Random, folder: Path) -> None:
    fields = ['"a\nb"', '"1,2"', "nan", "", '"say ""yes"""', "\u2028", "ÿ"]
    rows = read_rows(folder / NAME)
    write_rows(folder / NAME, [[*rows[0], "note"], *([*row, random.choice(fields)] for row in rows[1:])])


@CSV.right
def other_forms_of_numbers(random: Random, folder: Path) -> None:
    rows = read_rows(folder / NAME)
    for row in rows[1:]:
        for column in NUMBERS:
            number = float(row[column])
            row[column] = random.choice([f"{number:e}", f" {number} ", f"{number:+.6f}", repr(number), f"{number}E0"])
    write_rows(folder / NAME, rows)


@CSV.right
def other_names(random: Random, folder: Path) -> dict[str, Any]:
    rows = read_rows(folder / NAME)
    name = random.choice(["Zahl (€)", "a b", "größe", "x/y", "=1", "numeric", "data.x", "名" * 100, "true", "0", "[a]"])
    for row in rows:
        row.append(row[0])
    rows[0][-1] = name
    write_rows(folder / NAME, rows)
    return {"exclude": [name]}


@CSV.right
def another_file_name(random: Random, folder: Path) -> dict[str, Any]:
    names = ["ä ö.csv", "a\nb.csv", "-x", "a'b\"c.csv", "%s{0}.csv", "x" * 200, "名" * 80]
    name = random.choice(names)
    (folder / NAME).rename(folder / name)
    return {"path": name}


@CSV.wrong
def file_name_that_is_no_text(random: Random, folder: Path) -> dict[str, Any]:
    name = os.fsdecode(random.choice([b"\xff\xfe.csv", b"a\x80", b"\xc3\x28.csv"]))
    (folder / NAME).rename(folder / name)
    return {"path": name}


@CSV.any
def changed_bytes(random: Random, folder: Path) -> None:
    random.choice([flip_bytes, cut, splice])(random, folder / NAME)


@CSV.any
def changed_fields(random: Random, folder: Path) -> None:
    rows = read_rows(folder / NAME)
    fields = [*MISSING_WORDS, *ODD_FIELDS, '"', "\r", "\0", "1", "", "a\x85b"]
    for _ in range(random.randrange(1, 8)):
        rows[random.randrange(len(rows))][random.randrange(len(HEADER))] = random.choice(fields)
    write_rows(folder / NAME, rows)


@CSV.any
def other_options(random: Random, folder: Path) -> dict[str, Any]:
    options = {
        "label_kind": ["class", "real", "multi_label", "ordinal"],
        "missing_values": ["impute"],
        "missing_labels": ["drop"],
        "labels": [["size"], ["town"], ["label", "town"], ["nothing"]],
        "numeric": [["*"], ["s*"], ["size..weight"], ["weight..size"], ["town"]],
        "categorical": [["label"], [], ["*"]],
        "text": [["town"]],
        "dates": [["size"], ["town"]],
        "id": ["town", "size", "x"],
        "weight": ["weight", "town", "size"],
        "decimal": [","],
        "delimiter": [";", "e", "a", '"'],
        "encoding": ["utf-16", "ascii", "cp037", "utf-7", "unicode_escape", "punycode"],
        "merge_spellings": [True],
    }
    return {key: random.choice(options[key]) for key in random.sample([*options], random.randrange(1, 3))}
