"""Folders of images: classes, splits and pixels, and which files are refused."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.data import splits
from pipeline.data.containers import Images
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.errors import DataError

RANDOM = np.random.default_rng(0)


def picture(height=6, width=8):
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def encoded(pixels, form):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def put(path, pixels=None, form="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture() if pixels is None else pixels, form))
    return path


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        for number in range(3):
            put(tmp_path / "animals" / name / f"{number}.png")
    return tmp_path / "animals"


def read(folder, **options):
    return splits.read(ImageFolder(path=str(folder), **options))


def refused(folder, *messages, **options):
    with pytest.raises(DataError) as raised:
        read(folder, **options)
    for message in messages:
        assert message in str(raised.value)


def test_classes_are_the_subfolders_in_order(folder):
    source = read(folder)
    assert source.spec.labels["label"].classes == ("cat", "dog")
    assert source.splits["train"].labels["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert source.spec.features["image"].shape == (6, 8, 3)


def test_images_on_disk_decode_to_those_in_memory(folder):
    streamed = read(folder).splits["train"].features["image"]
    kept = read(folder, in_memory=True).splits["train"].features["image"]
    assert isinstance(streamed, Images)
    decoded = [streamed.pixels(row) for row in range(len(streamed))]
    np.testing.assert_array_equal(np.stack(decoded), kept)


def test_the_pixels_of_a_png_are_those_that_were_saved(tmp_path):
    pixels = {name: picture() for name in ("a", "b")}
    for name, array in pixels.items():
        put(tmp_path / name / "one.png", array)
    kept = read(tmp_path, in_memory=True).splits["train"].features["image"]
    np.testing.assert_array_equal(kept, np.stack([pixels["a"], pixels["b"]]))


def test_png_and_jpeg_are_read_whatever_the_case_of_their_extension(folder):
    for name, form in (("a.JPG", "JPEG"), ("b.jpeg", "JPEG"), ("c.PNG", "PNG")):
        put(folder / "cat" / name, form=form)
    assert np.bincount(read(folder).splits["train"].labels["label"]).tolist() == [6, 3]


def test_grey_images_have_one_channel(folder):
    assert read(folder, channels=1, in_memory=True).splits["train"].features["image"].shape == (6, 6, 8, 1)


def test_hidden_files_are_skipped(folder):
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "cat" / ".thumbs").write_bytes(b"x")
    assert len(read(folder).splits["train"]) == 6


def test_folders_named_after_splits_are_splits(tmp_path):
    for split, count in (("train", 3), ("validation", 1), ("test", 2)):
        for name in ("cat", "dog"):
            for number in range(count):
                put(tmp_path / split / name / f"{number}.png")
    source = read(tmp_path, in_memory=True)
    assert {name: len(table) for name, table in source.splits.items()} == {"train": 6, "validation": 2, "test": 4}
    assert source.splits["test"].row_location(3) == str(tmp_path / "test" / "dog" / "1.png")
    last = np.asarray(Image.open(tmp_path / "test" / "dog" / "1.png"))
    np.testing.assert_array_equal(source.splits["test"].features["image"][3], last)


def test_images_of_any_size_are_resized_if_a_size_is_set(folder):
    put(folder / "cat" / "large.png", np.full((30, 40, 3), 200, np.uint8))
    kept = read(folder, height=6, width=8, in_memory=True).splits["train"]
    row = [kept.row_location(row) for row in range(len(kept))].index(str(folder / "cat" / "large.png"))
    assert (kept.features["image"][row] == 200).all()


def test_images_keep_their_order_even_if_one_takes_longer_to_decode(tmp_path):
    for value in range(40):
        size = 3000 if value % 10 == 0 else 4
        put(tmp_path / "a" / f"{value:02d}.png", np.full((size, size, 3), value, np.uint8))
    kept = read(tmp_path, height=2, width=2, in_memory=True).splits["train"].features["image"]
    assert kept[:, 0, 0, 0].tolist() == list(range(40))


def test_an_image_of_the_configured_size_keeps_its_pixels(tmp_path):
    pixels = picture()
    put(tmp_path / "a" / "one.png", pixels)
    kept = read(tmp_path, height=6, width=8, in_memory=True).splits["train"].features["image"]
    np.testing.assert_array_equal(kept[0], pixels)


def test_images_of_differing_size_are_refused_naming_both_files(folder):
    odd = put(folder / "dog" / "1.png", picture(6, 9))
    refused(folder, str(odd), str(folder / "cat" / "0.png"), "6 x 8", "6 x 9", "data.height")


def test_an_image_of_another_size_in_the_test_split_is_refused(tmp_path):
    put(tmp_path / "train" / "cat" / "0.png")
    odd = put(tmp_path / "test" / "cat" / "0.png", picture(5, 8))
    refused(tmp_path, str(odd), "5 x 8")


@pytest.mark.parametrize("in_memory", [False, True], ids=["on disk", "in memory"])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_truncated_image_among_valid_ones_is_refused_naming_it(folder, form, in_memory):
    content = encoded(picture(60, 80), form)
    broken = folder / "dog" / "1.png"
    broken.write_bytes(content[: len(content) // 2])
    refused(folder, str(broken), "cannot be decoded", height=6, width=8, in_memory=in_memory)


def test_a_jpeg_that_lacks_its_last_bytes_is_refused_naming_it(folder):
    content = encoded(picture(60, 80), "JPEG")
    broken = folder / "dog" / "1.jpg"
    broken.write_bytes(content[:-40])
    refused(folder, str(broken), "cannot be decoded", height=6, width=8)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\xff\xd8\xff\xe0 and then nothing"])
def test_a_file_that_is_not_an_image_is_refused_naming_it(folder, content):
    broken = folder / "dog" / "1.jpg"
    broken.write_bytes(content)
    refused(folder, str(broken))


def test_another_image_format_with_a_png_extension_is_refused(folder):
    refused(put(folder / "dog" / "1.png", form="PPM").parent.parent, "dog/1.png", "PNG or JPEG", "50 36")


def test_other_files_among_the_images_are_refused_naming_the_first_ones(folder):
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (folder / "cat" / name).write_text("x")
    refused(folder, str(folder / "cat"), "a.txt, b.txt, c.txt and 1 more")


def test_files_beside_the_class_folders_are_refused(folder):
    put(folder / "stray.png")
    refused(folder, "stray.png")


def test_an_empty_class_folder_is_refused_naming_it(folder):
    (folder / "emu").mkdir()
    refused(folder, str(folder / "emu"), "empty")


def test_a_folder_without_classes_is_refused(tmp_path):
    refused(tmp_path, str(tmp_path), "subfolder")


def test_a_missing_folder_is_refused_naming_it(tmp_path):
    refused(tmp_path / "nowhere", "nowhere")


def test_a_test_class_that_training_lacks_is_refused_with_the_nearest_name(tmp_path):
    put(tmp_path / "train" / "cat" / "0.png")
    put(tmp_path / "test" / "cats" / "0.png")
    refused(tmp_path, str(tmp_path / "test" / "cats"), "Did you mean cat")


def test_a_folder_beside_train_that_is_not_a_split_is_refused(tmp_path):
    put(tmp_path / "train" / "cat" / "0.png")
    put(tmp_path / "val" / "cat" / "0.png")
    refused(tmp_path, "found folder val", "validation/")


def test_rows_are_identified_by_the_name_of_their_file(folder):
    rows = read(folder).splits["train"]
    assert rows.row_ids.tolist() == [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(3)]
    assert rows.select(np.array([4])).row_ids.tolist() == ["dog/1.png"]
