"""A head that goes on learning on the device: a small TFLite file with signatures to infer, train, get and set weights.

Built-in operators only: the gradient of softmax and cross-entropy is written out, and weights are resource variables.
The features come from `features.tflite`, the model without its last layer; an app keeps them and never runs the
backbone twice for one example.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import stages
from tfvertical.contracts import Predict, Task
from tfvertical.errors import ConfigError
from tfvertical.export import _convert
from tfvertical.export._inputs import call, fixed_inputs

FEATURES, HEAD = "features.tflite", "head.tflite"
SIGNATURES = ("infer", "train", "get_weights", "set_weights")


def files(task: Task, length: int | None, precision: str = "float32") -> dict[str, bytes]:
    """`features.tflite` (model inputs -> `features`, float32 `(1, width)`) and `head.tflite`.

    `head.tflite` has four signatures: `infer` (`features` `(batch, width)` -> `scores`), `train` (`features`, `labels`
    int32 `(batch,)`, `rate` float32 -> `loss`; one step of gradient descent), `get_weights` (-> `kernel`, `bias`) and
    `set_weights` (`kernel`, `bias` -> `done`).

    Args:
        task: whose last layer is linear.
        length: tokens, for a text model.
        precision: of `features.tflite`: `float32`, `float16` or `dynamic`.

    Raises:
        ConfigError: the last layer is none that can be trained so.
    """
    return {FEATURES: _features(task, length, precision), HEAD: _head(task)}


def check(task: Task) -> None:
    """Say that the head cannot be trained so, before a minute of conversion.

    Raises:
        ConfigError: its last layer is not linear.
    """
    _last(task)


def predictor(task: Task, folder: Path, length: int | None) -> Predict:
    """Features, then `infer`: what an app does before it has trained."""
    from ai_edge_litert.interpreter import Interpreter

    from tfvertical.runtime.litert import LiteRT

    features, head = LiteRT(folder / FEATURES), Interpreter(model_path=str(folder / HEAD))
    infer = head.get_signature_runner("infer")

    def predict(items: Sequence[Any]) -> np.ndarray:
        found = [features(fixed_inputs(task.preprocessor, item, length))["features"] for item in items]
        return np.concatenate([infer(features=each)["scores"] for each in found])

    return predict


def _last(task: Task) -> Any:
    import keras

    last = stages.layers(task.components["head"])[-1]
    plain = isinstance(last, keras.layers.Dense) and last.activation is keras.activations.linear and last.use_bias
    if not plain:
        raise ConfigError(
            "trainable_head needs a head that ends in a linear layer with a bias.",
            received=f"{type(last).__name__} {last.name!r}",
        )
    return last


def _features(task: Task, length: int | None, precision: str) -> bytes:
    import keras
    import tensorflow as tf

    from tfvertical.frontier import replay

    last = _last(task)
    calls, inputs, _ = replay(task.model)
    before = next(args[0] for operation, args, _, _ in calls if operation is last)
    model = keras.Model(inputs, before)

    def features(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"features": tf.cast(call(model, given), tf.float32)}

    sample = fixed_inputs(task.preprocessor, _convert.any_item(task), length)
    specs = {name: tf.TensorSpec(value.shape, value.dtype, name=name) for name, value in sorted(sample.items())}
    concrete = tf.function(features, autograph=False).get_concrete_function(**specs)
    return _converted({_convert.SIGNATURE: concrete}, list(concrete.variables), precision)


def _head(task: Task) -> bytes:
    import tensorflow as tf

    last = _last(task)
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
    return _converted(signatures, [kernel, bias], "float32")


def _converted(signatures: Mapping[str, Any], held: list[Any], precision: str) -> bytes:
    import tensorflow as tf

    from tfvertical.runtime.contents import contents

    module = tf.Module()
    module.held = held
    with tempfile.TemporaryDirectory(prefix="tfvertical-") as folder:
        tf.saved_model.save(module, folder, signatures=dict(signatures))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        _convert.choose(converter, precision)
        converter.experimental_enable_resource_variables = True
        model = bytes(converter.convert())
    _convert.refuse_custom(contents(model))
    return model
