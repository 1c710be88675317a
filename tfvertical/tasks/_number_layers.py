"""The last layers of a head that tells numbers: from what is easily learned to the numbers' own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def _softplus(x: Any) -> Any:
    """log(1 + e^x), of operations that LiteRT has too."""
    return ops.relu(x) + ops.log(1.0 + ops.exp(-ops.abs(x)))


@keras.saving.register_keras_serializable("tfvertical")
class OwnUnits(keras.layers.Layer):
    """`(batch, numbers * parts)` around 0 to numbers in their own units, by mean and deviation of the training data.

    Both are weights that no optimizer moves: they are saved and exported with the model. In three parts, the outer two
    are distances below and above the middle one, made positive, so that bounds never cross.

    Args:
        numbers: how many.
        parts: outputs of each: 1, or 3 for bounds.
    """

    def __init__(self, numbers: int, parts: int = 1, **kwargs: Any):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.numbers, self.parts = numbers, parts

    def build(self, shape: Any) -> None:
        """Mean 0 and deviation 1."""
        self.mean = self.add_weight(shape=(self.numbers,), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(self.numbers,), initializer="ones", trainable=False, name="deviation")

    def fit(self, numbers: np.ndarray) -> None:
        """Take mean and deviation from float `(rows, numbers)`."""
        self.mean.assign(numbers.mean(axis=0).astype(np.float32))
        self.deviation.assign(numbers.std(axis=0).astype(np.float32))

    def call(self, inputs: Any) -> Any:
        """float32 `(batch, numbers * parts)`."""
        if self.parts == 1:
            return inputs * self.deviation + self.mean
        split = ops.reshape(inputs, (-1, self.numbers, 3))
        middle = split[:, :, 1]
        every = [middle - _softplus(split[:, :, 0]), middle, middle + _softplus(split[:, :, 2])]
        own = [each * self.deviation + self.mean for each in every]
        return ops.reshape(ops.stack(own, axis=-1), (-1, self.numbers * 3))

    def compute_output_shape(self, shape: Any) -> Any:
        """That of the inputs."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return super().get_config() | {"numbers": self.numbers, "parts": self.parts}


@keras.saving.register_keras_serializable("tfvertical")
class Thresholds(keras.layers.Layer):
    """One number `(batch, 1)` to logits `(batch, levels - 1)` of being above each level: the proportional-odds model
    (McCullagh 1980). The thresholds are learned, and stay in order.

    Args:
        levels: how many.
    """

    def __init__(self, levels: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.levels = levels

    def build(self, shape: Any) -> None:
        """The first threshold, and softplus' inverse of the steps from each to the next: all 1."""
        one = keras.initializers.Constant(float(np.log(np.expm1(1.0))))
        self.first = self.add_weight(shape=(1,), initializer="zeros", name="first")
        self.steps = self.add_weight(shape=(self.levels - 2,), initializer=one, name="steps")

    def fit(self, positions: np.ndarray) -> None:
        """Begin where the training data are: at the log odds of being above each level.

        Args:
            positions: of levels, `(rows, 1)`.
        """
        above = (positions > np.arange(self.levels - 1)).mean(axis=0)
        above = np.clip(above, 0.5 / len(positions), 1 - 0.5 / len(positions))
        thresholds = np.log1p(-above) - np.log(above)
        self.first.assign(thresholds[:1].astype(np.float32))
        self.steps.assign(np.log(np.expm1(np.maximum(np.diff(thresholds), 0.01))).astype(np.float32))

    def call(self, inputs: Any) -> Any:
        """Logits, falling from level to level."""
        thresholds = ops.cumsum(ops.concatenate([self.first, _softplus(self.steps)]))
        return inputs - thresholds

    def compute_output_shape(self, shape: Any) -> Any:
        """`(batch, levels - 1)`."""
        return (shape[0], self.levels - 1)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return super().get_config() | {"levels": self.levels}


def behind(options: dict[str, Any], numbers: int) -> keras.layers.Layer:
    """The layer behind the linear one of a head.

    Args:
        options: `loss` and `levels` of a regressor's head.
        numbers: how many it tells.
    """
    levels: Sequence[float] = options["levels"]
    if options["loss"] == "ordinal":
        return Thresholds(len(levels), name="thresholds")
    return OwnUnits(numbers, 3 if options["loss"] == "quantile" else 1, name="own_units")
