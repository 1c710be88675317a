"""Rows of embedding tables that a run's examples look up; the others cannot learn, and need not be passed over.

A vocabulary has tens of thousands of rows, and a domain's texts use some thousands of them. The gradient of all others
is zero in every step, yet an optimizer sums, clips and moves the whole table: for MiniLM more than half of all weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical import batches, frontier, stages
from tfvertical.contracts import Encoded
from tfvertical.errors import ConfigError

if TYPE_CHECKING:
    import keras

AT_ONCE = 4_096  # examples that are looked at together
WORTH = 0.5  # share of a table up to which its rows are told apart


def touched(model: keras.Model, encoded: Encoded) -> dict[int, np.ndarray]:
    """The rows that examples look up, of each table of which they look up few.

    Args:
        model: what is trained; one that is not functional is not looked into.
        encoded: all examples that it is trained on.

    Returns:
        `id` of a learning table's variable -> its rows, int32, ascending. A table is left out where something else
        uses it as well, or what it is given is no input of the model.
    """
    import keras

    if not any(isinstance(layer, keras.layers.Embedding) and layer.trainable for layer in stages.layers(model)):
        return {}
    try:
        calls, inputs, _ = frontier.read(model)
    except ConfigError:
        return {}
    names = {id(tensor): tensor.name for tensor in keras.tree.flatten(inputs)}
    given: dict[int, tuple[Any, set[str]]] = {}
    elsewhere: set[int] = set()
    for operation, args, _, _ in calls:
        table, name = _table(operation), names.get(id(args[0])) if args else None
        if table is not None and name is not None:
            given.setdefault(id(table), (table, set()))[1].add(name)
            elsewhere |= {id(each) for each in operation.trainable_variables if each is not table}
        else:
            elsewhere |= {id(each) for each in getattr(operation, "trainable_variables", ())}
    found = {}
    for key, (table, looked_up) in given.items():
        if key in elsewhere or not table.trainable:
            continue
        rows = _ids(encoded, looked_up, int(table.shape[0]))
        if len(rows) < WORTH * table.shape[0]:
            found[key] = rows
    return found


def packed(rows: np.ndarray) -> str:
    """Rows, ascending, as a text that a configuration holds: a bit a row, in hexadecimal.

    Example:
        >>> packed(np.array([0, 9])), unpacked("8040").tolist()
        ('8040', [0, 9])
    """
    marks = np.zeros(int(rows[-1]) + 1 if len(rows) else 0, bool)
    marks[rows] = True
    return np.packbits(marks).tobytes().hex()


def unpacked(written: str) -> np.ndarray:
    """What `packed` has written, int32."""
    marks = np.unpackbits(np.frombuffer(bytes.fromhex(written), np.uint8))
    return np.flatnonzero(marks).astype(np.int32)


def summed(gradient: Any, rows: np.ndarray | None) -> Any:
    """A gradient as one tensor, of `rows` only where they are given: what a lookup gives lists a row as often as it
    was looked up."""
    import tensorflow as tf

    if rows is None:
        return tf.convert_to_tensor(gradient)
    if not isinstance(gradient, tf.IndexedSlices):
        return tf.gather(gradient, rows)
    places = np.full(int(rows[-1]) + 1 if len(rows) else 0, -1, np.int32)
    places[rows] = np.arange(len(rows))
    return tf.math.unsorted_segment_sum(gradient.values, tf.gather(places, gradient.indices), len(rows))


def _table(operation: Any) -> Any:
    """The variable that an operation of Keras or KerasHub does nothing with but look up rows; None for any other."""
    import keras

    if type(operation).__module__.partition(".")[0] not in ("keras", "keras_hub"):
        return None
    layer = operation
    if type(operation).__name__ == "TokenAndPositionEmbedding":
        layer = operation.token_embedding
    if not isinstance(layer, keras.layers.Embedding) or layer.lora_enabled or layer.quantization_mode:
        return None
    return layer.embeddings


def _ids(encoded: Encoded, names: set[str], count: int) -> np.ndarray:
    """Which of `count` rows occur in these inputs, padding included."""
    marks = np.zeros(count, bool)
    chunks = [np.arange(begin, min(begin + AT_ONCE, len(encoded))) for begin in range(0, len(encoded), AT_ONCE)]
    if encoded.lengths is not None and len(encoded):  # what pads the shorter of two
        chunks.append(np.array([encoded.lengths.argmin(), encoded.lengths.argmax()]))
    for chunk in chunks:
        found = batches.gather(encoded, chunk)
        for name in names:
            marks[np.unique(found[name])] = True
    return np.flatnonzero(marks).astype(np.int32)
