"""Errors of numbers in deviations of the training numbers, so that a rate that suits one table suits another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def apart(one: tf.Tensor, other: tf.Tensor, deviations: tuple[float, ...]) -> tf.Tensor:
    """Their difference in deviations, float32; subtracted first, so that large numbers lose nothing."""
    import tensorflow as tf

    return (tf.cast(one, tf.float32) - tf.cast(other, tf.float32)) / tf.constant(deviations, tf.float32)
