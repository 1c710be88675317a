"""Random views of training pictures: cut, mirrored, recoloured on the decoded original, so that cuts stay sharp.

NumPy and Pillow, before the model: a random layer inside it would land in the frozen prefix and be cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from tfvertical.errors import ConfigError

_TRIES = 10


@final
@dataclass(frozen=True)
class Augment:
    """A random view of a picture, decided by the generator alone.

    Args:
        flip: mirror left and right in half of the cases. Leave it off where sides matter (text, road signs, hands).
        crop: smallest and largest share of the picture's area that is kept, in (0, 1].
        aspect: smallest and largest stretch of the width against the height, around the wanted shape.
        color: brightness and contrast vary by this share at most, 0 for not at all, below 1.

    Raises:
        ConfigError: a range is empty or out of bounds.

    Example:
        >>> picture = np.zeros((300, 400, 3), np.uint8)
        >>> Augment()(picture, (224, 224), Augment.generator(seed=0, epoch=3, row=17)).shape
        (224, 224, 3)
    """

    flip: bool = True
    crop: tuple[float, float] = (0.6, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    color: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("crop", 1.0), ("aspect", float("inf"))):
            value = getattr(self, name)
            if len(value) != 2 or not 0 < value[0] <= value[1] <= most:
                expected = f"(least, most), above 0{', at most 1' if most == 1 else ''}"
                raise ConfigError(f"Augment: {name} is {value}.", expected=expected)
        if not 0 <= self.color < 1:
            raise ConfigError(f"Augment: color is {self.color}.", expected="0 or more, below 1")

    @staticmethod
    def generator(seed: int, epoch: int, row: int) -> np.random.Generator:
        """The generator of one picture in one epoch: the same in every process, whatever was drawn before."""
        return np.random.default_rng([seed, epoch, row])

    def __call__(self, pixels: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """A view of uint8 `(height, width, 3)` as uint8 `(*size, 3)`."""
        from PIL import Image

        box = self._box(pixels.shape[0], pixels.shape[1], size, rng)
        # Large originals are first reduced by whole factors; at this gap the difference cannot be seen.
        view = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC, box, reducing_gap=2.0)
        if self.flip and rng.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        out = np.asarray(view)
        return _recolored(out, *rng.uniform(1 - self.color, 1 + self.color, 2)) if self.color else out

    def _box(
        self, height: int, width: int, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is kept."""
        shape = size[1] / size[0]
        for _ in range(_TRIES):
            area = height * width * rng.uniform(*self.crop)
            stretch = shape * np.exp(rng.uniform(*np.log(self.aspect)))
            columns, rows = (area * stretch) ** 0.5, (area / stretch) ** 0.5
            if columns <= width and rows <= height:
                left, top = rng.uniform(0, width - columns), rng.uniform(0, height - rows)
                return left, top, min(left + columns, width), min(top + rows, height)
        # A long, narrow picture has no such part: its middle, in the wanted shape.
        columns, rows = min(width, height * shape), min(height, width / shape)
        left, top = (width - columns) / 2, (height - rows) / 2
        return left, top, left + columns, top + rows


def _recolored(pixels: np.ndarray, brightness: float, contrast: float) -> np.ndarray:
    """Scale around the mean grey, then all: one table of 256 levels, since both act on each value alone."""
    mean = float(pixels.mean())
    levels = ((np.arange(256) - mean) * contrast + mean) * brightness
    return np.rint(levels).clip(0, 255).astype(np.uint8)[pixels]
