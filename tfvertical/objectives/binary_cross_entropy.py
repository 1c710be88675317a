"""Cross-entropy of labels of which any number may apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective
from tfvertical.objectives._focal import unsure

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class BinaryCrossEntropy(Objective):
    """The mean over an example's labels of "does it apply?", on logits.

    Args:
        label_smoothing: 0…1, the share of the target that is spread over yes and no.
        focal: the power of the focal loss (Lin et al. 2017), 0 for none: a label counts the less, the surer the model
            is of the right answer.
        positive_weights: what a yes counts of each label, by id; empty for 1.
    """

    label_smoothing: float = 0.0
    focal: float = 0.0
    positive_weights: tuple[float, ...] = ()

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Logits and zeros and ones, both `(batch, labels)`, to float32 `(batch,)`."""
        import tensorflow as tf

        logits, applies = tf.cast(outputs, tf.float32), tf.cast(labels, tf.float32)
        targets = applies * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        found = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        if self.focal:
            right = tf.nn.sigmoid_cross_entropy_with_logits(applies, logits)
            found *= unsure(right, self.focal)
        if self.positive_weights:
            found *= 1 + applies * (tf.constant(self.positive_weights, tf.float32) - 1)
        return tf.reduce_mean(found, axis=-1)
