"""What Dropout drops in a chunk's steps, drawn before them.

Inside an XLA loop on a processor, drawing takes ten times as long as all else that a small head's step does;
TensorFlow's own operation, outside, is fast, and runs beside the loop as part of the input pipeline. The masks are
those that the layers would have drawn themselves, so a run does not depend on who draws them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import stages
from tfvertical.frontier import read


class Draws:
    """The Dropout layers of a model, and what they drop.

    Args:
        shapes: what `shapes(model)` found: a layer's inputs, without the examples.
        batch_size: examples a step.
    """

    def __init__(self, shapes: Sequence[tuple[keras.layers.Dropout, Sequence[int]]], batch_size: int):
        self.layers = [layer for layer, _ in shapes]
        self.shapes = [(batch_size, *shape) for _, shape in shapes]

    def begin(self) -> list[tf.Tensor]:
        """Where the layers' generators stand now, as `masks` takes it."""
        return [tf.constant(state, tf.int64) for state in self._states()]

    def masks(self, first: tf.Tensor, *before: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What is kept in `steps` steps from `first` on, counted from `before`: a layer, `(steps, batch, …)`."""
        numbers = first + tf.range(steps)
        return tuple(
            tf.map_fn(_drawing(layer.rate, shape, state), numbers, fn_output_signature=tf.TensorSpec(shape, tf.bool))
            for layer, shape, state in zip(self.layers, self.shapes, before, strict=True)
        )

    @contextlib.contextmanager
    def supplied(self, masks: Sequence[tf.Tensor]) -> Iterator[None]:
        """While a step is traced, the layers use these masks, each `(batch, …)`, and do not draw."""
        for layer, mask in zip(self.layers, masks, strict=True):
            layer.call = _using(mask, 1 / (1 - layer.rate))
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.call

    def passed(self, steps: int) -> None:
        """Let the layers' generators stand where they would, had they drawn for so many steps."""
        for layer, state in zip(self.layers, self._states(), strict=True):
            layer.seed_generator.state.assign(state + np.array([0, steps], state.dtype))

    def _states(self) -> list[np.ndarray]:
        return [layer.seed_generator.state.numpy() for layer in self.layers]


def shapes(model: keras.Model) -> list[tuple[keras.layers.Dropout, Sequence[int]]] | None:
    """Layers that draw, with the shape of their inputs; None where others than Dropout do, or a shape is not known."""
    if not any(_draws(layer) for layer in stages.layers(model)):
        return []
    calls = [(layer, args[0].shape[1:]) for layer, args, _, _ in read(model)[0] if _draws(layer)]
    every = {id(layer) for layer in stages.layers(model) if _draws(layer)}
    plain = all(
        type(layer) is keras.layers.Dropout
        and layer.noise_shape is None
        and layer.rate < 1
        and layer.compute_dtype == "float32"
        and None not in shape
        for layer, shape in calls
    )
    once = len(calls) == len(every) and {id(layer) for layer, _ in calls} == every
    return calls if plain and once else None


def _draws(layer: Any) -> bool:
    return getattr(layer, "seed_generator", None) is not None


def _drawing(rate: float, shape: Sequence[int], before: tf.Tensor) -> Any:
    """Step -> mask, as `keras.layers.Dropout` draws it when its generator is at `before` in step 0."""

    def mask(step: tf.Tensor) -> tf.Tensor:
        state = before + tf.stack([tf.constant(0, tf.int64), tf.cast(step, tf.int64)])
        seed = tf.cast(tf.math.floormod(state, tf.int32.max - 1), tf.int32)  # as Keras casts it
        return tf.random.stateless_uniform(shape, seed) >= rate

    return mask


def _using(mask: tf.Tensor, scale: float) -> Any:
    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.where(mask, inputs * scale, 0.0) if training else inputs

    return call
