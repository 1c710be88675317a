"""What a file gives: scores, or what the last linear layer sees, which says what an example is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical import stages
from tfvertical.contracts import Task
from tfvertical.errors import ConfigError
from tfvertical.export._convert import Answer
from tfvertical.export._inputs import call

if TYPE_CHECKING:
    import keras

OUTPUTS = ("scores", "embedding")


def answer(task: Task, output: str, name: str | None = None) -> Answer:
    """What a file's graph computes of the model's inputs: `{name: float32 (batch, labels or width)}`.

    Args:
        task: computing in float32.
        output: `scores`; `embedding`: what the last layer of the head sees.
        name: of the output; `output` itself where None.

    Raises:
        ConfigError: an embedding of a head that does not end in a linear layer.
    """
    import tensorflow as tf

    model = task.model if output == "scores" else _before(task)

    def made(inputs: Mapping[str, Any]) -> dict[str, Any]:
        found = call(model, inputs)
        return {name or output: tf.cast(task.activation(found) if output == "scores" else found, tf.float32)}

    return made


def cut(answer: Answer, most: int) -> Answer:
    """The same of texts of any length, of which it reads `most` tokens: the first ones, and the one that ends them.

    A model knows so many positions only, and MediaPipe gives a file of dynamic length all that a text has.
    """
    import tensorflow as tf

    def made(inputs: Mapping[str, Any]) -> dict[str, Any]:
        parts = {name: (value[:, : most - 1], value[:, most - 1 :][:, -1:]) for name, value in inputs.items()}
        return answer({name: tf.concat(two, 1) for name, two in parts.items()})

    return made


def scores(task: Task, embeddings: np.ndarray) -> np.ndarray:
    """The task's scores by its last layer, from what the rest of it gave: float32 `(examples, labels)`."""
    found = embeddings
    for layer in _tail(task):
        found = layer(found)
    return np.asarray(task.activation(found), np.float32)


def last(task: Task) -> keras.layers.Layer:
    """The linear layer that the head ends in, but for what puts its numbers into their own units.

    Raises:
        ConfigError: it does not.
    """
    return _tail(task)[0]


def _tail(task: Task) -> list[keras.layers.Layer]:
    """That layer, and those behind it."""
    import keras

    every = stages.layers(task.components["head"])
    at = max((at for at, layer in enumerate(every) if isinstance(layer, keras.layers.Dense)), default=-1)
    found = every[at]
    plain = isinstance(found, keras.layers.Dense) and found.activation is keras.activations.linear and found.use_bias
    if not plain:
        raise ConfigError(
            "An embedding, or a head that learns on the device, needs a head that ends in a linear layer with a bias.",
            received=f"{type(found).__name__} {found.name!r}",
        )
    return every[at:]


def _before(task: Task) -> keras.Model:
    """The model without its last layer."""
    import keras

    from tfvertical.frontier import replay

    final = last(task)
    calls, inputs, _ = replay(task.model)
    return keras.Model(inputs, next(args[0] for operation, args, _, _ in calls if operation is final))
