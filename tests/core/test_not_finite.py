"""A step whose loss or gradients are no numbers moves nothing: the run stops there, or goes on without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import batches, blame, steps, training
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.columns import Dense
from tfvertical.contracts import Backbone
from tfvertical.errors import ConfigError, NotFiniteError
from tfvertical.optimizer import StagedAdamW
from tfvertical.settings import Settings
from tfvertical.tasks.image_classifier import ImageClassifier

BAD = 13  # the example that breaks its step


class Seen(keras.callbacks.Callback):
    """Weights after each batch, of the last ones."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.last = self.get()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.last = self.get()

    def get(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self.model.weights]


def spoiled(task: Any, count: int = 22, kind: str = "image") -> Any:
    """Pictures of which one is infinitely bright."""
    encoded = task.encode(tiny.make_examples(kind, count))
    images = np.concatenate([column.take(np.arange(count), None) for column in encoded.columns.values()]).astype(
        "float32"
    )
    images[BAD, 3, 3] = np.inf
    return replace(encoded, columns={name: Dense(images) for name in encoded.columns})


def settings(**changed: Any) -> Settings:
    return Settings(**{"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "precision": "float32", **changed})


@pytest.mark.parametrize("watched", [False, True])
def test_a_run_stops_at_the_step_and_keeps_the_weights_from_before_it(watched):
    task, seen = tiny.image_task(), Seen()
    train = spoiled(task)
    step = next(at for at, rows in enumerate(batches.epoch(train, 4, 0, 0)) if BAD in rows)
    before = tiny.values(task.model)
    with pytest.raises(
        NotFiniteError, match=rf"epoch 1: the loss is nan, at step {step + 1}, first in 'images'"
    ) as caught:
        training.run(task, train, None, FullFineTuning(), settings(), verbose=0, callbacks=[seen] if watched else [])
    assert caught.value.rows == (BAD,)
    assert "the weights are those from before it" in str(caught.value)
    after = tiny.values(task.model)
    assert step > 0 and tiny.largest_difference(before, after) > 0, "the steps before stay"
    assert all(np.isfinite(value).all() for value in after.values())
    if watched:
        for value, want in zip(after.values(), seen.last, strict=True):
            np.testing.assert_array_equal(value, want)


def test_a_head_in_chunks_keeps_the_weights_from_before_the_step_too():
    task = tiny.image_task()
    train = spoiled(task)
    before = tiny.values(task.model)
    with pytest.raises(NotFiniteError, match="That step moved nothing") as caught:
        training.run(task, train, None, Frozen(), settings(cache=True), verbose=0)
    assert caught.value.rows == (BAD,)
    after = tiny.values(task.model)
    assert tiny.largest_difference(before, after) > 0
    assert all(np.isfinite(value).all() for value in after.values())


@pytest.mark.parametrize("kind", ["image", "image numbers"])
@pytest.mark.parametrize("adaptation", [Frozen(), FullFineTuning()])
@pytest.mark.parametrize("more", [{}, {"accumulate": 2}, {"jit_compile": True}])
def test_a_run_that_skips_goes_on_without_the_step_and_says_so(kind, adaptation, more):
    task = tiny.make_task(kind)
    train = spoiled(task, kind=kind)
    with pytest.warns(UserWarning, match=r"examples \[13\]\. That step moved nothing, and is left out"):
        history = training.run(task, train, None, adaptation, settings(not_finite="skip", **more), verbose=0)
    left_out = [each for step in history.steps for each in step["skipped"]]
    assert [(each["epoch"], each["rows"]) for each in left_out] == [(0, [BAD]), (1, [BAD])]
    assert all(np.isfinite(values).all() for values in history.history.values())
    assert all(np.isfinite(value).all() for value in tiny.values(task.model).values())


def test_statistics_that_are_whole_numbers_take_no_harm():
    inputs = keras.Input((3,))
    statistics = keras.layers.Normalization()
    statistics.adapt(np.ones((4, 3), "float32"))
    model = keras.Model(inputs, statistics(inputs))
    assert any("int" in each.dtype for each in model.non_trainable_weights)
    assert steps.Steps(model, 1, 1, 0, lambda _: [], step=lambda _: tf.constant(True))._unharmed()


def test_a_run_that_skips_stops_at_its_limit():
    task = tiny.image_task()
    with (
        pytest.warns(UserWarning, match="is left out"),
        pytest.raises(NotFiniteError, match="and 1 were left out before it"),
    ):
        training.run(task, spoiled(task), None, FullFineTuning(), settings(not_finite="skip", skip_limit=1), verbose=0)


def test_an_epoch_in_which_nothing_was_learned_ends_the_run():
    task = tiny.image_task()
    train, asked = spoiled(task), settings(not_finite="skip", skip_limit=5, batch_size=22)
    with (
        pytest.warns(UserWarning, match="is left out"),
        pytest.raises(NotFiniteError, match="as did all others of that epoch: the weights"),
    ):
        training.run(task, train, None, FullFineTuning(), asked, verbose=0)


def test_skipped_steps_leave_no_trace_in_weights_and_moments():
    """Three steps of which the second is bad end where the two good ones do, but for the step count."""

    def learned(gradients: list[float]) -> tuple[np.ndarray, int]:
        weight = keras.Variable(np.ones(3, "float32"))
        optimizer = StagedAdamW(0.1, rates=[1.0], decays=[True], starts=[0], beta_1=0.9)
        optimizer.build([weight])
        for gradient in gradients:
            optimizer.apply([tf.fill([3], gradient)], [weight])
        moments = [variable.numpy() for variable in (*optimizer._momentums, *optimizer._velocities)]
        return np.concatenate([weight.numpy(), *moments]), int(optimizer.skipped.numpy())

    want, none = learned([0.5])
    found, one = learned([0.5, np.nan])
    again, two = learned([0.5, np.inf, -np.inf])
    assert (none, one, two) == (0, 1, 2)
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(again, want)


def rooted() -> keras.Model:
    """Roots of what is above zero: where nothing is, the root is finite, and its slope is not."""
    pixels = keras.Input((4, 4, 3), name="images")
    x = keras.layers.Dense(4, name="first")(keras.layers.GlobalAveragePooling2D()(pixels))
    return keras.Model(pixels, keras.ops.sqrt(keras.ops.relu(x)))


def test_the_gradient_that_is_not_finite_is_named_where_the_loss_is():
    body = rooted()
    model = keras.Model(body.input, keras.layers.Dense(2, name="last")(body.output))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.get_layer("first").kernel.assign(np.ones((3, 4)))
    images = tf.constant(np.array([1, 2, -1, 3], "float32")[:, None, None, None] * np.ones((1, 4, 4, 3), "float32"))
    before = [each.numpy() for each in model.variables]
    batch = images, tf.constant([0, 1, 0, 1]), tf.ones(4)
    where, concerned = blame.first_not_finite(model, {"images": images}, batch)
    assert where == "the gradient of 'first/bias'" and concerned.tolist() == [False, False, True, False]
    keep = tf.constant([0, 1, 3])
    sound = tuple(tf.gather(each, keep) for each in batch)
    assert blame.first_not_finite(model, {"images": sound[0]}, sound) is None
    for one, other in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(one, other.numpy())


@pytest.mark.parametrize("adaptation", [Frozen(), FullFineTuning()])
def test_a_run_that_stops_at_a_gradient_names_it(adaptation):
    backbone = Backbone(rooted(), KerasImagePreprocessor((4, 4)), ["first/"], tiny.SOURCE)
    backbone.model.get_layer("first").kernel.assign(-np.ones((3, 4)))  # no picture is above zero
    task = ImageClassifier(backbone, tiny.LABELS, dropout=0.0)
    if isinstance(adaptation, Frozen):
        history = training.run(task, task.encode(tiny.pictures(8)), None, adaptation, settings(), verbose=0)
        assert np.isfinite(history.history["loss"]).all(), "nothing goes back through what is frozen"
        return
    with pytest.raises(NotFiniteError, match=r"first in the gradient of '(.*/)?first/bias'") as caught:
        training.run(task, task.encode(tiny.pictures(8)), None, adaptation, settings(), verbose=0)
    assert len(caught.value.rows) == 4


def test_a_policy_that_is_none():
    with pytest.raises(ConfigError, match="not_finite"):
        Settings(not_finite="ignore")


def test_a_gradient_that_is_not_finite_is_named_of_variables_of_a_strategy_too():
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        backbone = Backbone(rooted(), KerasImagePreprocessor((4, 4)), ["first/"], tiny.SOURCE)
        backbone.model.get_layer("first").kernel.assign(-np.ones((3, 4)))
        task = ImageClassifier(backbone, tiny.LABELS, dropout=0.0)
    with pytest.raises(NotFiniteError, match="first in the gradient of 'first/bias'"):
        training.run(task, task.encode(tiny.pictures(8)), None, FullFineTuning(), settings(), verbose=0)
