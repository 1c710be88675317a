"""Softmax cross-entropy on label ids, and what makes it look at rare and difficult examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective
from tfvertical.objectives._focal import unsure

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Cross-entropy of one right class, on logits.

    Args:
        label_smoothing: 0…1, the share of the target that is spread over all classes (Szegedy et al. 2016).
        focal: the power of the focal loss (Lin et al. 2017), 0 for none: an example counts the less, the surer the
            model is of its label; 2 is what its authors used.
    """

    label_smoothing: float = 0.0
    focal: float = 0.0

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Logits `(batch, classes)` and label ids `(batch,)` to float32 `(batch,)`; more axes between are kept."""
        import tensorflow as tf

        logits, labels = tf.cast(outputs, tf.float32), tf.cast(labels, tf.int32)
        right = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        found = right
        if self.label_smoothing:
            everywhere = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
            found = (1 - self.label_smoothing) * right + self.label_smoothing * everywhere
        return found * unsure(right, self.focal) if self.focal else found
