"""Run a frozen prefix once over all examples and keep what it gives.

Outputs of variable length are kept without their padding. Where they would not fit, or the inputs change from epoch to
epoch, the prefix runs inside the training step instead: without gradients, in inference mode.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical.batches import infer
from tfvertical.columns import Dense, Ragged
from tfvertical.contracts import Encoded


def cost(prefix: keras.Model, encoded: Encoded) -> int:
    """Bytes that the prefix's outputs over all examples would take."""
    total = 0
    for tensor in keras_outputs(prefix):
        fixed = math.prod(size for size in tensor.shape[1:] if size is not None) * tf.as_dtype(tensor.dtype).size
        rows = len(encoded) if _fixed(tensor) or encoded.lengths is None else int(encoded.lengths.sum())
        total += fixed * rows
    return total


def cacheable(prefix: keras.Model) -> bool:
    """Whether every output can be kept by example: one shape for all, or a length in the first axis and nowhere else.

    A table of positions by positions cannot: its padding stands in two axes.
    """
    return all(size is not None for tensor in keras_outputs(prefix) for size in tensor.shape[2:])


def compute(prefix: keras.Model, encoded: Encoded, batch_size: int = 32) -> Encoded:
    """The examples as the suffix takes them: `cut_0`, `cut_1`, … in place of the model's inputs.

    Args:
        prefix: from `frontier.split`.
        encoded: examples as the whole model takes them.
        batch_size: examples a batch.
    """
    tensors = keras_outputs(prefix)
    kept = [_Kept(tensor, encoded) for tensor in tensors]
    for rows, outputs in infer(prefix, encoded, batch_size):
        for part, values in zip(kept, outputs, strict=True):
            part.put(rows, values)
    names = list(keras.tree.flatten({name: name for name in prefix.output}))  # Keras flattens by sorted name
    columns = {name: part.column() for name, part in zip(names, kept, strict=True)}
    return Encoded(columns, encoded.lengths, encoded.rows, encoded.labels, encoded.weights)


def release(encoded: Encoded) -> None:
    """Let go of what `compute` kept. tf.data holds on to the generators it was given for the life of the process, and
    they to their examples, so that forgetting `encoded` is not enough."""
    if isinstance(encoded.columns, dict):
        encoded.columns.clear()


class _Kept:
    """One tensor of the frontier for all examples, allocated once: its size is known before the first batch."""

    def __init__(self, tensor: Any, encoded: Encoded):
        dtype = np.dtype(tf.as_dtype(tensor.dtype).as_numpy_dtype)
        self.lengths = None if _fixed(tensor) else encoded.lengths
        if self.lengths is None:
            self.values = np.zeros((len(encoded), *tensor.shape[1:]), dtype)
        else:
            self.splits = np.concatenate([[0], np.cumsum(self.lengths)])
            self.values = np.zeros((self.splits[-1], *tensor.shape[2:]), dtype)

    def put(self, rows: np.ndarray, values: np.ndarray) -> None:
        """A batch of `(rows, …)`; padding is left out."""
        if self.lengths is None:
            self.values[rows] = values
            return
        for row, value in zip(rows, values, strict=True):
            self.values[self.splits[row] : self.splits[row + 1]] = value[: self.lengths[row]]

    def column(self) -> Dense | Ragged:
        return Dense(self.values) if self.lengths is None else Ragged(self.values, self.splits)


@keras.saving.register_keras_serializable("tfvertical")
class InferenceOnly(keras.layers.Layer):
    """Calls a model with `training=False`, whatever is said outside."""

    def __init__(self, part: keras.Model, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self.part = part

    def call(self, inputs: Any) -> Any:
        """The part's outputs."""
        return self.part(inputs, training=False)

    def compute_output_spec(self, inputs: Any) -> Any:
        """The part's own symbolic outputs."""
        return keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape, t.dtype), self.part.output)


def inline(prefix: keras.Model, suffix: keras.Model) -> keras.Model:
    """One model of both whose prefix always runs in inference mode, with no gradient kept."""
    inputs = keras.tree.map_structure(
        lambda t: keras.Input(batch_shape=(None, *t.shape[1:]), dtype=t.dtype, name=t.name), prefix.input
    )
    return keras.Model(inputs, suffix(InferenceOnly(prefix, name="prefix")(inputs)), name="inline")


def keras_outputs(model: keras.Model) -> list[Any]:
    """A model's symbolic outputs as a flat list."""
    return list(keras.tree.flatten(model.output))


def _fixed(tensor: Any) -> bool:
    return all(size is not None for size in tensor.shape[1:])
