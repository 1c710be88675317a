"""What a functional model costs, counted from its weights: for plans, not for bills."""

from __future__ import annotations

import math
from typing import Any

import keras

from tfvertical import frontier, stages


def forward(model: keras.Model, length: float) -> float:
    """Floating-point operations of one example's forward pass: two for each product of weights, and attention's own.

    Normalization, activations and additions are left out; so is what a layer computes without weights. In a layer that
    changes the resolution inside, all weights are counted at the resolution of its output.

    Args:
        model: functional.
        length: tokens of an example, where an axis has no fixed size.

    Example:
        >>> inputs = keras.Input((10, 4))
        >>> forward(keras.Model(inputs, keras.layers.Dense(3, use_bias=False)(inputs)), length=10)
        240.0
    """
    calls, _, _ = frontier.read(model)
    return float(sum(_of(operation, output, length) for operation, _, _, output in calls))


def _of(operation: Any, output: Any, length: float) -> float:
    if not isinstance(operation, keras.layers.Layer) or not operation.weights:
        return 0.0
    shape = next(iter(keras.tree.flatten(output))).shape
    axes = shape[1:-1] if len(shape) > 2 else ()
    positions = math.prod(length if size is None else size for size in axes)
    leaves = [layer for layer in stages.layers(operation) if not isinstance(layer, keras.layers.Embedding)]
    products = sum(
        math.prod(variable.shape)
        for leaf in leaves
        for variable in leaf._trainable_variables
        if len(variable.shape) > 1
    )
    attention = sum(
        2 * positions * leaf.num_heads * leaf.key_dim
        for leaf in leaves
        if isinstance(leaf, keras.layers.MultiHeadAttention)
    )
    return 2.0 * positions * (products + attention)
