"""A model as constants gives what the model gives."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import batches, constants, features
from tfvertical.columns import Dense


def conv() -> keras.Model:
    inputs = keras.Input((8, 8, 3), name="pixels")
    x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = keras.layers.Conv2D(4, 3, groups=2)(x)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model({"pixels": inputs}, keras.layers.ReLU(6.0)(x))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def test_normalizations_are_folded_without_changing_what_comes_out():
    model = conv()
    x = {"pixels": tf.constant(np.random.default_rng(1).normal(size=(5, 8, 8, 3)), tf.float32)}
    plain = batches.traced(model)(x)[0]
    np.testing.assert_allclose(constants.forward(model)(x)[0], plain, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(batches.traced(model)(x)[0], plain, "the model's own graph is still whole")


def test_inputs_are_taken_by_name():
    names = ("padding_mask", "a_first", "token_ids")
    inputs = {name: keras.Input((2,), name=name) for name in names}
    model = keras.Model(inputs, [inputs[name] * (at + 1.0) for at, name in enumerate(names)])
    x = {name: tf.fill((1, 2), float(10**at)) for at, name in enumerate(names)}
    found = [output.numpy().tolist() for output in constants.forward(model)(x)]
    assert found == [[[1.0, 1.0]], [[20.0, 20.0]], [[300.0, 300.0]]]


@pytest.mark.parametrize(("make", "examples", "pays"), [(conv, 500, True), (conv, 499, False)])
def test_it_pays_for_convolutions_over_many_examples(make, examples: int, pays: bool):
    assert constants.pays(make(), examples) is pays
    assert not constants.pays(tiny.text_task().model, examples)


def test_what_is_kept_follows_the_weights_of_now(monkeypatch):
    monkeypatch.setattr(constants, "EXAMPLES", 1)
    model = conv()
    prefix = keras.Model(model.input, {"cut_0": model.outputs[0]})
    pixels = Dense(np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype(np.float32))
    encoded = replace(tiny.image_task().encode(tiny.pictures(4)), columns={"pixels": pixels})
    made: list[str] = []
    forward = constants.forward
    monkeypatch.setattr(constants, "forward", lambda model: made.append(model.name) or forward(model))
    for scale in (1.0, 0.5):
        for variable in prefix.weights:
            variable.assign(variable * scale)
        (want,) = batches.outputs(prefix, encoded, np.arange(4))
        found = features.compute(prefix, encoded).encoded.columns["cut_0"].take(np.arange(4), None)
        assert made.pop() == prefix.name and not made
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
