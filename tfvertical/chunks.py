"""Train a small model many steps at a time, inside compiled graphs, with Keras' `fit` around them.

On features that are kept in memory a step takes a fraction of a millisecond, less than what Keras and tf.data add to
it. Here the examples lie beside the model, and one call of a graph takes all steps of a chunk. `fit`, its callbacks,
metrics and progress bar see a chunk where they otherwise see a step, and every epoch as always.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import draws, stages
from tfvertical.batches import arrange, epoch
from tfvertical.columns import Dense
from tfvertical.contracts import Encoded
from tfvertical.errors import TrainingError
from tfvertical.frontier import first_not_finite
from tfvertical.steps import make_metrics

EXAMPLES_BYTES = 512 * 2**20  # TensorFlow holds a copy of its own
WEIGHTS = 4_000_000  # a model of more is kept busy by its own products
SECONDS = 0.5  # a chunk, at the rates below; checkpoints and signals wait for its end
STEP_SECONDS, FLOPS = 4e-4, 2e10  # what a step costs besides its products, and products a second: both on the safe side
XLA_STEPS = 3_000  # from here on what a compiled step saves is worth compiling it


def reason_against(model: keras.Model, encoded: Encoded, callbacks: Sequence[keras.callbacks.Callback]) -> str | None:
    """Why a stage cannot be trained in chunks, in a few words; None where it can."""
    columns = [column for column in encoded.columns.values() if isinstance(column, Dense)]
    if len(columns) < len(encoded.columns):
        return "its inputs differ in length, or are not in memory"
    if sum(column.array.nbytes for column in columns) > EXAMPLES_BYTES:
        return "its inputs are large"
    if sum(math.prod(variable.shape) for variable in model.weights) > WEIGHTS:
        return "its steps are long"
    return watched(callbacks)


def watched(callbacks: Sequence[keras.callbacks.Callback]) -> str | None:
    """Which callback has to see every batch, in a few words; None where none has."""
    curious = next((type(callback).__name__ for callback in callbacks if _wants_batches(callback)), None)
    return None if curious is None else f"{curious} asks for every batch"


def _wants_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback has something to do at each batch. Keras' own say it by a frequency; all have the methods."""
    if type(callback).__module__.startswith("keras."):
        frequencies = [getattr(callback, name, "epoch") for name in ("save_freq", "update_freq")]
        if any(frequency != "epoch" for frequency in frequencies):
            return True
        return any(name in vars(callback) for name in _BATCH_METHODS)  # a LambdaCallback
    return any(getattr(type(callback), name) is not getattr(keras.callbacks.Callback, name) for name in _BATCH_METHODS)


_BATCH_METHODS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class _Loop:
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
        self.single = tf.function(self._single, autograph=False)

    def run(self, rows: tf.Tensor, sizes: tf.Tensor) -> Mapping[str, Any]:
        """Steps over `rows`, int32 `(examples,)`, in batches of these sizes, int32 `(batches,)`; the metrics so far."""
        if self._many is None:  # the concrete function: TensorFlow warns of a tf.function that each stage traces anew
            free = tf.TensorSpec([None], tf.int32)
            self._many = tf.function(self._any, autograph=False).get_concrete_function(free, free)
        return self._many(rows, sizes)

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
        """One step on the examples at `rows`; the metrics so far."""
        self._take(rows)
        return self.model.get_metrics_result()

    def _take(self, rows: tf.Tensor) -> None:
        self.step(self.batch(rows))

    def batch(self, rows: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """Inputs, labels and weights of the examples at `rows`."""
        inputs = arrange(self.model, self.inputs(rows))
        return inputs, tf.gather(self.labels, rows), tf.gather(self.weights, rows)


class _Compiled(_Loop):
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
        self.broken = False
        self._equal: Any = None

    def run(self, rows: tf.Tensor, sizes: tf.Tensor, *masks: tf.Tensor) -> Mapping[str, Any]:
        """As ever; `masks` are of `size` steps, one a layer.

        Batches that are grouped by length may have the short one anywhere, and what XLA cannot compile is found out at
        its first call, before any step: both are taken as they are elsewhere.
        """
        if self.broken or (sizes.numpy()[:-1] != self.batch_size).any():
            return super().run(rows, sizes)
        first = self._equal is None
        if first:
            specs = [tf.TensorSpec([self.size * self.batch_size], tf.int32), tf.TensorSpec([], tf.int32)]
            specs += [tf.TensorSpec.from_tensor(mask) for mask in masks]
            self._equal = tf.function(self._of_one_size, jit_compile=True, autograph=False).get_concrete_function(
                *specs
            )
        whole = int(np.count_nonzero(sizes.numpy() == self.batch_size))
        at = whole * self.batch_size
        logs: Mapping[str, Any] = {}
        if whole:
            rest = self.size * self.batch_size - at
            try:
                logs = self._equal(tf.pad(rows[:at], [[0, rest]]), tf.constant(whole), *masks)
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
                if not first:
                    raise
                self.broken = True
                return super().run(rows, sizes)
            self.drawn.passed(whole)
        return self.single(rows[at:]) if whole < len(sizes) else logs

    def _of_one_size(self, rows: tf.Tensor, steps: tf.Tensor, *masks: tf.Tensor) -> Mapping[str, Any]:
        def body(number: tf.Tensor) -> tf.Tensor:
            with self.drawn.supplied([mask[number] for mask in masks]):
                self._take(tf.slice(rows, [number * self.batch_size], [self.batch_size]))
            return number + 1

        tf.while_loop(lambda number: number < steps, body, [0], parallel_iterations=1)
        return self.model.get_metrics_result()


class Chunks:
    """A compiled model's training steps over examples in memory, many to a call.

    Args:
        model: compiled, of inputs of fixed shape.
        encoded: the examples, all columns `Dense`.
        batch_size: examples a step; the last of an epoch may have fewer.
        seed: with the epoch, determines their order: that of `batches.training_set`.
        first_epoch: the epoch to begin with.
        epochs: how many there will be.
        stage: what messages call it.
        grouped: as `batches.epoch` takes it.

    Attributes:
        steps: steps an epoch, for `fit(steps_per_epoch=…)`.
        size: steps a chunk, which Keras calls `steps_per_execution`.
        waited: seconds that the steps have waited for data so far.
    """

    def __init__(
        self,
        model: keras.Model,
        encoded: Encoded,
        batch_size: int,
        seed: int,
        first_epoch: int,
        epochs: int,
        stage: str = "",
        grouped: bool | None = None,
    ):
        self.stage, self.calls, self.waited = stage, 0, 0.0
        self.model, self.count, self.batch_size = model, len(encoded), batch_size
        self.seed, self.first_epoch = seed, first_epoch
        # None of its columns: tf.data never lets go of what it is given.
        bare = Encoded({}, encoded.lengths, encoded.rows, None, encoded.weights)
        self._batches = functools.partial(epoch, bare, batch_size, seed, grouped=grouped)
        self.steps = math.ceil(len(encoded) / batch_size)
        self.size = min(self.steps, _steps(model, batch_size))
        self.per_epoch = -(-self.steps // self.size)
        found = draws.shapes(model) if self.steps * epochs >= XLA_STEPS and _dense(model) else None
        self._drawn = None if found is None else draws.Draws(found, batch_size)
        if self._drawn is None:
            self._loop = _Loop(model, model.train_step, encoded)
        else:
            self._loop = _Compiled(model, model.train_step, encoded, batch_size, self.size, self._drawn)
        make_metrics(model, self._loop.batch(tf.range(min(2, len(encoded)))))

    @property
    def compiled(self) -> bool:
        """Whether XLA compiles the steps."""
        return isinstance(self._loop, _Compiled) and not self._loop.broken

    def dataset(self) -> tf.data.Dataset:
        """Endless: one chunk after another, as its rows and the sizes of its batches, both int32.

        Where XLA compiles, what Dropout keeps in its steps comes with them, drawn while the chunk before is trained.
        """
        epoch_of, size, first, drawn = self._batches, self.size, self.first_epoch, self._drawn
        # not self: tf.data never lets go of it

        def chunks() -> Iterator[tuple[np.ndarray, np.ndarray, np.int32]]:
            step = 0
            for number in itertools.count(first):
                found = epoch_of(number)
                for at in range(0, len(found), size):
                    part = found[at : at + size]
                    sizes = np.array([len(rows) for rows in part], np.int32)
                    yield np.concatenate(part).astype(np.int32), sizes, np.int32(step)
                    step += len(part)

        @tf.autograph.experimental.do_not_convert
        def with_masks(rows: tf.Tensor, sizes: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return rows, sizes, *(() if drawn is None else drawn.masks(step, size))

        several = tf.TensorSpec([None], tf.int32)
        signature = (several, several, tf.TensorSpec([], tf.int32))
        return tf.data.Dataset.from_generator(chunks, output_signature=signature).map(with_masks).prefetch(1)

    def __call__(self, iterator: Iterator[tuple[tf.Tensor, ...]]) -> Mapping[str, Any]:
        """What Keras calls as its `train_function`: the next chunk's steps; the metrics of the epoch so far.

        Raises:
            TrainingError: the loss is not finite; says at which step, which rows and which layer.
        """
        began = time.perf_counter()
        rows, sizes, *masks = next(iterator)
        self.waited += time.perf_counter() - began
        before = [variable.numpy() for variable in self._state()]
        logs = self._loop.run(rows, sizes, *masks)
        if not math.isfinite(loss := float(logs["loss"])):
            self._explain(rows, sizes.numpy().tolist(), before, loss)
        self.calls += 1
        return logs

    def _state(self) -> list[Any]:
        """What a step changes, metrics left out."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def _explain(self, rows: tf.Tensor, sizes: Sequence[int], before: list[np.ndarray], loss: float) -> None:
        """Take the chunk's steps again, one by one, until the loss is not finite, and say where that was."""
        _assign(self._state(), before)
        self.model.reset_metrics()
        where = ""
        concerned: list[int] = []
        for step, (at, size) in enumerate(zip(np.cumsum([0, *sizes]), sizes, strict=False), 1):
            batch, kept = rows[at : at + size], [variable.numpy() for variable in self.model.variables]
            if not math.isfinite(float(self._loop.single(batch)["loss"])):
                _assign(self.model.variables, kept)
                where, concerned = self._place(step, batch)
                break
        raise TrainingError(
            f"Stage {self.stage!r}, epoch {self.first_epoch + self.calls // self.per_epoch + 1}: the loss is {loss}"
            f"{where}; the stage's weights are undone.",
            fix="lower the learning rate, or look for inputs that are not finite",
            rows=concerned,
        )

    def _place(self, step: int, batch: tf.Tensor) -> tuple[str, list[int]]:
        """Step, operation and examples at which numbers first are not finite, with the weights from before the step."""
        step += self.calls % self.per_epoch * self.size
        found = first_not_finite(self.model, self._loop.inputs(batch))
        if found is None:
            return f", at step {step}, though all that the model gives is finite", batch.numpy().tolist()
        examples = batch.numpy()[found[1]].tolist()
        return f", at step {step}, first in {found[0]!r} for examples {examples[:5]}", examples


class Validation:
    """The same for `evaluate`: all examples in one call.

    Args:
        model: compiled.
        encoded: the examples, all columns `Dense`.
        batch_size: examples a step.
    """

    def __init__(self, model: keras.Model, encoded: Encoded, batch_size: int):
        self.count = len(encoded)
        self.sizes = tf.constant([min(batch_size, self.count - at) for at in range(0, self.count, batch_size)])
        self._loop = _Loop(model, model.test_step, encoded)

    def dataset(self) -> tf.data.Dataset:
        """All rows, once."""
        return tf.data.Dataset.from_tensors(tf.range(self.count))

    def __call__(self, iterator: Iterator[tf.Tensor]) -> Mapping[str, Any]:
        """What Keras calls as its `test_function`."""
        return self._loop.run(next(iterator), self.sizes)


def _dense(model: keras.Model) -> bool:
    """Whether all its weights are those of dense layers, on which XLA has been measured to be faster."""
    holding = [layer for layer in stages.layers(model) if layer.weights]
    return all(isinstance(layer, keras.layers.Dense | keras.Model) for layer in holding)


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _steps(model: keras.Model, batch_size: int) -> int:
    """Steps of a chunk: as many as take about half a second."""
    weights = sum(math.prod(variable.shape) for variable in model.weights)
    return max(1, int(SECONDS / (STEP_SECONDS + 6 * weights * batch_size / FLOPS)))


def _tensor(column: Any, dtype: str) -> tf.Tensor:
    return tf.cast(tf.constant(column.array), dtype)
