"""What runs once for all processes that train together: each computes its share, and all get the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical.contracts import Encoded

PIECE = 16 * 2**20  # numbers that are summed at a time


class Sharing:
    """Several processes that make the same calls in the same order.

    Args:
        strategy: of all of them.
        count: how many there are.
        at: which one this is.
        first: number of this process' first replica.
    """

    def __init__(self, strategy: tf.distribute.Strategy, count: int, at: int, first: int):
        self.strategy, self.count, self.at, self.first = strategy, count, at, first
        self._sums: dict[tuple[tuple[int, ...], str], Any] = {}

    def of(self, encoded: Encoded) -> np.ndarray:
        """The examples of this process, int64: long ones and short ones as many as the others have."""
        order = np.arange(len(encoded))
        if encoded.lengths is not None:
            order = np.argsort(encoded.lengths, kind="stable")
        return order[self.at :: self.count]

    def everywhere(self, true: bool) -> bool:
        """Whether it is true in every process."""
        return int(self._sum(np.array([true], np.int32))[0]) == self.count

    def anywhere(self, true: Sequence[bool]) -> list[bool]:
        """Which of some statements are true in at least one process."""
        return (self._sum(np.array(true, np.int32)) > 0).tolist()

    def alike(self, value: int) -> bool:
        """Whether it is the same number in every process."""
        every = np.zeros(self.count, np.int64)
        every[self.at] = value
        return len(set(self._sum(every).tolist())) == 1

    def joined(self, arrays: Sequence[np.ndarray], error: float) -> float:
        """Fill arrays in place, which hold zeros where other processes have computed; the largest of all errors."""
        for array in arrays:
            flat = array.reshape(-1)
            for at in range(0, len(flat), PIECE):
                piece = flat[at : at + PIECE]
                size = 1 << (len(piece) - 1).bit_length()  # one of few, since each is traced
                filled = np.zeros(size, _summable(piece.dtype))
                filled[: len(piece)] = piece
                flat[at : at + PIECE] = self._sum(filled)[: len(piece)].astype(array.dtype)
        errors = np.zeros(self.count, np.float32)
        errors[self.at] = error
        return float(self._sum(errors).max())

    def _sum(self, values: np.ndarray) -> np.ndarray:
        kind = values.shape, values.dtype.name
        if kind not in self._sums:
            self._sums[kind] = tf.function(self._added, autograph=False).get_concrete_function(
                tf.TensorSpec(values.shape, values.dtype)
            )
        found: np.ndarray = self._sums[kind](tf.constant(values)).numpy()
        return found

    def _added(self, given: tf.Tensor) -> tf.Tensor:
        def own() -> tf.Tensor:
            here = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
            return tf.where(here == self.first, given, tf.zeros_like(given))

        return self.strategy.reduce("SUM", self.strategy.run(own), axis=None)


class Stops(keras.callbacks.Callback):
    """Behind all others: where the callbacks of one process end `fit`, all processes end it at the same point.

    Args:
        sharing: of the processes.
        each_batch: whether callbacks may do so behind a batch; in all processes alike.
    """

    def __init__(self, sharing: Sharing, each_batch: bool):
        super().__init__()
        self.sharing, self.each_batch = sharing, each_batch

    def _agree(self) -> None:
        self.model.stop_training = self.sharing.anywhere([bool(self.model.stop_training)])[0]

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._agree()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self.each_batch:
            self._agree()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._agree()


def _summable(dtype: np.dtype) -> Any:
    """What sums exactly with zeros: TensorFlow's collectives do not take every type."""
    wide = dtype.itemsize > 4
    exact = {"b": np.int32, "i": np.int64 if wide else np.int32, "u": np.int32, "f": np.float64 if wide else np.float32}
    return exact.get(dtype.kind, np.float32)
