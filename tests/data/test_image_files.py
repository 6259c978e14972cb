"""Image files: what each kind decodes to, on every way to its pixels, and which are refused by their header."""

import io
import logging
import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageOps, TiffImagePlugin

from pipeline.data import splits
from pipeline.data.blocks import blocks
from pipeline.data.containers import Images
from pipeline.data.image_files import LARGEST, exif_orientation, read_header
from pipeline.data.input_pipeline import ordered_batches
from pipeline.data.shards import write_shards
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import ConfigError, DataError

HEIGHT, WIDTH = 24, 32
# TensorFlow's default decoder of JPEG is the fast integer one, Pillow's the accurate one
JPEG_TOLERANCE = 6
GREY_TOLERANCE = 1  # libpng cuts off where Pillow rounds, when it turns colour to grey
RANDOM = np.random.default_rng(0)


# ---- files ----------------------------------------------------------------------------------------------------------


def smooth(height=HEIGHT, width=WIDTH, channels=3):
    """Return random pixels without edges, which JPEG keeps well."""
    small = RANDOM.integers(0, 256, (4, 4, channels), np.uint8)
    planes = [Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(pixels, colour, bits, before=b"", after=b""):
    """Return a PNG of pixels (height, width, channels), which Pillow cannot write in every form."""
    height, width = pixels.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in pixels]
    elif bits == 8:
        rows = [row.astype(np.uint8).tobytes() for row in pixels]
    else:
        samples = (pixels[..., 0, None] >> np.arange(bits)[::-1]) & 1
        rows = [np.packbits(row.ravel()).tobytes() for row in samples.astype(np.uint8)]
    header = struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + data + after + chunk(b"IEND", b"")


def grey_levels(bits, channels=1):
    return RANDOM.integers(0, 1 << bits, (HEIGHT, WIDTH, channels))


def rgba():
    return Image.fromarray(RANDOM.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8), "RGBA")


def palette_with_tRNS():
    image = Image.fromarray(RANDOM.integers(0, 9, (HEIGHT, WIDTH), np.uint8), "P")
    image.putpalette(RANDOM.integers(0, 256, 27, np.uint8).tobytes())
    return encoded(image, transparency=bytes([0, 40, 128, 200, 255]))


def with_adobe_transform(jpeg, transform):
    """Change the transform in the Adobe segment: 2 makes CMYK the YCCK that it then stands for."""
    start = jpeg.index(b"Adobe") + 11
    return jpeg[:start] + bytes([transform]) + jpeg[start + 1 :]


def stored(orientation):
    """Return pixels whose upright form has HEIGHT and WIDTH."""
    return smooth(WIDTH, HEIGHT) if orientation > 4 else smooth()


def kinds():
    """Return name of a file -> its content, for every kind of 8 bits that can be read."""
    colour, grey = Image.fromarray(smooth()), Image.fromarray(smooth(channels=1)[..., 0])
    cmyk = encoded(Image.fromarray(smooth(channels=4), "CMYK"), "JPEG", quality=95)
    frames = [Image.fromarray(smooth()) for _ in range(3)]
    tiff = TiffImagePlugin.ImageFileDirectory_v2()
    tiff[0x0112] = 6
    files = {
        "rgb.png": encoded(colour),
        "grey.PNG": encoded(grey),
        "rgb.jpg": encoded(colour, "JPEG"),
        "grey.JPEG": encoded(grey, "JPEG"),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "jpeg_named.png": encoded(colour, "JPEG"),
        "png_named.jpg": encoded(colour),
        "webp_named.jpg": encoded(colour, "WEBP", lossless=True),
        "cmyk.jpg": cmyk,
        "ycck.jpg": with_adobe_transform(cmyk, 2),
        "cmyk_rotated.jpg": encoded(Image.fromarray(smooth(WIDTH, HEIGHT, 4), "CMYK"), "JPEG", exif=exif(6)),
        "rgba.png": encoded(rgba()),
        "rgba_rotated.png": encoded(rgba().transpose(Image.Transpose.ROTATE_90), exif=exif(6)),
        "grey_alpha.png": encoded(Image.fromarray(RANDOM.integers(0, 256, (HEIGHT, WIDTH, 2), np.uint8), "LA")),
        "grey_colour_key.png": encoded(Image.fromarray(grey_levels(3)[..., 0].astype(np.uint8)), transparency=5),
        "rgb_colour_key.png": png(grey_levels(1, 3) * 255, 2, 8, chunk(b"tRNS", bytes([0, 255, 0, 0, 0, 255]))),
        "palette.png": encoded(colour.quantize(16)),
        "palette_alpha.png": palette_with_tRNS(),
        "palette_key.png": encoded(colour.quantize(16), transparency=3),
        "1_bit.png": encoded(grey.convert("1")),
        "2_bits.png": png(grey_levels(2), 0, 2),
        "4_bits.png": png(grey_levels(4), 0, 4),
        "exif_after.png": png(smooth(WIDTH, HEIGHT), 2, 8, after=chunk(b"eXIf", exif(8).tobytes()[6:])),
        "animated.png": encoded(frames[0], save_all=True, append_images=frames[1:]),
        "lossless.webp": encoded(colour, "WEBP", lossless=True),
        "lossy.webp": encoded(colour, "WEBP"),
        "rgba.webp": encoded(rgba(), "WEBP", lossless=True, exact=True),
        "rotated.webp": encoded(Image.fromarray(stored(6)), "WEBP", lossless=True, exif=exif(6)),
        "animated.webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "still.gif": encoded(colour.quantize(64), "GIF"),
        "grey.gif": encoded(grey, "GIF"),
        "transparent.gif": encoded(colour.quantize(16), "GIF", transparency=3),
        "animated.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "rgb.bmp": encoded(colour, "BMP"),
        "palette.bmp": encoded(colour.quantize(16), "BMP"),
        "grey.BMP": encoded(grey, "BMP"),
        "1_bit.bmp": encoded(grey.convert("1"), "BMP"),
        "rgb.tif": encoded(colour, "TIFF", compression="tiff_lzw"),
        "grey.tiff": encoded(grey, "TIFF"),
        "rgba.tif": encoded(rgba(), "TIFF"),
        "cmyk.tif": encoded(colour.convert("CMYK"), "TIFF"),
        "palette.tif": encoded(colour.quantize(16), "TIFF"),
        "rotated.tif": encoded(Image.fromarray(stored(6)), "TIFF", tiffinfo=tiff),
        "pages.tif": encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
    }
    for orientation in range(1, 9):
        image = Image.fromarray(stored(orientation))
        files[f"exif_{orientation}.jpg"] = encoded(image, "JPEG", quality=90, exif=exif(orientation))
        files[f"exif_{orientation}.png"] = encoded(image, exif=exif(orientation))
    return files


KINDS = kinds()


def put(folder, files, label="a"):
    (folder / label).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / label / name).write_bytes(content)
    return folder


# ---- their pixels ---------------------------------------------------------------------------------------------------


def by_pillow(path, channels, background):
    """Return what Pillow makes of a file: upright, without alpha, in grey or colour."""
    with Image.open(path) as stored_image:
        image = ImageOps.exif_transpose(stored_image)
    if image.has_transparency_data:
        behind = Image.new("RGBA", image.size, (*ImageColor.getrgb(background), 255))
        image = Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")
    return np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(HEIGHT, WIDTH, channels)


def read(folder, **options):
    return splits.read(ImageFolder(path=str(folder), **options))


def on_every_way(folder, tmp_path, **options):
    """Return name of the way -> pixels of all rows, (rows, height, width, channels)."""
    streamed = read(folder, **options)
    table = streamed.splits["train"]
    kept = read(folder, in_memory=True, **options).splits["train"]
    batches = ordered_batches(table, streamed.spec, 7)
    write_shards(streamed.spec, streamed.splits, tmp_path / "shards", rows_per_shard=100)
    shards = splits.read(TFRecord(path=str(tmp_path / "shards")))
    of_shards = ordered_batches(shards.splits["train"], shards.spec, 7)
    return {
        "kept in memory": kept.features["image"],
        "streamed": np.concatenate([x.numpy() for x, _ in batches]),
        "in blocks, for profiles": np.concatenate([x["image"] for x, _ in blocks(table, streamed.spec)]),
        "as shards": np.concatenate([x.numpy() for x, _ in of_shards]),
    }


@pytest.fixture(scope="module", params=[(3, "white"), (1, "white"), (3, "#2040a0"), (1, "orange")], ids=str)
def decoded(request, tmp_path_factory):
    """Return (name -> the pixels of each way, name -> those of Pillow) of all kinds in one folder."""
    channels, background = request.param
    root = tmp_path_factory.mktemp("kinds")
    put(root / "images", KINDS)
    ways = on_every_way(root / "images", root, channels=channels, background=background)
    paths = sorted((root / "images" / "a").iterdir(), key=lambda path: path.name)
    found = {path.name: {way: pixels[row] for way, pixels in ways.items()} for row, path in enumerate(paths)}
    return channels, found, {path.name: by_pillow(path, channels, background) for path in paths}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_of_file_has_the_pixels_that_pillow_shows(decoded, name):
    channels, found, expected = decoded
    with Image.open(io.BytesIO(KINDS[name])) as image:
        by_tensorflow = image.format in ("PNG", "JPEG") and image.mode != "CMYK"
        lossy = image.format == "JPEG"
    tolerance = (JPEG_TOLERANCE if lossy else GREY_TOLERANCE if channels == 1 else 0) if by_tensorflow else 0
    for way, pixels in found[name].items():
        difference = np.abs(pixels.astype(int) - expected[name]).max()
        assert difference <= tolerance, (way, difference)
        assert pixels.dtype == np.uint8


def test_every_way_gives_the_same_pixels(decoded):
    _, found, _ = decoded
    for name, ways in found.items():
        first, *others = ways.values()
        assert all(np.array_equal(first, other) for other in others), name


def test_a_source_of_plain_files_names_no_encodings(tmp_path):
    pixels = smooth()
    put(tmp_path, {"0.png": encoded(Image.fromarray(pixels[::-1])), "1.png": encoded(Image.fromarray(pixels))})
    paths = np.array([str(tmp_path / "a" / name) for name in ("0.png", "1.png")], object)
    images = Images(paths, (HEIGHT, WIDTH, 3), resize=False).select(slice(1, None))
    np.testing.assert_array_equal(images.pixels(0), pixels)
    np.testing.assert_array_equal(images.decode(*(values[0] for values in images.files)), pixels)


def test_an_image_rotated_by_exif_has_the_pixels_of_the_upright_one_to_the_bit(tmp_path):
    pixels = smooth(16, 16)
    turned = np.ascontiguousarray(np.rot90(pixels))
    put(tmp_path / "rotated", {"0.png": encoded(Image.fromarray(turned), exif=exif(6))})
    put(tmp_path / "upright", {"0.png": encoded(Image.fromarray(pixels))})
    rotated, upright = (read(tmp_path / name, in_memory=True).splits["train"] for name in ("rotated", "upright"))
    np.testing.assert_array_equal(rotated.features["image"], upright.features["image"])


def test_images_are_turned_and_laid_on_the_background_before_they_are_resized(tmp_path):
    content = np.zeros((4, 8, 4), np.uint8)
    content[:, :4] = 255, 0, 0, 255  # the left half is red, the right half transparent
    turned = np.ascontiguousarray(np.rot90(content))
    put(tmp_path, {"0.png": encoded(Image.fromarray(turned), exif=exif(6))})
    image = read(tmp_path, height=2, width=4, background="blue", in_memory=True).splits["train"].features["image"][0]
    assert image[:, 0].tolist() == [[255, 0, 0]] * 2
    assert image[:, 3].tolist() == [[0, 0, 255]] * 2


# ---- 16 bits --------------------------------------------------------------------------------------------------------


def deep(colour, channels, before=b""):
    pixels = RANDOM.integers(0, 65536, (HEIGHT, WIDTH, channels))
    return pixels, png(pixels, colour, 16, before)


def on_background(pixels, background):
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    return (2 * (colour * alpha + background * (65535 - alpha)) + 65535) // (2 * 65535)


def test_grey_of_16_bits_keeps_all_its_levels_on_every_way(tmp_path):
    levels = np.arange(600, 680).reshape(8, 10, 1)  # of which the upper 8 bits hold one
    put(tmp_path / "images", {"0.png": png(levels, 0, 16), "1.png": png(levels[::-1], 0, 16)})
    assert read(tmp_path / "images", channels=1).spec.features["image"].dtype == "float32"
    for pixels in on_every_way(tmp_path / "images", tmp_path, channels=1).values():
        np.testing.assert_array_equal(pixels, [levels, levels[::-1]])
        assert pixels.dtype == np.float32


def test_every_kind_of_16_bits_is_exact(tmp_path):
    (grey, grey_png), (rgb, rgb_png) = deep(0, 1), deep(2, 3)
    (grey_alpha, grey_alpha_png), (rgb_alpha, rgb_alpha_png) = deep(4, 2), deep(6, 4)
    keyed = np.where(RANDOM.integers(0, 2, (HEIGHT, WIDTH, 1)), 300, 301)
    files = {
        "0.png": grey_png,
        "1.png": rgb_png,
        "2.png": grey_alpha_png,
        "3.png": rgb_alpha_png,
        "4.png": png(keyed, 0, 16, chunk(b"tRNS", struct.pack(">H", 301))),
        "5.tif": encoded(Image.fromarray(grey[..., 0].astype(np.uint16)), "TIFF"),
    }
    put(tmp_path / "images", files)
    expected = [
        grey.repeat(3, axis=-1),
        rgb,
        on_background(grey_alpha, 0).repeat(3, axis=-1),
        on_background(rgb_alpha, 0),
        np.where(keyed == 301, 0, keyed).repeat(3, axis=-1),
        grey.repeat(3, axis=-1),
    ]
    for way, pixels in on_every_way(tmp_path / "images", tmp_path, background="black").items():
        np.testing.assert_array_equal(pixels, expected, err_msg=way)


def test_images_of_16_bits_keep_their_scale_when_they_are_resized(tmp_path):
    put(tmp_path, {"0.png": png(np.full((30, 40, 1), 60_000), 0, 16)})
    image = read(tmp_path, channels=1, height=6, width=8, in_memory=True).splits["train"].features["image"]
    assert image.shape == (1, 6, 8, 1) and (image == 60_000).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_transparent_grey_of_few_bits_shows_the_background(tmp_path, bits):
    levels = grey_levels(bits)
    put(tmp_path, {"0.png": png(levels, 0, bits, chunk(b"tRNS", struct.pack(">H", 1)))})
    image = read(tmp_path, channels=1, background="#808080", in_memory=True).splits["train"].features["image"][0]
    np.testing.assert_array_equal(image, np.where(levels == 1, 128, levels * 255 // ((1 << bits) - 1)))


def test_files_of_8_and_16_bits_in_one_folder_are_refused_naming_both_and_the_remedies_work(tmp_path):
    whole = grey_levels(8)
    deep_grey = np.minimum(whole * 257 + 100, 65535)
    put(tmp_path, {"8.png": png(whole, 0, 8), "16.png": png(deep_grey, 0, 16)})
    with pytest.raises(DataError, match=r"8\.png: expected 16 bits.*16\.png; found 8.*data.bits=16.*data.bits=8"):
        read(tmp_path, channels=1)
    scaled = read(tmp_path, channels=1, bits=16, in_memory=True).splits["train"].features["image"]
    np.testing.assert_array_equal(scaled, [deep_grey, whole * 257])
    reduced = read(tmp_path, channels=1, bits=8, in_memory=True).splits["train"].features["image"]
    np.testing.assert_array_equal(reduced, [whole, whole])
    assert (scaled.dtype, reduced.dtype) == (np.float32, np.uint8)


def test_data_of_other_size_channels_and_bits_is_refused_for_a_model_and_the_remedy_works(tmp_path):
    put(tmp_path / "trained", {"0.png": png(grey_levels(16), 0, 16)})
    put(tmp_path / "other", {"0.png": encoded(COLOUR.resize((WIDTH, HEIGHT + 5)))})
    trained = read(tmp_path / "trained", channels=1).spec
    config = ImageFolder(path=str(tmp_path / "other"))
    with pytest.raises(DataError, match="expected the features") as raised:
        splits.load_split(config, "all", trained)
    arguments = re.findall(r"data\.(\w+)=(\d+)", str(raised.value))
    config = replace(config, **{name: int(value) for name, value in arguments})
    split, _ = splits.load_split(config, "all", trained)
    assert split.features["image"].pixels(0).shape == (HEIGHT, WIDTH, 1)


# ---- refused --------------------------------------------------------------------------------------------------------


def claiming(height, width):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)) + b"IDAT" * 9


def without_adobe(jpeg):
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4]) :]


CMYK = Image.fromarray(smooth(channels=4), "CMYK")
COLOUR = Image.fromarray(smooth())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (claiming(100_000, 100_000), f"at most {LARGEST:,} pixels"),
        (claiming(1 << 31, 1 << 31), f"at most {LARGEST:,} pixels"),
        (claiming(0, 5), "0 x 5 pixels"),
        (
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 99_999, 99_999, 1, 24, 0, 0, 0, 0, 0, 0),
            "exceeds limit",
        ),
        (encoded(COLOUR, "JPEG")[:100], "cannot be decoded"),
        (encoded(COLOUR)[:20], "cannot be decoded"),
        (encoded(COLOUR, "GIF")[:9], "cannot be decoded"),
        (encoded(COLOUR, "WEBP")[:40], "cannot be decoded"),
        (encoded(COLOUR, "TIFF")[:30], "cannot be decoded"),
        (encoded(COLOUR, "GIF")[:-200], "cannot be decoded"),
        (encoded(COLOUR, "BMP")[:-200], "cannot be decoded"),
        (encoded(COLOUR, "TIFF")[:-200], "cannot be decoded"),
        (encoded(COLOUR, "WEBP")[:-20], "cannot be decoded"),
        (without_adobe(encoded(CMYK, "JPEG")), "may be a negative"),
        (encoded(COLOUR, "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "8 bits; found 12"),
        (encoded(Image.fromarray(np.ones((HEIGHT, WIDTH), np.float32)), "TIFF"), "32 bits"),
        (encoded(COLOUR, "PPM"), "convert it to PNG"),
        (b"BM is how this text begins", "cannot be decoded"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ",
)
@pytest.mark.parametrize("in_memory", [False, True], ids=["on disk", "in memory"])
def test_a_file_that_cannot_be_decoded_is_refused_naming_it(tmp_path, content, words, in_memory):
    put(tmp_path, {"0.png": encoded(COLOUR), "bad.jpg": content})
    with pytest.raises(DataError) as raised:
        read(tmp_path, height=6, width=8, in_memory=in_memory)
    assert str(raised.value).startswith(str(tmp_path / "a" / "bad.jpg")) and words in str(raised.value)


def test_files_of_operating_systems_are_skipped(tmp_path):
    put(
        tmp_path, {"0.png": encoded(COLOUR), "Thumbs.db": b"x", "desktop.ini": b"x", ".DS_Store": b"x", "._0.png": b"x"}
    )
    put(tmp_path, {"._0.png": b"x"}, "__MACOSX")
    dataset = read(tmp_path)
    assert len(dataset.splits["train"]) == 1
    assert dataset.spec.labels["label"].classes == ("a",)


def test_an_image_without_extension_is_read(tmp_path):
    put(tmp_path, {"0": encoded(COLOUR), "1.dat": encoded(COLOUR, "WEBP")})
    assert len(read(tmp_path).splits["train"]) == 2


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", exif(6).tobytes()[:-8], exif(9).tobytes()]
)
def test_damaged_exif_says_nothing(content):
    assert exif_orientation(content) == 1


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize(("number_type", "form"), [(3, "Hxx"), (4, "I")], ids=["short", "long"])
def test_the_orientation_is_found_in_either_byte_order_and_number_type(order, number_type, form):
    start = b"II*\0" if order == "<" else b"MM\0*"
    content = start + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, number_type, 1) + struct.pack(order + form, 6)
    assert exif_orientation(content) == exif_orientation(b"Exif\0\0" + content) == 6


def test_bytes_between_the_segments_of_a_jpeg_are_skipped_as_its_decoder_does(tmp_path):
    content = encoded(COLOUR, "JPEG")
    put(tmp_path, {"0.jpg": content[:20] + b"\x12\xff\0\xff\xff" + content[20:], "1.jpg": content})
    first, second = read(tmp_path, in_memory=True).splits["train"].features["image"]
    np.testing.assert_array_equal(first, second)


def test_a_header_longer_than_what_is_read_at_once_is_read_to_its_end(tmp_path):
    tags = exif(6)
    image = Image.fromarray(stored(6))
    profile = RANDOM.integers(0, 256, 200_000, np.uint8).tobytes()
    for name, content in {
        "long.jpg": encoded(image, "JPEG", exif=tags, icc_profile=profile),
        "long.png": encoded(image, exif=tags, icc_profile=profile),
    }.items():
        (tmp_path / name).write_bytes(content)
        header = read_header(str(tmp_path / name))
        assert (header.height, header.width, header.rotated) == (HEIGHT, WIDTH, True)


# ---- said -----------------------------------------------------------------------------------------------------------


def test_one_line_per_folder_says_what_was_met(tmp_path, caplog):
    rotated = Image.fromarray(stored(6))
    put(tmp_path / "train", {"0.jpg": encoded(rotated, "JPEG", exif=exif(6)), "1.png": encoded(rgba())})
    put(tmp_path / "train", {"2.png": encoded(Image.fromarray(grey_levels(8)[..., 0].astype(np.uint8)))})
    put(tmp_path / "test", {"0.gif": KINDS["animated.gif"]})
    logger = logging.getLogger("pipeline")
    logger.addHandler(caplog.handler)
    try:
        read(tmp_path)
    finally:
        logger.removeHandler(caplog.handler)
    assert list(dict.fromkeys(caplog.messages)) == [
        f"{tmp_path}/train: 3 images (2 PNG, 1 JPEG); 1 of 3 rotated by EXIF, 1 with alpha on white, 1 grey, as three "
        "equal channels",
        f"{tmp_path}/test: 1 image (1 GIF); 1 of 1 with several frames, the first of which is taken",
    ]


@pytest.mark.parametrize("colour", ["blak", "#12", ""])
def test_an_unknown_background_is_refused(tmp_path, colour):
    with pytest.raises(ConfigError, match=r"data\.background: expected a colour"):
        ImageFolder(path=str(tmp_path), background=colour)


# ---- the fingerprint ------------------------------------------------------------------------------------------------


def prints(folder, **options):
    return splits.fingerprint(read(folder, **options))


def test_the_background_counts_only_for_images_with_alpha(tmp_path):
    put(tmp_path / "plain", {"0.png": encoded(COLOUR)})
    put(tmp_path / "rotated", {"0.png": encoded(Image.fromarray(stored(6)), exif=exif(6))})
    put(tmp_path / "alpha", {"0.png": encoded(rgba())})
    same = {
        name: prints(tmp_path / name) == prints(tmp_path / name, background="black")
        for name in ("plain", "rotated", "alpha")
    }
    assert same == {"plain": True, "rotated": True, "alpha": False}


def test_the_fingerprint_of_plain_files_is_that_of_earlier_releases(tmp_path):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for label in "ab":
        put(tmp_path, {"0.png": png(pixels, 2, 8)}, label)
    assert prints(tmp_path) == "f41ae80ab63f061f2361a21c4e139f4e165cbe7752f3373551a5c79036ed3cf2"
    assert prints(tmp_path, channels=1) == "9c25e634c7d7147fa9aa88d28e0a52c16cb99ba69867b09964a88d6485b6f5f2"
