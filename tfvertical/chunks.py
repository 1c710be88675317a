"""Train a small model many steps at a time, inside compiled graphs, with Keras' `fit` around them.

On features that are kept in memory a step takes a fraction of a millisecond, less than what Keras and tf.data add to
it. Here the examples lie beside the model, and one call of a graph takes all steps of a chunk. `fit`, its callbacks,
metrics and progress bar see a chunk where they otherwise see a step, and every epoch as always.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import draws, stages
from tfvertical.batches import epoch, untuned
from tfvertical.blame import first_not_finite
from tfvertical.columns import Dense
from tfvertical.contracts import Encoded
from tfvertical.errors import NotFiniteError
from tfvertical.loops import Compiled, Loop
from tfvertical.steps import make_metrics, moved_nothing, said

EXAMPLES_BYTES = 512 * 2**20  # TensorFlow holds a copy of its own
WEIGHTS = 4_000_000  # a model of more is kept busy by its own products
SECONDS = 0.5  # a chunk, at the rates below; checkpoints and signals wait for its end
STEP_SECONDS, FLOPS = 4e-4, 2e10  # what a step costs besides its products, and products a second: both on the safe side
XLA_STEPS = 3_000  # from here on what a compiled step saves is worth compiling it


def reason_against(model: keras.Model, encoded: Encoded, callbacks: Sequence[keras.callbacks.Callback]) -> str | None:
    """Why a stage cannot be trained in chunks, in a few words; None where it can."""
    columns = [column for column in encoded.columns.values() if isinstance(column, Dense)]
    if len(columns) < len(encoded.columns) or not isinstance(encoded.labels, np.ndarray):
        return "its inputs differ in length, or are not in memory"
    if sum(column.array.nbytes for column in columns) > EXAMPLES_BYTES:
        return "its inputs are large"
    if sum(math.prod(variable.shape) for variable in model.weights) > WEIGHTS:
        return "its steps are long"
    return watched(callbacks)


def watched(callbacks: Sequence[keras.callbacks.Callback]) -> str | None:
    """Which callback has to see every batch, in a few words; None where none has."""
    curious = watching(callbacks)
    return f"{curious[0]} asks for every batch" if curious else None


def watching(callbacks: Sequence[keras.callbacks.Callback]) -> list[str]:
    """Names of the callbacks that have to see every batch."""
    return [type(callback).__name__ for callback in callbacks if _wants_batches(callback)]


def _wants_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback has something to do at each batch. Keras' own say it by a frequency; all have the methods."""
    if type(callback).__module__.startswith("keras."):
        frequencies = [getattr(callback, name, "epoch") for name in ("save_freq", "update_freq")]
        if any(frequency != "epoch" for frequency in frequencies) or getattr(callback, "_stop_batch", 0) > 0:
            return True  # the latter where TensorBoard profiles some batches
        return any(name in vars(callback) for name in _BATCH_METHODS)  # a LambdaCallback
    return any(getattr(type(callback), name) is not getattr(keras.callbacks.Callback, name) for name in _BATCH_METHODS)


_BATCH_METHODS = (
    *("on_train_batch_begin", "on_train_batch_end", "on_test_batch_begin", "on_test_batch_end"),
    *("on_batch_begin", "on_batch_end"),
)


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
        left: epochs that are still to come, if some of `epochs` are done.
        skip: steps of the first of them that are done; those of a run with other chunks may end within one.
        graphs: what an earlier run of the same model, examples and settings has left here; it is left here again.
        flops: floating-point operations of a step, by which a chunk is as long as it may be.

    Attributes:
        steps: steps an epoch, for `fit(steps_per_epoch=…)`.
        size: steps a chunk, which Keras calls `steps_per_execution`.
        waited: seconds that the steps have waited for data so far.
        skipped: steps that were left out; none are, here.
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
        left: int | None = None,
        skip: int = 0,
        graphs: dict[str, Any] | None = None,
        flops: float = 0.0,
    ):
        self.stage, self.waited, self.skipped = stage, 0.0, list[dict[str, Any]]()
        self.model, self.count, self.batch_size = model, len(encoded), batch_size
        self.seed, self.first_epoch = seed, first_epoch
        self._batches = functools.partial(epoch, encoded, batch_size, seed, grouped=grouped)
        self.steps = math.ceil(len(encoded) / batch_size)
        self.size = min(self.steps, _steps(flops))
        self.per_epoch = -(-self.steps // self.size)
        graphs = {} if graphs is None else graphs
        new = "train" not in graphs
        if new:
            graphs["train"] = self._made(encoded, epochs)
        self._loop, self._masks = graphs["train"]
        self._before = self._loop.drawn.begin() if isinstance(self._loop, Compiled) else []
        self._chunks = self.per_epoch * (epochs if left is None else left)
        over = skip >= self.steps
        self.calls = self._first = self.per_epoch if over else skip // self.size
        self._skipped, self._within = skip, 0 if over else skip % self.size
        self._still = moved_nothing(model)
        self._order: tuple[int, list[np.ndarray]] = (-1, [])
        self._beside = ThreadPoolExecutor(1)
        self._next = self._beside.submit(self._prepared, self._first)
        if new:
            make_metrics(model, self._loop.batch(tf.range(min(2, len(encoded)))))
            if isinstance(self._loop, Compiled):
                self._loop.compile()

    def _made(self, encoded: Encoded, epochs: int) -> tuple[Loop, Any]:
        """What takes the steps, and where XLA compiles them, what draws for them."""
        model = self.model
        found = draws.shapes(model) if self.steps * epochs >= XLA_STEPS and _dense(model) else None
        if found is None:
            return Loop(model, model.train_step, encoded), None
        drawn = draws.Draws(found, self.batch_size)
        loop = Compiled(model, model.train_step, encoded, self.batch_size, self.size, drawn)
        return loop, tf.function(functools.partial(drawn.masks, steps=tf.constant(self.size)), autograph=False)

    @property
    def compiled(self) -> bool:
        """Whether XLA compiles the steps."""
        return isinstance(self._loop, Compiled) and not self._loop.broken

    def dataset(self) -> tf.data.Dataset:
        """Endless numbers of chunks, for Keras to iterate over.

        What a chunk needs is made by a thread of our own while the chunk before is trained.
        """
        return untuned(tf.data.Dataset.counter())

    def _prepared(self, number: int) -> tuple[tf.Tensor, ...]:
        """A chunk's rows, the sizes of its batches, both int32, and where XLA compiles, what Dropout keeps in it."""
        past, at = divmod(min(number, self._chunks - 1), self.per_epoch)
        if self._order[0] != past:
            self._order = past, self._batches(self.first_epoch + past)
        begun = at * self.size + (self._within if number == self._first else 0)
        part = self._order[1][begun : (at + 1) * self.size]
        sizes = tf.constant([len(rows) for rows in part], tf.int32)
        step = past * self.steps + begun - self._skipped
        masks = () if self._masks is None else self._masks(tf.constant(step), *self._before)
        return tf.constant(np.concatenate(part), tf.int32), sizes, *masks

    def __call__(self, iterator: Iterator[tf.Tensor]) -> Mapping[str, Any]:
        """What Keras calls as its `train_function`: the next chunk's steps; the metrics of the epoch so far.

        Raises:
            NotFiniteError: the loss or its gradients are not finite; says at which step, which rows and which layer.
        """
        began, number = time.perf_counter(), int(next(iterator))
        if number < self._first:  # Keras counts them, as it did before
            return dict(self.model.get_metrics_result())
        rows, sizes, *masks = self._next.result()
        self.waited += time.perf_counter() - began
        if number + 1 < self._chunks:
            self._next = self._beside.submit(self._prepared, number + 1)
        before = [variable.numpy() for variable in self._state()]
        logs = self._loop.run(rows, sizes, *masks)
        if not math.isfinite(loss := float(logs["loss"])) or moved_nothing(self.model) > self._still:
            self._explain(rows, sizes.numpy().tolist(), before, loss)
        self.calls += 1
        return logs

    @property
    def epoch(self) -> int:
        """The epoch of the last step, as it was planned."""
        return self.first_epoch + max(self.calls - 1, 0) // self.per_epoch

    @property
    def in_epoch(self) -> int:
        """Steps of that epoch that are taken."""
        if self.calls == self._first:
            return self._skipped
        return min((self.calls - (self.epoch - self.first_epoch) * self.per_epoch) * self.size, self.steps)

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
            logs = self._loop.single(batch)
            if not math.isfinite(float(logs["loss"])) or moved_nothing(self.model) > self._still:
                _assign(self.model.variables, kept)
                where, concerned = self._place(step, batch)
                break
        raise NotFiniteError(
            f"Stage {self.stage!r}, epoch {self.first_epoch + self.calls // self.per_epoch + 1}: {said(loss)}"
            f"{where}. That step moved nothing: the weights are those from before it.",
            fix="lower the learning rate, or look for inputs that are not finite",
            rows=concerned,
        )

    def _place(self, step: int, batch: tf.Tensor) -> tuple[str, list[int]]:
        """Step, operation and examples at which numbers first are not finite, with the weights from before the step."""
        step += self.calls % self.per_epoch * self.size + (self._within if self.calls == self._first else 0)
        found = first_not_finite(self.model, self._loop.inputs(batch), self._loop.batch(batch))
        if found is None:
            return f", at step {step}, though all that the model gives is finite", batch.numpy().tolist()
        examples = batch.numpy()[found[1]].tolist()
        return f", at step {step}, first in {found[0]} for examples {examples[:5]}", examples


class Validation:
    """The same for `evaluate`: all examples in one call.

    Args:
        model: compiled.
        encoded: the examples, all columns `Dense`.
        batch_size: examples a step.
        graphs: as `Chunks` takes them.
    """

    def __init__(self, model: keras.Model, encoded: Encoded, batch_size: int, graphs: dict[str, Any] | None = None):
        self.count = len(encoded)
        self.sizes = tf.constant([min(batch_size, self.count - at) for at in range(0, self.count, batch_size)])
        graphs = {} if graphs is None else graphs
        if "validation" not in graphs:
            graphs["validation"] = Loop(model, model.test_step, encoded)
        self._loop = graphs["validation"]

    def dataset(self) -> tf.data.Dataset:
        """All rows, once."""
        return untuned(tf.data.Dataset.from_tensors(tf.range(self.count)))

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


def _steps(flops: float) -> int:
    """Steps of a chunk, of that many floating-point operations each: as many as take about half a second."""
    return max(1, int(SECONDS / (STEP_SECONDS + flops / FLOPS)))
