"""What is watched while a model trains, of tasks that Keras has no metric for."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfvertical.objectives import _chain
from tfvertical.objectives.span_cross_entropy import BEGINS, ENDS


@keras.saving.register_keras_serializable("tfvertical")
class TokenAccuracy(keras.metrics.Mean):
    """Share of positions with a label of 0 or more at which the highest output is that label."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count `(batch, length)` of labels against `(batch, length, tags)`; weights are those of examples."""
        labels = tf.cast(y_true, tf.int32)
        y_pred = y_pred[:, : tf.shape(labels)[1]]  # what `Steps` puts below is no position
        counted = tf.cast(labels >= 0, tf.float32)
        if sample_weight is not None:
            counted *= tf.cast(tf.reshape(sample_weight, [-1, 1]), tf.float32)
        right = tf.cast(tf.argmax(y_pred, axis=-1, output_type=tf.int32) == labels, tf.float32)
        # flat: Keras would take the mean over each example first, so that padding would make a batch count less
        super().update_state(tf.reshape(right, [-1]), tf.reshape(counted, [-1]))


@keras.saving.register_keras_serializable("tfvertical")
class EntityF1(keras.metrics.Metric):
    """Strict F1 of the entities that the highest outputs make, as `codecs.entities.runs` counts them.

    The report decodes, which corrects tags that contradict each other; here each position speaks for itself, of a word
    the first piece, and windows of a long text are texts. Only operations of fixed shapes, so that XLA compiles it.

    Args:
        chained: outputs are those of `Steps`, and of a text's tags those count that are most probable together.
    """

    def __init__(self, name: str = "f1", chained: bool = False, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.chained = chained
        self.right, self.found, self.marked = (
            self.add_weight(shape=(), initializer="zeros", name=each) for each in ("right", "found", "marked")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the entities of `(batch, length)` of labels against those of `(batch, length, tags)`."""
        labels = tf.cast(y_true, tf.int32)
        # labelled positions first, in their order: pieces that answer for no word lie between those of one entity
        order = tf.argsort(tf.cast(labels < 0, tf.int32), axis=1, stable=True)
        true = tf.gather(labels, order, axis=1, batch_dims=1)
        if self.chained:
            found = _chain.best(_chain.chain(y_pred, labels))  # in the same order
        else:
            found = tf.gather(tf.argmax(y_pred, axis=-1, output_type=tf.int32), order, axis=1, batch_dims=1)
        found = tf.where(true >= 0, found, 0)
        true = tf.maximum(true, 0)
        weight = 1.0 if sample_weight is None else tf.cast(tf.reshape(sample_weight, [-1, 1]), tf.float32)
        begins, goes_on = _begins(true), _goes_on(true)
        goes_on_too = _goes_on(found)
        # Stretches that end where neither side goes on. An entity is found if all of its stretch is alike: then it
        # begins it, with the same tag on both sides.
        alike = (true == found) & (goes_on == goes_on_too)
        ends = tf.pad(~goes_on & ~goes_on_too, [[0, 0], [0, 1]], constant_values=True)[:, 1:]
        rows, length = tf.shape(true)[0], tf.shape(true)[1]
        stretch = tf.cumsum(tf.cast(ends, tf.int32), axis=1, exclusive=True) + tf.range(rows)[:, None] * length
        unlike = tf.math.unsorted_segment_sum(tf.cast(~alike, tf.int32), stretch, tf.size(true))
        self.right.assign_add(_sum(begins & (tf.gather(unlike, stretch) == 0), weight))
        self.found.assign_add(_sum(_begins(found), weight))
        self.marked.assign_add(_sum(begins, weight))

    def result(self) -> Any:
        """0 where nothing is marked and nothing found."""
        return tf.math.divide_no_nan(2.0 * self.right.value, self.found.value + self.marked.value)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return super().get_config() | {"chained": self.chained}


@keras.saving.register_keras_serializable("tfvertical")
class SpanAccuracy(keras.metrics.Mean):
    """Share of windows in which the highest first and the highest last position are those of the answer."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count labels `(batch, length)`, as `SpanCrossEntropy` reads them, against `(batch, length, 2)`."""
        labels = tf.cast(y_true, tf.int32)
        scores = tf.where((labels >= 0)[:, :, None], tf.cast(y_pred, tf.float32), -1e9)
        highest = tf.argmax(scores, axis=1, output_type=tf.int32)
        marks = tf.maximum(tf.gather(labels, highest, axis=1, batch_dims=1), 0)
        right = tf.reduce_all(tf.bitwise.bitwise_and(marks, tf.constant([BEGINS, ENDS])) > 0, axis=1)
        super().update_state(tf.cast(right, tf.float32), sample_weight)


@keras.saving.register_keras_serializable("tfvertical")
class MicroF1(keras.metrics.Metric):
    """F1 of all labels taken together, of logits above 0."""

    def __init__(self, name: str = "f1", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.right, self.predicted, self.true = (
            self.add_weight(shape=(), initializer="zeros", name=each) for each in ("right", "predicted", "true")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count zeros and ones `(batch, labels)` against logits."""
        true, applies = tf.cast(y_true, tf.float32), tf.cast(y_pred > 0, tf.float32)
        weight = 1.0 if sample_weight is None else tf.cast(tf.reshape(sample_weight, [-1, 1]), tf.float32)
        self.right.assign_add(_sum(true * applies, weight))
        self.predicted.assign_add(_sum(applies, weight))
        self.true.assign_add(_sum(true, weight))

    def result(self) -> Any:
        """0 where nothing applies and nothing is predicted."""
        return tf.math.divide_no_nan(2.0 * self.right.value, self.predicted.value + self.true.value)


@keras.saving.register_keras_serializable("tfvertical")
class AbsoluteError(keras.metrics.Mean):
    """The mean distance of numbers from the true ones, as `codecs.numbers` reads a model's outputs.

    Args:
        parts: outputs of each number: 1, or 3 of which the middle one is meant.
        ordinal: the outputs are logits of being above each level, and errors are counted in levels.
    """

    def __init__(self, parts: int = 1, ordinal: bool = False, name: str = "mae", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.parts, self.ordinal = parts, ordinal

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count `(batch, numbers)` against `(batch, outputs)`."""
        found = tf.cast(y_pred, tf.float32)
        if self.ordinal:
            found = tf.reduce_sum(tf.cast(found > 0, tf.float32), axis=-1, keepdims=True)
        elif self.parts == 3:
            found = found[:, 1::3]
        apart = tf.reduce_mean(tf.abs(found - tf.cast(y_true, tf.float32)), axis=-1)
        super().update_state(apart, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return super().get_config() | {"parts": self.parts, "ordinal": self.ordinal}


def _begins(tags: tf.Tensor) -> tf.Tensor:
    return tags % 2 == 1


def _goes_on(tags: tf.Tensor) -> tf.Tensor:
    """Whether each position goes on with the entity of the one before: bool, as `tags`."""
    before = tf.pad(tags, [[0, 0], [1, 0]])[:, :-1]
    return (tags > 0) & (tags % 2 == 0) & ((before == tags) | (before == tags - 1))


def _sum(chosen: tf.Tensor, weight: Any) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(chosen, tf.float32) * weight)
