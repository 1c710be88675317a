"""What XLA computes in one pass is what Keras computes in many, forth and back."""

from __future__ import annotations

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import feed, fused, kernels, onepass, optimizer
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing

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
        task = tiny.text_task(body_dropout=0.0, dropout=0.0)  # which has draws of its own
        history = task.fit(
            tiny.texts(24), adaptation=FullFineTuning(), epochs=2, batch_size=8, learning_rate=1e-3, seed=0, verbose=0
        )
        return history, tiny.values(task.model)

    plain, ours = run(1e99), run(0.0)
    assert [each[0].steps[-1].get("one_pass") for each in (plain, ours)] == [False, kernels.onednn()]
    np.testing.assert_allclose(ours[0].history["loss"], plain[0].history["loss"], rtol=1e-3)
    assert tiny.largest_difference(plain[1], ours[1]) < 2e-3, "AdamW takes a whole step for a gradient of rounding"


@pytest.mark.parametrize("cache", [True, False])
def test_a_stage_that_could_be_in_chunks_drops_as_chunks_do(monkeypatch: pytest.MonkeyPatch, cache: bool):
    monkeypatch.setattr(feed, "WORTH_COMPILING", 0.0)
    task = tiny.text_task(dropout=0.2)
    history = task.fit(
        tiny.texts(24), adaptation=GradualUnfreezing(1), epochs=1, batch_size=8, cache=cache, seed=0, verbose=0
    )
    assert [each.get("one_pass", False) for each in history.steps] == [False, kernels.onednn()]


def test_what_is_kept_and_what_is_not_are_dropped_alike(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed, "WORTH_COMPILING", 0.0)
    found = []
    for cache in (True, False):
        task = tiny.text_task(dropout=0.2)
        history = task.fit(
            tiny.texts(40),
            adaptation=GradualUnfreezing(1),
            epochs=2,
            batch_size=8,
            cache=cache,
            group_by_length=False,  # what is kept of a text has one length
            precision="float32",
            seed=0,
            verbose=0,
        )
        found.append((history.history["loss"], tiny.values(task.model)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    assert tiny.largest_difference(found[0][1], found[1][1]) < 1e-5


def test_steps_of_large_variables_are_those_of_small_ones():
    """Clipped, decayed, at rates of their own, with a step that is not finite."""

    def taken(one_pass: bool):
        chance = np.random.default_rng(0)
        shapes = [(2, optimizer.LARGE // 2), (3, optimizer.LARGE), (5,)]
        variables = [keras.Variable(chance.normal(size=shape).astype("float32")) for shape in shapes]
        found = optimizer.StagedAdamW(1e-2, rates=[1.0, 0.1, 1.0], decays=[True, False, False], starts=[0, 0, 0])
        found.build(variables)
        found.one_pass = one_pass
        step = tf.function(lambda *gradients: found.apply_gradients(list(zip(gradients, variables, strict=True))))
        for number in range(6):
            gradients = [chance.normal(size=shape).astype("float32") for shape in shapes]
            if number == 3:
                gradients[1][0, 7] = np.inf if one_pass else np.nan
            step(*[tf.constant(each) for each in gradients])
        assert int(found.skipped.numpy()) == 1
        return [each.numpy() for each in (*variables, *found._momentums, *found._velocities)]

    for ours, plain in zip(taken(True), taken(False), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=2e-5, atol=1e-7)


def test_dropout_keeps_the_share_that_it_should_and_gives_gradients_to_what_it_keeps():
    x, rate = tf.ones((300, 401)), 0.3
    seed = tf.constant([3, 5], tf.uint32)
    found, slopes = both(lambda given: onepass.dropout(given, rate, seed), x)
    kept = found.numpy() != 0
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.21 / kept.size), "four standard deviations"
    np.testing.assert_allclose(found.numpy()[kept], 1 / 0.7, rtol=1e-6)
    np.testing.assert_allclose(slopes, found * matrix(300, 401, seed=1, spread=1.0), rtol=1e-6)
    assert (onepass.dropout(x, rate, seed).numpy() == found.numpy()).all()


@pytest.mark.parametrize("other", [(3, 6), (4, 5), (5, 3)])
def test_what_is_dropped_is_another_each_time(other: tuple[int, int]):
    """Neither alike, nor the same moved by some places, which neighbouring seeds of a poor hash would give."""
    x = tf.ones((2**15,))
    one, two = (onepass.dropout(x, 0.5, tf.constant(seed, tf.uint32)).numpy() > 0 for seed in ((3, 5), other))
    spectrum = np.fft.rfft(one - one.mean()).conj() * np.fft.rfft(two - two.mean())
    assert np.abs(np.fft.irfft(spectrum)).max() < 0.25 * one.size * 6 / np.sqrt(one.size), "six standard deviations"
    alone = np.abs(np.fft.irfft(np.abs(np.fft.rfft(one - one.mean())) ** 2))[1:]
    assert alone.max() < 0.25 * one.size * 6 / np.sqrt(one.size), "nor a place from its neighbours"


def test_layers_drop_as_their_seeds_say():
    layer, x = keras.layers.Dropout(0.5, seed=1), tf.ones((40, 8))
    before = layer.seed_generator.state.numpy()
    layer.seed_generator.state.assign(before)
    with fused.fused(keras.Sequential([layer]), trained=True, compiled=True):
        first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
        assert (layer(x, training=False).numpy() == 1).all()
        layer.seed_generator.state.assign(before)
        again = layer(x, training=True).numpy()
    assert (first != second).any() and (again == first).all()
    assert "call" not in vars(layer)


def test_a_bias_has_the_gradient_that_it_has_elsewhere():
    given = (matrix(30), matrix(1, seed=2)[0])
    alike(both(onepass.biased, *given), both(tf.nn.bias_add, *given), 1e-5)
