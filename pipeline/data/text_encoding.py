"""The encoding of a text file: byte order marks, and what to set if the text does not decode."""

from __future__ import annotations

import codecs
from pathlib import Path

from pipeline.errors import ConfigError, DataError
from pipeline.overrides import shell_argument

HEAD = 1 << 16  # bytes that are read to detect the encoding and the delimiter
# the longer marks first, since that of UTF-16 LE begins that of UTF-32 LE
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTEXT = 12  # characters shown around one that does not decode


def check_encoding(place: str, encoding: str) -> None:
    """Check that an encoding is known.

    Raises:
        ConfigError: It is not.
    """
    try:
        "".encode(encoding)
    except LookupError:
        raise ConfigError(
            f"{place}: expected the name of an encoding, such as utf-8, utf-16, cp1252 or latin-1; found {encoding!r}."
        ) from None


def detect_encoding(path: Path, head: bytes) -> str:
    """Return the encoding of the byte order mark, or UTF-8 if there is none.

    Args:
        path: The file, for error messages.
        head: Its first bytes.

    Raises:
        DataError: The file looks like UTF-16 without a mark.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    likely = _utf_16_without_mark(head)
    if likely:
        raise DataError(
            f"{path}: expected text in UTF-8; found bytes that look like UTF-16 without a byte order mark. Set "
            f"{shell_argument('data.encoding', likely)}."
        )
    return "utf-8"


def _utf_16_without_mark(head: bytes) -> str | None:
    """Return the UTF-16 encoding in which every second byte of a text of plain letters is 0; None if it is not."""
    low, high = head[0::2], head[1::2]
    if low.count(0) == 0 and high.count(0) > len(high) / 2:
        return "utf-16-le"
    return "utf-16-be" if high.count(0) == 0 and low.count(0) > len(low) / 2 else None


def undecodable(path: Path, encoding: str, error: UnicodeError) -> DataError:
    """Return the error of a file that has another encoding: it names the line, and a likely encoding to set."""
    if not isinstance(error, UnicodeDecodeError):
        return DataError(f"{path}: expected text in {encoding}; found other bytes ({error}). Check data.encoding.")
    found = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
    if not encoding.startswith("utf-8") or not path.is_file():
        return DataError(
            f"{path}: expected text in {encoding}; found {found}. Set data.encoding to that of the file, or leave it "
            "out."
        )
    number, line = _undecodable_line(path)
    likely = "cp1252" if _decodes(path, "cp1252") else "latin-1"
    return DataError(
        f"{path}, line {number}: expected text in UTF-8; found {found}. Set "
        f"{shell_argument('data.encoding', likely)} if {_around_first_high_byte(line, likely)!r} is right; otherwise "
        "the encoding of the program that wrote the file, such as cp1250, cp1251, shift_jis or gb18030."
    )


def _decodes(path: Path, encoding: str) -> bool:
    try:
        with path.open(encoding=encoding, newline="") as file:
            for _ in file:
                pass
    except UnicodeDecodeError:
        return False
    return True


def _undecodable_line(path: Path) -> tuple[int, bytes]:
    """Return the number and the bytes of the first line that is not UTF-8."""
    # the reader decodes blocks ahead of the rows, so its line number is too low
    number, content = 0, b""
    with path.open("rb") as file:
        for line in file:
            number, content = number + 1, line
            try:
                content.decode()
            except UnicodeDecodeError:
                break
    return number, content


def _around_first_high_byte(line: bytes, encoding: str) -> str:
    position = next(index for index, byte in enumerate(line) if byte > 0x7F)
    return line[max(0, position - CONTEXT) : position + CONTEXT].decode(encoding, "replace").strip()
