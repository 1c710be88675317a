"""Softmax cross-entropy on label ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Cross-entropy of one right class, on logits.

    Args:
        label_smoothing: 0…1, the share of the target that is spread over all classes (Szegedy et al. 2016).
    """

    label_smoothing: float = 0.0

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Logits `(batch, classes)` and int32 label ids `(batch,)` to float32 `(batch,)`."""
        import tensorflow as tf

        logits = tf.cast(outputs, tf.float32)
        right = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if not self.label_smoothing:
            return right
        everywhere = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
        return (1 - self.label_smoothing) * right + self.label_smoothing * everywhere
