"""The graph's pixels are NumPy's pixels: every one, for every rule, size and format."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfvertical.backbones import _image_graph
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.codecs import pixels
from tfvertical.errors import ConfigError, DataError


def encoded(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def compiled(function, shape=()):
    return tf.function(function, input_signature=[tf.TensorSpec(shape, tf.string)])


@pytest.mark.parametrize("resample", pixels.RESAMPLES)
@pytest.mark.parametrize("crop", pixels.CROPS)
def test_every_pixel_of_odd_sizes(crop, resample):
    preprocessor = KerasImagePreprocessor((37, 24), crop, 5, resample)
    graph = compiled(preprocessor.graph(), (None,))
    sizes = [(1, 1), (1, 90), (300, 2), (36, 24), (37, 24), (200, 17), (23, 211), (149, 150), (5, 7)]
    contents = [encoded(noise(*size), "PNG", compress_level=1) for size in sizes]
    expected = np.stack([preprocessor.pixels(content) for content in contents])
    assert np.array_equal(graph(tf.constant(contents))["images"].numpy(), expected.astype(np.float32))


def test_every_pixel_of_random_sizes():
    chance = np.random.default_rng(1)
    for seed in range(12):
        before, after = chance.integers(1, 260, 2), chance.integers(1, 140, 2)
        crop, resample = chance.choice(pixels.CROPS).item(), chance.choice(pixels.RESAMPLES).item()
        image, margin, size = noise(*before, seed), int(chance.integers(0, 40)), tuple(after.tolist())
        expected = pixels.crop_resize(image, size, crop, margin, resample)
        assert np.array_equal(_image_graph.crop_resize(tf.constant(image), size, crop, margin, resample), expected)


def test_every_format_decodes_the_same():
    decode = compiled(_image_graph.decode)
    smooth = Image.fromarray(noise(9, 13)).resize((61, 43))
    alpha = smooth.convert("RGBA")
    alpha.putalpha(90)
    contents = [
        *(encoded(smooth, "JPEG", quality=q, subsampling=s) for q in (30, 95) for s in (0, 1, 2)),
        encoded(smooth, "JPEG", progressive=True),
        encoded(smooth.convert("L"), "JPEG"),
        encoded(smooth.convert("CMYK"), "JPEG"),
        encoded(smooth, "PNG"),
        encoded(alpha, "PNG"),
        encoded(alpha.convert("LA"), "PNG"),
        encoded(smooth.convert("P"), "PNG", transparency=3),
        encoded(smooth.convert("1"), "PNG"),
        encoded(np.arange(0, 65536, 257, np.uint16).reshape(16, 16), "PNG"),
        encoded(smooth, "GIF", save_all=True, append_images=[alpha.convert("RGB").rotate(180)]),
        encoded(smooth, "BMP"),
        encoded(smooth, "WEBP"),
        encoded(alpha, "WEBP"),
        encoded(alpha, "WEBP", lossless=True),
        encoded(alpha, "WEBP", lossless=True, exact=True, exif=b"Exif"),
        encoded(smooth.quantize(16), "GIF", transparency=3),
        encoded(smooth.quantize(16), "GIF", transparency=3, background=3, interlace=1),
        encoded(smooth.convert("L"), "GIF", transparency=int(np.asarray(smooth.convert("L"))[0, 0])),
        encoded(smooth.convert("1"), "GIF"),
    ]
    for at, content in enumerate(contents):
        assert np.array_equal(decode(content), pixels.decode(content)), at


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animated_webp_is_refused_by_the_graph_and_harms_nothing(mode):
    """TensorFlow would write all of its frames into the room of one."""
    decode = compiled(_image_graph.decode)
    frames = [Image.fromarray(noise(40, 50, seed)).convert(mode) for seed in range(9)]
    content = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(pixels.decode(content), np.asarray(frames[0].convert("RGB")))
    for _ in range(20):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Animation must be"):
            decode(content)
    for cut in (b"", b"RIFF", content[:12], content[:20], content[:21]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(cut)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_graph_turns_pictures_upright(orientation):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", orientation
    content = encoded(noise(16, 24), "JPEG", exif=exif.tobytes())
    decoded = compiled(_image_graph.decode)(content)
    assert np.array_equal(decoded, pixels.decode(content))
    assert decoded.shape == ((24, 16, 3) if orientation >= 5 else (16, 24, 3))


@pytest.mark.parametrize("order", ["<", ">"])
def test_damaged_exif_is_read_alike(order):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x011A] = "Maker", 6, 72.0
    whole = encoded(noise(8, 8), "JPEG", exif=exif.tobytes())[:160]
    in_graph, chance = compiled(_image_graph.orientation), np.random.default_rng(0)
    assert int(in_graph(whole)) == 6
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.integers(1, 5)):
            content[chance.integers(2, 100)] = chance.integers(0, 256)
        cut = bytes(content[: chance.integers(2, 160)])
        assert int(in_graph(cut)) == pixels.orientation(cut)


def test_the_graph_survives_a_saved_model(tmp_path: Path):
    preprocessor = KerasImagePreprocessor((20, 20), margin=4)
    module = tf.Module()
    module.serve = compiled(preprocessor.graph(), (None,))
    tf.saved_model.save(module, str(tmp_path))
    contents = [encoded(noise(40, 31), "JPEG"), encoded(noise(19, 50), "PNG")]
    expected = preprocessor.inputs(np.stack([preprocessor.pixels(content) for content in contents]))
    found = tf.saved_model.load(str(tmp_path)).serve(tf.constant(contents))
    assert list(found) == list(expected) == ["images"]
    assert np.array_equal(found["images"], expected["images"]) and expected["images"].dtype == np.float32


def test_config_brings_it_back():
    preprocessor = KerasImagePreprocessor((96, 128), "pad", 0, "bilinear", 1000, "pictures")
    assert KerasImagePreprocessor.from_config(preprocessor.config(), preprocessor.assets()) == preprocessor
    with pytest.raises(ConfigError, match="margin"):
        KerasImagePreprocessor.from_config({"margn": 3}, {})


def test_a_picture_that_squashing_would_blow_up_is_named(tmp_path: Path):
    (tmp_path / "tall.png").write_bytes(encoded(np.zeros((400_000, 1, 3), np.uint8), "PNG"))
    with pytest.raises(DataError, match=r"tall\.png: 400,000 x 1 pixels"):
        KerasImagePreprocessor(crop="squash").pixels(tmp_path / "tall.png")
    assert KerasImagePreprocessor().pixels(tmp_path / "tall.png").shape == (224, 224, 3)


@pytest.mark.parametrize("fields", [{"size": (0, 5)}, {"size": (5,)}, {"crop": "x"}, {"resample": "x"}, {"margin": -2}])
def test_senseless_fields_are_refused(fields):
    with pytest.raises(ConfigError):
        KerasImagePreprocessor(**fields)


@pytest.mark.shared
def test_photographs(shared_data: Path):
    preprocessor = KerasImagePreprocessor(margin=32)
    graph = compiled(preprocessor.graph(), (None,))
    contents = [path.read_bytes() for path in sorted(shared_data.glob("clothing/test/*/*.jpg"))[::12]]
    expected = np.stack([preprocessor.pixels(content) for content in contents])
    assert len(contents) > 20 and np.array_equal(graph(tf.constant(contents))["images"], expected.astype(np.float32))
