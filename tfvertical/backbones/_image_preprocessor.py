"""The image preprocessor of every backbone: one rule for crop and size, in NumPy and in the graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from tfvertical.codecs import pixels
from tfvertical.contracts import ImagePreprocessor
from tfvertical.errors import ConfigError, nearest

if TYPE_CHECKING:
    import tensorflow as tf


@final
@dataclass(frozen=True)
class KerasImagePreprocessor(ImagePreprocessor):
    """Pictures to float32 pixels 0…255 for a Keras image backbone, whose first layer does the scaling.

    Args:
        size: `(height, width)` in pixels.
        crop: `center`, `squash` or `pad` (`codecs/pixels.py` says what each does).
        margin: pixels that `center` leaves out along the shorter side, at the wanted size.
        resample: `bicubic` or `bilinear`, with antialiasing.
        max_pixels: most pixels a picture may have before it is decoded.
        input_name: the model's input.

    Raises:
        ConfigError: a field has no sensible value.

    Example:
        >>> KerasImagePreprocessor((8, 8)).pixels(np.zeros((20, 30, 3), np.uint8)).shape
        (8, 8, 3)
    """

    size: tuple[int, int] = (224, 224)
    crop: str = "center"
    margin: int = 0
    resample: str = "bicubic"
    max_pixels: int = pixels.MAX_PIXELS
    input_name: str = "images"

    def __post_init__(self) -> None:
        pixels.check_rule(self.crop, self.margin, self.resample)
        if len(self.size) != 2 or not all(isinstance(n, int) and 1 <= n <= 8192 for n in self.size):
            raise ConfigError(f"A picture size of {self.size}.", expected="(height, width), each from 1 to 8192 pixels")

    def pixels(self, item: Any) -> np.ndarray:
        """One picture (path, bytes, or uint8 array) as uint8 `(height, width, 3)`."""
        name = str(item) if isinstance(item, str | os.PathLike) else "The picture"
        return self._fitted(self.decode(item), name)

    def decode(self, item: Any) -> np.ndarray:
        """One picture as uint8 `(its height, its width, 3)`: what augmentation starts from. Raises DataError."""
        return pixels.decode(item, self.max_pixels)

    def fit(self, decoded: np.ndarray) -> np.ndarray:
        """A decoded picture, cropped and resized: uint8 `(height, width, 3)`."""
        return self._fitted(decoded, "The picture")

    def inputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The model's inputs by name, from uint8 `(batch, height, width, 3)`."""
        return {self.input_name: pixels.astype(np.float32)}

    def graph(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Encoded pictures, string `(batch,)`, to the model's inputs, equal to `pixels` in every pixel."""
        import tensorflow as tf

        from tfvertical.backbones import _image_graph

        def one(content: tf.Tensor) -> tf.Tensor:
            image = _image_graph.decode(content)
            return _image_graph.crop_resize(image, self.size, self.crop, self.margin, self.resample)

        def preprocess(contents: tf.Tensor) -> dict[str, tf.Tensor]:
            # One picture after the other: a batch of large ones would not fit into memory.
            signature = tf.TensorSpec((*self.size, 3), tf.uint8)
            images = tf.map_fn(one, contents, fn_output_signature=signature, parallel_iterations=1)
            return {self.input_name: tf.cast(images, tf.float32)}

        return preprocess

    def config(self) -> dict[str, Any]:
        return {**asdict(self), "size": list(self.size)}

    def assets(self) -> dict[str, bytes]:
        return {}

    def _fitted(self, decoded: np.ndarray, name: str) -> np.ndarray:
        rule = (self.size, self.crop, self.margin, self.resample)
        return pixels.crop_resize(decoded, *rule, max_pixels=self.max_pixels, name=name)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], assets: Mapping[str, bytes] | None = None
    ) -> KerasImagePreprocessor:
        known = list(cls.__dataclass_fields__)
        for key in config:
            if key not in known:
                raise ConfigError(f"An image preprocessor has no option {key!r}.", nearest=nearest(key, known))
        fields = dict(config)
        if "size" in fields:
            fields["size"] = tuple(fields["size"])
        return cls(**fields)
