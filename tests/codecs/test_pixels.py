"""Decoding, turning, cropping and resizing pictures."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tfvertical.codecs import pixels
from tfvertical.errors import ConfigError, DataError


def picture(height: int = 21, width: int = 34) -> np.ndarray:
    """Smooth colours: what JPEG keeps well."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / height, 255 * x / width, 128 + 0 * x], -1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header(height: int, width: int) -> bytes:
    """A PNG that says it is this large, and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_come_back_as_they_were(kind):
    assert np.array_equal(pixels.decode(encoded(Image.fromarray(picture()), kind)), picture())


def test_paths_bytes_and_arrays_are_the_same_picture(tmp_path: Path):
    content = encoded(Image.fromarray(picture()), "PNG")
    (tmp_path / "a.png").write_bytes(content)
    for item in (tmp_path / "a.png", str(tmp_path / "a.png"), content, bytearray(content), picture()):
        assert np.array_equal(pixels.decode(item), picture())


def test_every_mode_becomes_three_channels_of_eight_bits():
    image = Image.fromarray(picture())
    grey = np.asarray(image.convert("L"))
    assert np.array_equal(pixels.decode(encoded(image.convert("L"), "PNG")), np.repeat(grey[..., None], 3, 2))
    alpha = image.convert("RGBA")
    alpha.putalpha(0)
    assert np.array_equal(pixels.decode(encoded(alpha, "PNG")), picture())  # dropped, not blended
    palette = image.convert("P")
    assert np.array_equal(pixels.decode(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))
    deep = np.arange(0, 65536, 257, np.uint16).reshape(16, 16)
    assert np.array_equal(pixels.decode(encoded(Image.fromarray(deep), "PNG"))[..., 0], deep >> 8)
    ink = pixels.decode(encoded(image.convert("CMYK"), "JPEG", quality=100))
    assert np.abs(ink.astype(int) - picture()).mean() < 4
    frames = [Image.fromarray(picture()), Image.fromarray(255 - picture())]
    first = pixels.decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.abs(first.astype(int) - picture()).mean() < 20


def test_arrays_of_one_and_four_channels():
    assert np.array_equal(pixels.decode(picture()[..., 0]), np.repeat(picture()[..., :1], 3, 2))
    four = np.dstack([picture(), picture()[..., 0]])
    assert np.array_equal(pixels.decode(four), picture())


@pytest.mark.parametrize("orientation", range(0, 10))
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation_as_pillow_undoes_it(orientation, order):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x011A] = "Maker", orientation, 72.0
    content = encoded(Image.fromarray(picture()), "JPEG", exif=exif.tobytes())
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert np.array_equal(pixels.decode(content), upright)


def test_a_broken_orientation_is_none():
    content = bytearray(encoded(Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 20))
    assert pixels.orientation(bytes(content)) == 1
    assert pixels.orientation(b"\xff\xd8\xff\xe1") == 1
    assert pixels.orientation(b"") == 1


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"just a text, renamed\n", "text"),
        (b"\x00\x01\x02\x80" * 50, "no picture"),
        (b"DDS " + struct.pack("<7I", 124, 0, 8, 8, 0, 0, 0) + bytes(96), "no picture"),  # of a format it cannot have
        (encoded(Image.fromarray(picture()), "EPS"), "text"),  # would start another program
        (encoded(Image.fromarray(picture(200, 300)), "JPEG")[:900], "truncated"),
        (encoded(Image.fromarray(picture(200, 300)), "PNG")[:200], "truncated"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content, word):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=word) as caught:
        pixels.decode(path)
    assert "holiday.jpg" in str(caught.value)


def test_whatever_a_decoder_raises_is_the_file_s_fault(monkeypatch):
    def refuse(image):
        raise NotImplementedError("unknown pixel flags")

    monkeypatch.setattr(pixels, "_rgb", refuse)
    with pytest.raises(DataError, match=r"broken \(unknown pixel flags\)"):
        pixels.decode(encoded(Image.fromarray(picture()), "PNG"))


@pytest.mark.parametrize("size", [(50_000, 50_000), (9_000, 9_000), (1, 90_000_000)])
def test_a_decompression_bomb_is_refused_from_its_header(size):
    with pytest.raises(DataError, match=f"{size[0] * size[1]:,} pixels|{size[0]:,} x {size[1]:,} pixels"):
        pixels.decode(png_header(*size))


def test_the_limit_is_the_callers():
    with pytest.raises(DataError, match="34 x 21 pixels"):
        pixels.decode(encoded(Image.fromarray(picture()), "PNG"), max_pixels=34 * 21 - 1)
    assert pixels.decode(picture(), max_pixels=34 * 21).shape == (21, 34, 3)
    with pytest.raises(DataError, match="34 x 21"):
        pixels.decode(picture(), max_pixels=1)


@pytest.mark.parametrize(
    "item", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8), 7, None]
)
def test_wrong_types_are_refused(item):
    with pytest.raises(DataError, match="Expected"):
        pixels.decode(item)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent\.jpg"):
        pixels.decode(tmp_path / "absent.jpg")


@pytest.mark.parametrize("name", ["/dev/zero", "pipe"])
def test_what_may_never_end_is_not_read(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        pixels.decode(tmp_path / name)


def test_a_file_of_any_size_is_not_read_whole(tmp_path: Path):
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(4 * pixels.MAX_PIXELS + 1)
    with pytest.raises(DataError, match=r"huge\.png(.|\n)*320,000,001 bytes, more than 320,000,000"):
        pixels.decode(tmp_path / "huge.png")


def test_what_squashing_makes_on_its_way_is_limited():
    tall = np.zeros((400_000, 1, 3), np.uint8)
    with pytest.raises(DataError, match=r"tall\.png: 400,000 x 1 pixels(.|\n)*at most 357,142 pixels"):
        pixels.crop_resize(tall, (224, 224), "squash", name="tall.png")
    assert pixels.crop_resize(tall, (16, 16), "squash").shape == (16, 16, 3)
    assert pixels.crop_resize(tall, (224, 224), "pad").shape == (224, 224, 3)
    assert pixels.crop_resize(tall[:300], (224, 224), "squash", max_pixels=300).shape == (224, 224, 3)
    with pytest.raises(DataError, match=r"at most 357,142 pixels"):
        pixels.crop_resize(tall, (224, 224), "squash", max_pixels=300)
    wide = tall.reshape(1, -1, 3)
    assert pixels.crop_resize(wide, (224, 224), "squash").shape == (224, 224, 3)


def test_center_takes_the_middle_and_leaves_the_margin():
    assert pixels.center_box(256, 256, (224, 224), 32) == (16, 16, 224, 224)
    assert pixels.center_box(512, 1024, (224, 224), 32) == (32, 288, 448, 448)
    assert pixels.center_box(300, 400, (224, 224), 0) == (0, 50, 300, 300)
    assert pixels.center_box(400, 400, (100, 200), 0) == (100, 0, 200, 400)
    assert pixels.center_box(1, 1000, (224, 224), 200)[2:] == (1, 1)


def test_each_rule_of_cropping():
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, :100], wide[:, 200:] = 50, 250
    assert np.unique(pixels.crop_resize(wide, (64, 64))).tolist() == [0]
    squashed = pixels.crop_resize(wide, (60, 60), crop="squash")
    assert squashed[:, 5].max() == 50 and squashed[:, 55].min() == 250
    padded = pixels.crop_resize(wide, (60, 60), crop="pad")
    assert (padded[:20] == pixels.PAD).all() and (padded[40:] == pixels.PAD).all()
    assert padded[20:40, 5].max() == 50


def test_the_same_size_is_the_same_picture():
    for crop in pixels.CROPS:
        assert np.array_equal(pixels.crop_resize(picture(), (21, 34), crop=crop), picture())


@pytest.mark.parametrize("rule", [{"crop": "middle"}, {"margin": -1}, {"resample": "nearest"}])
def test_unknown_rules_are_refused(rule):
    with pytest.raises(ConfigError):
        pixels.crop_resize(picture(), (8, 8), **rule)
