"""Pictures to pixels: decoded, turned upright, cropped and resized. NumPy and Pillow only.

What a SavedModel does in its graph (`backbones/_image_graph.py`) is equal to this, pixel for pixel: for JPEG, PNG, GIF,
WebP and BMP. Not for BMP with a palette, which TensorFlow reads wrongly, a GIF whose first frame is smaller than the
picture, of which it takes the frame alone, and an animated WebP, which is refused there. TIFF, PPM, TGA and JPEG 2000
are fine here, unknown there.
"""

from __future__ import annotations

import io
import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tfvertical.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL import Image

RULES: Final = 2  # of what a file becomes: what a model made of others is not taken for these
MAX_PIXELS: Final = 80_000_000
CROPS: Final = ("center", "squash", "pad")
RESAMPLES: Final = ("bicubic", "bilinear")
# Pillow knows more, of which some start programs
FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "TGA", "JPEG2000")
PAD: Final = 127  # what "pad" fills with: the middle, 0 after the usual scaling
OF_FLOATS: Final = "array.round().astype('uint8') of values 0 to 255; of 0 to 1, (255 * array).round().astype('uint8')"

_HEADER: Final = 1 << 16  # bytes in which the orientation is looked for
_FIX: Final = 'repair or remove the file, or set the policy for bad rows to "skip"'


def rules() -> dict[str, Any]:
    """What a reader has to know to make the same pixels of a file; `docs/edge.md` says it in words."""
    return {
        "version": RULES,
        "grey": "repeated",
        "16_bits": "upper_8",
        "alpha": "dropped",
        "gif_transparent": [0, 0, 0],
        "cmyk": "ink*black//255",
        "animation": "first_frame",
        "orientation": {"formats": ["JPEG"], "searched_bytes": _HEADER},
        "resize": ["across", "down"],
        "rounded": "after_each",
        "antialias": True,
        "pad": PAD,
    }


def is_picture(items: Any) -> bool:
    """Whether this is one array as `decode` takes it, and not several: its rows would pass for grey pictures."""
    return isinstance(items, np.ndarray) and (items.ndim == 2 or (items.ndim == 3 and items.shape[-1] in (1, 3, 4)))


def decode(item: Any, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """One picture as uint8 `(height, width, 3)`, red, green, blue.

    Transparency is dropped (in a GIF it becomes black, as in TensorFlow), greys are repeated, 16 bits become the upper
    8, of an animation the first frame is taken, and a JPEG is turned as its EXIF orientation says. The size is read
    from the header, before anything is decoded.

    Args:
        item: a path, the bytes of a file, or an array: uint8 `(height, width)`, `(height, width, 1)`, 3 or 4 channels.
        max_pixels: most pixels, height times width.

    Raises:
        DataError: no picture, cut off, too large, or an array of another type; the message has the file.

    Example:
        >>> decode(np.zeros((2, 3), np.uint8)).shape
        (2, 3, 3)
    """
    if isinstance(item, np.ndarray):
        return _from_array(item, max_pixels)
    if isinstance(item, str | os.PathLike):
        name = str(item)
        try:
            content = _read(Path(item), 4 * max(max_pixels, MAX_PIXELS))
        except (OSError, ValueError) as error:
            raise DataError(f"{name}: the file cannot be read ({error}).", fix=_FIX) from error
    elif isinstance(item, bytes | bytearray | memoryview):
        name, content = "The picture", bytes(item)
    else:
        raise DataError(
            "A picture is of the wrong type.",
            expected="a path, bytes, or a uint8 array",
            received=type(item).__name__,
        )
    pixels = _from_bytes(content, name, max_pixels)
    return upright(pixels, orientation(content))


def crop_resize(
    pixels: np.ndarray,
    size: tuple[int, int],
    crop: str = "center",
    margin: int = 0,
    resample: str = "bicubic",
    *,
    max_pixels: int = MAX_PIXELS,
    name: str = "The picture",
) -> np.ndarray:
    """`pixels` at another size, with antialiasing.

    Args:
        pixels: uint8 `(height, width, 3)`.
        size: `(height, width)` wanted.
        crop: `center`: the largest centred part of the wanted shape, less the margin (with margin 0: shorter side to
            fit, the rest cut); `squash`: all of it, whatever the distortion; `pad`: all of it, grey around.
        margin: pixels, measured at the wanted size, that `center` leaves out along the shorter side, both ends
            together: with 32 and 224 the part is 224/256 of the shorter side.
        resample: `bicubic` or `bilinear`.
        max_pixels: most pixels, as `decode` takes it.
        name: what messages call the picture.

    Returns:
        uint8 `(*size, 3)`.

    Raises:
        DataError: `squash` of a picture so narrow and tall that it would fill the memory on its way.

    Example:
        >>> crop_resize(np.zeros((300, 400, 3), np.uint8), (224, 224), margin=32).shape
        (224, 224, 3)
    """
    check_rule(crop, margin, resample)
    height, width = pixels.shape[:2]
    if crop == "squash":
        _check_way(height, width, size, max_pixels, name)
    if crop == "pad":
        inner = fitted(height, width, size)
        out = np.full((*size, 3), PAD, np.uint8)
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        out[top : top + inner[0], left : left + inner[1]] = resize(pixels, inner, (0, 0, height, width), resample)
        return out
    box = center_box(height, width, size, margin) if crop == "center" else (0, 0, height, width)
    return resize(pixels, size, box, resample)


def resize(pixels: np.ndarray, size: tuple[int, int], box: tuple[int, int, int, int], resample: str) -> np.ndarray:
    """The part `box` (top, left, height, width) of uint8 `(height, width, 3)` at `size` (height, width), uint8."""
    from PIL import Image

    top, left, height, width = box
    kind = Image.Resampling.BICUBIC if resample == "bicubic" else Image.Resampling.BILINEAR
    # The picture is cut first, so that what lies outside the box has no say, as in the graph.
    part = Image.fromarray(np.ascontiguousarray(pixels[top : top + height, left : left + width]))
    # Across first, then down, with rounding between: left to itself, Pillow 13 takes the other order for tall pictures.
    return np.asarray(part.resize((size[1], height), kind).resize((size[1], size[0]), kind))


def check_rule(crop: str, margin: int, resample: str) -> None:
    """Raise ConfigError unless there is such a rule."""
    if crop not in CROPS:
        raise ConfigError(f"There is no crop {crop!r}.", expected="one of " + ", ".join(CROPS))
    if resample not in RESAMPLES:
        raise ConfigError(f"There is no resampling {resample!r}.", expected="one of " + ", ".join(RESAMPLES))
    if margin < 0:
        raise ConfigError(f"A margin of {margin} pixels.", expected="0 or more")


def center_box(height: int, width: int, size: tuple[int, int], margin: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the centred part with the shape of `size`, less the margin; whole numbers."""
    rows, columns = size
    if height * columns <= width * rows:  # the height is the tight side
        part = (height * rows // (rows + margin), height * columns // (rows + margin))
    else:
        part = (width * rows // (columns + margin), width * columns // (columns + margin))
    part = (max(part[0], 1), max(part[1], 1))
    return (height - part[0] + 1) // 2, (width - part[1] + 1) // 2, *part


def fitted(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The largest height and width within `size` in the proportions of the picture; at least 1."""
    rows, columns = size
    if height * columns >= width * rows:
        return rows, max(width * rows // height, 1)
    return max(height * columns // width, 1), columns


def orientation(content: bytes) -> int:
    """The EXIF orientation of a JPEG, 1 (as it is) to 8; 1 where there is none or it cannot be read.

    Only the first 64 KiB are looked at, and only JPEG: the graph does just the same.
    """
    head = content[:_HEADER]
    at = 2
    while head[:2] == b"\xff\xd8" and at + 10 <= len(head) and head[at] == 0xFF and head[at + 1] >= 0xE0:
        if head[at + 1] == 0xE1 and head[at + 4 : at + 10] == b"Exif\0\0":
            return _tiff_orientation(head[at + 10 :])
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation: mirrored in 2, 4, 5 and 7, lying in 5 to 8."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _tiff_orientation(tiff: bytes) -> int:
    """Tag 0x112 of the first directory of the TIFF structure that EXIF data is."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, at)
        if tag == 0x112:
            return value if 1 <= value <= 8 else 1
    return 1


def _read(path: Path, most: int) -> bytes:
    """A file's bytes; raises OSError for a pipe or device, which may never end, and for more than `most` bytes."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError("not a regular file")
    if (size := os.path.getsize(path)) > most:
        raise OSError(f"{size:,} bytes, more than {most:,}")
    return path.read_bytes()


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    shaped = array[..., None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or shaped.ndim != 3 or shaped.shape[-1] not in (1, 3, 4) or 0 in shaped.shape:
        raise DataError(
            "An array is no picture.",
            expected="uint8 (height, width, 1, 3 or 4), 0 to 255",
            received=f"{array.dtype} {array.shape}",
            fix=OF_FLOATS if array.dtype.kind == "f" else None,
        )
    _check_size(shaped.shape[0], shaped.shape[1], "The picture", max_pixels)
    return np.repeat(shaped, 3, axis=2) if shaped.shape[-1] == 1 else np.ascontiguousarray(shaped[..., :3])


def _check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise DataError(
            f"{name}: {width:,} x {height:,} pixels; it was not decoded.",
            expected=f"at most {max_pixels:,} pixels",
            fix="scale it down, or raise max_pixels",
        )


def _check_way(height: int, width: int, size: tuple[int, int], max_pixels: int, name: str) -> None:
    """Raise DataError where what `resize` makes first, of the picture's height and the wanted width, is too large.

    The other crops keep the wanted shape, so that this is little larger than the picture or the wanted size.
    """
    most = max(max_pixels, MAX_PIXELS)  # a low limit for pictures says nothing against a wanted size
    if height * size[1] > most:
        raise DataError(
            f"{name}: {height:,} x {width:,} pixels, which cannot be squashed to {size[0]:,} x {size[1]:,}.",
            expected=f"a height of at most {most // size[1]:,} pixels",
            fix='cut or scale it down, or take crop "center" or "pad"',
        )


def _from_bytes(content: bytes, name: str, max_pixels: int) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise DataError(f"{name}: the file is empty.", fix=_FIX)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.height, image.width, name, max_pixels)
            return _rgb(image)
    except UnidentifiedImageError:
        kind = "text" if content[:1024].isascii() and b"\0" not in content[:1024] else "no picture that can be read"
        raise DataError(f"{name}: the file is {kind}, not an image.", fix=_FIX) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # a warning may be an error
        count = re.search(r"\((\d+) pixels\)", str(error))  # all that Pillow tells of it
        raise DataError(
            f"{name}: {f'{int(count[1]):,}' if count else 'too many'} pixels; it was not decoded.",
            expected=f"at most {max_pixels:,} pixels",
            fix="scale it down",
        ) from None
    except (DataError, MemoryError):
        raise
    except Exception as error:  # whatever a decoder brings up of a file that is not what it says
        raise DataError(f"{name}: the image is truncated or broken ({error}).", fix=_FIX) from error


def _rgb(image: Image.Image) -> np.ndarray:
    """Decode to uint8 `(height, width, 3)`, in the way TensorFlow's decoders do it."""
    if image.format == "GIF" and image.mode in ("P", "L"):
        return _gif(image)
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit grey, which Pillow would clip at 255
        grey = np.asarray(image)
        if grey.dtype.kind == "f":
            raise ValueError("a picture of floating-point numbers")
        return np.repeat((grey.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "CMYK":  # as Adobe's and TensorFlow's: inverted inks, multiplied by the black
        inks = 255 - np.asarray(image).astype(np.int32)
        return (inks[..., :3] * inks[..., 3:] // 255).astype(np.uint8)
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        return np.ascontiguousarray(np.asarray(image.convert("RGBA"))[..., :3])
    return np.asarray(image.convert("RGB"))


def _gif(image: Image.Image) -> np.ndarray:
    """The first frame of a GIF, black where it is transparent."""
    seen = np.asarray(image) != image.info.get("transparency", -1)
    return np.where(seen[..., None], np.asarray(image.convert("RGB")), np.uint8(0))
