"""Layers as TensorFlow's graph passes like them: what oneDNN computes in one go is found, and computed in one go.

A product, its bias and its activation are one call of oneDNN where they stand together as matrices, and so is a layer
normalization where it is written as a batch normalization of its transpose. Keras writes products of three axes and
adds the bias by broadcasting, and a normalization as a dozen operations: the passes find neither. MiniLM's forward pass
spends a third of its time in what is spared here in float32, and two thirds in bfloat16. A training step gains less:
its gradients need what stands between a product and its activation. There, attention's projections, forth and back, are
products of matrices instead of as many small ones as there are examples.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import kernels, onepass, stages

_ALONE = ("gelu", "gelu_approximate", "linear", "relu", "sigmoid", "silu", "tanh")  # activations of one number each


@contextlib.contextmanager
def fused(model: keras.Model, held: bool = False, trained: bool = False, compiled: bool = False) -> Iterator[None]:
    """For a block in which a model's passes are traced; layers that are not Keras' own stay as they are.

    Args:
        model: what is traced.
        held: the graph takes the matrices that it computes with as they are now, and does not convert them to their
            layer's precision in each call.
        trained: gradients are traced, too. Then normalizations as oneDNN has them take no less time.
        compiled: with `trained`, GELU and layer normalizations are compiled by XLA, one pass over memory each.
    """
    ways = _COMPILED if compiled else _TRAINED if trained else _WAYS
    found = _found(model, held, ways) if kernels.onednn() else []
    for layer, call in found:
        layer.call = call
    try:
        yield
    finally:
        for layer, _ in found:
            vars(layer).pop("call", None)


def compiles(model: keras.Model) -> bool:
    """Whether some layer of a model has a pass that XLA compiles, on a processor."""
    if not kernels.onednn() or tf.config.get_visible_devices("GPU"):
        return False
    for layer in stages.layers(model):
        if isinstance(layer, keras.layers.LayerNormalization) and layer.built and _of_rows(layer) is not None:
            return True
        if isinstance(layer, keras.layers.Dense) and _gelu(layer.activation) is not None:
            return True
    return False


def _found(
    model: keras.Model, held: bool, ways: Mapping[type, _Way]
) -> list[tuple[keras.layers.Layer, Callable[..., Any]]]:
    """The layers that have another way to be computed, each with it."""
    found = []
    for layer in stages.layers(model):
        make = ways.get(next(each for each in type(layer).__mro__ if "call" in vars(each)))
        if make is None or "call" in vars(layer) or not layer.built:
            continue
        call = make(layer, held)
        if call is not None:
            found.append((layer, call))
    return found


def _dense(layer: Any, held: bool, compiled: bool = False) -> Callable[..., Any] | None:
    """Rows by columns, whatever the number of axes."""
    if _adapted(layer) or not _alone(layer.activation):
        return None
    now, activation = _converted(layer) if held else None, layer.activation
    if compiled and (form := _gelu(activation)) is not None:
        activation = functools.partial(onepass.gelu, approximate=form == "tanh")

    def call(inputs: Any, training: bool | None = None) -> Any:
        return _product(inputs, 1, layer, (layer.units,), now, activation, compiled)

    return call


def _gelu(activation: Any) -> str | None:
    """Which form of the unit a function is, of Keras' own and KerasHub's; None for any other."""
    if activation is keras.activations.gelu:
        return "erf"
    name, home = getattr(activation, "__name__", ""), str(getattr(activation, "__module__", ""))
    return "tanh" if name == "gelu_approximate" and home.startswith("keras_hub.") else None


def _einsum_dense(layer: Any, held: bool, compiled: bool = False) -> Callable[..., Any] | None:
    """The same, where the last axes of the inputs meet the first ones of the weights, as in attention's projections."""
    summed = _summed(layer.equation)
    rest = tuple(layer.kernel.shape)[summed:]
    if not summed or _adapted(layer) or not _alone(layer.activation):
        return None
    if layer.bias is not None and tuple(layer.bias.shape) != rest:
        return None
    now = _converted(layer) if held else None

    def call(inputs: Any, training: bool | None = None) -> Any:
        return _product(inputs, summed, layer, rest, now, layer.activation, compiled)

    return call


def _summed(equation: str) -> int:
    """How many axes a product of matrices sums over; 0 where the equation is another.

    Example:
        >>> _summed("abc,cde->abde"), _summed("abcd,cde->abe"), _summed("abc,dc->abd")
        (1, 2, 0)
    """
    inputs, _, others = equation.partition(",")
    weights, _, outputs = others.partition("->")
    for count in range(1, min(len(inputs), len(weights))):
        if inputs[-count:] == weights[:count] and outputs == inputs[:-count] + weights[count:] and outputs.isalpha():
            return count
    return 0


def _product(
    inputs: Any,
    summed: int,
    layer: Any,
    rest: tuple[int, ...],
    held: np.ndarray | None,
    activation: Any,
    compiled: bool,
) -> Any:
    """The inputs' last `summed` axes times the layer's weights, bias and activation: two matrices and a row."""
    kernel, columns = keras.ops.convert_to_tensor(layer.kernel) if held is None else tf.constant(held), math.prod(rest)
    before, rows = inputs.shape[:-summed], tf.shape(inputs)[:-summed]
    width = math.prod(kernel.shape[:summed])
    found = tf.matmul(tf.reshape(inputs, (-1, width)), tf.reshape(kernel, (width, columns)))
    if layer.bias is not None:
        add = onepass.biased if compiled else tf.nn.bias_add
        found = add(found, tf.reshape(keras.ops.convert_to_tensor(layer.bias), (columns,)))
    if activation is not None:
        found = activation(found)
    found = tf.reshape(found, tf.concat([rows, rest], 0))
    found.set_shape((*before, *rest))
    return found


def _layer_normalization(layer: Any, held: bool) -> Callable[..., Any] | None:
    """Each row as a channel that is normalized over its columns."""

    def normalized(inputs: Any, width: int) -> Any:
        gamma, beta = (keras.ops.convert_to_tensor(variable, inputs.dtype) for variable in (layer.gamma, layer.beta))
        shape = tf.shape(inputs)
        rows = tf.reduce_prod(shape[:-1])
        channels = tf.reshape(inputs, tf.stack([1, rows, width, 1]))
        found = tf.raw_ops.FusedBatchNormV3(
            x=channels,
            scale=tf.ones((rows,)),
            offset=tf.zeros((rows,)),
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=layer.epsilon,
            data_format="NCHW",
            is_training=True,
        ).y
        found = tf.reshape(found, shape)
        found.set_shape(inputs.shape)  # as a hint: an operation that checks it would stand in the pattern's way
        return found * gamma + beta

    return _over_rows(layer, normalized)


def _compiled_normalization(layer: Any, held: bool) -> Callable[..., Any] | None:
    """Each row in one pass, forth and back."""

    def normalized(inputs: Any, width: int) -> Any:
        gamma, beta = (tf.cast(variable.value, tf.float32) for variable in (layer.gamma, layer.beta))
        found = onepass.normalize(tf.reshape(inputs, (-1, width)), gamma, beta, layer.epsilon)
        found = tf.cast(tf.reshape(found, tf.shape(inputs)), layer.compute_dtype)
        found.set_shape(inputs.shape)
        return found

    return _over_rows(layer, normalized)


def _over_rows(layer: Any, normalized: Callable[[Any, int], Any]) -> Callable[..., Any] | None:
    """What computes a layer that normalizes rows, by inputs and their width; None where it does something else."""
    axis = _of_rows(layer)
    if axis is None:
        return None
    width, plain = int(layer.gamma.shape[0]), layer.call

    def call(inputs: Any) -> Any:
        if inputs.shape.rank is None or (axis != -1 and inputs.shape.rank != axis + 1):
            return plain(inputs)
        return normalized(inputs, width)

    return call


def _of_rows(layer: Any) -> int | None:
    """The axis that a layer normalizes over where that is the last one and it scales and moves; otherwise None."""
    last = len(layer.input_spec.shape) - 1 if getattr(layer.input_spec, "shape", None) else None
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0] if len(layer.axis) == 1 else None
    if axis not in (-1, last) or layer.rms_scaling or layer.gamma is None or layer.beta is None:
        return None
    return axis


def _dropout(layer: Any, held: bool) -> Callable[..., Any] | None:
    """What is dropped is drawn where it is."""
    if layer.noise_shape is not None or not 0 < layer.rate < 1:
        return None

    def call(inputs: Any, training: bool = False) -> Any:
        return onepass.dropout(inputs, layer.rate, layer.seed_generator.next()) if training else inputs

    return call


def _lookup(layer: Any, held: bool) -> Callable[..., Any] | None:
    """Rows as the variable gives them: Keras reads the whole table, which is copied where single rows are moved."""
    if _adapted(layer) or layer.mask_zero:
        return None
    rows, plain = layer.embeddings.value, layer.call  # within the call, Keras converts all of it to another precision

    def call(inputs: Any, **options: Any) -> Any:
        if options or not isinstance(rows, tf.Variable):
            return plain(inputs, **options)
        if inputs.dtype not in (tf.int32, tf.int64):  # as Keras does
            inputs = tf.cast(inputs, tf.int32)
        return tf.cast(tf.gather(rows, inputs), layer.compute_dtype)

    return call


def _converted(layer: Any) -> np.ndarray:
    """The layer's weights in the precision that it computes in."""
    with tf.init_scope():  # out of the graph that is being traced
        return np.asarray(layer.kernel.numpy(), tf.as_dtype(layer.compute_dtype).as_numpy_dtype)


def _adapted(layer: Any) -> bool:
    """Whether weights are added to the layer's own, or stand for them in fewer bits."""
    return bool(getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None))


def _alone(activation: Any) -> bool:
    return activation is None or getattr(activation, "__name__", "") in _ALONE


_Way = Callable[[Any, bool], Callable[..., Any] | None]
_PRODUCTS: dict[type, _Way] = {keras.layers.Dense: _dense, keras.layers.EinsumDense: _einsum_dense}
_TRAINED: dict[type, _Way] = _PRODUCTS | dict.fromkeys(
    (keras.layers.Embedding, keras.layers.ReversibleEmbedding), _lookup
)
_COMPILED: dict[type, _Way] = _TRAINED | {
    keras.layers.Dense: functools.partial(_dense, compiled=True),
    keras.layers.EinsumDense: functools.partial(_einsum_dense, compiled=True),
    keras.layers.Dropout: _dropout,
    keras.layers.LayerNormalization: _compiled_normalization,
}
_WAYS: dict[type, _Way] = _PRODUCTS | {keras.layers.LayerNormalization: _layer_normalization}
