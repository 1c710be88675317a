"""Cross-entropy of where an answer begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective

if TYPE_CHECKING:
    import tensorflow as tf

BEGINS, ENDS = 1, 2  # of a position's label, added where it is both


@dataclass(frozen=True)
class SpanCrossEntropy(Objective):
    """The mean of two cross-entropies over the positions that could be one: which begins the answer, and which ends it.

    The first position stands for "there is none".
    """

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Logits `(batch, length, 2)` and labels `(batch, length)`, -1 for no word, to float32 `(batch,)`."""
        import tensorflow as tf

        logits, labels = tf.cast(outputs, tf.float32), tf.cast(labels, tf.int32)
        possible = labels >= 0
        losses = []
        for side, mark in enumerate((BEGINS, ENDS)):
            scores = tf.where(possible, logits[:, :, side], -1e9)
            right = possible & (tf.bitwise.bitwise_and(tf.maximum(labels, 0), mark) > 0)
            chosen = tf.reduce_sum(tf.where(right, scores, 0.0), axis=1)
            losses.append(tf.reduce_logsumexp(scores, axis=1) - chosen)
        return (losses[0] + losses[1]) / 2
