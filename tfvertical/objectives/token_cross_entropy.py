"""Cross-entropy of tags, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective
from tfvertical.objectives.cross_entropy import CrossEntropy

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class TokenCrossEntropy(Objective):
    """The mean over an example's labelled positions of the cross-entropy of their tags, on logits.

    Keras' own `class_weight` takes the label of the largest position for one `(batch, length)` of labels; weights of
    tags are right here, each at its own position.

    Args:
        label_smoothing: 0…1, as for `CrossEntropy`.
        focal: the power of the focal loss, as for `CrossEntropy`.
        tag_weights: what each tag counts, by id; empty for 1.
    """

    label_smoothing: float = 0.0
    focal: float = 0.0
    tag_weights: tuple[float, ...] = ()

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Logits `(batch, length, tags)` and tag ids `(batch, length)`, -1 for none, to float32 `(batch,)`.

        `-2 - tag` is that of a word's later piece: learned like the first one's, and counted by no metric.
        """
        import tensorflow as tf

        labels = tf.cast(labels, tf.int32)
        labelled = tf.cast(labels != -1, tf.float32)
        tags = tf.where(labels < -1, -2 - labels, tf.maximum(labels, 0))
        found = CrossEntropy(self.label_smoothing, self.focal).loss(outputs, tags) * labelled
        if self.tag_weights:
            found *= tf.gather(tf.constant(self.tag_weights, tf.float32), tags)
        return tf.math.divide_no_nan(tf.reduce_sum(found, axis=1), tf.reduce_sum(labelled, axis=1))
