"""Which examples go into which batch, and at which length: pure functions of lengths, seed and epoch.

Texts are grouped by length within pools of a shuffled order, so that a batch is padded to its own longest text only,
while batches still come in random order. One graph serves all lengths; where shapes are compiled one by one (XLA,
TPUs), lengths are rounded up to a few values.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical import memory, stages
from tfvertical.columns import Dense, StreamedDense
from tfvertical.contracts import Column, Encoded
from tfvertical.errors import DataError, TfverticalError

if TYPE_CHECKING:
    import tensorflow as tf

Shared = Callable[[np.ndarray], np.ndarray]  # a batch's rows -> those of this process

_TRACE = "_tfvertical_inference"
AHEAD = 2  # batches that are read while another is computed
SHORT = 128  # tokens
POOL = 50  # batches sorted together: larger pads less, smaller shuffles better


def bucket(length: int) -> int:
    """The padded length for `length` tokens: multiples of 8 up to 64, of 16 up to 128, of 32 up to 256, then of 64.

    Example:
        >>> [bucket(n) for n in (1, 8, 9, 65, 130, 300)]
        [8, 8, 16, 80, 160, 320]
    """
    step = 8 if length <= 64 else 16 if length <= 128 else 32 if length <= 256 else 64
    return max(step, -(-length // step) * step)


def plan(lengths: np.ndarray | None, order: np.ndarray, batch_size: int, seed: int | None) -> list[np.ndarray]:
    """Cut `order` into batches.

    Args:
        lengths: int64 `(n,)` tokens per example, or None where all have one shape.
        order: int64 permutation of the examples.
        batch_size: examples a batch; only the last cut may have fewer.
        seed: shuffles the batches; None sorts all examples by length, for inference.

    Returns:
        int64 arrays of example indices; together they hold each of `order` once.
    """
    if lengths is None:
        return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    pool = len(order) if seed is None else POOL * batch_size
    found = []
    for start in range(0, len(order), max(pool, 1)):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        found += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    if seed is not None:
        np.random.default_rng([seed, len(order)]).shuffle(found)
    return found


def epoch(encoded: Encoded, batch_size: int, seed: int, number: int, grouped: bool | None = None) -> list[np.ndarray]:
    """The batches of an epoch, in training order.

    Args:
        encoded: the examples.
        batch_size: examples a step.
        seed: with the number, determines order and padding.
        number: of the epoch, from 0.
        grouped: whether texts of a length share a batch; None where that saves padding, which is where an input of
            the model differs in length. A batch of like lengths is a batch of like examples: it teaches a little less.
    """
    if grouped is None:
        grouped = differ(encoded)
    order = np.random.default_rng([seed, number]).permutation(len(encoded))
    return plan(encoded.lengths if grouped else None, order, batch_size, seed + number)


def differ(encoded: Encoded) -> bool:
    """Whether inputs of the model differ in length from example to example."""
    fixed = all(isinstance(column, Dense | StreamedDense) for column in encoded.columns.values())
    return encoded.lengths is not None and not fixed


def gather(encoded: Encoded, rows: np.ndarray, static: bool = False) -> dict[str, np.ndarray]:
    """The model inputs of the examples at `rows`, padded to the longest of them.

    Args:
        encoded: the examples.
        rows: int64 `(batch,)`.
        static: round the length up to its `bucket`, or to that of the longest example: what is compiled for each shape
            must not see many, and a table of positions may end there.
    """
    length = length_of(encoded, rows, static)
    return {name: column.take(rows, length) for name, column in encoded.columns.items()}


def length_of(encoded: Encoded, rows: np.ndarray, static: bool) -> int | None:
    """Positions that the examples at `rows` are padded to, as `gather` says; None where all have one shape."""
    if encoded.lengths is None:
        return None
    longest = int(encoded.lengths[rows].max())
    return min(bucket(longest), int(encoded.lengths.max())) if static else longest


def training_set(
    encoded: Encoded,
    model: Any,
    batch_size: int,
    seed: int,
    first_epoch: int,
    transform: Callable[[Encoded, int], Encoded] | None = None,
    grouped: bool | None = None,
    skip: int = 0,
    share: Shared | None = None,
    static: bool = False,
) -> tuple[tf.data.Dataset, int]:
    """An endless dataset of `(inputs, labels, weights)` in training order, and how many batches an epoch has.

    Args:
        encoded: the examples.
        model: whose inputs these are; shapes and dtypes come from it.
        batch_size: examples a step.
        seed: with the epoch, determines order and padding.
        first_epoch: the epoch to begin with.
        transform: `(encoded, epoch) -> encoded` before each epoch, for augmentation.
        grouped: as `epoch` takes it.
        skip: batches of the first epoch that are left out.
        share: which of a batch's rows are read here; each element then ends with the size of the whole batch, int32.
        static: as `gather` takes it.
    """
    _labelled(encoded)

    def batches() -> Iterator[tuple[Any, ...]]:
        for number in itertools.count(first_epoch):
            examples = encoded if transform is None else transform(encoded, number)
            for rows in epoch(examples, batch_size, seed, number, grouped)[skip if number == first_epoch else 0 :]:
                yield _batch(examples, rows, share, static)

    return _dataset(batches, encoded, model, share), math.ceil(len(encoded) / batch_size)


def validation_set(
    encoded: Encoded, model: Any, batch_size: int, share: Shared | None = None, static: bool = False
) -> tf.data.Dataset:
    """A dataset of `(inputs, labels, weights)`, sorted by length, that ends; the rest as `training_set` takes it."""
    import tensorflow as tf

    _labelled(encoded)

    def batches() -> Iterator[tuple[Any, ...]]:
        for rows in plan(encoded.lengths, np.arange(len(encoded)), batch_size, None):
            yield _batch(encoded, rows, share, static)

    count = len(plan(encoded.lengths, np.arange(len(encoded)), batch_size, None))
    return _dataset(batches, encoded, model, share).apply(tf.data.experimental.assert_cardinality(count))


def batch(encoded: Encoded, model: Any, rows: np.ndarray) -> tuple[Any, tf.Tensor, tf.Tensor]:
    """Inputs, labels and weights of the examples at `rows`, as `model` takes them."""
    import tensorflow as tf

    _, labels, weights = _batch(encoded, rows, None)
    return arrange(model, inputs(model, encoded, rows)), tf.constant(labels), tf.constant(weights)


Forward = Callable[[Mapping[str, Any]], list[Any]]  # inputs by name -> outputs, flattened


def infer(
    model: Any,
    encoded: Encoded,
    batch_size: int | None = None,
    forward: Forward | None = None,
    rows: np.ndarray | None = None,
    static: bool = False,
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Run `model` in inference mode over all examples: `(rows, outputs)` per batch, sorted by length.

    One trace serves all lengths and all calls. The batches depend only on the examples, so that two processes compute
    equal bits. While a batch is computed, the next two are read and decoded.

    Args:
        model: whose inputs the examples are.
        encoded: the examples.
        batch_size: examples a call; None for what is fast on processors: 128 short texts, 32 of anything else.
        forward: what computes it; None for the model's own graph.
        rows: int64, which examples; None for all.
        static: as `gather` takes it.
    """
    memory.keep_freed()
    forward = forward or traced(model)
    order = np.arange(len(encoded)) if rows is None else rows
    parts = plan(encoded.lengths, order, batch_size or _calls_of(encoded.lengths), None)
    with ThreadPoolExecutor(1) as reading:
        coming = deque((rows, reading.submit(inputs, model, encoded, rows, static)) for rows in parts[:AHEAD])
        for at in itertools.count(AHEAD):
            if not coming:
                return
            rows, made = coming.popleft()
            if at < len(parts):
                coming.append((parts[at], reading.submit(inputs, model, encoded, parts[at], static)))
            yield rows, [output.numpy() for output in forward(made.result())]


def _calls_of(lengths: np.ndarray | None) -> int:
    """Examples a call: MiniLM over banking77 takes 1.06 times as long in 64s as in 128s, and no less in 256s."""
    return 128 if lengths is not None and lengths.max(initial=0) <= SHORT else 32


def outputs(model: Any, encoded: Encoded, rows: np.ndarray) -> list[np.ndarray]:
    """What `model` gives for the examples at `rows`, in inference mode: its outputs, flattened."""
    return [output.numpy() for output in traced(model)(inputs(model, encoded, rows))]


def inputs(model: Any, encoded: Encoded, rows: np.ndarray, static: bool = False) -> dict[str, Any]:
    """The inputs of `model` at `rows`, by name, as tensors; `static` as `gather` takes it."""
    import tensorflow as tf

    found = gather(encoded, rows, static)
    return {name: tf.cast(found[name], dtype) for name, _, dtype in _specs(model)}


def traced(model: Any) -> Any:
    """The model in inference mode as one graph, kept with the model: a stream of small requests must not trace anew.

    A graph that was traced while the layers computed in another precision is not used again.
    """
    dtypes = tuple(layer.compute_dtype for layer in stages.layers(model))
    kept = vars(model).get(_TRACE)
    if kept is None or kept[0] != dtypes:
        kept = dtypes, graph(model)
        vars(model)[_TRACE] = kept  # past Keras' attribute tracking, which has no business with it
    return kept[1]


def graph(model: Any, held: bool = False) -> Any:
    """The model in inference mode as a function of its inputs by name; `held` as `fused` takes it."""
    import tensorflow as tf

    from tfvertical import fused

    signature = {name: tf.TensorSpec(shape, dtype) for name, shape, dtype in _specs(model)}

    @tf.function(input_signature=[signature], autograph=False)
    def run(inputs: Mapping[str, Any]) -> list[Any]:
        with fused.fused(model, held):
            return tf.nest.flatten(model(arrange(model, inputs), training=False))

    return run.get_concrete_function()


_drowned: list[TfverticalError] = []


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """What goes wrong while batches are read is raised as it was, not as TensorFlow's error of an operation."""
    import tensorflow as tf

    _drowned.clear()
    try:
        yield
    except tf.errors.OpError as error:
        if not _drowned or type(_drowned[-1]).__name__ not in error.message:
            raise
        raise _drowned[-1] from error
    finally:
        _drowned.clear()


def arrange(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Inputs by name in the structure that `model` was built with (a dictionary, a list, one tensor)."""
    import keras

    return keras.tree.map_structure(lambda tensor: inputs[tensor.name], model.input)


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset` without tf.data's tuner, which has nothing to tune in ours.

    Its thread sleeps for a second at a time, and whoever lets go of an iterator waits for it: at each stage's end.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _specs(model: Any) -> list[tuple[str, list[int | None], str]]:
    """Name, shape with a free batch axis, and dtype of each model input."""
    return [(tensor.name, [None, *tensor.shape[1:]], tensor.dtype) for tensor in model.inputs]


def _batch(encoded: Encoded, rows: np.ndarray, share: Shared | None, static: bool = False) -> tuple[Any, ...]:
    here = rows if share is None else share(rows)
    labels = _labelled(encoded)
    given = labels[here] if isinstance(labels, np.ndarray) else labels.take(here, length_of(encoded, here, static))
    found = gather(encoded, here, static), given, encoded.weights[here]
    return found if share is None else (*found, np.int32(len(rows)))


def _labelled(encoded: Encoded) -> np.ndarray | Column:
    """The labels; said before a dataset is made, since inside one the error would drown in TensorFlow's own."""
    if encoded.labels is None:
        raise DataError("Training and validation need labels; these examples have none.")
    return encoded.labels


def _dataset(
    batches: Callable[[], Iterator[Any]], encoded: Encoded, model: Any, share: Shared | None
) -> tf.data.Dataset:
    """Batches as a tf.data.Dataset, inputs in the model's structure."""
    import tensorflow as tf

    specs = _specs(model)

    def typed() -> Iterator[Any]:
        try:
            for inputs, *others in batches():
                arrays = {name: np.asarray(inputs[name], tf.as_dtype(dtype).as_numpy_dtype) for name, _, dtype in specs}
                yield arrays, *others
        except TfverticalError as error:
            _drowned.append(error)
            raise

    by_name = {name: tf.TensorSpec(shape, dtype) for name, shape, dtype in specs}
    given = encoded.labels
    if isinstance(given, np.ndarray):
        labels = tf.TensorSpec([None, *given.shape[1:]], given.dtype)
    else:  # a column: one label a position
        labels = tf.TensorSpec([None, None], tf.int32)
    signature: tuple[Any, ...] = (by_name, labels, tf.TensorSpec([None], tf.float32))
    if share is not None:
        signature += (tf.TensorSpec([], tf.int32),)
    dataset = tf.data.Dataset.from_generator(typed, output_signature=signature)

    def arranged(inputs: Any, *others: Any) -> Any:
        structure = arrange(model, inputs)  # a list would be taken for one tensor
        return (tuple(structure) if isinstance(structure, list) else structure, *others)

    return untuned(dataset.map(arranged).prefetch(4))
