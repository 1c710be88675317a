"""What the biases of a file in full integers are moved to."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tfvertical.export import _convert, _selective
from tfvertical.export._biases import Biases, _drift, _interpreter, _layers

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")


def net() -> keras.Model:
    """A stem, three pairs of an expanding and a depthwise convolution, and a dense layer, all random."""
    keras.utils.set_random_seed(1)
    start = {"bias_initializer": keras.initializers.RandomNormal(stddev=0.2)}
    images = keras.Input((24, 24, 3), name="images")
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu6", **start)(images)
    for _ in range(3):
        x = keras.layers.Conv2D(24, 1, activation="relu6", **start)(x)
        x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu6", **start)(x)
        x = keras.layers.Conv2D(8, 1, **start)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(5, **start)(x))


@pytest.fixture(scope="module")
def files() -> Any:
    """The net in float, in integers, and the examples that both are compared on."""
    import tensorflow as tf

    model = net()
    draw = np.random.default_rng(0)
    examples = [{"images": draw.normal(0.3, 1, (1, 24, 24, 3)).astype(np.float32)} for _ in range(20)]
    specs = {"images": tf.TensorSpec((1, 24, 24, 3), tf.float32, name="images")}
    function = tf.function(lambda images: {"scores": model(images)}, autograph=False)
    signatures = {_convert.SIGNATURE: function.get_concrete_function(**specs)}
    made = {}
    for precision in ("float32", "int8"):
        with _convert.converter(signatures, precision) as converter, _selective.quiet_interpreter():
            if precision == "int8":
                converter.representative_dataset = lambda: iter(examples)
            made[precision] = bytes(converter.convert())
    return made["float32"], made["int8"], examples


def shift(biases: Biases, model: bytes) -> float:
    """How far the means of the layers' outputs are from those in float, in standard deviations of a layer's means."""
    found = []
    for layer in _layers(bytearray(model), integers=True):
        expected = biases._known(layer).output
        found.append(np.abs(biases._means(model, [layer.output])[layer.output] - expected).mean() / expected.std())
    return float(np.mean(found))


def test_means_come_back_to_where_they_are_in_float(files):
    floats, integers, examples = files
    biases = Biases(floats, examples)
    before = shift(biases, integers)
    assert len(_layers(bytearray(integers), integers=True)) == len(_layers(bytearray(floats), integers=False)) == 11
    assert shift(biases, biases.by_weights(integers)) < 0.8 * before
    assert shift(biases, biases.by_outputs(integers)) < 0.4 * before


def test_nothing_but_biases_changes(files):
    floats, integers, examples = files
    biases = Biases(floats, examples)
    places = np.zeros(len(integers), bool)
    for layer in _layers(bytearray(integers), integers=True):
        at = integers.find(layer.bias.tobytes())
        places[at : at + layer.bias.nbytes] = True
    assert places.any()
    for made in (biases.by_weights(integers), biases.by_outputs(integers)):
        assert len(made) == len(integers)
        changed = np.frombuffer(made, np.uint8) != np.frombuffer(integers, np.uint8)
        assert changed.any() and not (changed & ~places).any()


def test_what_the_weights_lost_is_taken_from_the_bias(files):
    """By hand, for the dense layer: the change of weights times the mean of what comes in."""
    floats, integers, examples = files
    dense, in_float = _layers(bytearray(integers), integers=True)[-1], _layers(bytearray(floats), integers=False)[-1]
    weights = dense.weights(_interpreter(integers)) - _interpreter(floats).get_tensor(in_float.weight)
    biases = Biases(floats, examples)
    inputs = biases._means(floats, [in_float.input])[in_float.input]
    after = _layers(bytearray(biases.by_weights(integers)), integers=True)[-1]
    moved = (after.bias.astype(np.int64) - dense.bias) * dense.steps
    np.testing.assert_allclose(moved, -weights @ inputs, atol=float(dense.steps.max()))


def test_a_bias_that_two_layers_read_stays():
    import tensorflow as tf

    kernels = [np.random.default_rng(at).normal(size=(3, 3, 4, 4)).astype(np.float32) for at in range(2)]

    def twice(images: Any) -> Any:
        for kernel in kernels:
            images = tf.nn.relu6(tf.nn.conv2d(images, kernel, 1, "SAME"))  # both without a bias: zeros, kept once
        return {"scores": images}

    specs = {"images": tf.TensorSpec((1, 8, 8, 4), tf.float32, name="images")}
    signatures = {_convert.SIGNATURE: tf.function(twice, autograph=False).get_concrete_function(**specs)}
    examples = [{"images": np.random.default_rng(at).normal(size=(1, 8, 8, 4)).astype(np.float32)} for at in range(8)]
    with _convert.converter(signatures, "float32") as converter:
        floats = bytes(converter.convert())
    with _convert.converter(signatures, "int8") as converter, _selective.quiet_interpreter():
        converter.representative_dataset = lambda: iter(examples)
        integers = bytes(converter.convert())
    assert len(_layers(bytearray(floats), integers=False)) == 2 and not _layers(bytearray(integers), integers=True)
    biases = Biases(floats, examples)
    assert biases.by_weights(integers) == biases.by_outputs(integers) == integers


@pytest.mark.parametrize("groups, multiplier", [(1, 1), (2, 1), (1, 2)])
def test_the_mean_that_weights_add_is_that_of_a_convolution(groups: int, multiplier: int):
    import tensorflow as tf

    draw = np.random.default_rng(0)
    inputs = draw.normal(size=4)
    pictures = tf.constant(np.broadcast_to(inputs, (1, 3, 3, 4)), tf.float32)  # without borders: one place comes out
    kernel = draw.normal(size=(3, 3, 4 // groups, 6)).astype(np.float32)
    found = _drift("CONV_2D", kernel.transpose(3, 0, 1, 2), inputs)
    np.testing.assert_allclose(found, tf.nn.conv2d(pictures, kernel, 1, "VALID")[0, 0, 0], rtol=1e-4)
    kernel = draw.normal(size=(3, 3, 4, multiplier)).astype(np.float32)
    found = _drift("DEPTHWISE_CONV_2D", kernel.reshape(1, 3, 3, -1), inputs)
    expected = tf.nn.depthwise_conv2d(pictures, kernel, (1, 1, 1, 1), "VALID")[0, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    dense = draw.normal(size=(5, 4))
    np.testing.assert_allclose(_drift("FULLY_CONNECTED", dense, inputs), dense @ inputs)
    assert not _drift("FULLY_CONNECTED", draw.normal(size=(5, 3)), inputs).any(), "a flattened input has no channels"


def test_a_file_in_float_has_no_biases_to_move(files):
    floats, _, examples = files
    biases = Biases(floats, examples)
    assert biases.by_weights(floats) == biases.by_outputs(floats) == floats


def test_a_file_of_other_names_stays_as_it_is(files):
    floats, integers, examples = files
    biases = Biases(floats, examples)
    biases.__dict__["_expected"] = {b"another": None}
    assert biases.by_weights(integers) == biases.by_outputs(integers) == integers
