"""What XLA computes in one pass is what Keras computes in many, forth and back."""

from __future__ import annotations

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import feed, fused, kernels, onepass
from tfvertical.adaptations.full_fine_tuning import FullFineTuning

ROWS = [1, 7, onepass.TILE, onepass.TILE + 1]


def matrix(rows: int, columns: int = 12, seed: int = 0, spread: float = 3.0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(0, spread, (rows, columns)), tf.float32)


def both(action, *given):
    """What `action` gives, and the gradients of a weighted sum of it."""
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = action(*given)
        total = tf.reduce_sum(tf.cast(found, tf.float32) * matrix(*found.shape, seed=1, spread=1.0))
    return [found, *tape.gradient(total, given)]


def alike(ours, theirs, tolerance: float) -> None:
    for found, want in zip(ours, theirs, strict=True):
        assert found.dtype == want.dtype and found.shape == want.shape
        np.testing.assert_allclose(
            tf.cast(found, tf.float32), tf.cast(want, tf.float32), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("approximate", [False, True])
def test_gelu(rows: int, approximate: bool):
    x = matrix(rows)
    ours = both(lambda given: onepass.gelu(given, approximate), x)
    alike(ours, both(lambda given: keras.activations.gelu(given, approximate), x), 1e-5)


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_far_from_zero(approximate: bool):
    x = tf.constant([[-1e4, -50.0, -10.0, 0.0, 10.0, 50.0, 1e4]])
    found, slope = both(lambda given: onepass.gelu(given, approximate), x)
    assert (np.abs(found - tf.nn.relu(x)) <= 1e-6 + 2e-7 * np.abs(x)).all(), "the last bit of what it is the product of"
    np.testing.assert_allclose(slope / matrix(1, 7, seed=1, spread=1.0), [[0, 0, 0, 0.5, 1, 1, 1]], atol=1e-6)


def test_gelu_in_bfloat16_rounds_once():
    x = tf.cast(matrix(40), tf.bfloat16)
    exact = both(lambda given: keras.activations.gelu(given, True), tf.cast(x, tf.float32))
    for found, want in zip(both(lambda given: onepass.gelu(given, True), x), exact, strict=True):
        assert found.dtype == tf.bfloat16
        np.testing.assert_allclose(tf.cast(found, tf.float32), want, rtol=2**-8, atol=2**-7)


@pytest.mark.parametrize("rows", ROWS)
def test_normalization(rows: int):
    given = (matrix(rows), matrix(1, seed=2)[0], matrix(1, seed=3)[0])

    def plain(x, gamma, beta):
        return keras.ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=1e-6)

    alike(both(lambda *all_: onepass.normalize(*all_, 1e-6), *given), both(plain, *given), 1e-4)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda policy: keras.layers.Dense(6, activation="gelu", dtype=policy),
        lambda policy: keras.layers.Dense(6, activation=gelu_of_a_backbone(), dtype=policy),
        lambda policy: keras.layers.Dense(6, activation="relu", dtype=policy),
        lambda policy: keras.layers.LayerNormalization(epsilon=1e-6, dtype=policy),
        lambda policy: keras.layers.LayerNormalization(axis=(1, 2), dtype=policy),
    ],
)
def test_layers(make, policy: str):
    layer, x = make(policy), tf.reshape(matrix(10), (2, 5, 12))

    def passed():
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = layer(x)
            total = tf.reduce_sum(
                tf.reshape(tf.cast(found, tf.float32), (10, -1)) * matrix(10, found.shape[-1], seed=1)
            )
        return [found, *tape.gradient(total, [x, *[each.value for each in layer.trainable_variables]])]

    want = passed()
    with fused.fused(keras.Sequential([layer]), trained=True, compiled=True):
        found = passed()
    tolerance = 1e-4 if policy == "float32" else 0.05
    for ours, theirs in zip(found, want, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        scale = float(tf.reduce_max(tf.abs(tf.cast(theirs, tf.float32)))) + 1e-6
        np.testing.assert_allclose(
            tf.cast(ours, tf.float32) / scale, tf.cast(theirs, tf.float32) / scale, atol=tolerance
        )


def gelu_of_a_backbone():
    """The activation of KerasHub's encoders, which `fused` has to know by name and home."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=10, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4, max_sequence_length=4
    )
    found = next(layer for layer in backbone.layers if "transformer" in layer.name)._feedforward_intermediate_dense
    assert fused._gelu(found.activation) == "tanh"
    return found.activation


def test_where_there_is_nothing_to_compile_it_is_not_said():
    assert fused.compiles(tiny.text_task().model) == kernels.onednn()
    assert not fused.compiles(tiny.make_task("image").model)


def test_long_stages_take_it_and_short_ones_do_not(monkeypatch: pytest.MonkeyPatch):
    """The choice, and that a run's weights are those of the plain one but for rounding."""

    def run(worth: float):
        monkeypatch.setattr(feed, "WORTH_COMPILING", worth)
        task = tiny.text_task(dropout=0.0)
        history = task.fit(
            tiny.texts(24), adaptation=FullFineTuning(), epochs=2, batch_size=8, learning_rate=1e-3, seed=0, verbose=0
        )
        return history, tiny.values(task.model)

    plain, ours = run(1e99), run(0.0)
    assert [each[0].steps[-1].get("one_pass") for each in (plain, ours)] == [False, kernels.onednn()]
    np.testing.assert_allclose(ours[0].history["loss"], plain[0].history["loss"], rtol=1e-3)
    assert tiny.largest_difference(plain[1], ours[1]) < 2e-3, "AdamW takes a whole step for a gradient of rounding"
