"""Where a step's numbers first are not finite: on the way to the loss, or on the way back."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import frontier

MOST = 256  # examples of a batch that are looked at one by one


def first_not_finite(model: keras.Model, inputs: dict[str, Any], batch: Any) -> tuple[str, np.ndarray] | None:
    """An operation of the model or, where all that it gives is finite, the gradient of a variable.

    Everything runs in inference mode, so that nothing is drawn and no statistic moves.

    Args:
        model: functional and compiled.
        inputs: its inputs by name, `(batch, …)`.
        batch: inputs, labels and weights, as a step gets them.

    Returns:
        Words for a message, and a bool array `(batch,)` of the examples concerned; None where all is finite.
    """
    found = frontier.first_not_finite(model, inputs)
    if found is not None:
        return repr(found[0]), np.asarray(found[1])
    name = _gradient(model, batch)
    if name is None:
        return None
    count = len(batch[1])
    alone = (tf.nest.map_structure(lambda each, at=at: each[at : at + 1], batch) for at in range(min(count, MOST)))
    concerned = np.array([_gradient(model, each) is not None for each in alone] + [False] * max(0, count - MOST))
    return f"the gradient of {name!r}", concerned if concerned.any() else np.ones(count, bool)


def _gradient(model: keras.Model, batch: Any) -> str | None:
    """The variable nearest to the loss whose gradient is not finite."""
    inputs, labels, weights = batch
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, labels, model(inputs, training=False), weights, training=False)
    variables = model.trainable_weights
    found = tape.gradient(loss, [each.value for each in variables])
    for variable, gradient in zip(reversed(variables), reversed(found), strict=True):
        if gradient is not None and not bool(tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(gradient)))):
            return str(variable.path)
    return None
