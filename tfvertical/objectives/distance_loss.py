"""The squared distance of numbers, or Huber's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective
from tfvertical.objectives._deviations import apart

if TYPE_CHECKING:
    import tensorflow as tf

_HUBER = 1.0  # deviations beyond which an error counts by its size instead of its square


@dataclass(frozen=True)
class DistanceLoss(Objective):
    """The mean over an example's numbers of their loss; errors are measured in deviations of the training numbers.

    So measured, a rate that suits one table suits another, whatever its unit.

    Args:
        kind: `mse`, the squared error; `huber`, the same for small errors and linear beyond one deviation, so that
            outliers weigh less (Huber 1964).
        deviations: of the training numbers, one each.
    """

    kind: str
    deviations: tuple[float, ...]

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Numbers `(batch, numbers)` and true ones, in their own units, to float32 `(batch,)`."""
        import tensorflow as tf

        error = apart(outputs, labels, self.deviations)
        squared = 0.5 * tf.square(error)
        if self.kind == "huber":
            size = tf.abs(error)
            squared = tf.where(size <= _HUBER, squared, _HUBER * (size - 0.5 * _HUBER))
        return tf.reduce_mean(squared, axis=-1)
