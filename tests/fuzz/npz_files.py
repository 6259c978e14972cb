"""NumPy .npz files."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz.csv_files import other_kind
from fuzz.grammar import Format, cut, flip_bytes, splice

from pipeline.data.sources.npz import Npz

NAME = "rows.npz"
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def sample() -> dict[str, np.ndarray]:
    """Return 48 rows of three numbers, which every dtype holds, and a class."""
    rows = np.arange(48)
    return {"x": np.stack([rows % 7, rows % 5, rows * 2], axis=1).astype(np.float32), "y": rows % 2}


def write(folder: Path) -> None:
    """Write the sample."""
    np.savez(folder / NAME, **sample())


NPZ = Format("npz", Npz, {"path": NAME}, write)


def _save(folder: Path, **arrays: Any) -> None:
    np.savez(folder / NAME, **{**sample(), **arrays})


def _npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version)
    return stream.getvalue()


def _save_members(folder: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(folder / NAME, "w", method) as archive, warnings.catch_warnings(action="ignore"):
        for name, content in members:  # a name that is there already is a warning
            archive.writestr(name, content)


def _save_header(folder: Path, header: str, version: tuple[int, int] = (1, 0)) -> None:
    """Write x with this text as its header."""
    text = header.encode("latin-1", "replace")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    content = b"\x93NUMPY" + bytes(version) + length + text + sample()["x"].tobytes()
    _save_members(folder, [("x.npy", content), ("y.npy", _npy(sample()["y"]))])


def _changed(name: str, *values: Any) -> Callable[[Random, Path], None]:
    """Return a mutation that puts one of these values into a row of an array of floats."""

    def change(random: Random, folder: Path) -> None:
        array = sample()[name].astype(np.float64)
        array.reshape(-1)[random.randrange(array.size)] = random.choice(values)
        _save(folder, **{name: array})

    return change


def _named(name: str, change: Callable[[Random, Path], Any]) -> Callable[[Random, Path], Any]:
    change.__name__ = name
    return change


NPZ.wrong(_named("not_finite_feature", _changed("x", np.nan, np.inf, -np.inf)))
NPZ.wrong(_named("class_that_is_no_class", _changed("y", np.nan, np.inf, 0.5, 1e300)))
NPZ.any(_named("odd_numbers", _changed("x", 1e300, 5e-324, -0.0, 2.0**53)))


@NPZ.wrong
def other_number_of_labels(random: Random, folder: Path) -> None:
    _save(folder, y=np.arange(random.choice([1, 2, 47, 49, 96])) % 2)


@NPZ.wrong
def python_objects(random: Random, folder: Path) -> None:
    objects = np.array([Bomb(), *range(47)], object)
    _save(folder, **{random.choice("xy"): objects})


class Bomb:
    """An object that runs a command when it is loaded."""

    def __reduce__(self) -> tuple:
        import os

        return os.system, ("true",)


@NPZ.wrong
def dtype_that_is_no_feature(random: Random, folder: Path) -> None:
    rows = np.arange(48)
    arrays = [
        rows + 1j,
        rows.astype("datetime64[s]"),
        rows.astype("timedelta64[s]"),
        np.zeros(48, [("a", "f4"), ("b", "i4")]),
        np.zeros(48, "V8"),
        np.array([b"\xff\xfe"] * 48),
    ]
    _save(folder, x=random.choice(arrays))


@NPZ.wrong
def shape_that_has_no_rows(random: Random, folder: Path) -> None:
    _save(
        folder,
        **{random.choice("xy"): random.choice([np.float32(3), np.zeros(0), np.zeros((0, 3)), np.zeros((48, 0))])},
    )


@NPZ.wrong
def header_that_lies(random: Random, folder: Path) -> None:
    shapes = [
        "(-48, 3)",
        "(48, -3)",
        "(49, 3)",
        "(10**9,)",
        "(999999999999, 3)",
        f"({10**30}, 3)",
        "(48, 3.0)",
        "48",
        "None",
    ]
    shapes += ["(True, 144)", "('48', 3)", "(48, (3,))", "((((48,),),),)", "[48, 3]", "(48, 3, 0)", "(-1, -144)"]
    _save_header(folder, f"{{'descr': '<f4', 'fortran_order': False, 'shape': {random.choice(shapes)}, }}\n")


@NPZ.wrong
def header_with_another_type(random: Random, folder: Path) -> None:
    types = ["'|O'", "'<f3'", "'abc'", "''", "[]", "[('a','<f4')]", "3", "None", "'<f8'", "'<f2'", "'<U1000000'", "{}"]
    types += ["'|V0'", "'<U0'", "'|S0'", "('<f4', (2,))", "'f4,f4'", "'<M8[s]'", "[('', '|V4')]", "'<f4' * 9", "b'<f4'"]
    order = random.choice(["False", "False", "0", "'x'", "None"])
    _save_header(folder, f"{{'descr': {random.choice(types)}, 'fortran_order': {order}, 'shape': (48, 3), }}\n")


@NPZ.wrong
def header_that_is_no_header(random: Random, folder: Path) -> None:
    texts = ["", "{", "(" * 1000, "[" * 9000, "{'a': " * 900, "x", "1", "{}", "\0", "__import__('os').system('true')"]
    texts += [
        "{'descr': '<f4'}",
        "'" * 3,
        "9" * 9000,
        "-" * 5000 + "1",
        "{**{}}",
        "lambda: 1",
        "\xff" * 50,
        "#",
        "\\",
        "1L",
    ]
    texts += ["{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 500 + ")" * 500 + "}", "not " * 2000 + "1"]
    texts += ["{'descr': '<f4', 'fortran_order': False, 'shape': (48, 3), 'extra': 1}", "0_0" * 3000, "1" + "+1" * 4000]
    _save_header(
        folder, random.choice(texts) + random.choice(["", "\n", " " * 60 + "\n"]), random.choice([(1, 0), (2, 0)])
    )


@NPZ.wrong
def no_array_in_a_member(random: Random, folder: Path) -> None:
    whole = _npy(sample()["x"])
    contents = [b"", b"\x93NUMPY", whole[: random.randrange(len(whole))], b"\x93NUMPX" + whole[6:], whole + b"\0"]
    contents += [b"\x93NUMPY\x09\x00" + whole[8:], b"\x93NUMPY\x01\x00\xff\xff" + whole[10:], b"\x80\x04."]
    _save_members(folder, [("x.npy", random.choice(contents)), ("y.npy", _npy(sample()["y"]))])


@NPZ.wrong
def member_twice(random: Random, folder: Path) -> None:
    y = sample()["y"]
    _save_members(folder, [("x.npy", _npy(sample()["x"])), ("y.npy", _npy(y)), ("y.npy", _npy(1 - y))])


@NPZ.wrong
def plain_and_split_names(random: Random, folder: Path) -> None:
    split = random.choice(["train", "test", "validation"])
    form = random.choice(["{}_{}", "{1}_{0}"])
    names = random.choice([("x", "y"), ("x",), ("y",)])
    _save(folder, **{form.format(split, name): sample()[name] for name in names})


@NPZ.wrong
def array_missing(random: Random, folder: Path) -> None:
    arrays = sample()
    del arrays[random.choice("xy")]
    np.savez(folder / NAME, **arrays, X=arrays.get("x", 0))


@NPZ.wrong
def cut_file(random: Random, folder: Path) -> None:
    cut(random, folder / NAME)


@NPZ.wrong
def changed_values_of_a_member(random: Random, folder: Path) -> None:
    _save_members(folder, [(f"{name}.npy", _npy(array)) for name, array in sample().items()], random.choice(METHODS))
    path, content = folder / NAME, bytearray((folder / NAME).read_bytes())
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("x.npy")
    start = member.header_offset + 30 + len("x.npy")
    content[start + random.randrange(member.compress_size)] ^= random.randrange(1, 256)
    path.write_bytes(content)


@NPZ.wrong
def unknown_compression(random: Random, folder: Path) -> None:
    content = bytearray((folder / NAME).read_bytes())
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.find(signature)
        content[start + at : start + at + 2] = struct.pack("<H", random.choice([1, 6, 9, 95, 99, 65535]))
        if random.random() < 0.3:
            content[start + at - 2] |= 1  # encrypted
    (folder / NAME).write_bytes(content)


@NPZ.wrong
def size_of_a_member_that_lies(random: Random, folder: Path) -> None:
    content = bytearray((folder / NAME).read_bytes())
    start = content.find(b"PK\x01\x02")
    content[start + 24 : start + 28] = struct.pack("<I", random.choice([0, 1, 2**31, 2**32 - 2]))
    (folder / NAME).write_bytes(content)


@NPZ.wrong
def larger_than_memory(random: Random, folder: Path) -> None:
    write_sparse_member(folder / NAME, rows=1 << 38)


def write_sparse_member(path: Path, rows: int) -> None:
    """Write an .npz file whose array x has a terabyte of zeros: a hole in the file."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows},), }}".encode().ljust(117) + b"\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    size = len(head) + 4 * rows
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    fields = struct.pack("<HHHHHIIIHH", 45, 0, 0, 0, 33, 0, 2**32 - 1, 2**32 - 1, 5, len(extra))
    local = b"PK\x03\x04" + fields + b"x.npy" + extra
    central = b"PK\x01\x02\x2d\x00" + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"x.npy" + extra
    with path.open("wb") as file:
        file.write(local + head)
        file.seek(len(local) + size)
        start = file.tell()
        file.write(central)
        end = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(central), start)
        file.write(b"PK\x06\x06" + end + b"PK\x06\x07" + struct.pack("<IQI", 0, start + len(central), 1))
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), 2**32 - 1, 0))


@NPZ.wrong
def no_regular_file(random: Random, folder: Path) -> None:
    (folder / NAME).unlink()
    other_kind(random, folder / NAME)


@NPZ.wrong
def another_file_format(random: Random, folder: Path) -> None:
    contents = [b"", b"PK", b"\0" * 500, _npy(sample()["x"]), random.randbytes(500), b"size,label\n1,2\n"]
    (folder / NAME).write_bytes(random.choice(contents))


@NPZ.right
def another_dtype_of_the_features(random: Random, folder: Path) -> None:
    dtypes = ["<f8", ">f4", ">f8", "<f2", ">f2", "g"]
    _save(folder, x=sample()["x"].astype(random.choice(dtypes)))


@NPZ.right
def another_dtype_of_the_labels(random: Random, folder: Path) -> None:
    dtypes = ["i1", "u1", ">i2", "<u4", ">i8", "u8", "f4", "f8", "f2", "?", "U1", "S1"]
    _save(folder, y=sample()["y"].astype(random.choice(dtypes)))


@NPZ.right
def another_order_in_memory(random: Random, folder: Path) -> None:
    _save(folder, x=np.asfortranarray(sample()["x"]), y=random.choice([sample()["y"], sample()["y"][:, np.newaxis]]))


@NPZ.right
def other_compression(random: Random, folder: Path) -> None:
    members = [(f"{name}.npy", _npy(array, (2, 0))) for name, array in sample().items()]
    _save_members(folder, random.sample(members, 2), random.choice(METHODS))


@NPZ.right
def further_members(random: Random, folder: Path) -> None:
    members = [(f"{name}.npy", _npy(array)) for name, array in sample().items()]
    others = [("z.npy", b"damaged"), ("notes.txt", b"x"), ("../../x.npy", b"x"), ("/etc/x.npy", b""), ("ä.npy", b"")]
    _save_members(folder, [*random.sample(others, 2), *members])


@NPZ.any
def changed_bytes(random: Random, folder: Path) -> None:
    _save_members(folder, [(f"{name}.npy", _npy(array)) for name, array in sample().items()], random.choice(METHODS))
    for _ in range(random.randrange(1, 4)):
        random.choice([flip_bytes, splice])(random, folder / NAME)


@NPZ.any
def changed_header(random: Random, folder: Path) -> None:
    header = bytearray(b"{'descr': '<f4', 'fortran_order': False, 'shape': (48, 3), }\n")
    for _ in range(random.randrange(1, 6)):
        header[random.randrange(len(header))] = random.choice(b"()[]{}'\",:0123456789-+*. \0\xff<>fiuOUSV")
    _save_header(folder, header.decode("latin-1"))


@NPZ.any
def other_options(random: Random, folder: Path) -> dict[str, Any]:
    options = {
        "label_kind": ["real", "one_hot", "multi_label"],
        "classes": [1, 2, 3, 10**6],
        "lengths": ["y", "n", "x"],
        "weight": ["y", "n", "w"],
        "features": [["y"], ["n"], ["x", "n"], [""], ["../x"]],
        "labels": [["x"], ["n"], ["y", "n"]],
    }
    _save(folder, n=random.choice([np.ones(48, int), np.ones(40), np.array(["a"] * 48), np.full(24, 2), np.zeros(48)]))
    return {key: random.choice(options[key]) for key in random.sample([*options], random.randrange(1, 3))}
