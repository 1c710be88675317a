"""A frozen model as a graph of constants, which TensorFlow simplifies once before it runs over many examples.

Normalizations with fixed statistics are multiplied into the convolutions before them, biases and activations fused:
EfficientNet-Lite0 took about a quarter less time for a picture. Transformers have nothing of the kind to fold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfvertical import stages
from tfvertical.batches import Forward, traced

EXAMPLES = 500  # making the constants takes a second or two
WEIGHTS = 100_000_000  # they are copied, and a graph holds at most 2 GB
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


def pays(model: keras.Model, examples: int) -> bool:
    """Whether a model gains by it over that many examples: decided by sizes, so that every run decides alike."""
    if examples < EXAMPLES or not fits(model):
        return False
    return any(isinstance(layer, CONVOLUTIONS) for layer in stages.layers(model))


def fits(model: keras.Model) -> bool:
    """Whether a graph can hold the model's weights."""
    return sum(math.prod(variable.shape) for variable in model.weights) <= WEIGHTS


def forward(model: keras.Model) -> Forward:
    """The model in inference mode, with the weights it has now, as a function of inputs by name.

    Example:
        >>> inputs = keras.Input((2,), name="x")
        >>> model = keras.Model({"x": inputs}, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
        >>> [output.numpy().tolist() for output in forward(model)({"x": tf.ones((1, 2))})]
        [[[2.0]]]
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    fixed = convert_variables_to_constants_v2(traced(model))
    names = sorted(tensor.name for tensor in model.inputs)  # tf.nest flattens dictionaries by key

    def run(inputs: Mapping[str, Any]) -> list[Any]:
        return list(tf.nest.flatten(fixed(*(inputs[name] for name in names))))

    return run
