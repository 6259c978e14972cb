"""Arrays from a NumPy .npz file. Pickled objects in it are never loaded."""

import zipfile
import zlib
from math import prod

import numpy as np

from pipeline.errors import DataError, nearest

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, RuntimeError)


def names(path):
    """The names of the arrays in the file."""
    with open_archive(path) as archive:
        return members(archive)


def read(path, name):
    """One array of the file.

    What is allocated is bounded by the bytes the file holds. Raises DataError naming file and array for what is
    missing, damaged, or holds Python objects.
    """
    with open_archive(path) as archive:
        known = members(archive)
        if name not in known:
            raise DataError(f"{path}: expected an array {name!r}; found none. {nearest(name, known)}")
        try:
            return read_member(archive, f"{name}.npy", f"{path}, array {name!r}")
        except DAMAGED as error:
            raise DataError(
                f"{path}, array {name!r}: expected a whole array; found damage ({error}). Copy the file again."
            ) from error


def members(archive):
    return [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]


def open_archive(path):
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError) as error:
        raise DataError(f"{path}: expected an .npz file, as numpy.savez writes; found another ({error}).") from error


def read_member(archive, member, place):
    # numpy.load would allocate what the array's header claims before it reads; here the bytes come first
    with archive.open(member) as stream:
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(np.lib.format.read_magic(stream))
        if read_header is None:
            raise DataError(f"{place}: expected an array of a plain dtype; found one with named fields.")
        shape, fortran, dtype = read_header(stream)
        if dtype.hasobject:
            raise DataError(
                f"{place}: expected numbers, booleans or text; found Python objects, which are never loaded, since a "
                "pickle can run code. Save rows that differ in length end to end, with data.lengths."
            )
        claimed = prod(shape) * dtype.itemsize
        held = archive.getinfo(member).file_size - stream.tell()
        if claimed != held:
            raise DataError(f"{place}: its header claims {claimed:,} bytes of values; the file holds {held:,}.")
        content = stream.read(held)
    if len(content) != held:
        raise DataError(f"{place}: expected {held:,} bytes of values; found {len(content):,}. Copy the file again.")
    return np.ndarray(shape, dtype, content, order="F" if fortran else "C")
