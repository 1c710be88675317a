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
import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import fused, random_states, stages
from tfvertical.batches import Forward, arrange
from tfvertical.errors import ClusterError, TrainingError
from tfvertical.settings import Settings
from tfvertical.sharing import Sharing
from tfvertical.steps import Step, moving

MOST_ROWS = 64  # of a call that computes outputs, as `batches.infer` makes them


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

    def each(self, batch_size: int, parts: int = 1) -> int:
        """Examples a replica, where all have as many, and as many in each of their parts."""
        return parts * -(-batch_size // (self.replicas * parts))

    def filled(self, rows: np.ndarray, batch_size: int, parts: int = 1) -> np.ndarray:
        """This process' examples among `rows`, as many in every batch: some that do not count fill up.

        Example:
            >>> Share(2, 1, 1).filled(np.arange(5), 8).tolist()
            [4, 0, 1, 2]
        """
        each = self.each(batch_size, parts)
        return np.resize(rows, self.replicas * each)[self.first * each : (self.first + self.local) * each]

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


_trained: list[weakref.ref[tf.distribute.Strategy]] = []  # the MirroredStrategy that this process trains with


def refuse_second(strategy: tf.distribute.Strategy | None) -> None:
    """Raise TrainingError for another MirroredStrategy than the one before: their replicas' sums get mixed up."""
    if strategy is None or type(strategy) is not tf.distribute.MirroredStrategy or strategy.num_replicas_in_sync == 1:
        return
    if not _trained:
        _trained.append(weakref.ref(strategy))
    if _trained[0]() is not strategy:
        raise TrainingError(
            "A second MirroredStrategy was made in this process, as by a notebook's cell that was run again: the sums "
            "of its replicas and the first one's get mixed up, and may hang.",
            fix="restart the process (in a notebook: the kernel), and take `tv.distribution.resolve('mirrored')`, "
            "which gives the same strategy each time",
        )


def _strategy(variable: Any) -> tf.distribute.Strategy | None:
    value = variable.value
    return value.distribute_strategy if isinstance(value, tf.distribute.DistributedValues) else None


def share_of(strategy: tf.distribute.Strategy) -> Share:
    """What falls to this process; every worker has as many replicas."""
    every = strategy.num_replicas_in_sync
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return Share(every, 0, every)
    resolver = strategy.cluster_resolver
    chiefs, workers = (len(resolver.cluster_spec().as_dict().get(kind, ())) for kind in ("chief", "worker"))
    at = (resolver.task_id or 0) + (chiefs if resolver.task_type == "worker" else 0)
    local = every // max(1, chiefs + workers)
    return Share(every, at * local, local)


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
            fix="see that worker's own output, then start all of them again: they go on from the last saved position",
        ) from error


class Replicas:
    """The steps of a compiled model on a strategy's replicas.

    A batch is `(inputs, labels, weights, whole)`: this process' examples, as `share` picks them, and int32 `whole`, how
    many examples the batch has over all processes.

    Args:
        model: made outside the strategy's scope, of layers made inside; compiled inside, its optimizer built.
        strategy: of its weights; None for one device.
        static: examples a batch, where every one has to have as many, since shapes are compiled: by XLA on one device,
            by a TPU always. None where each may have its own.
        parts: in how many a replica computes its examples, before the weights move once.
        skips: whether metrics leave out examples with a loss that is not finite, whose step will move nothing.
    """

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy | None,
        static: int | None = None,
        parts: int = 1,
        skips: bool = False,
    ):
        self.skips = skips
        self.model, self.strategy, self.static = model, strategy or tf.distribute.get_strategy(), static
        self.parts = parts
        self.places = share_of(self.strategy)
        learn, look = self._learn, self._look
        if static is not None and strategy is None:
            learn, look = (tf.function(each, autograph=False, jit_compile=True) for each in (learn, look))
        self._learned, self._looked = learn, look
        self._judging: dict[Any, Any] = {}

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process' examples among those of a batch."""
        return self.places.of(rows) if self.static is None else self.places.filled(rows, self.static, self.parts)

    def make_metrics(self, batch: Any) -> None:
        """Let Keras make the metrics' variables, inside the scope."""
        with self.strategy.scope():
            tf.function(lambda: self.strategy.run(self.model.test_step, args=(batch,)), autograph=False)()
            self.model.reset_metrics()

    @property
    def step(self) -> Step:
        """A training step; whether loss and gradients are finite on all replicas."""

        def step(batch: Any) -> tf.Tensor:
            with moving(self.model) as moved, self._products():
                losses = self.strategy.run(self._learned, args=(batch,))
            return tf.logical_and(tf.math.is_finite(self.strategy.reduce("SUM", losses, axis=None)), moved())

        return step

    def _products(self) -> contextlib.AbstractContextManager[None]:
        """As one device's steps compute them; around all replicas, which are traced in threads."""
        return fused.fused(self.model, trained=True) if self.static is None else contextlib.nullcontext()

    def judge(self, iterator: Any) -> Mapping[str, Any]:
        """What Keras calls as its `test_function`: the next batch of validation; the metrics so far."""
        batch = next(iterator)
        shapes = tuple(each.shape for each in tf.nest.flatten(batch)) if self.static else ()
        if shapes not in self._judging:
            specs = batch if self.static else _free(batch)
            self._judging[shapes] = tf.function(self._judged, autograph=False).get_concrete_function(specs)
        logs: Mapping[str, Any] = self._judging[shapes](batch)
        return logs

    def _judged(self, batch: Any) -> Mapping[str, Any]:
        self.strategy.run(self._looked, args=(batch,))
        return dict(self.model.get_metrics_result())

    def _learn(self, batch: Any) -> tf.Tensor:
        """One replica's part of a training step; its part of the loss."""
        part = self._slice(batch)
        with self._drawing():
            loss, gradients = self._gradients(part) if self.parts == 1 else self._in_parts(part)
        self.model.optimizer.apply_gradients(zip(gradients, self.model.trainable_weights, strict=True))
        return loss

    def _drawing(self) -> contextlib.AbstractContextManager[None]:
        """What is dropped is drawn by replica."""
        if self.places.replicas == 1:
            return contextlib.nullcontext()
        return random_states.apart(self.model, tf.distribute.get_replica_context().replica_id_in_sync_group)

    def _gradients(self, part: _Part, parts: Any = 1) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """A part's loss, and the gradients of all that learns; `parts` is how many the batch has here."""
        with tf.GradientTape() as tape:
            outputs = self.model(part.inputs, training=True)
            loss = self._loss(part, outputs, training=True, parts=parts)
            scaled = self.model.optimizer.scale_loss(loss)
        found = tape.gradient(scaled, self.model.trainable_weights, unconnected_gradients="zero")
        found = [tf.convert_to_tensor(each) for each in found]  # rows of an embedding that occur twice, summed
        found[-1] += tf.cast(tf.where(tf.math.is_finite(loss), 0.0, math.nan), found[-1].dtype)  # then nothing moves
        return loss, found

    def _in_parts(self, part: _Part) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The same, a part of the examples after another: memory holds what one of them needs."""
        size = tf.shape(part.labels)[0] if self.static is None else int(part.labels.shape[0])
        each = -(-size // self.parts)
        parts = -(-size // each)  # few examples may not go into as many

        def add(at: tf.Tensor, loss: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
            rows = each if self.static is not None else tf.minimum(each, size - at)
            more, found = self._gradients(part.within(at, rows), parts)
            return at + each, loss + more, [one + other for one, other in zip(sums, found, strict=True)]

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self.model.trainable_weights]
        begin = [tf.constant(0), tf.constant(0.0), zeros]
        _, loss, sums = tf.while_loop(lambda at, *_: at < size, add, begin, parallel_iterations=1)
        return loss, sums

    def _look(self, batch: Any) -> None:
        part = self._slice(batch)
        self._loss(part, self.model(part.inputs, training=False), training=False)

    def _loss(self, part: _Part, outputs: Any, training: bool, parts: Any = 1) -> tf.Tensor:
        """This replica's part of the batch's mean loss, counted in the metrics by its examples."""
        whole, size = tf.cast(part.whole, tf.float32), tf.cast(tf.shape(part.weights)[0], tf.float32)
        real = tf.sequence_mask(part.count, tf.shape(part.weights)[0], tf.float32)
        count = tf.cast(part.count, tf.float32)
        # Keras takes the mean over the slice and divides it by the number of replicas
        scale = real * size * self.places.replicas / whole
        loss = self.model.compute_loss(part.inputs, part.labels, outputs, part.weights * scale, training=training)
        if self.parts > 1 and (penalties := self.model.losses):  # Keras adds them to each part
            rest = 1.0 - 1.0 / tf.cast(parts, tf.float32)
            loss -= rest / self.places.replicas * tf.add_n(penalties)
        tracker = next(metric for metric in self.model.metrics if metric.name == "loss")
        mean = tf.math.divide_no_nan(loss * whole, count)
        if self.skips and training:
            sound = tf.math.is_finite(loss)
            real, count, mean = (tf.where(sound, each, 0.0) for each in (real, count, mean))
            # a weight of 0 does not undo a NaN
            outputs = tf.nest.map_structure(lambda each: tf.where(sound, each, tf.zeros_like(each)), outputs)
        tracker.update_state(mean, sample_weight=count)
        # metrics are those that Keras calls weighted: here the weight says who counts
        self.model.compute_metrics(part.inputs, part.labels, outputs, real)
        return loss

    def _slice(self, batch: Any) -> _Part:
        """What falls to this replica."""
        inputs, labels, weights, whole = batch
        here = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
        if self.static is None:
            begin, end = _bounds(here, here + 1, whole, self.places.replicas, tf.minimum)
            first, _ = _bounds(self.places.first, self.places.first + 1, whole, self.places.replicas, tf.minimum)
            count = tf.maximum(end - here * whole // self.places.replicas, 0)
            begin = tf.minimum(begin - first, tf.shape(labels)[0] - 1)  # where nothing is its own, the last row here
            size = tf.maximum(count, 1)
        else:
            size = self.places.each(self.static, self.parts)
            begin, count = (here - self.places.first) * size, tf.clip_by_value(whole - here * size, 0, size)

        return _Part(inputs, labels, weights, count, whole).within(begin, size, counted=True)


@dataclass(frozen=True)
class _Part:
    """A replica's examples, how many of them count, and how many the batch has in all."""

    inputs: Any
    labels: tf.Tensor
    weights: tf.Tensor
    count: tf.Tensor
    whole: tf.Tensor

    def within(self, begin: Any, size: Any, counted: bool = False) -> _Part:
        """`size` examples from `begin` on; `counted` where `count` is theirs already."""

        def own(each: tf.Tensor) -> tf.Tensor:
            rest = [-1 if known is None else known for known in each.shape[1:]]  # XLA pads where it is told -1
            return tf.slice(each, [begin, *[0] * len(rest)], [size, *rest])

        count = self.count if counted else tf.clip_by_value(self.count - begin, 0, size)
        return _Part(tf.nest.map_structure(own, self.inputs), own(self.labels), own(self.weights), count, self.whole)


def static_for(strategy: tf.distribute.Strategy | None, settings: Settings) -> int | None:
    """Examples that each batch has, where shapes are compiled; None where they are not."""
    return settings.batch_size if settings.jit_compile or on_tpu(strategy) else None


def on_tpu(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether a TPU's cores are the replicas."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def forward(model: keras.Model, strategy: tf.distribute.Strategy | None) -> Forward | None:
    """What computes a model's outputs on all replicas of this process; None where its own graph does as well.

    On a TPU every call has as many rows, since each shape is compiled.
    """
    if strategy is None or (share_of(strategy).local == 1 and not on_tpu(strategy)):
        return None
    places, graphs = share_of(strategy), {}

    def part(inputs: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        here = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32) - places.first
        each = next(iter(inputs.values())).shape[0] // places.local
        own = {
            name: tf.slice(x, [here * each, *[0] * (x.shape.rank - 1)], [each, *x.shape[1:]])
            for name, x in inputs.items()
        }
        return tf.nest.flatten(model(arrange(model, own), training=False))

    def spread(inputs: Mapping[str, tf.Tensor]) -> list[Any]:
        return [strategy.experimental_local_results(each) for each in strategy.run(part, args=(inputs,))]

    def run(inputs: Mapping[str, Any]) -> list[tf.Tensor]:
        rows = len(next(iter(inputs.values())))
        filled = -(-max(rows, MOST_ROWS if on_tpu(strategy) else 0) // places.local) * places.local
        whole = {name: tf.concat([x, tf.repeat(x[:1], filled - rows, axis=0)], axis=0) for name, x in inputs.items()}
        shapes = tuple(each.shape for each in whole.values())
        if shapes not in graphs:
            graphs[shapes] = tf.function(spread, autograph=False).get_concrete_function(whole)
        return [tf.concat(parts, axis=0)[:rows] for parts in graphs[shapes](whole)]

    return run


def _free(batch: Any) -> Any:
    """Specifications of a batch with free axes."""
    return tf.nest.map_structure(lambda each: tf.TensorSpec([None] * each.shape.rank, each.dtype), batch)


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
