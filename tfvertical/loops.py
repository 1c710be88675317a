"""Many steps of a model in one call of a graph, over examples that lie beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import draws
from tfvertical.batches import arrange
from tfvertical.contracts import Encoded


class Loop:
    """One of a model's steps, `train_step` or `test_step`, over rows of examples that lie beside it.

    Args:
        model: compiled, of inputs of fixed shape.
        step: Keras' own step.
        encoded: the examples, all columns `Dense`.
    """

    def __init__(self, model: keras.Model, step: Callable[[Any], Any], encoded: Encoded):
        self.model, self.step = model, step
        dtypes = {tensor.name: tensor.dtype for tensor in model.inputs}
        self.arrays = {name: _tensor(column, dtypes[name]) for name, column in encoded.columns.items()}
        self.labels, self.weights = tf.constant(encoded.labels), tf.constant(encoded.weights, tf.float32)
        self._many: Any = None
        self._one: Any = None

    def run(self, rows: tf.Tensor, sizes: tf.Tensor) -> Mapping[str, Any]:
        """Steps over `rows`, int32 `(examples,)`, in batches of these sizes, int32 `(batches,)`; the metrics so far."""
        if self._many is None:  # the concrete function: TensorFlow warns of a tf.function that each stage traces anew
            free = tf.TensorSpec([None], tf.int32)
            self._many = tf.function(self._any, autograph=False).get_concrete_function(free, free)
        return self._many(rows, sizes)

    def single(self, rows: tf.Tensor) -> Mapping[str, Any]:
        """One step on the examples at `rows`, int32 `(examples,)`; the metrics so far."""
        self.trace_single()
        return self._one(rows)

    def trace_single(self) -> None:
        """Make the graph of one step, if it is not there yet."""
        if self._one is None:
            free = tf.TensorSpec([None], tf.int32)
            self._one = tf.function(self._single, autograph=False).get_concrete_function(free)

    def inputs(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """The model's inputs of the examples at `rows`, by name."""
        return {name: tf.gather(array, rows) for name, array in self.arrays.items()}

    def _any(self, rows: tf.Tensor, sizes: tf.Tensor) -> Mapping[str, Any]:
        def body(number: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            self._take(tf.slice(rows, [at], [sizes[number]]))
            return number + 1, at + sizes[number]

        tf.while_loop(lambda number, at: number < tf.shape(sizes)[0], body, [0, 0], parallel_iterations=1)
        return self.model.get_metrics_result()

    def _single(self, rows: tf.Tensor) -> Mapping[str, Any]:
        self._take(rows)
        return self.model.get_metrics_result()

    def _take(self, rows: tf.Tensor) -> None:
        self.step(self.batch(rows))

    def batch(self, rows: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """Inputs, labels and weights of the examples at `rows`."""
        inputs = arrange(self.model, self.inputs(rows))
        return inputs, tf.gather(self.labels, rows), tf.gather(self.weights, rows)


class Compiled(Loop):
    """The same by XLA, for batches of one size; what its Dropout layers drop is drawn elsewhere.

    Args:
        batch_size: examples a step; a smaller batch is not compiled, since that takes as long again.
        size: steps a call at most: with fewer, the rest is idle, so that XLA compiles one shape.
        drawn: what the model's layers draw.
    """

    def __init__(
        self,
        model: keras.Model,
        step: Callable[[Any], Any],
        encoded: Encoded,
        batch_size: int,
        size: int,
        drawn: draws.Draws,
    ):
        super().__init__(model, step, encoded)
        self.batch_size, self.size, self.drawn = batch_size, size, drawn
        self.short = len(encoded) % batch_size > 0
        self.broken = self._taken = False

    def run(self, rows: tf.Tensor, sizes: tf.Tensor, *masks: tf.Tensor) -> Mapping[str, Any]:
        """As ever; `masks` are of `size` steps, one a layer.

        Batches that are grouped by length may have the short one anywhere, and what XLA cannot compile is found out at
        its first call, before any step: both are taken as they are elsewhere.
        """
        if self.broken or (sizes.numpy()[:-1] != self.batch_size).any():
            return super().run(rows, sizes)
        whole = int(np.count_nonzero(sizes.numpy() == self.batch_size))
        at = whole * self.batch_size
        logs: Mapping[str, Any] = {}
        if whole:
            rest = self.size * self.batch_size - at
            try:
                self._compiling.result()
                logs = self._equal(tf.pad(rows[:at], [[0, rest]]), tf.constant(whole), *masks)
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
                if self._taken:
                    raise
                self.broken = True
                return super().run(rows, sizes)
            self._taken = True
            self.drawn.passed(whole)
        return self.single(rows[at:]) if whole < len(sizes) else logs

    def compile(self) -> None:
        """Let XLA compile beside what comes next; the graph of the short batch, if there is one, is made meanwhile.

        The model's metrics must have been made.
        """
        shapes = [(self.size, *shape) for shape in self.drawn.shapes]
        nothing = [tf.zeros([self.size * self.batch_size], tf.int32), tf.constant(0)]
        nothing += [tf.zeros(shape, tf.bool) for shape in shapes]
        graph = tf.function(self._of_one_size, jit_compile=True, autograph=False)
        self._equal = graph.get_concrete_function(*map(tf.TensorSpec.from_tensor, nothing))
        beside = ThreadPoolExecutor(1)
        self._compiling = beside.submit(self._equal, *nothing)  # no steps: compiled, and nothing is changed
        beside.shutdown(wait=False)
        if self.short:
            self.trace_single()

    def _of_one_size(self, rows: tf.Tensor, steps: tf.Tensor, *masks: tf.Tensor) -> Mapping[str, Any]:
        def body(number: tf.Tensor) -> tf.Tensor:
            with self.drawn.supplied([mask[number] for mask in masks]):
                self._take(tf.slice(rows, [number * self.batch_size], [self.batch_size]))
            return number + 1

        tf.while_loop(lambda number: number < steps, body, [0], parallel_iterations=1)
        return self.model.get_metrics_result()


def _tensor(column: Any, dtype: str) -> tf.Tensor:
    return tf.cast(tf.constant(column.array), dtype)
