"""Cross-entropy of ordered levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class OrdinalLoss(Objective):
    """The mean cross-entropy of "is it above this level?" over all levels but the last (Cao et al. 2020)."""

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Logits `(batch, levels - 1)` and positions of levels `(batch, 1)` to float32 `(batch,)`."""
        import tensorflow as tf

        logits = tf.cast(outputs, tf.float32)
        levels = tf.range(tf.shape(logits)[-1], dtype=tf.float32)
        above = tf.cast(tf.cast(labels, tf.float32) > levels, tf.float32)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(above, logits), axis=-1)
