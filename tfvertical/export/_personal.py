"""A head that goes on learning on the device: a small TFLite file with signatures to infer, train, get and set weights.

Built-in operators only: the gradient of softmax and cross-entropy is written out, and weights are resource variables.
The features come from `features.tflite`, the model without its last layer; an app keeps them and never runs the
backbone twice for one example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.contracts import Predict, Task
from tfvertical.export import _answers, _convert
from tfvertical.export._inputs import fixed_inputs

FEATURES, HEAD = "features.tflite", "head.tflite"
SIGNATURES = ("infer", "train", "get_weights", "set_weights")


def files(task: Task, length: int | None, precision: str = "float32", below: Path | None = None) -> dict[str, bytes]:
    """`features.tflite` (model inputs -> `features`, float32 `(1, width)`) and `head.tflite`.

    `head.tflite` has four signatures: `infer` (`features` `(batch, width)` -> `scores`), `train` (`features`, `labels`
    int32 `(batch,)`, `rate` float32 -> `loss`; one step of gradient descent), `get_weights` (-> `kernel`, `bias`) and
    `set_weights` (`kernel`, `bias` -> `done`).

    Args:
        task: whose last layer is linear.
        length: tokens, for a text model.
        precision: of `features.tflite`: `float32`, `float16` or `dynamic`.
        below: as for `_convert.convert`.

    Raises:
        ConfigError: the last layer is none that can be trained so.
    """
    shapes = _convert.Shapes(() if length is None else (length,))
    features = _convert.traced(task, _answers.answer(task, "embedding", "features"), shapes)
    return {FEATURES: _converted(features, precision, below), HEAD: _head(task, below)}


def check(task: Task) -> None:
    """Say that the head cannot be trained so, before a minute of conversion.

    Raises:
        ConfigError: its last layer is not linear.
    """
    _answers.last(task)


def predictor(task: Task, folder: Path, length: int | None) -> Predict:
    """Features, then `infer`: what an app does before it has trained."""
    from ai_edge_litert.interpreter import Interpreter

    from tfvertical.runtime.litert import LiteRT

    features, head = LiteRT(folder / FEATURES), Interpreter(model_path=str(folder / HEAD))
    infer = head.get_signature_runner("infer")

    def predict(items: Sequence[Any]) -> np.ndarray:
        found = [features(fixed_inputs(task, item, length))["features"] for item in items]
        return np.concatenate([infer(features=each)["scores"] for each in found])

    return predict


def _head(task: Task, below: Path | None) -> bytes:
    import tensorflow as tf

    last = _answers.last(task)
    kernel, bias = tf.Variable(last.kernel.numpy()), tf.Variable(last.bias.numpy())
    width, labels = kernel.shape
    some = tf.TensorSpec((None, width), tf.float32, name="features")

    def infer(features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.nn.softmax(features @ kernel + bias)}

    def train(features: tf.Tensor, labels_: tf.Tensor, rate: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.nn.softmax(features @ kernel + bias)
        wanted = tf.one_hot(labels_, labels)
        loss = -tf.reduce_mean(tf.reduce_sum(wanted * tf.math.log(scores + 1e-12), axis=-1))
        slope = (scores - wanted) / tf.cast(tf.shape(features)[0], tf.float32)  # of the loss, by the logits
        kernel.assign(kernel - rate * tf.matmul(features, slope, transpose_a=True))
        bias.assign(bias - rate * tf.reduce_sum(slope, axis=0))
        return {"loss": loss}

    def get_weights() -> dict[str, tf.Tensor]:
        return {"kernel": tf.identity(kernel), "bias": tf.identity(bias)}

    def set_weights(kernel_: tf.Tensor, bias_: tf.Tensor) -> dict[str, tf.Tensor]:
        kernel.assign(kernel_)
        bias.assign(bias_)
        return {"done": tf.reduce_sum(bias_)}

    specs: Mapping[str, Any] = {
        "infer": (infer, [some]),
        "train": (
            train,
            [some, tf.TensorSpec((None,), tf.int32, name="labels"), tf.TensorSpec((), tf.float32, name="rate")],
        ),
        "get_weights": (get_weights, []),
        "set_weights": (
            set_weights,
            [tf.TensorSpec((width, labels), name="kernel"), tf.TensorSpec((labels,), name="bias")],
        ),
    }
    signatures = {
        name: tf.function(function, autograph=False).get_concrete_function(*given)
        for name, (function, given) in specs.items()
    }
    return _converted(signatures, "float32", below)


def _converted(signatures: Mapping[str, Any], precision: str, below: Path | None) -> bytes:
    from tfvertical.runtime.contents import contents

    with _convert.converter(signatures, precision, below=below) as made:
        made.experimental_enable_resource_variables = True
        model = bytes(made.convert())
    _convert.refuse_custom(contents(model))
    return model
