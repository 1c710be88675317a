"""Steps on several replicas at once that equal the step of one device on the same batch.

Keras gives each replica a batch and averages their losses, which is another loss as soon as two replicas hold different
numbers of examples: in every epoch's last batch. Here a batch stays what it is on one device. Each replica takes its
slice, and losses, metrics and gradients count examples, not replicas.

Keras' `fit` runs around these steps as on one device, with a model that was made outside the strategy's scope from
layers that were made inside. So what fails in `fit` under MultiWorkerMirroredStrategy (keras#20585:
`_maybe_symbolic_build` reduces a tuple, `reduce_per_replica` a scalar) is not met, nor does Keras deal out batches in
its own way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import stages
from tfvertical.errors import ClusterError, TrainingError
from tfvertical.sharing import Sharing
from tfvertical.steps import Step


@dataclass(frozen=True)
class Share:
    """How a batch falls to replicas: `replicas` in all, of which this process has `local`, from number `first` on.

    Example:
        >>> [Share(3, at, 1).of(np.arange(8)).tolist() for at in range(3)]
        [[0, 1], [2, 3, 4], [5, 6, 7]]
    """

    replicas: int
    first: int
    local: int

    def of(self, rows: np.ndarray) -> np.ndarray:
        """This process' examples among `rows`; one that does not count, where there are fewer rows than replicas."""
        begin, end = _bounds(self.first, self.first + self.local, len(rows), self.replicas, min)
        return rows[begin : max(end, begin + 1)]


def strategy_of(model: keras.Model) -> tf.distribute.Strategy | None:
    """The strategy in whose scope a model's weights were made; None for one device.

    Raises:
        TrainingError: called within a scope, or weights were made under different strategies.
    """
    if tf.distribute.has_strategy():
        raise TrainingError(
            "Training was begun within a strategy's scope.", fix="make the task inside `scope()`, and train outside it"
        )
    found = {id(each): each for variable in model.weights if (each := _strategy(variable)) is not None}
    if not found:
        return None
    if len(found) > 1 or any(_strategy(variable) is None for variable in model.weights):
        raise TrainingError(
            "Some weights of the model were made outside the strategy's scope.",
            fix="make the whole task inside one `scope()`, its backbone too",
        )
    return next(iter(found.values()))


def _strategy(variable: Any) -> tf.distribute.Strategy | None:
    value = variable.value
    return value.distribute_strategy if isinstance(value, tf.distribute.DistributedValues) else None


def share_of(strategy: tf.distribute.Strategy) -> Share:
    """What falls to this process; every worker has as many replicas."""
    resolver = strategy.cluster_resolver
    alone = resolver is None or not resolver.cluster_spec().as_dict()
    every = strategy.num_replicas_in_sync
    local = every if alone else every // max(1, strategy.extended._num_workers)
    worker = 0 if alone else strategy.extended._id_in_cluster
    return Share(every, worker * local, local)


def several(strategy: tf.distribute.Strategy | None) -> Share | None:
    """This process' share where several processes train together; None where it trains alone."""
    share = None if strategy is None else share_of(strategy)
    return None if share is None or share.local == share.replicas else share


def sharing(strategy: tf.distribute.Strategy | None) -> Sharing | None:
    """How processes share what runs once; None where this one trains alone."""
    share = several(strategy)
    if share is None:
        return None
    return Sharing(strategy, share.replicas // share.local, share.first // share.local, share.first)


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """For a block that waits for other processes: one that is gone is told in a sentence.

    Raises:
        ClusterError: another process does not answer any more.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        if several(strategy) is None:
            raise
        raise ClusterError(
            f"Another worker is gone, and without it no step can be taken: {str(error).splitlines()[0][:300]}",
            fix="see that worker's own output, then start all of them again: they go on from the last epoch",
        ) from error


class Replicas:
    """The steps of a compiled model on a strategy's replicas.

    A batch is `(inputs, labels, weights, whole)`: this process' examples, as `share.of` picks them, and int32 `whole`,
    how many examples the batch has over all processes.

    Args:
        model: made outside the strategy's scope, of layers made inside; compiled inside, its optimizer built.
        strategy: of its weights.
    """

    def __init__(self, model: keras.Model, strategy: tf.distribute.Strategy):
        self.model, self.strategy, self.share = model, strategy, share_of(strategy)
        self._judging: Any = None

    def make_metrics(self, batch: Any) -> None:
        """Let Keras make the metrics' variables, inside the scope."""
        with self.strategy.scope():
            tf.function(lambda: self.strategy.run(self.model.test_step, args=(batch,)), autograph=False)()
            self.model.reset_metrics()

    @property
    def step(self) -> Step:
        """A training step; whether the loss is finite on all replicas."""

        def step(batch: Any) -> tf.Tensor:
            losses = self.strategy.run(self._learn, args=(batch,))
            return tf.math.is_finite(self.strategy.reduce("SUM", losses, axis=None))

        return step

    def judge(self, iterator: Any) -> Mapping[str, Any]:
        """What Keras calls as its `test_function`: the next batch of validation; the metrics so far."""
        if self._judging is None:
            self._judging = tf.function(self._judged, autograph=False).get_concrete_function(iterator)
        logs: Mapping[str, Any] = self._judging(iterator)
        return logs

    def _judged(self, iterator: Any) -> Mapping[str, Any]:
        self.strategy.run(self._look, args=(iterator.get_next(),))
        return dict(self.model.get_metrics_result())

    def _learn(self, batch: Any) -> tf.Tensor:
        """One replica's part of a training step; its part of the loss."""
        inputs, labels, weights, count, whole = self._slice(batch)
        with tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            loss = self._loss(inputs, labels, outputs, weights, count, whole, training=True)
            scaled = self.model.optimizer.scale_loss(loss)
        learning = self.model.trainable_weights
        gradients = tape.gradient(scaled, learning)
        self.model.optimizer.apply_gradients(zip(gradients, learning, strict=True))
        return loss

    def _look(self, batch: Any) -> None:
        inputs, labels, weights, count, whole = self._slice(batch)
        outputs = self.model(inputs, training=False)
        self._loss(inputs, labels, outputs, weights, count, whole, training=False)

    def _loss(
        self, inputs: Any, labels: Any, outputs: Any, weights: Any, count: Any, whole: Any, training: bool
    ) -> tf.Tensor:
        """This replica's part of the batch's mean loss, counted in the metrics by its examples."""
        size, counted = tf.cast(whole, tf.float32), tf.cast(count, tf.float32)
        # Keras takes the mean over the slice and divides it by the number of replicas
        scale = counted * self.share.replicas / size
        loss = self.model.compute_loss(inputs, labels, outputs, weights * scale, training=training)
        tracker = next(metric for metric in self.model.metrics if metric.name == "loss")
        tracker.update_state(tf.math.divide_no_nan(loss * size, counted), sample_weight=counted)
        real = [tf.nest.map_structure(lambda each: each[:count], part) for part in (inputs, labels, outputs, weights)]
        self.model.compute_metrics(*real)
        return loss

    def _slice(self, batch: Any) -> tuple[Any, Any, Any, tf.Tensor, tf.Tensor]:
        """This replica's inputs, labels and weights, how many of them count, and how many the batch has in all."""
        inputs, labels, weights, whole = batch
        here = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
        begin, end = _bounds(here, here + 1, whole, self.share.replicas, tf.minimum)
        first, _ = _bounds(self.share.first, self.share.first + 1, whole, self.share.replicas, tf.minimum)
        count = tf.maximum(end - here * whole // self.share.replicas, 0)
        size = tf.maximum(count, 1)
        own = [
            tf.nest.map_structure(lambda each: each[begin - first : begin - first + size], part)
            for part in (inputs, labels, weights)
        ]
        return (*own, count, whole)


def _bounds(first: Any, last: Any, count: Any, replicas: int, least: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """Rows of replicas `first` to before `last` among `count`; the first of them exists even where none is theirs."""
    return least(first * count // replicas, count - 1), last * count // replicas


@contextlib.contextmanager
def synchronized(model: keras.Model, strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """BatchNormalization that learns takes its statistics over all replicas, as it would over the whole batch."""
    several = strategy is not None and strategy.num_replicas_in_sync > 1
    changed = [
        layer
        for layer in stages.layers(model)
        if several and isinstance(layer, keras.layers.BatchNormalization) and layer.trainable and not layer.synchronized
    ]
    for layer in changed:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in changed:
            layer.synchronized = False
