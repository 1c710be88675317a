"""How improbable a text's tags are, all together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfvertical.contracts import Objective

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class ConditionalRandomField(Objective):
    """The negative log-likelihood of the tags of a linear chain (Lafferty et al. 2001), by labelled position."""

    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Scores as `_chain` reads them, and tag ids `(batch, length)`, -1 for none, to float32 `(batch,)`."""
        import tensorflow as tf

        from tfvertical.objectives import _chain

        of = _chain.chain(outputs, labels)
        count = tf.reduce_sum(tf.cast(of.counted, tf.float32), axis=1)
        return tf.math.divide_no_nan(-_chain.log_likelihood(of), count)
