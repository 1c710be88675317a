"""What the focal loss counts an example by (Lin et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

_LEAST = 1e-7  # at 0, a power below 1 has no finite slope


def unsure(right: tf.Tensor, power: float) -> tf.Tensor:
    """The chance that the model leaves to wrong answers, to a power; of float32 cross-entropies of the right one."""
    import tensorflow as tf

    return tf.maximum(-tf.math.expm1(-right), _LEAST) ** power
