"""Train on batches that arrive one by one: several steps to a call, how long they waited for data, where a loss broke.

`chunks` is for small models whose examples lie in memory. This is for all others, with Keras' own `train_step`, and
Keras' `fit` around it.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import fused
from tfvertical.errors import NotFiniteError

SECONDS = 0.5  # a call, at the rate below; checkpoints and signals wait for its end
FLOPS = 2e10  # products a second, on the safe side
MOST = 64

Step = Callable[[Any], tf.Tensor]  # takes a batch; whether it was sound: loss and gradients finite
Look = Callable[[int, np.ndarray], tuple[str, np.ndarray] | None]  # epoch, rows -> layer and rows that are not finite


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


def taken_by(model: keras.Model, compiled: bool = False) -> Step:
    """Keras' own step of a model on one device; with `compiled`, XLA's passes where `fused` has some."""
    loss = next(metric for metric in model.metrics if metric.name == "loss")
    model.optimizer.one_pass = compiled

    def step(batch: Any) -> tf.Tensor:
        with moving(model) as moved, fused.fused(model, trained=True, compiled=compiled):
            model.train_step(batch)
        return tf.logical_and(tf.math.is_finite(loss.result()), moved())

    return step


def moved_nothing(model: keras.Model) -> int:
    """How many of its steps had gradients that were not finite."""
    counter = getattr(model.optimizer, "skipped", None)
    return 0 if counter is None else int(counter.numpy())


@contextlib.contextmanager
def moving(model: keras.Model) -> Iterator[Callable[[], tf.Tensor]]:
    """For a step that is traced: what is given says afterwards whether its gradients were finite."""
    counter = getattr(model.optimizer, "skipped", None)
    before = None if counter is None else tf.identity(counter.value)
    yield lambda: tf.constant(True) if counter is None else tf.equal(before, tf.identity(counter.value))


def said(loss: float) -> str:
    """What is wrong with a step."""
    return "loss or gradients are not finite" if math.isfinite(loss) else f"the loss is {loss}"


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
        look: finds the layer and the rows where numbers first are not finite.
        skips: how many steps that are not sound may be left out; None ends with the first.

    Attributes:
        skipped: what was left out, `epoch`, `step` and `rows`.
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
        look: Look | None = None,
        skips: int | None = None,
    ):
        self.step = step or taken_by(model)
        self.model, self.at_once, self.per_epoch, self.first_epoch = model, at_once, per_epoch, first_epoch
        self.rows_of, self.stage = rows_of, stage
        self.by_shape, self.compiled = by_shape, compiled
        self.look, self.skips, self.skipped = look, skips, list[dict[str, Any]]()
        self.taken, self.waited = skip, 0.0
        # a call of another run may have had other bounds: the first one here then takes what is left of its own
        self._calls_over = -(-skip // at_once) if skip >= per_epoch else skip // at_once
        self._run: Any = None
        self._graphs: dict[Any, Any] = {}

    def __call__(self, iterator: Any) -> Mapping[str, Any]:
        """The next steps; the metrics of the epoch so far.

        Raises:
            TrainingError: the loss is not finite; says at which step and for which examples.
        """
        if self._calls_over > 0:  # Keras counts them, as it did before
            self._calls_over -= 1
            return dict(self.model.get_metrics_result())
        within = self.taken % self.per_epoch
        count = min(self.at_once - within % self.at_once, self.per_epoch - within)
        if self.by_shape:
            return self._one(iterator)
        if self._run is None:  # the concrete function: TensorFlow warns of a tf.function that each stage traces anew
            self._run = tf.function(self._several, autograph=False).get_concrete_function(
                iterator, tf.TensorSpec([], tf.int32)
            )
        done, waited, sound, logs = self._run(iterator, tf.constant(count))
        self.waited += float(waited)
        self._judge(int(done), bool(sound), logs)
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
        sound, logs = self._graphs[shapes](batch)
        self._judge(1, bool(sound), logs)
        self.taken += 1
        found: Mapping[str, Any] = logs
        return found

    def _taken(self, batch: Any) -> tuple[tf.Tensor, Mapping[str, Any]]:
        return self.step(batch), dict(self.model.get_metrics_result())

    @property
    def epoch(self) -> int:
        """The epoch of the last step, as it was planned."""
        return self.first_epoch + max(self.taken - 1, 0) // self.per_epoch

    @property
    def in_epoch(self) -> int:
        """Steps of that epoch that are taken."""
        return self.taken - (self.epoch - self.first_epoch) * self.per_epoch

    def _several(self, iterator: Any, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Mapping[str, Any]]:
        """Up to `count` steps, none after one that is not sound: steps taken, seconds waited, soundness, metrics."""

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
        done, waited, sound = tf.while_loop(go_on, body, [0, nothing, True], parallel_iterations=1)
        return done, waited, sound, self.model.get_metrics_result()

    def _judge(self, done: int, sound: bool, logs: Mapping[str, Any]) -> None:
        """Of `done` steps, the last may not have been sound: left out, or the end."""
        if sound:
            return
        loss = float(logs["loss"])
        epoch, step = divmod(self.taken + done - 1, self.per_epoch)
        epoch += self.first_epoch
        rows = self.rows_of(epoch)[step]
        found = self.look(epoch, rows) if self.look is not None else None
        where, concerned = "", rows
        if found is not None:
            where, concerned = f", first in {found[0]}", found[1]
        what = (
            f"Stage {self.stage!r}, epoch {epoch + 1}: {said(loss)}, at step {step + 1}{where}, "
            f"of examples {concerned[:5].tolist()}{' …' if len(concerned) > 5 else ''}. "
            "That step moved nothing"
        )
        if self.skips is not None and len(self.skipped) < self.skips and self._unharmed():
            self.skipped.append({"epoch": epoch, "step": step, "rows": concerned.tolist()})
            warnings.warn(f"{what}, and is left out.", stacklevel=2)
            if sum(each["epoch"] == epoch for each in self.skipped) < self.per_epoch:
                return
            what = f"{what}, as did all others of that epoch"
        before = sum((each["epoch"], each["step"]) != (epoch, step) for each in self.skipped)
        more = f", and {before} were left out before it" if before else ""
        raise NotFiniteError(
            f"{what}{more}: the weights are those from before it.",
            fix="lower the learning rate, or look for inputs that are not finite",
            rows=concerned.tolist(),
        )

    def _unharmed(self) -> bool:
        """Whether no statistic took the step's numbers in."""
        numbers = [each.value for each in self.model.non_trainable_weights if keras.backend.is_float_dtype(each.dtype)]
        return all(bool(tf.reduce_all(tf.math.is_finite(each))) for each in numbers)
