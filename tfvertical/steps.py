"""Train on batches that arrive one by one: several steps to a call, how long they waited for data, where a loss broke.

`chunks` is for small models whose examples lie in memory. This is for all others, with Keras' own `train_step`, and
Keras' `fit` around it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical.errors import TrainingError

SECONDS = 0.5  # a call, at the rate below; checkpoints and signals wait for its end
FLOPS = 2e10  # products a second, on the safe side
MOST = 64

Step = Callable[[Any], tf.Tensor]  # takes a batch; whether the loss is finite


def at_once(flops: float) -> int:
    """How many steps of that many floating-point operations go into one call.

    Example:
        >>> at_once(1e9), at_once(1e12)
        (10, 1)
    """
    return max(1, min(MOST, int(SECONDS * FLOPS / max(flops, 1.0))))


def make_metrics(model: keras.Model, batch: Any) -> None:
    """Let Keras make the metrics' variables now: it does so at their first use, which may not be inside a loop."""
    model.test_step(batch)
    model.reset_metrics()


def taken_by(model: keras.Model) -> Step:
    """Keras' own step of a model on one device."""
    loss = next(metric for metric in model.metrics if metric.name == "loss")

    def step(batch: Any) -> tf.Tensor:
        model.train_step(batch)
        return tf.math.is_finite(loss.result())

    return step


class Steps:
    """A compiled model's training steps over an endless dataset, as Keras' `train_function`.

    Args:
        model: compiled, its metrics made.
        at_once: steps a call.
        per_epoch: steps an epoch; no call goes beyond its end.
        first_epoch: the epoch to begin with.
        rows_of: epoch -> the batches of that epoch, int64 arrays of examples: to name those of a broken step.
        stage: what messages call it.
        skip: steps of the first epoch that were taken before; the dataset begins behind them.
        step: what takes one; None for Keras' own.
        by_shape: make a graph for each shape of a batch, one step to a call: what is compiled must know its shapes.
        compiled: whether XLA compiles what `step` does.

    Attributes:
        waited: seconds that the steps have waited for data so far.
        compiled: whether XLA compiles them.
    """

    def __init__(
        self,
        model: keras.Model,
        at_once: int,
        per_epoch: int,
        first_epoch: int,
        rows_of: Callable[[int], list[np.ndarray]],
        stage: str = "",
        skip: int = 0,
        step: Step | None = None,
        by_shape: bool = False,
        compiled: bool = False,
    ):
        self.step = step or taken_by(model)
        self.model, self.at_once, self.per_epoch, self.first_epoch = model, at_once, per_epoch, first_epoch
        self.rows_of, self.stage = rows_of, stage
        self.by_shape, self.compiled = by_shape, compiled
        self.taken, self.waited = skip, 0.0
        self._to_skip = skip
        self._run: Any = None
        self._graphs: dict[Any, Any] = {}

    def __call__(self, iterator: Any) -> Mapping[str, Any]:
        """The next steps; the metrics of the epoch so far.

        Raises:
            TrainingError: the loss is not finite; says at which step and for which examples.
        """
        if self._to_skip > 0:  # Keras counts them, as it did before
            self._to_skip -= self.at_once
            return dict(self.model.get_metrics_result())
        count = min(self.at_once, self.per_epoch - self.taken % self.per_epoch)
        if self.by_shape:
            return self._one(iterator)
        if self._run is None:  # the concrete function: TensorFlow warns of a tf.function that each stage traces anew
            self._run = tf.function(self._several, autograph=False).get_concrete_function(
                iterator, tf.TensorSpec([], tf.int32)
            )
        done, waited, logs = self._run(iterator, tf.constant(count))
        self.waited += float(waited)
        if not math.isfinite(loss := float(logs["loss"])):
            self._refuse(self.taken + int(done), loss)
        self.taken += count
        return logs

    def _one(self, iterator: Any) -> Mapping[str, Any]:
        """The next step, in the graph of its batch's shapes."""
        began = time.perf_counter()
        batch = next(iterator)
        self.waited += time.perf_counter() - began
        shapes = tuple(tuple(each.shape) for each in tf.nest.flatten(batch))
        if shapes not in self._graphs:
            self._graphs[shapes] = tf.function(self._taken, autograph=False).get_concrete_function(batch)
        logs: Mapping[str, Any] = self._graphs[shapes](batch)
        self.taken += 1
        if not math.isfinite(loss := float(logs["loss"])):
            self._refuse(self.taken, loss)
        return logs

    def _taken(self, batch: Any) -> Mapping[str, Any]:
        self.step(batch)
        return dict(self.model.get_metrics_result())

    @property
    def epoch(self) -> int:
        """The epoch of the last step, as it was planned."""
        return self.first_epoch + max(self.taken - 1, 0) // self.per_epoch

    @property
    def in_epoch(self) -> int:
        """Steps of that epoch that are taken."""
        return self.taken - (self.epoch - self.first_epoch) * self.per_epoch

    def _several(self, iterator: Any, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Mapping[str, Any]]:
        """Up to `count` steps, none after one whose loss is not finite: steps taken, seconds waited, metrics."""

        def go_on(number: tf.Tensor, _: tf.Tensor, finite: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(number < count, finite)

        def body(number: tf.Tensor, waited: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            began = tf.timestamp()
            with tf.control_dependencies([began]):
                batch = iterator.get_next()
            with tf.control_dependencies(tf.nest.flatten(batch)):
                there = tf.timestamp()
            with tf.control_dependencies([there]):  # or on one thread the step may come before the look at the clock
                batch = tf.nest.map_structure(tf.identity, batch)
            return number + 1, waited + there - began, self.step(batch)

        nothing = tf.constant(0.0, tf.float64)
        done, waited, _ = tf.while_loop(go_on, body, [0, nothing, True], parallel_iterations=1)
        return done, waited, self.model.get_metrics_result()

    def _refuse(self, last: int, loss: float) -> None:
        """Name the step that was the last one taken, and its examples."""
        epoch, step = divmod(last - 1, self.per_epoch)
        rows = self.rows_of(self.first_epoch + epoch)[step]
        raise TrainingError(
            f"Stage {self.stage!r}, epoch {self.first_epoch + epoch + 1}: the loss is {loss}, at step {step + 1}, "
            f"of examples {rows[:5].tolist()}{' …' if len(rows) > 5 else ''}; the stage's weights are undone.",
            fix="lower the learning rate, or look for inputs that are not finite",
            rows=rows.tolist(),
        )
