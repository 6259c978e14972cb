"""idx files: what is read, and which damage is refused."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.idx import Idx
from pipeline.errors import ConfigError, DataError

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array, shape=None):
    """Return the idx file of an array. A shape, if set, is the one in the header."""
    shape = array.shape if shape is None else shape
    header = bytes([0, 0, CODES[array.dtype.str[1:]], len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def plain(content):
    return content


@pytest.fixture(params=[plain, gzip.compress], ids=["plain", "gz"])
def packed(request):
    return request.param


@pytest.fixture
def folder(tmp_path, packed):
    for split, rows in (("train", slice(None)), ("t10k", slice(4))):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(packed(idx_bytes(IMAGES[rows])))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(packed(idx_bytes(LABELS[rows])))
    return tmp_path


def read(folder, **options):
    return splits.read(Idx(path=str(folder), classes=3, **options))


def refused(folder, *messages, **options):
    with pytest.raises(DataError) as raised:
        read(folder, **options)
    for message in messages:
        assert message in str(raised.value)


def test_images_and_labels_are_those_of_the_files(folder):
    source = read(folder)
    np.testing.assert_array_equal(source.splits["train"].features["image"], IMAGES[..., np.newaxis])
    np.testing.assert_array_equal(source.splits["test"].labels["label"], LABELS[:4])
    assert source.spec.features["image"].shape == (4, 5, 1)
    assert source.spec.features["image"].dtype == "uint8"


def test_a_file_is_found_with_the_suffix_gz(folder):
    for path in list(folder.iterdir()):
        path.rename(f"{path}.gz")
    assert len(read(folder).splits["train"]) == 6


def test_without_test_files_there_is_only_a_train_split(folder):
    assert set(read(folder, test_images="", test_labels="").splits) == {"train"}


def test_one_test_file_without_the_other_is_refused(folder):
    with pytest.raises(ConfigError, match="test_labels"):
        read(folder, test_images="")


@pytest.mark.parametrize("stored, kept", [("i1", "int32"), ("i2", "int32"), ("i4", "int32"), ("f4", "float32")])
def test_other_dtypes_are_read_as_big_endian(tmp_path, stored, kept):
    values = (np.arange(120).reshape(6, 4, 5) - 3).astype(stored)
    (tmp_path / "images").write_bytes(idx_bytes(values))
    (tmp_path / "labels").write_bytes(idx_bytes(LABELS))
    column = (
        read(tmp_path, train_images="images", train_labels="labels", test_images="", test_labels="")
        .splits["train"]
        .features["image"]
    )
    assert column.dtype == kept
    np.testing.assert_array_equal(column[..., 0], values)


def test_images_that_are_not_gzipped_stay_on_disk(tmp_path):
    (tmp_path / "images").write_bytes(idx_bytes(IMAGES))
    (tmp_path / "labels").write_bytes(idx_bytes(LABELS))
    source = read(tmp_path, train_images="images", train_labels="labels", test_images="", test_labels="")
    assert isinstance(source.splits["train"].features["image"], np.memmap)


def test_a_missing_file_is_refused_with_the_nearest_name(folder):
    refused(
        folder, "train-image-idx3-ubyte", "Did you mean train-images-idx3-ubyte", train_images="train-image-idx3-ubyte"
    )


def test_a_missing_folder_is_refused(tmp_path):
    refused(tmp_path / "nowhere", "nowhere")


def test_a_truncated_file_is_refused_naming_the_byte_at_which_it_ends(folder, packed):
    whole = idx_bytes(IMAGES)
    (folder / "train-images-idx3-ubyte").write_bytes(packed(whole[:-7]))
    refused(folder, "train-images-idx3-ubyte", f"byte {len(whole) - 7}", f"{len(whole)} bytes")


def test_a_truncated_gzip_file_is_refused_naming_the_file(folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES))[:-10])
    refused(folder, str(path), "gzip")


def test_a_gzip_file_with_a_wrong_checksum_is_refused(folder):
    content = bytearray(gzip.compress(idx_bytes(IMAGES)))
    content[-8] ^= 1
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    refused(folder, "train-images-idx3-ubyte", "CRC")


def test_trailing_bytes_are_refused_naming_the_first(folder, packed):
    whole = idx_bytes(IMAGES)
    (folder / "train-images-idx3-ubyte").write_bytes(packed(whole + b"x"))
    refused(folder, "train-images-idx3-ubyte", f"byte {len(whole)}")


@pytest.mark.parametrize("shape", [(2**32 - 1, 2**32 - 1, 2**32 - 1), (60_000, 2_800, 2_800)])
def test_a_header_that_claims_more_than_the_file_holds_allocates_nothing(folder, packed, shape):
    (folder / "train-images-idx3-ubyte").write_bytes(packed(idx_bytes(IMAGES, shape)))
    tracemalloc.start()
    try:
        refused(folder, "train-images-idx3-ubyte", "claims")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_gzip_bomb_behind_a_small_header_is_not_unpacked(folder):
    (folder / "train-images-idx3-ubyte").write_bytes(gzip.compress(idx_bytes(IMAGES) + bytes(50_000_000)))
    tracemalloc.start()
    try:
        refused(folder, "train-images-idx3-ubyte", "more bytes")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    "content, location",
    [
        (b"", "byte 0"),
        (b"\0\0\x08", "byte 0"),
        (b"\x89PNG and more", "byte 0"),
        (b"\0\0\x07\x03" + bytes(12), "byte 2"),
        (b"\0\0\x08\x03\0\0\0\x06", "byte 8"),
    ],
    ids=["empty", "three bytes", "another format", "unknown dtype", "sizes cut"],
)
def test_a_header_that_is_not_idx_is_refused_naming_the_byte(folder, packed, content, location):
    (folder / "train-images-idx3-ubyte").write_bytes(packed(content))
    refused(folder, "train-images-idx3-ubyte", location)


def test_labels_in_place_of_images_are_refused(folder):
    refused(
        folder,
        "train-labels-idx1-ubyte",
        "byte 3",
        "swapped",
        train_images="train-labels-idx1-ubyte",
        train_labels="train-images-idx3-ubyte",
    )


def test_labels_of_another_count_than_images_are_refused_naming_both_files(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:-1]))
    refused(folder, "train-labels-idx1-ubyte", "train-images-idx3-ubyte", "expected 6", "found 5")


def test_labels_that_are_not_whole_numbers_are_refused(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS.astype("f4")))
    refused(folder, "train-labels-idx1-ubyte", "byte 2")


def test_test_images_of_another_size_are_refused(folder):
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES[:4, :3]))
    refused(folder, "test split", "(3, 5, 1)")


def test_files_without_rows_are_refused(folder):
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES[:0]))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:0]))
    refused(folder, "t10k-images-idx3-ubyte, byte 4", "sizes of at least 1", "found 0 x 4 x 5")


def test_images_without_pixels_are_refused(folder):
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES[:, :0]))
    refused(folder, "train-images-idx3-ubyte, byte 4", "sizes of at least 1", "found 6 x 0 x 5")


def test_a_header_of_more_dimensions_than_an_array_may_have_is_refused(folder):
    (folder / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x")
    refused(folder, "train-images-idx3-ubyte, byte 3", "at most 4 dimensions", "found 255")


def test_labels_that_begin_at_1_are_refused_with_a_fix_that_works(tmp_path, packed):
    assert sorted(set(LABELS)) == [0, 1, 2]
    labels = LABELS + 1
    (tmp_path / "train-images-idx3-ubyte").write_bytes(packed(idx_bytes(IMAGES)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(packed(idx_bytes(labels)))
    options = {"path": str(tmp_path), "test_images": "", "test_labels": ""}
    options["split"] = SplitOptions(validation=0, test=0.2)
    with pytest.raises(DataError, match=r"no row of 0, 4, .* set data.classes=null"):
        splits.load(Idx(**options))
    for count in (None, 3):
        source = splits.read(Idx(**options, classes=count))
        assert source.spec.labels["label"].classes == ("1", "2", "3")
        np.testing.assert_array_equal(source.splits["train"].labels["label"], LABELS)
