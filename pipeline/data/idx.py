"""The idx format of the MNIST family: one array a file, gzipped or not."""

import gzip
import struct
import zlib
from math import prod

import numpy as np

from pipeline.errors import DataError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
RANK = 4  # rows, height, width and channels are the most that is read
CHUNK = 1 << 16  # bytes decompressed at a time


def read(path):
    """The array of one idx file, its values big-endian as stored; a file that is not gzipped stays on disk.

    What is allocated is bounded by the bytes the file holds, whatever its header claims.
    Format: http://yann.lecun.com/exdb/mnist (magic 00 00 dtype rank, big-endian sizes, values).

    Raises DataError naming the file and the byte where it is not idx, is cut short or goes on after its end.
    """
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return read_gzipped(path)
        file.seek(0)
        dtype, shape, start = read_header(file, path)
    check_size(path, dtype, shape, start, path.stat().st_size)
    return np.memmap(path, dtype, "r", start, shape)


def read_gzipped(path):
    try:
        with gzip.open(path) as stream:
            dtype, shape, start = read_header(stream, path)
            claimed = prod(shape) * dtype.itemsize
            content = bytearray()
            # chunks, since read(claimed) would allocate the claim; one byte more than claimed shows what trails
            while chunk := stream.read(min(CHUNK, claimed + 1 - len(content))):
                content += chunk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole gzip file; found a damaged one ({error}). Copy it again.") from error
    check_size(path, dtype, shape, start, start + len(content))
    return np.frombuffer(content, dtype).reshape(shape)


def read_header(stream, path):
    """The (dtype, shape, byte where the values start) that the header claims."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        found = magic.hex(" ") or "an empty file"
        raise DataError(f"{path}, byte 0: expected an idx file, which begins with 00 00; found {found}.")
    code, rank = magic[2:]
    if rank > RANK:
        raise DataError(
            f"{path}, byte 3: expected at most {RANK} dimensions; found {rank}. It is no file of this kind."
        )
    if code not in DTYPES:
        known = ", ".join(f"{known:02x}" for known in DTYPES)
        raise DataError(f"{path}, byte 2: expected the code of an idx dtype ({known}); found {code:02x}.")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(
            f"{path}, byte {4 + len(sizes)}: expected the sizes of {rank} dimensions; found the file's end."
        )
    shape = struct.unpack(f">{rank}I", sizes)
    if 0 in shape:
        raise DataError(f"{path}, byte 4: expected sizes of at least 1; found {' x '.join(map(str, shape))}.")
    return np.dtype(DTYPES[code]), shape, 4 + 4 * rank


def check_size(path, dtype, shape, start, found):
    """Compare the bytes found, or at least one more than claimed, with what the header claims."""
    expected = start + prod(shape) * dtype.itemsize
    claim = (
        f"its header claims {' x '.join(map(str, shape))} values of {dtype.itemsize} byte, {expected:,} bytes in all"
    )
    if found < expected:
        raise DataError(f"{path}, byte {found}: {claim}; the file ends here, {found:,} bytes long. Copy it again.")
    if found > expected:
        raise DataError(f"{path}, byte {expected}: {claim}; the file goes on after that. Copy it again.")
