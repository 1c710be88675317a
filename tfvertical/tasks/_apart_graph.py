"""The graph that makes a model's inputs of two texts which are read apart."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfvertical.tasks._pair_reader import SIDES


class ApartGraph(tf.Module):
    """Two strings a row to the inputs of each side. A module, because the graph of one text may hold tables.

    Args:
        single: strings `(batch,)` to the inputs of one text.
    """

    def __init__(self, single: Callable[[tf.Tensor], dict[str, tf.Tensor]]):
        super().__init__(name="apart")
        self.single = single

    def __call__(self, first: tf.Tensor, second: tf.Tensor) -> dict[str, tf.Tensor]:
        """The model's inputs, int32 `(batch, tokens)`; each side as long as its own longest text."""
        return {
            side + name: array
            for side, texts in zip(SIDES, (first, second), strict=True)
            for name, array in self.single(texts).items()
        }
