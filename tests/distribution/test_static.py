"""Every step as a TPU takes it: compiled by XLA for one size of batch and a few lengths, and nothing is left out."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfvertical as tv
from tests.core import tiny
from tests.distribution.pairs import trained
from tfvertical import batches, replicas
from tfvertical.settings import Settings


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("text", "full"),
        ("image", "gradual"),
        ("chain", "frozen"),
        ("answers", "discriminative"),
        ("image labels", "frozen"),
        ("pair numbers", "frozen"),
    ],
)  # all tasks by all adaptations: `benchmarks.distribution`
def test_compiled_steps_train_as_others_do(kind, how):
    plain, compiled = trained(kind, how, 8, 37), trained(kind, how, 8, 37, jit_compile=True)
    assert tiny.largest_difference(plain[1], compiled[1]) <= 1e-6
    assert {step["compiled"] for step in compiled[0].steps} == {True}
    for name, values in plain[0].history.items():
        assert compiled[0].history[name] == pytest.approx(values, rel=1e-5), name


def test_statistics_of_a_batch_that_is_filled_up_are_numbers():
    _, weights = trained("image", "statistics", 8, 37, jit_compile=True)
    assert all(np.isfinite(value).all() for value in weights.values())


def test_no_string_reaches_a_step_and_every_shape_is_known():
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(21))
    chosen = replicas.Share(2, 0, 2)
    seen: Counter[int] = Counter()
    data, steps = batches.training_set(
        encoded, task.model, 8, 0, 0, share=lambda rows: chosen.filled(rows, 8), static=True
    )
    for inputs, labels, weights, whole in data.take(steps):
        assert {tensor.dtype.name for tensor in (*inputs.values(), labels, weights)} <= {"int32", "bool", "float32"}
        assert {len(tensor) for tensor in (*inputs.values(), labels, weights)} == {8}
        length = inputs["token_ids"].shape[1]
        assert length in (batches.bucket(length), encoded.lengths.max())
        seen[int(whole)] += 1
    assert seen == {8: 2, 5: 1}  # 21 examples, each counted once


def test_a_run_says_that_it_compiles():
    task = tiny.image_task()
    assert Settings(jit_compile=True) != Settings()
    history = task.fit(tiny.pictures(8), adaptation=tv.Frozen(), epochs=1, verbose=0, jit_compile=True)
    assert [step["why"] for step in history.steps] == ["XLA compiles each"]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("kind", "how"), [("text", "full"), ("image", "gradual"), ("image", "frozen")])
def test_a_batch_in_parts_moves_the_weights_as_one(kind, how, compiled):
    """37 examples in batches of 8: the last has 5, so that one of its 3 parts is smaller."""
    whole, parts = (
        trained(
            kind, how, 8, 37, accumulate=count, jit_compile=compiled, class_weight={"negative": 3.0, "positive": 1.0}
        )
        for count in (1, 3)
    )
    assert tiny.largest_difference(whole[1], parts[1]) <= 1e-6
    for name, values in whole[0].history.items():
        assert parts[0].history[name] == pytest.approx(values, rel=1e-5), name


def test_penalties_of_weights_count_once_in_a_batch_of_parts():
    def learned(parts: int) -> tuple[float, np.ndarray]:
        inputs = keras.Input((3,))
        outputs = keras.layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l2")(inputs)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        x, y = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), np.array([0, 1, 1, 0, 1, 0], "int32")
        batch = tuple(map(tf.constant, (x, y, np.ones(6, "float32"), np.int32(6))))
        taken = replicas.Replicas(model, None, parts=parts)
        taken.make_metrics(batch[:3])
        taken.step(batch)
        return float(model.get_metrics_result()["loss"]), model.layers[1].kernel.numpy()

    once, thrice = learned(1), learned(3)
    assert once[0] == pytest.approx(thrice[0], rel=1e-6)
    np.testing.assert_allclose(once[1], thrice[1], atol=1e-6)
