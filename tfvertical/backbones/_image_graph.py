"""Encoded pictures to pixels inside a TensorFlow graph, equal to `codecs/pixels.py` in every pixel.

Pillow resamples 8-bit pictures in whole numbers: coefficients with 22 binary places, and rounding to 8 bits between the
horizontal and the vertical pass. The same is done here in float64, whose 53 bits hold every sum exactly.
"""

from __future__ import annotations

from typing import Final

import tensorflow as tf

from tfvertical.codecs import pixels

_PLACES: Final = 2.0**22
_HEADER: Final = pixels._HEADER


def decode(content: tf.Tensor) -> tf.Tensor:
    """A scalar string to uint8 `(height, width, 3)`, upright. The twin of `pixels.decode`, without its limit."""

    def jpeg() -> tf.Tensor:
        # The fast transform, which decode_image takes, is off by up to some grey levels.
        return upright(tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"), orientation(content))

    def webp() -> tf.Tensor:
        # Asked for three channels, it refuses a picture that has four.
        return tf.io.decode_image(content, channels=0, expand_animations=False)[..., :3]

    def other() -> tf.Tensor:
        return tf.io.decode_image(content, channels=3, expand_animations=False)

    decoded = tf.cond(tf.io.is_jpeg(content), jpeg, lambda: tf.cond(_is_still_webp(content), webp, other))
    return tf.ensure_shape(decoded, (None, None, 3))


def _is_still_webp(content: tf.Tensor) -> tf.Tensor:
    """Whether it is WebP, and no animation: of these TensorFlow 2.21 writes beyond its buffer.

    Asked for three channels it does not, and says that it cannot.
    """
    head = tf.pad(tf.io.decode_raw(tf.strings.substr(content, 0, 21), tf.uint8), [[0, 21]])

    def stands(at: int, text: bytes) -> tf.Tensor:
        return tf.reduce_all(head[at : at + len(text)] == tf.constant(list(text), tf.uint8))

    animated = stands(12, b"VP8X") & (head[20] // 2 % 2 == 1)
    return stands(0, b"RIFF") & stands(8, b"WEBP") & ~animated


def crop_resize(image: tf.Tensor, size: tuple[int, int], crop: str, margin: int, resample: str) -> tf.Tensor:
    """uint8 `(height, width, 3)` to uint8 `(*size, 3)`. The twin of `pixels.crop_resize`."""
    shape = tf.shape(image, tf.int64)
    if crop == "pad":
        inner = _fitted(shape[0], shape[1], size)
        small = resize(image, inner, resample)
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        edges = [[top, size[0] - inner[0] - top], [left, size[1] - inner[1] - left], [0, 0]]
        return tf.ensure_shape(tf.pad(small, edges, constant_values=pixels.PAD), (*size, 3))
    if crop == "center":
        top, left, height, width = _center_box(shape[0], shape[1], size, margin)
        image = image[top : top + height, left : left + width]
    wanted = (tf.constant(size[0], tf.int64), tf.constant(size[1], tf.int64))
    return tf.ensure_shape(resize(image, wanted, resample), (*size, 3))


def resize(image: tf.Tensor, size: tuple[tf.Tensor, tf.Tensor], resample: str) -> tf.Tensor:
    """uint8 `(height, width, 3)` to uint8 `(*size, 3)`, as Pillow does it: across first, then down."""
    shape = tf.shape(image, tf.int64)
    across = _coefficients(shape[1], size[1], resample)
    down = _coefficients(shape[0], size[0], resample)
    rows = tf.transpose(tf.cast(image, tf.float64), (1, 0, 2))
    rows = _rounded(tf.matmul(across, tf.reshape(rows, (shape[1], -1))))
    rows = tf.transpose(tf.reshape(rows, (size[1], shape[0], 3)), (1, 0, 2))
    rows = _rounded(tf.matmul(down, tf.reshape(rows, (shape[0], -1))))
    return tf.cast(tf.reshape(rows, (size[0], size[1], 3)), tf.uint8)


def _rounded(sums: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.floor((sums + _PLACES / 2) / _PLACES), 0.0, 255.0)


def _coefficients(before: tf.Tensor, after: tf.Tensor, resample: str) -> tf.Tensor:
    """float64 `(after, before)`: what each input pixel counts for in each output pixel, times 2^22, whole numbers."""
    count, wide = tf.cast(before, tf.float64), tf.constant(2.0 if resample == "bicubic" else 1.0, tf.float64)
    scale = count / tf.cast(after, tf.float64)
    stretch = tf.maximum(scale, 1.0)  # shrinking widens the filter: that is the antialiasing
    center = ((tf.range(after, dtype=tf.float64) + 0.5) * scale)[:, None]
    first = tf.maximum(tf.floor(center - wide * stretch + 0.5), 0.0)
    last = tf.minimum(tf.floor(center + wide * stretch + 0.5), count)
    at = tf.range(before, dtype=tf.float64)[None, :]
    weights = _bicubic if resample == "bicubic" else _bilinear
    raw = tf.where((at >= first) & (at < last), weights((at - center + 0.5) * (1.0 / stretch)), 0.0)
    raw /= tf.reduce_sum(raw, 1, keepdims=True)
    scaled = raw * _PLACES
    return tf.where(scaled < 0, tf.math.ceil(scaled - 0.5), tf.floor(scaled + 0.5))


def _bicubic(x: tf.Tensor) -> tf.Tensor:
    """Keys' cubic with a = -1/2."""
    a, x = -0.5, tf.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return tf.where(x < 1.0, near, tf.where(x < 2.0, far, 0.0))


def _bilinear(x: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1.0 - tf.abs(x), 0.0)


def _center_box(height: tf.Tensor, width: tf.Tensor, size: tuple[int, int], margin: int) -> tuple[tf.Tensor, ...]:
    rows, columns = size
    by_height = (height * rows // (rows + margin), height * columns // (rows + margin))
    by_width = (width * rows // (columns + margin), width * columns // (columns + margin))
    tight = height * columns <= width * rows
    part = [tf.maximum(tf.where(tight, a, b), 1) for a, b in zip(by_height, by_width, strict=True)]
    return (height - part[0] + 1) // 2, (width - part[1] + 1) // 2, part[0], part[1]


def _fitted(height: tf.Tensor, width: tf.Tensor, size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    rows, columns = size
    tall = height * columns >= width * rows
    return (
        tf.where(tall, tf.constant(rows, tf.int64), tf.maximum(height * columns // width, 1)),
        tf.where(tall, tf.maximum(width * rows // height, 1), tf.constant(columns, tf.int64)),
    )


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undo an EXIF orientation. The twin of `pixels.upright`."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(_among(orientation, (3, 4, 7, 8)), lambda: image[::-1], lambda: image)
    return tf.cond(_among(orientation, (2, 3, 6, 7)), lambda: image[:, ::-1], lambda: image)


def orientation(content: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG: a scalar string to int32, 1 to 8. The twin of `pixels.orientation`."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(content, 0, _HEADER), tf.uint8), tf.int32)
    count = tf.size(head)
    head = tf.pad(head, [[0, 12]])  # so that looking a few bytes beyond the end is no error

    def is_other_segment(at: tf.Tensor) -> tf.Tensor:
        at = tf.minimum(at, count)
        segment = (at + 10 <= count) & (head[at] == 0xFF) & (head[at + 1] >= 0xE0)
        return segment & ~_is_exif(head, at)

    def next_segment(at: tf.Tensor) -> tf.Tensor:
        return at + 2 + head[at + 2] * 256 + head[at + 3]

    at = tf.while_loop(is_other_segment, next_segment, [tf.constant(2)])
    at = tf.minimum(at[0] if isinstance(at, (list, tuple)) else at, count)
    found = (at + 10 <= count) & (head[at] == 0xFF) & _is_exif(head, at)
    return tf.cond(found, lambda: _tiff_orientation(head[at + 10 : count]), lambda: tf.constant(1))


def _is_exif(head: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    marker = (head[at + 1] == 0xE1) & tf.reduce_all(head[at + 4 : at + 10] == tf.constant(list(b"Exif\0\0")))
    return marker


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Tag 0x112 of the first directory; every entry is looked at, at once."""
    count = tf.size(tiff)
    padded = tf.pad(tf.cast(tiff, tf.int64), [[0, 12]])
    small = (padded[0] == ord("I")) & (padded[1] == ord("I"))
    large = (padded[0] == ord("M")) & (padded[1] == ord("M"))

    def number(at: tf.Tensor, width: int) -> tf.Tensor:
        """The unsigned numbers of `width` bytes at the places `at`."""
        parts = tf.gather(padded, at[..., None] + tf.range(width))
        powers = tf.constant([256**i for i in range(width)], tf.int64)
        return tf.reduce_sum(parts * tf.where(small, powers, powers[::-1]), -1)

    start = tf.cast(tf.minimum(number(tf.constant(4), 4), tf.cast(count, tf.int64)), tf.int32)
    usable = (small | large) & (count >= 8) & (start + 2 <= count)
    entries = tf.cast(number(tf.minimum(start, count), 2), tf.int32)
    last = tf.where(usable, tf.minimum(start + 2 + 12 * entries, count - 11), 0)
    places = tf.range(tf.minimum(start + 2, last), last, 12)
    values = tf.boolean_mask(number(places + 8, 2), number(places, 2) == 0x112)
    value = tf.cast(tf.concat([values, [1]], 0)[0], tf.int32)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _among(value: tf.Tensor, choices: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_any(value == tf.constant(choices))
