"""The pinball loss of quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective
from tfvertical.objectives._deviations import apart

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class QuantileLoss(Objective):
    """The mean over an example's quantiles of the pinball loss (Koenker and Bassett 1978).

    Args:
        quantiles: 0…1, ascending, of each number.
        deviations: of the training numbers, one each.
    """

    quantiles: tuple[float, ...]
    deviations: tuple[float, ...]

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Quantiles `(batch, numbers * quantiles)` and true numbers `(batch, numbers)` to float32 `(batch,)`."""
        import tensorflow as tf

        count = len(self.quantiles)
        true = tf.repeat(tf.cast(labels, tf.float32), count, axis=-1)
        error = apart(true, outputs, tuple(each for each in self.deviations for _ in range(count)))
        at = tf.constant(self.quantiles * len(self.deviations), tf.float32)
        return tf.reduce_mean(tf.maximum(at * error, (at - 1) * error), axis=-1)
